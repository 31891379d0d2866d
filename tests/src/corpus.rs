//! Lines that strangers may write: `tests/corpus/hostile_lines`, read from its escapes, and what a person
//! must see of them.

use std::fmt::Write;
use std::path::Path;

/// The strings of the corpus, in its order. A string that holds LF is more than one line in a file.
///
/// # Panics
/// If the corpus can't be read, or holds an escape that is none.
#[must_use]
pub fn hostile_strings() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/hostile_lines");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let strings = text.lines().filter_map(|line| line.strip_prefix('|'));
    strings
        .map(|escaped| bytes_of(escaped).unwrap_or_else(|| panic!("an escape of {escaped:?}")))
        .collect()
}

/// The lines that a file holds, by the rule of the tail: LF ends a line, and a CR before it belongs to
/// the end.
#[must_use]
pub fn lines_of(file: &[u8]) -> Vec<Vec<u8>> {
    let lines = file.split_inclusive(|byte| *byte == b'\n');
    let without_end = |line: &[u8]| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.strip_suffix(b"\r").unwrap_or(line).to_vec()
    };
    lines.map(without_end).collect()
}

/// How a page shows a line: text as it is, tabs too; a control as its picture, so `␛` for ESC; what turns
/// text around, does not show or is no text as an escape such as `\u{202e}` or `\xff`; no more than the
/// first 2,048 bytes.
///
/// # Panics
/// Never: each control has a picture, and a string takes every text.
#[must_use]
pub fn shown(line: &[u8]) -> String {
    let mut shown = String::new();
    for chunk in line[..line.len().min(SHOWN_BYTES_MAX)].utf8_chunks() {
        for letter in chunk.valid().chars() {
            let code = u32::from(letter);
            match code {
                0x09 => shown.push(letter),
                0x00..=0x1f => shown.push(PICTURES.chars().nth(code as usize).unwrap()),
                0x7f => shown.push('␡'),
                _ if is_hidden(code) => write!(shown, "\\u{{{code:x}}}").unwrap(),
                _ => shown.push(letter),
            }
        }
        for byte in chunk.invalid() {
            write!(shown, "\\x{byte:02x}").unwrap();
        }
    }
    shown
}

const SHOWN_BYTES_MAX: usize = 2048;
const PICTURES: &str = "␀␁␂␃␄␅␆␇␈␉␊␋␌␍␎␏␐␑␒␓␔␕␖␗␘␙␚␛␜␝␞␟";

/// Controls of ISO 6429, marks of direction, and what takes no room.
fn is_hidden(code: u32) -> bool {
    const RANGES: [(u32, u32); 7] = [
        (0x80, 0x9f),
        (0x61c, 0x61c),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x206f),
        (0xfeff, 0xfeff),
        (0xfff9, 0xfffb),
    ];
    RANGES.iter().any(|(first, last)| (*first..=*last).contains(&code))
}

/// The bytes that an escaped text stands for; `None` if an escape is none.
fn bytes_of(escaped: &str) -> Option<Vec<u8>> {
    if let Some(repeated) = escaped.strip_prefix("\\repeat{") {
        let (times, part) = repeated.split_once('}')?;
        return Some(bytes_of(part)?.repeat(times.parse().ok()?));
    }
    let mut bytes = Vec::new();
    let mut rest = escaped;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (kind, after) = escape.split_at_checked(1)?;
        rest = after;
        match kind {
            "\\" => bytes.push(b'\\'),
            "n" => bytes.push(b'\n'),
            "r" => bytes.push(b'\r'),
            "t" => bytes.push(b'\t'),
            "x" => {
                let (digits, after) = after.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            "u" => {
                let (digits, after) = after.strip_prefix('{')?.split_once('}')?;
                let letter = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
                bytes.extend_from_slice(letter.to_string().as_bytes());
                rest = after;
            }
            _ => return None,
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_their_bytes_and_unknown_ones_are_refused() {
        let cases: [(&str, Option<&[u8]>); 8] = [
            ("plain über", Some("plain über".as_bytes())),
            (r"a\x00\xffb", Some(b"a\x00\xffb")),
            (r"\\u003c\n\r\t", Some(b"\\u003c\n\r\t")),
            (r"\u{202e}x", Some("\u{202e}x".as_bytes())),
            (r"\repeat{3}\x41b", Some(b"AbAbAb")),
            (r"\q", None),
            (r"\x4", None),
            ("end\\", None),
        ];
        for (escaped, bytes) in cases {
            assert_eq!(bytes_of(escaped).as_deref(), bytes, "{escaped}");
        }
    }

    #[test]
    fn the_corpus_is_as_large_as_it_is_said_to_be_and_no_string_stands_twice() {
        let strings = hostile_strings();
        assert!(strings.len() >= 200, "{} strings", strings.len());
        let distinct: std::collections::BTreeSet<_> = strings.iter().collect();
        assert_eq!(distinct.len(), strings.len());
    }

    #[test]
    fn a_line_is_shown_without_anything_that_hides() {
        let line = "<b>\t\u{202e}\x1b[\0\u{9b}é".as_bytes();
        assert_eq!(shown(line), "<b>\t\\u{202e}␛[␀\\u{9b}é");
        assert_eq!(shown(b"a\xff\xc3(\r\x7f"), "a\\xff\\xc3(␍␡");
        let long = [b"a", "é".repeat(1_024).as_bytes()].concat();
        assert_eq!(shown(&long).chars().count(), 1 + 1_023 + 4);
        assert_eq!(lines_of(b"one\r\n\ntwo\rthree"), [&b"one"[..], b"", b"two\rthree"]);
    }
}
