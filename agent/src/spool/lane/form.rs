//! In which form lines are sealed: now and then both are tried, and in between the better one is taken.

use headwater_protocol::body::BodyBuilder;
use headwater_protocol::chain::Sealing;

/// What is known of a lane's lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Form {
    /// The version that was the best one when both were tried, of the newest one then.
    best: Option<(u8, u8)>,
    /// Batches since then.
    since: u32,
    /// Bytes of records of the batch by which it was tried.
    bytes: usize,
}

/// Batches that are sealed in one form before both are tried again: an eighth of the time for sealing goes into trying.
const TRIED_EVERY: u32 = 16;
/// What so many times as large a batch compresses like is not known by a small one.
const LARGER: usize = 4;

impl Form {
    /// The version of a body of so many bytes of records: the node's newest, or an older one that is smaller.
    pub(super) fn of(&mut self, body: &BodyBuilder, bytes: usize, sealing: Sealing) -> u8 {
        let is_known = self.since < TRIED_EVERY && bytes <= LARGER * self.bytes;
        let known = self.best.filter(|(_, newest)| is_known && *newest == sealing.body);
        self.since += 1;
        if let Some((best, _)) = known {
            return best;
        }
        let best = body.best_version(sealing.body, sealing.level);
        *self = Self { best: Some((best, sealing.body)), since: 1, bytes };
        best
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocol::body::{VERSION_FIELDS, VERSION_NUMBERED};
    use headwater_protocol::header::Clock;
    use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
    use headwater_protocol::record::{Line, Part};

    use super::*;

    fn body(line: impl Fn(u64) -> String) -> BodyBuilder {
        let run = Run { number: 1, nonce: 1 };
        let stream = Stream { source: SourceId([1; 16]), run };
        let mut body = BodyBuilder::default();
        body.cover(stream, None, Mark::default(), Check::NONE);
        for number in 0..1_000 {
            let line = line(number);
            let taken = line.len() as u64 + 1;
            let (time_us, part) = (1, Part::Whole);
            body.push_line(stream, Line { taken, time_us, part, body: line.as_bytes() });
        }
        body
    }

    #[test]
    fn the_better_form_is_taken_until_both_are_tried_again() {
        let sealing = |body| Sealing { clock: Clock::default(), level: 3, body };
        let alike = body(|number| format!("job {number} took {} ms", number * 7_919 % 1_000));
        let words = body(|number| "word ".repeat(usize::try_from(number).unwrap() % 7 + 1));
        let mut form = Form::default();
        assert_eq!(form.of(&words, 1_000, sealing(VERSION_FIELDS)), VERSION_NUMBERED);
        for _ in 1..TRIED_EVERY {
            assert_eq!(form.of(&alike, 1_000, sealing(VERSION_FIELDS)), VERSION_NUMBERED);
        }
        assert_eq!(form.of(&alike, 1_000, sealing(VERSION_FIELDS)), VERSION_FIELDS);
        assert_eq!(form.of(&words, 4_000, sealing(VERSION_FIELDS)), VERSION_FIELDS);
        assert_eq!(form.of(&words, 4_001, sealing(VERSION_FIELDS)), VERSION_NUMBERED, "larger");
        assert_eq!(form.of(&alike, 1, sealing(1)), 1, "the node reads nothing newer");
        assert_eq!(form.of(&alike, 1, sealing(VERSION_FIELDS)), VERSION_FIELDS, "now it does");
    }
}
