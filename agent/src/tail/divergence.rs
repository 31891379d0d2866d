//! Where a file that lost its end, and may have grown since, begins to differ from what was read of it:
//! found by comparing it with what the spool holds, the newest first. No I/O.

use headwater_protocol::position::Stream;
use headwater_protocol::record::Fingerprint;

use super::resume::EVIDENCE_BYTES;
use super::{Held, HeldLine};

/// How much of the beginning of a held stretch a file has as well.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Same {
    /// Whole lines.
    pub(super) lines: usize,
    /// Bytes of the line after them, if the file ends with these; else 0.
    pub(super) rest: u64,
}

/// Whether more has to be compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    Older,
    Nothing,
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// The file lost its end: from this position on it holds something else, or nothing.
    LostItsEnd(u64),
    /// It holds something else.
    Other,
    /// The spool does not hold enough of what was read.
    Unknown,
}

/// The comparison of a file with what was read of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divergence {
    stream: Stream,
    /// Up to which the stream was read.
    read: u64,
    /// The size of the file.
    size: u64,
    /// Everything from here on was compared; `None` before the first comparison.
    from: Option<u64>,
    /// Behind the last line that is the same; `None` until there is one.
    position: Option<u64>,
    /// Bytes before the position that are known to be the same.
    same: u64,
}

impl Divergence {
    /// Of a stream that was read up to a position, and a file that has a size.
    pub(super) fn new(stream: Stream, read: u64, size: u64) -> Self {
        Self { stream, read, size, from: None, position: None, same: 0 }
    }

    /// The lines of a stretch that are to be compared: what lies behind was read again in a later run,
    /// or is held twice.
    pub(super) fn lines<'a>(&self, held: &'a Held) -> &'a [HeldLine] {
        let limit = self.from.unwrap_or(u64::MAX);
        let count = held.lines.partition_point(|line| line.end() <= limit);
        &held.lines[..count]
    }

    /// Takes note of how much of a stretch's lines the file has as well.
    pub(super) fn handle_held(&mut self, held: &Held, same: Same) -> Next {
        if self.from.is_none() && (held.stream, held.end) != (self.stream, self.read) {
            // The newest is not held: what the file should hold up to there is not known.
            return Next::Nothing;
        }
        let limit = self.from.unwrap_or(u64::MAX);
        if held.start >= limit {
            return Next::Older;
        }
        let lines = self.lines(held);
        let bytes: u64 = lines[..same.lines].iter().map(|line| line.bytes.len() as u64).sum();
        if self.position.is_some() {
            if same.lines < lines.len() || held.end < limit {
                return Next::Nothing;
            }
            self.same += bytes;
        } else if same != Same::default() {
            let behind = same.lines.checked_sub(1).map(|last| lines[last].end());
            self.position = Some(behind.unwrap_or(held.start) + same.rest);
            self.same = bytes + same.rest;
        }
        self.from = Some(held.start);
        let is_sure = self.position.is_some() && self.is_sure();
        if is_sure || held.start == 0 { Next::Nothing } else { Next::Older }
    }

    /// What is known by now. A file that lost its end has so much of what was read that this is no heading
    /// which comes again in every new log.
    pub(super) fn verdict(&self) -> Verdict {
        match self.position.filter(|at| *at < self.read) {
            Some(at) if self.is_sure() && (at == self.size || self.is_no_heading(at)) => {
                Verdict::LostItsEnd(at)
            }
            _ if self.from == Some(0) || self.position.is_some() => Verdict::Other,
            _ => Verdict::Unknown,
        }
    }

    fn is_no_heading(&self, length: u64) -> bool {
        length >= Fingerprint::BYTES as u64 || length * 2 >= self.read
    }

    fn is_sure(&self) -> bool {
        self.same >= EVIDENCE_BYTES as u64
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocol::position::{Run, SourceId};

    use super::Verdict::{LostItsEnd, Other, Unknown};
    use super::*;

    /// Stretches of 100 bytes, of lines of 10, from a place on.
    fn held(run: u64, start: u64) -> Held {
        let line = |place: u64| HeldLine { start: start + place * 10, bytes: vec![b'x'; 10] };
        Held { stream: stream(run), start, end: start + 100, lines: (0..10).map(line).collect() }
    }

    fn stream(run: u64) -> Stream {
        Stream { source: SourceId([1; 16]), run: Run { number: run, nonce: 0 } }
    }

    /// What comes of stretches of which so many lines are the same, for a run 2 read up to 300.
    fn found(stretches: &[(Held, usize, u64)]) -> Verdict {
        let mut divergence = Divergence::new(stream(2), 300, 1_000);
        for (held, lines, rest) in stretches {
            let same = Same { lines: *lines, rest: *rest };
            if divergence.handle_held(held, same) == Next::Nothing {
                break;
            }
        }
        divergence.verdict()
    }

    #[test]
    fn a_file_goes_on_behind_the_last_line_that_is_the_same() {
        type Case<'a> = (&'a str, &'a [(Held, usize, u64)], Verdict);
        let cases: [Case<'_>; 10] = [
            ("in the newest", &[(held(2, 200), 7, 0)], LostItsEnd(270)),
            ("in an older one", &[(held(2, 200), 0, 0), (held(2, 100), 9, 0)], LostItsEnd(190)),
            ("in a line", &[(held(2, 200), 7, 4)], LostItsEnd(274)),
            ("shown by two", &[(held(2, 200), 2, 0), (held(2, 100), 10, 0)], LostItsEnd(220)),
            (
                "shown by the first line's part",
                &[(held(2, 200), 0, 3), (held(2, 100), 10, 0)],
                LostItsEnd(203),
            ),
            ("too little", &[(held(2, 200), 2, 0), (held(2, 100), 9, 0)], Other),
            ("too little, no older", &[(held(2, 200), 2, 0)], Other),
            ("older ones are not held", &[(held(2, 200), 0, 0)], Unknown),
            ("the newest is not held", &[(held(2, 100), 7, 0)], Unknown),
            ("another run is newer", &[(held(3, 200), 7, 0)], Unknown),
        ];
        for (name, stretches, expected) in cases {
            assert_eq!(found(stretches), expected, "{name}");
        }
    }

    #[test]
    fn what_a_later_run_read_again_is_compared_with_that_run_alone() {
        let later = Held { start: 250, lines: held(2, 250).lines[..5].to_vec(), ..held(2, 200) };
        let mut divergence = Divergence::new(stream(2), 300, 1_000);
        assert_eq!(divergence.handle_held(&later, Same::default()), Next::Older);
        let before = held(1, 200);
        assert_eq!(divergence.lines(&before).len(), 5, "the run before went on to 300 otherwise");
        assert_eq!(divergence.handle_held(&before, Same { lines: 4, rest: 0 }), Next::Older);
        assert_eq!(
            divergence.handle_held(&held(1, 100), Same { lines: 10, rest: 0 }),
            Next::Nothing
        );
        assert_eq!(divergence.verdict(), LostItsEnd(240));
    }

    #[test]
    fn a_heading_is_no_evidence_unless_it_is_all_there_is() {
        let heading = Held { end: 2_000, ..held(2, 0) };
        for (size, expected) in [(1_000, Other), (90, LostItsEnd(90))] {
            let mut divergence = Divergence::new(stream(2), 2_000, size);
            let next = divergence.handle_held(&heading, Same { lines: 9, rest: 0 });
            assert_eq!(next, Next::Nothing);
            assert_eq!(divergence.verdict(), expected, "a file of {size} bytes");
        }
    }
}
