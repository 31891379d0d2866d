//! In which form lines are sealed: taken apart or as they are. Now and then both are tried, and in between the better one is
//! taken.

use headwater_protocol::body::{BodyBuilder, PackedBody, Shapes, VERSION_DEFINED};
use headwater_protocol::chain::Sealing;

/// What is known of a lane's lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Form {
    /// Whether they were better taken apart when both were tried, and the newest version then.
    best: Option<(bool, u8)>,
    /// Batches since then.
    since: u32,
    /// How often both were tried.
    tried: u32,
    /// Bytes of records of the batch by which it was tried.
    bytes: usize,
    /// What the lines of batches before were like.
    shapes: Shapes,
}

/// Batches that are sealed in one form before both are tried again: an eighth of the time for sealing goes into trying.
const TRIED_EVERY: u32 = 16;
/// How often both are tried one after the other at first: what a lane's lines are like has to be met before it is known.
const TRIED_FIRST: u32 = 4;
/// What so many times as large a batch compresses like is not known by a small one.
const LARGER: usize = 4;
/// Bytes of records of a batch in which both are always tried: what was met before counts most in small ones.
const SMALL_BYTES: usize = 64 << 10;
/// Bytes of records of a batch that is never smaller as it is than by what is like it in those before.
const LITTLE_BYTES: usize = 12 << 10;

impl Form {
    /// Packs a body of so many bytes of records, in the form that travels best to a node that reads `sealing.body`. Lines that
    /// are taken apart take longer to read, for which they have to be smaller by a twentieth at least.
    pub(super) fn pack(
        &mut self,
        body: &BodyBuilder,
        bytes: usize,
        sealing: Sealing,
    ) -> PackedBody {
        let (newest, level) = (sealing.body, sealing.level);
        let knows_more = newest >= VERSION_DEFINED;
        if knows_more
            && bytes <= LITTLE_BYTES
            && let Some(apart) = body.pack_apart(newest, level, &mut self.shapes)
        {
            return apart;
        }
        let is_small = knows_more && bytes <= SMALL_BYTES;
        let is_known = self.since < TRIED_EVERY && bytes <= LARGER * self.bytes && !is_small;
        let is_learning = knows_more && self.tried < TRIED_FIRST;
        let known =
            self.best.filter(|(pays, then)| is_known && *then == newest && (*pays || !is_learning));
        self.since += 1;
        let apart = match known {
            Some((true, _)) => body.pack_apart(newest, level, &mut self.shapes),
            Some((false, _)) => None,
            None => {
                let (packed, pays) = body.pack_best(newest, level, &mut self.shapes);
                (self.best, self.since, self.bytes) = (Some((pays, newest)), 1, bytes);
                self.tried = self.tried.saturating_add(u32::from(knows_more));
                return packed;
            }
        };
        apart.unwrap_or_else(|| body.pack_whole(newest, level))
    }
}

#[cfg(test)]
mod tests {
    use headwater_protocol::body::{VERSION_FIELDS, VERSION_NEWEST, VERSION_NUMBERED};
    use headwater_protocol::header::Clock;
    use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
    use headwater_protocol::record::{Line, Part};

    use super::*;

    fn body(lines: u64, line: impl Fn(u64) -> String) -> BodyBuilder {
        let run = Run { number: 1, nonce: 1 };
        let stream = Stream { source: SourceId([1; 16]), run };
        let mut body = BodyBuilder::default();
        body.cover(stream, None, Mark::default(), Check::NONE);
        for number in 0..lines {
            let line = line(number);
            let taken = line.len() as u64 + 1;
            let (time_us, part) = (1, Part::Whole);
            body.push_line(stream, Line { taken, time_us, part, body: line.as_bytes() });
        }
        body
    }

    fn sealing(body: u8) -> Sealing {
        Sealing { clock: Clock::default(), level: 3, body }
    }

    #[test]
    fn the_better_form_is_taken_until_both_are_tried_again() {
        let alike =
            body(1_000, |number| format!("job {number} took {} ms", number * 7_919 % 1_000));
        let words = body(1_000, |number| "word ".repeat(usize::try_from(number).unwrap() % 7 + 1));
        for newest in [VERSION_FIELDS, VERSION_NEWEST] {
            let mut form = Form::default();
            let mut of = |body: &BodyBuilder, bytes, newest| {
                form.pack(body, bytes, sealing(newest)).packing.version
            };
            let bytes = SMALL_BYTES + 1;
            for _ in 0..TRIED_FIRST {
                assert_eq!(of(&words, bytes, newest), VERSION_NUMBERED);
            }
            let known =
                if newest == VERSION_NEWEST { TRIED_EVERY - 1 } else { TRIED_EVERY - TRIED_FIRST };
            for _ in 0..known {
                assert_eq!(of(&alike, bytes, newest), VERSION_NUMBERED);
            }
            assert_eq!(of(&alike, bytes, newest), newest);
            assert_eq!(of(&words, 4 * bytes, newest), newest);
            assert_eq!(of(&words, 4 * bytes + 1, newest), VERSION_NUMBERED, "larger");
            assert_eq!(of(&alike, bytes, 1), 1, "the node reads nothing newer");
            assert_eq!(of(&alike, bytes, newest), newest, "now it does");
        }
        let (mut form, small) = (Form::default(), SMALL_BYTES);
        let mut of = |body: &BodyBuilder, bytes, newest| {
            form.pack(body, bytes, sealing(newest)).packing.version
        };
        assert_eq!(of(&words, small, VERSION_NEWEST), VERSION_NUMBERED, "small: both are tried");
        assert_eq!(of(&alike, small, VERSION_NEWEST), VERSION_NEWEST);
        assert_eq!(of(&words, 1, VERSION_NEWEST), VERSION_NEWEST, "little: by those before");
    }

    #[test]
    fn a_single_line_is_told_by_those_before() {
        let line = |at: u64| {
            let text = "a session of a customer has come to its end in the usual way";
            body(1, move |_| format!("{{\"at\":{at},\"text\":\"{text}\",\"took\":{}}}", at * 7_919))
        };
        let mut form = Form::default();
        let sizes: Vec<usize> =
            (1..9).map(|at| form.pack(&line(at), 100, sealing(VERSION_NEWEST)).travels).collect();
        assert!(sizes[7] < sizes[0] / 2, "{sizes:?}");
    }
}
