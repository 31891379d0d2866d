//! The splitter: bytes become lines. Pure, and the same for the same bytes however they arrive.

use headwater_protocol::record::Part;

use super::{CHUNK_LINES_MAX, Line};
use crate::config::LongLine;

/// Splits a stream of bytes into lines, and lines above the limit into parts.
///
/// Whether a line is too long is decided only once it cannot be otherwise, so that a line of exactly
/// the limit is whole, however late its end comes.
#[derive(Clone, Debug)]
pub(super) struct Splitter {
    max_line: usize,
    long_line: LongLine,
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
    pub(super) fn new(max_line: usize, long_line: LongLine) -> Self {
        Self { max_line, long_line, cutting: false }
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
            && let Some(line) = self.line(&bytes[taken..])
        {
            taken += line.taken as usize;
            lines.push(line);
        }
        (taken > 0).then_some(Piece::Lines(lines, taken))
    }

    /// The first piece of bytes after which nothing will come: a line without an end counts.
    pub(super) fn finish(&mut self, bytes: &[u8]) -> Option<Piece> {
        if let Some(piece) = self.next(bytes) {
            return Some(piece);
        }
        let body = bytes.len().min(self.max_line);
        let part = if body == bytes.len() { Part::Unended } else { self.first_part() };
        (body > 0).then(|| Piece::Lines(vec![line(body, 0, part)], body))
    }

    fn rest_of_cut_line(&mut self, bytes: &[u8]) -> Option<Piece> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        self.cutting = end.is_none();
        let taken = end.map_or(bytes.len(), |end| end + 1);
        (taken > 0).then_some(Piece::Cut(taken))
    }

    fn line(&mut self, bytes: &[u8]) -> Option<Line> {
        // The longest whole line: body, CR, LF.
        let reach = self.max_line + 2;
        let window = &bytes[..bytes.len().min(reach)];
        if let Some(end) = window.iter().position(|byte| *byte == b'\n') {
            let ended_by_crlf = end > 0 && window[end - 1] == b'\r';
            let body = end - usize::from(ended_by_crlf);
            if body <= self.max_line {
                let part = if ended_by_crlf { Part::WholeCrLf } else { Part::Whole };
                return Some(line(body, end + 1 - body, part));
            }
        } else if window.len() < reach {
            return None;
        }
        Some(line(self.max_line, 0, self.first_part()))
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

fn line(body: usize, end: usize, part: Part) -> Line {
    let bytes = |count| u32::try_from(count).expect("a line is shorter than a chunk");
    Line { body: bytes(body), taken: bytes(body + end), part }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

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
        let mut splitter = Splitter::new(MAX, LongLine::Cut);
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
        let after = |before: &[u8]| Splitter::new(MAX, LongLine::Cut).after(before).cutting;
        assert!(after(b"ok\n12345678"));
        assert!(after(b"12345678"));
        assert!(!after(b"1234567"), "an unfinished line");
        assert!(!after(b"12345678\n"), "the line has ended");
        assert!(!Splitter::new(MAX, LongLine::Split).after(b"12345678").cutting);
    }

    #[test]
    fn what_a_closed_file_ends_with_is_a_line_too() {
        let mut splitter = Splitter::new(MAX, LongLine::Split);
        assert_eq!(splitter.finish(b"ab"), Some(Piece::Lines(vec![line(2, 0, Part::Unended)], 2)));
        assert_eq!(
            splitter.finish(b"123456789"),
            Some(Piece::Lines(vec![line(8, 0, Part::Continued)], 8))
        );
        assert_eq!(splitter.finish(b""), None);
    }

    proptest! {
        #[test]
        fn whatever_is_put_in_comes_out_again(
            bytes in vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..400),
            steps in vec(1_usize..40, 1..60),
            cut in any::<bool>(),
        ) {
            let mode = if cut { LongLine::Cut } else { LongLine::Split };
            let at_once = reassemble(mode, &bytes, &[bytes.len().max(1)]);
            let in_steps = reassemble(mode, &bytes, &steps);
            prop_assert_eq!(&at_once, &bytes);
            prop_assert_eq!(&in_steps, &bytes);
            if !cut {
                prop_assert_eq!(records(&bytes, &[bytes.len().max(1)]), records(&bytes, &steps));
            }
        }
    }

    /// Bodies and ends put back together; a cut rest is taken from the bytes themselves.
    fn reassemble(mode: LongLine, bytes: &[u8], steps: &[usize]) -> Vec<u8> {
        let mut splitter = Splitter::new(MAX, mode);
        let mut out = Vec::new();
        drive(&mut splitter, bytes, steps, |piece, from| match piece {
            Piece::Lines(lines, _) => {
                let mut at = from;
                for line in lines {
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

    fn records(bytes: &[u8], steps: &[usize]) -> Vec<Line> {
        let mut all = Vec::new();
        drive(&mut Splitter::new(MAX, LongLine::Split), bytes, steps, |piece, _| {
            if let Piece::Lines(lines, _) = piece {
                all.extend(lines);
            }
        });
        all
    }

    /// Lets the bytes appear in steps, as a growing file does, and closes it at the end.
    fn drive(
        splitter: &mut Splitter,
        bytes: &[u8],
        steps: &[usize],
        mut sink: impl FnMut(Piece, usize),
    ) {
        let mut position = 0;
        let mut size = 0;
        for step in steps.iter().cycle() {
            while let Some(piece) = splitter.next(&bytes[position..size]) {
                let (Piece::Lines(_, taken) | Piece::Cut(taken)) = piece;
                sink(piece, position);
                position += taken;
            }
            if size == bytes.len() {
                break;
            }
            size = bytes.len().min(size + step);
        }
        while let Some(piece) = splitter.finish(&bytes[position..]) {
            let (Piece::Lines(_, taken) | Piece::Cut(taken)) = piece;
            sink(piece, position);
            position += taken;
        }
        assert_eq!(position, bytes.len(), "every byte belongs to a piece");
    }

    fn split(mode: LongLine, bytes: &[u8]) -> (Vec<(Vec<u8>, Part)>, Vec<u8>) {
        let mut splitter = Splitter::new(MAX, mode);
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
