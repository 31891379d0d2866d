use super::*;
use crate::codec::DecodeError;

fn packed(lines: &[&str]) -> Packed {
    let source = lines.concat();
    pack(source.as_bytes(), lines.iter().map(|line| line.len()), None)
}

fn read(packed: &Packed, count: usize, most: usize) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut lines = Lines::new(&packed.fields, &packed.values, &packed.raw, None)?;
    let mut read = Vec::new();
    for _ in 0..count {
        let mut line = Vec::new();
        lines.next(&mut line, most)?;
        read.push(line);
    }
    lines.finish()?;
    Ok(read)
}

/// The coding of the first field of lines, which come back.
fn coding(lines: &[&str]) -> u8 {
    let packed = packed(lines);
    assert_eq!(read(&packed, lines.len(), 1_000).expect("they come back"), bytes(lines));
    // Its count and the count of fields take a byte each.
    packed.fields[2]
}

fn bytes(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

#[test]
fn each_field_is_told_in_the_way_that_fits_it() {
    let uuid = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let other = "00000000-0000-4000-8000-000000000000";
    let is = |lines: &[&str], expected: Coding| {
        assert_eq!(coding(lines), expected as u8, "{lines:?}");
    };
    is(&["same", "same", "same"], Coding::Same);
    is(&["", "", ""], Coding::Same);
    is(&["1", "20", "300"], Coding::Number);
    is(&["007", "020", "300"], Coding::Number);
    is(&["999999999999999999", "0", "5"], Coding::Number);
    is(&["0123abcd", "deadbeef", "00000000"], Coding::Hex);
    is(&["0123ABCDF", "DEADBEEF0", "000000001"], Coding::Hex);
    is(&[uuid, other], Coding::Uuid);
    is(&["08:00:00", "07:59:59", "23:00:00"], Coding::Time);
    is(&["2026-11-21T08:00:00.5Z", "2026-11-20T08:00:00.7Z"], Coding::Time);
    is(&["alpha", "beta", "beta", "alpha", "alpha", "beta", "beta", "beta"], Coding::Listed);
    is(&["user 1 in", "user 52 in", "user 7 in"], Coding::Split);
    is(&["{\"a\":1}", "{\"a\":\"x\"}", "{\"a\":1.5}", "{\"a\":1.25}"], Coding::Split);
}

#[test]
fn what_only_looks_like_something_is_no_such_thing() {
    // Each would come back as another text.
    for lines in [
        ["1", "02", "3"].as_slice(),
        &["9999999999999999999", "1", "2"],
        &["0123abcd", "DEADBEEF", "00000000"],
        &["0123abc", "0123abcd", "deadbeef"],
        &["08:00:00", "24:00:00"],
        &["08:00:00", "08:00:00Z"],
        &["f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6"],
        &["f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "f81d4fae.7dec-11d0-a765-00a0c91e6bf6"],
        &["", "1"],
        &["{\"a", "{\"a\":\"}", "{", "}"],
    ] {
        let _ = coding(lines);
    }
}

#[test]
fn no_lines_are_no_fields_that_could_be_read() {
    let nothing = Packed::default();
    assert!(read(&nothing, 0, 9).is_ok());
    assert!(read(&nothing, 1, 9).is_err());
}

#[test]
fn a_line_is_no_longer_than_it_may_be_and_all_of_them_are_read() {
    let lines = packed(&["user 1 in", "user 52 in", "user 7 in"]);
    assert!(read(&lines, 3, 10).is_ok());
    assert!(read(&lines, 3, 9).is_err(), "the second line has ten bytes");
    assert!(read(&lines, 2, 10).is_err(), "one is left");
    assert!(read(&lines, 4, 10).is_err(), "there is none");
}

/// Fields of so many levels of templates, each with two slots of the next one: 2^levels values for each line.
fn deep(levels: u8) -> Packed {
    let mut fields = vec![levels + 1];
    for _ in 0..levels {
        // One value; one template of two slots between empty literals; all of them the first one.
        fields.extend([1, Coding::Split as u8, 1, 2, 0, 0, 0, 1, 1, 0, 0]);
    }
    fields.extend([1, Coding::Same as u8, 0]);
    Packed { fields, ..Packed::default() }
}

#[test]
fn fields_that_would_take_for_ever_are_refused() {
    assert!(read(&deep(1), 1, 9).is_err(), "the second value of a field that has one");
    let mut many = deep(30);
    assert!(read(&many, 1, 9).is_err());
    // Counts that allow all of it, and no fewer levels than are read.
    many.fields.iter_mut().skip(1).step_by(11).for_each(|count| *count = 127);
    assert!(read(&many, 1, 9).is_err());
    let itself = Packed { fields: vec![1, 1, 7, 1, 1, 0, 0, 0, 0, 0], ..Packed::default() };
    assert!(read(&itself, 1, 9).is_err(), "a field that is its own slot");
}

/// Lines of one and of two slots whose literals have one hash, as somebody who knows the hash can write them.
fn of_one_hash() -> Vec<Vec<u8>> {
    let is_literal = |word: [u8; 8]| {
        matches!(word[0], b' ' | b',' | b';' | b'=')
            && !word.iter().any(|byte| byte.is_ascii_digit() || *byte == b'"')
    };
    let line = |slots: usize| {
        let made = (0_u32..100_000).find_map(|number| {
            let letters: String =
                format!("{number:x}").bytes().map(|it| char::from(it | 0x40)).collect();
            let first = format!("{letters} ");
            let mut state = scan::hash(scan::START, first.as_bytes());
            let mut line = format!("{first}7").into_bytes();
            for _ in 1..slots {
                state = scan::hash(state, b" ");
                line.extend_from_slice(b" 7");
            }
            // A word that is the state makes it 0.
            let word = state.to_le_bytes();
            line.extend_from_slice(&word);
            line.extend_from_slice(b" the end");
            is_literal(word).then_some(line)
        });
        made.expect("one in fifty will do")
    };
    [line(2), line(1)].into()
}

#[test]
fn lines_that_were_made_to_have_one_hash_come_back_or_stay_as_they_are() {
    let lines = of_one_hash();
    let hash_of =
        |line: &Vec<u8>| scan::Grain::Token.slots(line, Slice::new(0, line.len()), &mut Vec::new());
    assert_eq!(hash_of(&lines[0]), hash_of(&lines[1]), "the test is of no use otherwise");
    // What stands in slots is in no hash; without it the lines would be a list of two.
    let with = |line: &Vec<u8>, digit: u8| -> Vec<u8> {
        line.iter().map(|byte| if *byte == b'7' { digit } else { *byte }).collect()
    };
    let many: Vec<Vec<u8>> =
        (b'1'..=b'9').flat_map(|digit| lines.iter().map(move |line| with(line, digit))).collect();
    let packed = pack(&many.concat(), many.iter().map(Vec::len), None);
    assert_eq!(read(&packed, many.len(), 1_000).expect("they come back"), many);
}
