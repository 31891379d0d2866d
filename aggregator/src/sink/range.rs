//! Which entries a sink takes at once. A pure function of the log: no clock, no I/O.

use headwater_protocol::identity::{Generation, Offset, ShardId};

/// When a range ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RangeRules {
    /// Length of a pane of the log's own time, microseconds: no range reaches from one into the next.
    pub pane_us: i64,
    /// Records of a range, at most; a batch that has more is a range by itself.
    pub records_max: u64,
    /// Bytes of its unpacked bodies, at most; a batch that has more is a range by itself.
    pub bytes_max: u64,
}

/// Entries of a shard that a sink takes at once: those from `first` up to `end`, without it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range {
    /// The shard.
    pub shard: ShardId,
    /// The log's generation there.
    pub generation: Generation,
    /// The first entry.
    pub first: Offset,
    /// Where the next range begins.
    pub end: Offset,
    /// The identity of the log up to its last entry.
    pub tip: [u8; 32],
    /// The latest stamp up to its last entry, microseconds since 1970 UTC.
    pub clock_us: i64,
}

/// A range, and which of its entries were applied.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Planned {
    pub(super) range: Range,
    /// In order.
    pub(super) applied: Vec<Offset>,
    pub(super) records: u64,
}

/// An entry, as far as ranges depend on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    pub(super) offset: Offset,
    pub(super) identity: [u8; 32],
    pub(super) stamp_us: i64,
    /// The log's generation from this entry on.
    pub(super) generation: Generation,
    /// `None` if it brings no rows.
    pub(super) applied: Option<Weight>,
}

/// What a batch weighs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Weight {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// Cuts a shard's log into ranges.
#[derive(Clone, Debug)]
pub(super) struct Planner {
    rules: RangeRules,
    /// The end of the first range, where an earlier process has already decided it.
    decided: Option<Offset>,
    /// What has been seen of the range that comes next; its end is what comes next.
    open: Range,
    /// The log's time at its first batch. `None` before it.
    begun_us: Option<i64>,
    weight: Weight,
    applied: Vec<Offset>,
}

impl Planner {
    /// Goes on at `from.end`.
    pub(super) fn new(rules: RangeRules, from: Range, decided: Option<Offset>) -> Self {
        let open = Range { first: from.end, ..from };
        let weight = Weight::default();
        Self { rules, decided, open, begun_us: None, weight, applied: Vec::new() }
    }

    /// Takes the next entry. A range is returned once an entry does not belong to it any more.
    pub(super) fn take(&mut self, seen: Seen) -> Option<Planned> {
        let clock_us = self.open.clock_us.max(seen.stamp_us);
        let ended = self.is_ended_by(&seen, clock_us).then(|| self.cut());
        self.open.end = seen.offset.next();
        self.open.tip = seen.identity;
        self.open.clock_us = clock_us;
        self.open.generation = seen.generation;
        if let Some(weight) = seen.applied {
            self.begun_us.get_or_insert(clock_us);
            self.weight.records += weight.records;
            self.weight.bytes += weight.bytes;
            self.applied.push(seen.offset);
        }
        ended
    }

    fn is_ended_by(&self, seen: &Seen, clock_us: i64) -> bool {
        if let Some(end) = self.decided {
            return seen.offset >= end;
        }
        let Some(begun_us) = self.begun_us else { return false };
        let pane = |time_us: i64| time_us.div_euclid(self.rules.pane_us);
        let is_full = seen.applied.is_some_and(|more| {
            self.weight.records.saturating_add(more.records) > self.rules.records_max
                || self.weight.bytes.saturating_add(more.bytes) > self.rules.bytes_max
        });
        is_full || pane(begun_us) != pane(clock_us) || seen.generation != self.open.generation
    }

    fn cut(&mut self) -> Planned {
        self.decided = None;
        self.begun_us = None;
        let records = std::mem::take(&mut self.weight).records;
        let range = self.open;
        self.open.first = range.end;
        Planned { range, applied: std::mem::take(&mut self.applied), records }
    }

    /// Where the last range ended, and the log's time up to which all is in ranges.
    pub(super) fn settled(&self) -> (Offset, i64) {
        (self.open.first, self.begun_us.unwrap_or(self.open.clock_us))
    }

    /// Records of the range that is not complete.
    pub(super) fn records(&self) -> u64 {
        self.weight.records
    }

    /// The log's time at the first batch of the range that is not complete. `None` if it has none.
    pub(super) fn begun_us(&self) -> Option<i64> {
        self.begun_us
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: RangeRules = RangeRules { pane_us: 60, records_max: 100, bytes_max: 1_000 };

    fn start() -> Range {
        let (shard, generation) = (ShardId(3), Generation(0));
        Range { shard, generation, first: Offset(0), end: Offset(0), tip: [0; 32], clock_us: 0 }
    }

    fn seen(offset: u64, stamp_us: i64, generation: u64, applied: Option<(u64, u64)>) -> Seen {
        let mut identity = [0; 32];
        identity[..8].copy_from_slice(&offset.to_le_bytes());
        Seen {
            offset: Offset(offset),
            identity,
            stamp_us,
            generation: Generation(generation),
            applied: applied.map(|(records, bytes)| Weight { records, bytes }),
        }
    }

    fn ranges(planner: &mut Planner, entries: &[Seen]) -> Vec<Planned> {
        entries.iter().filter_map(|entry| planner.take(*entry)).collect()
    }

    #[test]
    fn a_range_ends_with_its_pane_with_its_weight_and_with_its_generation() {
        let entries = [
            seen(0, 10, 0, None),
            seen(1, 20, 0, Some((10, 10))),
            seen(2, 15, 0, None),
            seen(3, 59, 0, Some((10, 10))),
            seen(4, 60, 0, Some((90, 10))),
            seen(5, 61, 0, Some((11, 10))),
            seen(6, 62, 0, Some((1, 2_000))),
            seen(7, 63, 0, Some((1, 1))),
            seen(8, 64, 1, None),
            seen(9, 65, 1, Some((1, 1))),
            seen(10, 400, 1, None),
        ];
        let mut planner = Planner::new(RULES, start(), None);
        let found = ranges(&mut planner, &entries);
        let bounds: Vec<_> = found
            .iter()
            .map(|it| (it.range.first.0, it.range.end.0, it.range.generation.0, it.records))
            .collect();
        let expected = [
            (0, 4, 0, 20),
            (4, 5, 0, 90),
            (5, 6, 0, 11),
            (6, 7, 0, 1),
            (7, 8, 0, 1),
            (8, 10, 1, 1),
        ];
        assert_eq!(bounds, expected);
        assert_eq!(found[0].applied, [Offset(1), Offset(3)]);
        assert_eq!(found[0].range.clock_us, 59, "a stamp that goes back does not count");
        assert_eq!(planner.records(), 0);
        assert_eq!(planner.settled(), (Offset(10), 400), "time goes on where nothing is applied");
        assert!(planner.take(seen(11, 401, 1, Some((1, 1)))).is_none());
        assert!(planner.take(seen(12, 419, 1, None)).is_none());
        assert_eq!(planner.settled(), (Offset(10), 401), "up to what is not written yet");
    }

    #[test]
    fn what_was_decided_holds_whatever_the_rules_say_now() {
        let entries: Vec<_> = (0..6).map(|at| seen(at, 0, 0, Some((1, 1)))).collect();
        let mut planner = Planner::new(RULES, start(), Some(Offset(2)));
        let found = ranges(&mut planner, &entries);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].range.first, found[0].range.end), (Offset(0), Offset(2)));
        assert_eq!(planner.records(), 4);
    }

    proptest! {
        /// Wherever a process ends and another one goes on, ranges are the same, follow one another and hold each
        /// applied entry once.
        #[test]
        fn ranges_do_not_depend_on_where_a_process_began(
            entries in prop::collection::vec((0_i64..30, prop::option::of((0_u64..60, 0_u64..600)), 0_u64..9), 1..80),
            stop in 0_usize..80,
        ) {
            let (mut clock, mut generation) = (0, 0);
            let entries: Vec<Seen> = (0..).zip(entries).map(|(offset, (step, applied, raise))| {
                clock += step - 3;
                generation += u64::from(raise == 8);
                seen(offset, clock, generation, applied)
            }).collect();
            let mut whole = Planner::new(RULES, start(), None);
            let expected = ranges(&mut whole, &entries);
            let mut first = Planner::new(RULES, start(), None);
            let mut found = ranges(&mut first, &entries[..stop.min(entries.len())]);
            let from = found.last().map_or(start(), |last| last.range);
            let mut second = Planner::new(RULES, from, None);
            let at = usize::try_from(from.end.0).unwrap();
            found.extend(ranges(&mut second, &entries[at..]));
            prop_assert_eq!(&found, &expected);
            let mut next = Offset(0);
            for planned in &found {
                prop_assert_eq!(planned.range.first, next);
                next = planned.range.end;
            }
            let applied: Vec<Offset> = found.iter().flat_map(|it| it.applied.clone()).collect();
            let all = entries.iter().filter(|it| it.applied.is_some() && it.offset < next);
            prop_assert_eq!(applied, all.map(|it| it.offset).collect::<Vec<_>>());
        }
    }
}
