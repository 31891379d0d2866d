//! The splitter: bytes become records, each of a line or, as the tail is configured, of several. Pure,
//! and the same for the same bytes however they arrive, unless a wait ends before they do.

use headwater_protocol::record::Part;

use super::{CHUNK_LINES_MAX, Line};
use crate::config::{LongLine, Multiline};

/// Splits a stream of bytes into records, and records above the limit into parts.
///
/// A record of several lines begins where the one before ended, whatever line that is: so no state is
/// needed to go on at a position. It is complete when the line after it begins another, or when the wait
/// for that line is over ([`Splitter::flush`]). Of one that is cut, the line that crosses the limit is
/// left out from there on, and the next line begins another.
///
/// Whether a line is too long is decided only once it cannot be otherwise, so that a line of exactly
/// the limit is whole, however late its end comes.
#[derive(Clone, Debug)]
pub(super) struct Splitter {
    max_line: usize,
    long_line: LongLine,
    multiline: Multiline,
    /// Inside a line that was cut: what comes until its end is left out.
    cutting: bool,
}

/// What the next bytes are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Piece {
    /// Lines, and how many bytes they take.
    Lines(Vec<Line>, usize),
    /// So many bytes of a line that was cut.
    Cut(usize),
}

impl Piece {
    /// How many bytes it takes.
    pub(super) fn taken(&self) -> usize {
        let (Self::Lines(_, taken) | Self::Cut(taken)) = self;
        *taken
    }
}

impl Splitter {
    pub(super) fn new(max_line: usize, long_line: LongLine, multiline: Multiline) -> Self {
        Self { max_line, long_line, multiline, cutting: false }
    }

    /// A splitter that goes on after some bytes: it is inside a cut line if these hold no line's end
    /// within the length of a line.
    pub(super) fn after(self, before: &[u8]) -> Self {
        let is_full = before.len() >= self.max_line;
        let last = &before[before.len().saturating_sub(self.max_line)..];
        let cutting = self.long_line == LongLine::Cut && is_full && !last.contains(&b'\n');
        Self { cutting, ..self }
    }

    /// How many bytes before a position [`Splitter::after`] needs to see.
    pub(super) fn looks_back(&self) -> usize {
        match self.long_line {
            LongLine::Split => 0,
            LongLine::Cut => self.max_line,
        }
    }

    /// The first piece of these bytes; `None` if they hold no finished one.
    pub(super) fn next(&mut self, bytes: &[u8]) -> Option<Piece> {
        if self.cutting {
            return self.rest_of_cut_line(bytes);
        }
        let mut lines = Vec::new();
        let mut taken = 0;
        while lines.len() < CHUNK_LINES_MAX
            && !self.cutting
            && let Some(line) = self.record(&bytes[taken..])
        {
            taken += line.taken as usize;
            lines.push(line);
        }
        (taken > 0).then_some(Piece::Lines(lines, taken))
    }

    /// The first piece of bytes after which nothing has come for long: the lines that wait for another
    /// one are a record.
    pub(super) fn flush(&mut self, bytes: &[u8]) -> Option<Piece> {
        if let Some(piece) = self.next(bytes) {
            return Some(piece);
        }
        let held = self.held(bytes);
        (held > 0).then(|| Piece::Lines(vec![ended(&bytes[..held])], held))
    }

    /// The first piece of bytes after which nothing will come: a line without an end counts.
    pub(super) fn finish(&mut self, bytes: &[u8]) -> Option<Piece> {
        if let Some(piece) = self.next(bytes) {
            return Some(piece);
        }
        let held = self.held(bytes);
        let rest = &bytes[held..];
        if held > 0 && (rest.is_empty() || !self.continues_with(rest)) {
            return Some(Piece::Lines(vec![ended(&bytes[..held])], held));
        }
        let body = bytes.len().min(self.max_line);
        let part = if body == bytes.len() { Part::Unended } else { self.first_part() };
        (body > 0).then(|| Piece::Lines(vec![line(body, 0, part)], body))
    }

    /// How many of these bytes, in which no piece is finished, are whole lines that wait for what comes
    /// after them.
    pub(super) fn held(&self, bytes: &[u8]) -> usize {
        match self.extent(bytes) {
            Extent::Open(held) if !self.cutting => held,
            Extent::Open(_) | Extent::Ended(_) | Extent::Over => 0,
        }
    }

    fn rest_of_cut_line(&mut self, bytes: &[u8]) -> Option<Piece> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        self.cutting = end.is_none();
        let taken = end.map_or(bytes.len(), |end| end + 1);
        (taken > 0).then_some(Piece::Cut(taken))
    }

    fn record(&mut self, bytes: &[u8]) -> Option<Line> {
        match self.extent(bytes) {
            Extent::Ended(end) => Some(ended(&bytes[..end])),
            Extent::Over => Some(line(self.max_line, 0, self.first_part())),
            Extent::Open(_) => None,
        }
    }

    /// How far the record reaches that begins with the first byte.
    fn extent(&self, bytes: &[u8]) -> Extent {
        // The longest whole record: body, CR, LF.
        let reach = bytes.len().min(self.max_line + 2);
        let mut end = 0;
        loop {
            let Some(lf) = bytes[end..reach].iter().position(|byte| *byte == b'\n') else {
                let is_over = reach == self.max_line + 2;
                return if is_over { Extent::Over } else { Extent::Open(end) };
            };
            end += lf + 1;
            if end - end_bytes(&bytes[..end]) > self.max_line {
                return Extent::Over;
            }
            match self.continues(&bytes[end..]) {
                Some(true) => {}
                Some(false) => return Extent::Ended(end),
                None => return Extent::Open(end),
            }
        }
    }

    /// Whether a record goes on with the line that these bytes begin with; `None` while that cannot be
    /// told.
    fn continues(&self, bytes: &[u8]) -> Option<bool> {
        match &self.multiline {
            Multiline::None => Some(false),
            Multiline::Indent if bytes.is_empty() => None,
            Multiline::Begins(_) if bytes.len() < LOOK_BYTES && !bytes.contains(&b'\n') => None,
            Multiline::Indent | Multiline::Begins(_) => Some(self.continues_with(bytes)),
        }
    }

    /// Whether a record goes on with the line that these bytes begin with, which is there as far as it
    /// is looked at.
    fn continues_with(&self, bytes: &[u8]) -> bool {
        match &self.multiline {
            Multiline::None => false,
            Multiline::Indent => bytes.first().is_some_and(|byte| b" \t".contains(byte)),
            Multiline::Begins(pattern) => {
                let look = &bytes[..bytes.len().min(LOOK_BYTES)];
                let end = look.iter().position(|byte| *byte == b'\n').map(|lf| lf + 1);
                let line = end.map_or(look, |end| &look[..end - end_bytes(&look[..end])]);
                !pattern.fits(line)
            }
        }
    }

    /// The part that the first bytes of a line above the limit are.
    fn first_part(&mut self) -> Part {
        match self.long_line {
            LongLine::Split => Part::Continued,
            LongLine::Cut => {
                self.cutting = true;
                Part::Whole
            }
        }
    }
}

/// How far a record reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Extent {
    /// It has so many bytes, the last line's end included.
    Ended(usize),
    /// It has so many bytes, or more: what comes next decides.
    Open(usize),
    /// Further than the limit.
    Over,
}

/// The record of whole lines.
fn ended(bytes: &[u8]) -> Line {
    let end = end_bytes(bytes);
    let part = if end == 2 { Part::WholeCrLf } else { Part::Whole };
    line(bytes.len() - end, end, part)
}

/// How many of these bytes, the last of which is an LF, are the end of their last line.
fn end_bytes(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\r\n") { 2 } else { 1 }
}

fn line(body: usize, end: usize, part: Part) -> Line {
    let bytes = |count| u32::try_from(count).expect("a line is shorter than a chunk");
    Line { body: bytes(body), taken: bytes(body + end), part }
}

/// Bytes of a line that a pattern sees: what begins a record stands at its beginning, and a long line is
/// not waited for. Together with the longest record it fits into a chunk.
const LOOK_BYTES: usize = 4 << 10;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::config::Pattern;

    const MAX: usize = 8;

    #[test]
    fn lines_end_at_lf_and_remember_their_cr() {
        type Case<'a> = (&'a [u8], &'a [(&'a [u8], Part)], &'a [u8]);
        let cases: [Case<'_>; 8] = [
            (b"a\nbc\n", &[(b"a", Part::Whole), (b"bc", Part::Whole)], b""),
            (
                b"a\r\n\r\n\n",
                &[(b"a", Part::WholeCrLf), (b"", Part::WholeCrLf), (b"", Part::Whole)],
                b"",
            ),
            (b"a\nunfini", &[(b"a", Part::Whole)], b"unfini"),
            (b"\xff\x00\r\r\n", &[(b"\xff\x00\r", Part::WholeCrLf)], b""),
            (b"12345678\n", &[(b"12345678", Part::Whole)], b""),
            (b"12345678\r\n", &[(b"12345678", Part::WholeCrLf)], b""),
            (b"12345678\r", &[], b"12345678\r"),
            (b"123456789\nx", &[(b"12345678", Part::Continued), (b"9", Part::Whole)], b"x"),
        ];
        for (bytes, expected, rest) in cases {
            let expected = expected.iter().map(|(body, part)| (body.to_vec(), *part)).collect();
            assert_eq!(
                split(LongLine::Split, bytes),
                (expected, rest.to_vec()),
                "{}",
                bytes.escape_ascii()
            );
        }
    }

    #[test]
    fn a_cut_line_keeps_its_beginning_and_leaves_out_the_rest() {
        let mut splitter = Splitter::new(MAX, LongLine::Cut, Multiline::None);
        let bytes = b"ok\n123456789abc\nnext\n";
        assert_eq!(
            splitter.next(bytes),
            Some(Piece::Lines(vec![line(2, 1, Part::Whole), line(8, 0, Part::Whole)], 11))
        );
        assert_eq!(splitter.next(b"9a"), Some(Piece::Cut(2)));
        assert_eq!(splitter.next(b""), None);
        assert_eq!(splitter.next(b"bc\nnext\n"), Some(Piece::Cut(3)));
        assert_eq!(splitter.next(b"next\n"), Some(Piece::Lines(vec![line(4, 1, Part::Whole)], 5)));
    }

    #[test]
    fn a_splitter_knows_from_the_bytes_before_that_it_is_inside_a_cut_line() {
        let after = |before: &[u8]| {
            Splitter::new(MAX, LongLine::Cut, Multiline::None).after(before).cutting
        };
        assert!(after(b"ok\n12345678"));
        assert!(after(b"12345678"));
        assert!(!after(b"1234567"), "an unfinished line");
        assert!(!after(b"12345678\n"), "the line has ended");
        assert!(!Splitter::new(MAX, LongLine::Split, Multiline::None).after(b"12345678").cutting);
    }

    #[test]
    fn what_a_closed_file_ends_with_is_a_line_too() {
        let mut splitter = Splitter::new(MAX, LongLine::Split, Multiline::None);
        assert_eq!(splitter.finish(b"ab"), Some(Piece::Lines(vec![line(2, 0, Part::Unended)], 2)));
        assert_eq!(
            splitter.finish(b"123456789"),
            Some(Piece::Lines(vec![line(8, 0, Part::Continued)], 8))
        );
        assert_eq!(splitter.finish(b""), None);
    }

    #[test]
    fn a_record_of_several_lines_ends_where_another_begins() {
        type Case<'a> = (Multiline, &'a [u8], &'a [(&'a [u8], Part)], &'a [u8]);
        let digit = || pattern("^[0-9]");
        let cases: [Case<'_>; 8] = [
            (Multiline::Indent, b"a\n b\n\tc\nd\n", &[(b"a\n b\n\tc", Part::Whole)], b"d\n"),
            (Multiline::Indent, b"a\r\n b\r\nc", &[(b"a\r\n b", Part::WholeCrLf)], b"c"),
            (Multiline::Indent, b" a\n\nb", &[(b" a", Part::Whole), (b"", Part::Whole)], b"b"),
            (Multiline::Indent, b"a\n b", &[], b"a\n b"),
            (digit(), b"1\nx\n\n2\n3", &[(b"1\nx\n", Part::Whole)], b"2\n3"),
            (digit(), b"x\ny\n1 \n", &[(b"x\ny", Part::Whole)], b"1 \n"),
            (
                digit(),
                b"1\nx\n2\r\n3\n",
                &[(b"1\nx", Part::Whole), (b"2", Part::WholeCrLf)],
                b"3\n",
            ),
            (
                digit(),
                b"1\nx\ny\nz12345\n2\n",
                &[(b"1\nx\ny\nz1", Part::Continued), (b"2345", Part::Whole)],
                b"2\n",
            ),
        ];
        for (multiline, bytes, expected, rest) in cases {
            let expected = expected.iter().map(|(body, part)| (body.to_vec(), *part)).collect();
            let mut splitter = Splitter::new(MAX, LongLine::Split, multiline);
            let found = split_with(&mut splitter, bytes);
            assert_eq!(found, (expected, rest.to_vec()), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn lines_that_wait_become_a_record_when_the_wait_is_over_and_an_unfinished_one_stays() {
        let mut splitter = Splitter::new(MAX, LongLine::Split, Multiline::Indent);
        assert_eq!(splitter.next(b"a\n b\n c"), None);
        assert_eq!(splitter.held(b"a\n b\n c"), 5);
        let piece = Piece::Lines(vec![line(4, 1, Part::Whole)], 5);
        assert_eq!(splitter.flush(b"a\n b\n c"), Some(piece));
        assert_eq!((splitter.flush(b" c"), splitter.held(b" c")), (None, 0));
        let piece = Piece::Lines(vec![line(2, 1, Part::Whole)], 3);
        assert_eq!(splitter.flush(b" c\n"), Some(piece), "what comes first begins a record");
        assert_eq!(
            splitter.finish(b"a\n b"),
            Some(Piece::Lines(vec![line(4, 0, Part::Unended)], 4)),
            "nothing comes after it"
        );
        assert_eq!(splitter.finish(b"a\nb"), Some(Piece::Lines(vec![line(1, 1, Part::Whole)], 2)));
    }

    #[test]
    fn a_pattern_sees_the_beginning_of_a_line_however_much_of_it_is_there() {
        let max = 100 << 10;
        let mut splitter = Splitter::new(max, LongLine::Split, pattern("end$"));
        let long = |look: &str| [b"first\n".to_vec(), look.as_bytes().to_vec()].concat();
        let fits = long(&format!("{}end{}", "x".repeat(LOOK_BYTES - 3), "y".repeat(20_000)));
        let first = Some(Piece::Lines(vec![line(5, 1, Part::Whole)], 6));
        for length in [LOOK_BYTES, LOOK_BYTES + 1, LOOK_BYTES + 10_000] {
            assert_eq!(splitter.next(&fits[..6 + length]), first, "{length} bytes are there");
        }
        assert_eq!(splitter.next(&fits[..6 + LOOK_BYTES - 1]), None, "it cannot be told");
        let late = long(&format!("{}end\n", "x".repeat(LOOK_BYTES - 2)));
        assert_eq!(splitter.next(&late), None, "beyond what a pattern sees");
    }

    proptest! {
        #[test]
        fn whatever_is_put_in_comes_out_again(
            bytes in vec(byte(), 0..400),
            steps in vec(step(), 1..80),
            cut in any::<bool>(),
            multiline in multiline(),
        ) {
            let mode = if cut { LongLine::Cut } else { LongLine::Split };
            let splitter = Splitter::new(MAX, mode, multiline);
            prop_assert_eq!(&reassemble(&splitter, &bytes, &steps), &bytes);
        }

        #[test]
        fn records_are_the_same_however_the_bytes_arrive_and_whoever_reads_on(
            bytes in vec(byte(), 0..400),
            steps in vec(prop_oneof![(1_usize..40).prop_map(Step::Grow), Just(Step::Restart)], 1..60),
            multiline in multiline(),
        ) {
            let splitter = Splitter::new(MAX, LongLine::Split, multiline);
            let all_at_once = [Step::Grow(bytes.len().max(1))];
            prop_assert_eq!(records(&splitter, &bytes, &all_at_once), records(&splitter, &bytes, &steps));
        }

        #[test]
        fn lines_are_gathered_as_the_rule_says(
            lines in vec("[ \t1a]{0,3}(\n|\r\n)", 0..40),
            multiline in multiline(),
        ) {
            let begins = |line: &str| match &multiline {
                Multiline::None => true,
                Multiline::Indent => !line.starts_with([' ', '\t']),
                Multiline::Begins(_) => line.starts_with('1'),
            };
            let mut expected: Vec<String> = Vec::new();
            for line in &lines {
                match expected.last_mut() {
                    Some(last) if !begins(line) => last.push_str(line),
                    _ => expected.push(line.clone()),
                }
            }
            let bytes = lines.concat().into_bytes();
            let splitter = Splitter::new(1_000, LongLine::Split, multiline.clone());
            let taken: Vec<usize> = records(&splitter, &bytes, &[Step::Grow(7)])
                .iter()
                .map(|record| record.taken as usize)
                .collect();
            prop_assert_eq!(taken, expected.iter().map(String::len).collect::<Vec<_>>());
        }
    }

    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![
            3 => Just(b'\n'), 1 => Just(b'\r'), 1 => Just(b' '), 1 => Just(b'1'), 4 => any::<u8>()
        ]
    }

    fn multiline() -> impl Strategy<Value = Multiline> {
        prop_oneof![Just(Multiline::None), Just(Multiline::Indent), Just(pattern("^1"))]
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1_usize..40).prop_map(Step::Grow), 1 => Just(Step::Restart), 1 => Just(Step::Wait)
        ]
    }

    /// What happens to a file that is read.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// It has so many bytes more.
        Grow(usize),
        /// Another splitter goes on at the position.
        Restart,
        /// The wait for another line is over.
        Wait,
    }

    fn pattern(text: &str) -> Multiline {
        Multiline::Begins(Pattern::new(text).unwrap())
    }

    /// Bodies and ends put back together; a cut rest is taken from the bytes themselves.
    fn reassemble(splitter: &Splitter, bytes: &[u8], steps: &[Step]) -> Vec<u8> {
        let mode = splitter.long_line;
        let mut out = Vec::new();
        drive(splitter, bytes, steps, |piece, from| match piece {
            Piece::Lines(lines, _) => {
                let mut at = from;
                for line in lines {
                    assert!(line.body as usize <= MAX, "a record keeps to its limit");
                    out.extend_from_slice(&bytes[at..at + line.body as usize]);
                    out.extend_from_slice(match (line.part, line.taken - line.body) {
                        (Part::Whole, 1) => b"\n",
                        (Part::WholeCrLf, 2) => b"\r\n",
                        (Part::Continued | Part::Unended, 0) => b"",
                        (Part::Whole, 0) if mode == LongLine::Cut => b"",
                        (part, end) => panic!("{part:?} with an end of {end} bytes"),
                    });
                    at += line.taken as usize;
                }
            }
            Piece::Cut(count) => out.extend_from_slice(&bytes[from..from + count]),
        });
        out
    }

    fn records(splitter: &Splitter, bytes: &[u8], steps: &[Step]) -> Vec<Line> {
        let mut all = Vec::new();
        drive(splitter, bytes, steps, |piece, _| {
            if let Piece::Lines(lines, _) = piece {
                all.extend(lines);
            }
        });
        all
    }

    /// Lets the bytes appear in steps, as a growing file does, and closes it at the end.
    fn drive(
        splitter: &Splitter,
        bytes: &[u8],
        steps: &[Step],
        mut sink: impl FnMut(Piece, usize),
    ) {
        let fresh = splitter;
        let mut splitter = splitter.clone();
        let (mut position, mut size) = (0, 0);
        let is_stuck = !steps.iter().any(|step| matches!(step, Step::Grow(_)));
        for step in steps.iter().cycle() {
            match step {
                Step::Grow(count) => size = bytes.len().min(size + count),
                Step::Restart => splitter = fresh.clone().after(&bytes[..position]),
                Step::Wait => {
                    if let Some(piece) = splitter.flush(&bytes[position..size]) {
                        let taken = piece.taken();
                        sink(piece, position);
                        position += taken;
                    }
                }
            }
            while let Some(piece) = splitter.next(&bytes[position..size]) {
                let taken = piece.taken();
                sink(piece, position);
                position += taken;
            }
            if size == bytes.len() || is_stuck {
                break;
            }
        }
        while let Some(piece) = splitter.finish(&bytes[position..]) {
            let taken = piece.taken();
            sink(piece, position);
            position += taken;
        }
        assert_eq!(position, bytes.len(), "every byte belongs to a piece");
    }

    fn split(mode: LongLine, bytes: &[u8]) -> (Vec<(Vec<u8>, Part)>, Vec<u8>) {
        split_with(&mut Splitter::new(MAX, mode, Multiline::None), bytes)
    }

    fn split_with(splitter: &mut Splitter, bytes: &[u8]) -> (Vec<(Vec<u8>, Part)>, Vec<u8>) {
        let mut at = 0;
        let mut lines = Vec::new();
        while let Some(Piece::Lines(pieces, _)) = splitter.next(&bytes[at..]) {
            for line in pieces {
                lines.push((bytes[at..at + line.body as usize].to_vec(), line.part));
                at += line.taken as usize;
            }
        }
        (lines, bytes[at..].to_vec())
    }
}
