//! One lane, walked batch by batch: what counts, whether it hangs together, and what it adds up to.
//!
//! Rule 3 of the contract, written down a second time from the page and not from the ledger, so that the
//! same mistake would have to be made twice.

use std::collections::BTreeMap;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::Body;
use headwater_protocol::header::Counts;
use headwater_protocol::identity::{DeviceId, Epoch, Lane, Offset, ShardId};
use headwater_protocol::ledger::LaneLedger;
use headwater_protocol::position::{Mark, Span, Stream};
use headwater_protocol::record::{Cause, Content};

use super::{GAP_RANGES_MAX, GapRange, GapSum, LaneReport};

/// The last batch that counts: epoch, number, digest. All zero before the first one.
type Last = (Epoch, u64, [u8; 32]);

#[derive(Debug)]
pub(super) struct LaneWalk {
    last: Last,
    last_at: Option<Offset>,
    batches: u64,
    not_applied: u64,
    chain_breaks: u64,
    unequal: u64,
    dead_batches: u64,
    /// Added up from the bodies.
    totals: Counts,
    /// As the last header that counts has them.
    claimed: Counts,
    gaps: BTreeMap<Cause, GapSum>,
    ends: BTreeMap<Stream, Mark>,
    missing: Jumps,
    repeated: Jumps,
}

/// Records between two marks that should be one.
#[derive(Debug, Default)]
struct Jumps {
    records: u64,
    ranges: Vec<(Stream, Mark, Mark)>,
}

impl Jumps {
    /// At least one record: positions that jump are never nothing.
    fn add(&mut self, stream: Stream, from: Mark, to: Mark) {
        self.records += to.records.saturating_sub(from.records).max(1);
        if self.ranges.len() < GAP_RANGES_MAX {
            self.ranges.push((stream, from, to));
        }
    }
}

impl Default for LaneWalk {
    fn default() -> Self {
        Self {
            last: (Epoch([0; 16]), 0, [0; 32]),
            last_at: None,
            batches: 0,
            not_applied: 0,
            chain_breaks: 0,
            unequal: 0,
            dead_batches: 0,
            totals: Counts::default(),
            claimed: Counts::default(),
            gaps: BTreeMap::new(),
            ends: BTreeMap::new(),
            missing: Jumps::default(),
            repeated: Jumps::default(),
        }
    }
}

impl LaneWalk {
    /// The batch at an offset.
    pub(super) fn batch(&mut self, offset: Offset, batch: &Batch) {
        let header = batch.header();
        let (epoch, number, digest) = self.last;
        let continues = header.epoch == epoch && number > 0 && header.seq.number() == number + 1;
        let opens = header.seq.number() == 1
            && header.epoch != epoch
            && header.parent.is_some_and(|it| (it.epoch, it.seq, it.digest.0) == self.last);
        if !continues && !opens {
            self.not_applied += 1;
            return;
        }
        if chained(digest, batch) != batch.digest().0 {
            self.not_applied += 1;
            self.chain_breaks += 1;
            return;
        }
        self.last = (header.epoch, header.seq.number(), batch.digest().0);
        self.last_at = Some(offset);
        self.batches += 1;
        header.spans.iter().for_each(|span| self.span(span));
        let counts = match Body::open(batch) {
            Ok(body) => self.records(offset, &body),
            Err(_) => self.dead(offset, batch),
        };
        self.totals = self.totals.plus(counts);
        // Each batch is compared with the one before: one that is wrong does not make all others wrong.
        self.unequal += u64::from(self.claimed.plus(counts) != header.totals);
        self.claimed = header.totals;
    }

    fn span(&mut self, span: &Span) {
        let stream = span.stream;
        let known = self.ends.insert(stream, span.end);
        // A run begins somewhere in its source, with no record of it read.
        let expected = known.unwrap_or(Mark { position: span.start.position, records: 0 });
        let (found, order) = (span.start, |mark: Mark| (mark.position, mark.records));
        match order(found).cmp(&order(expected)) {
            std::cmp::Ordering::Equal => {}
            std::cmp::Ordering::Greater => self.missing.add(stream, expected, found),
            std::cmp::Ordering::Less => self.repeated.add(stream, found, expected),
        }
    }

    fn records(&mut self, offset: Offset, body: &Body) -> Counts {
        let mut counts = Counts::default();
        for record in &body.records {
            match &record.content {
                Content::Gap(gap) => {
                    counts.gaps += 1;
                    counts.gap_records = counts.gap_records.saturating_add(gap.records);
                    counts.gap_bytes = counts.gap_bytes.saturating_add(gap.bytes);
                    let range = GapRange {
                        stream: gap.about.unwrap_or(record.stream),
                        start: record.start,
                        end: record.end,
                        records: gap.records,
                        bytes: gap.bytes,
                        time_us: record.time_us,
                        offset,
                    };
                    self.gap(gap.cause, range);
                }
                Content::Tick(tick) => counts.records += tick.len() as u64,
                Content::Event(_) | Content::Facts(_) => counts.records += 1,
            }
        }
        counts
    }

    /// A body that can't be opened: what its header says counts as read, and stands as a gap.
    fn dead(&mut self, offset: Offset, batch: &Batch) -> Counts {
        let header = batch.header();
        self.dead_batches += 1;
        let records = header.counts.read();
        let range = |span: &Span| GapRange {
            stream: span.stream,
            start: span.start.position,
            end: span.end.position,
            records,
            bytes: batch.bytes().len() as u64,
            time_us: header.clock.wall_us,
            offset,
        };
        if let Some(range) = header.spans.first().map(range) {
            self.gap(Cause::Undecodable, range);
        }
        header.counts
    }

    fn gap(&mut self, cause: Cause, range: GapRange) {
        let sum = self.gaps.entry(cause).or_default();
        sum.gaps += 1;
        sum.records = sum.records.saturating_add(range.records);
        sum.bytes = sum.bytes.saturating_add(range.bytes);
        if sum.ranges.len() < GAP_RANGES_MAX {
            sum.ranges.push(range);
        }
    }

    /// What was found, compared with what the fold knows; `None` if it does not know the lane.
    pub(super) fn report(
        self,
        (device, lane): (DeviceId, Lane),
        shard: ShardId,
        ledger: Option<&LaneLedger>,
    ) -> LaneReport {
        let ledger_agrees = ledger.is_some_and(|ledger| self.agrees(ledger));
        LaneReport {
            device,
            lane,
            shard,
            batches: self.batches,
            not_applied: self.not_applied,
            totals: self.totals,
            gaps: self.gaps,
            missing: self.missing.records,
            missing_ranges: self.missing.ranges,
            repeated: self.repeated.records,
            repeated_ranges: self.repeated.ranges,
            unequal: self.unequal,
            chain_breaks: self.chain_breaks,
            dead_batches: self.dead_batches,
            ledger_agrees,
            last: self.last_at,
        }
    }

    fn agrees(&self, ledger: &LaneLedger) -> bool {
        let tip = ledger.tip();
        // The ledger may have forgotten quiet streams; those that it knows must end where they ended.
        let mut streams = ledger.streams().iter();
        (tip.epoch, tip.seq, tip.digest.0) == self.last
            && ledger.totals() == self.claimed
            && ledger.tallies().applied == self.batches
            && ledger.dead().batches == self.dead_batches
            && streams.all(|(stream, known)| self.ends.get(stream) == Some(&known.mark))
    }
}

/// `BLAKE3(digest before, header, body)`: all of the batch but its own digest.
fn chained(before: [u8; 32], batch: &Batch) -> [u8; 32] {
    let (bytes, body) = (batch.bytes(), batch.body());
    let header = &bytes[..bytes.len() - body.len() - 32];
    *blake3::Hasher::new().update(&before).update(header).update(body).finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use headwater_protocol::body::BodyBuilder;
    use headwater_protocol::header::{Clock, Header};
    use headwater_protocol::identity::{Digest, Seq, Tip};
    use headwater_protocol::position::{Check, Run, SourceId};
    use headwater_protocol::record::{Event, Gap, Part, Record};

    use super::*;

    const STREAM: Stream = Stream { source: SourceId([1; 16]), run: Run { number: 1, nonce: 0 } };

    /// A batch of so many lines from a mark on, after another one.
    fn batch(before: Option<&Batch>, start: u64, lines: u64) -> Batch {
        let mut body = BodyBuilder::default();
        body.cover(STREAM, None, Mark { position: start, records: start }, Check::NONE);
        for start in start..start + lines {
            let event = Event { body: b"x".to_vec(), part: Part::Whole };
            push(&mut body, start, Content::Event(event));
        }
        seal(before, &body)
    }

    fn push(body: &mut BodyBuilder, start: u64, content: Content) {
        body.push(&Record { stream: STREAM, start, end: start + 1, time_us: 0, content });
    }

    fn seal(before: Option<&Batch>, body: &BodyBuilder) -> Batch {
        let (packing, packed) = body.pack(1);
        let number = before.map_or(1, |before| before.header().seq.number() + 1);
        let totals = before.map(|before| before.header().totals).unwrap_or_default();
        let header = Header {
            device: DeviceId([1; 16]),
            lane: Lane::Bulk,
            epoch: Epoch([5; 16]),
            seq: Seq::new(number).unwrap(),
            parent: before.is_none().then_some(Tip::GENESIS),
            rekeyed: true,
            lane_state: 0,
            clock: Clock::default(),
            counts: body.counts(),
            totals: totals.plus(body.counts()),
            spans: body.spans(),
            packing,
        };
        Batch::seal(header, &packed, before.map_or(Digest([0; 32]), Batch::digest))
    }

    fn walk(batches: &[&Batch]) -> LaneReport {
        let mut walk = LaneWalk::default();
        for (offset, batch) in batches.iter().enumerate() {
            walk.batch(Offset(offset as u64), batch);
        }
        walk.report((DeviceId([1; 16]), Lane::Bulk), ShardId(0), None)
    }

    #[test]
    fn what_hangs_together_is_counted_once_and_nothing_else() {
        let one = batch(None, 0, 3);
        let two = batch(Some(&one), 3, 2);
        let three = batch(Some(&two), 5, 1);
        let report = walk(&[&one, &one, &three, &two, &three]);
        assert_eq!((report.batches, report.not_applied, report.totals.records), (3, 2, 6));
        let faults = (report.missing, report.repeated, report.unequal, report.chain_breaks);
        assert_eq!(faults, (0, 0, 0, 0));
        assert!(!report.ledger_agrees, "no ledger agrees with it");
    }

    #[test]
    fn a_jump_is_missing_and_an_overlap_is_repeated() {
        let one = batch(None, 0, 3);
        let two = batch(Some(&one), 7, 2);
        let three = batch(Some(&two), 8, 1);
        let report = walk(&[&one, &two, &three]);
        assert_eq!((report.missing, report.repeated), (4, 1));
        let marks = |range: &(Stream, Mark, Mark)| (range.1.position, range.2.position);
        assert_eq!(report.missing_ranges.iter().map(marks).collect::<Vec<_>>(), [(3, 7)]);
        assert_eq!(report.repeated_ranges.iter().map(marks).collect::<Vec<_>>(), [(8, 9)]);
        assert!(!report.is_clean());
    }

    #[test]
    fn a_chain_that_breaks_and_a_sum_that_does_not_add_up_are_seen() {
        let one = batch(None, 0, 3);
        let other = batch(None, 0, 2);
        let broken = batch(Some(&other), 3, 1);
        let report = walk(&[&one, &broken]);
        assert_eq!((report.batches, report.chain_breaks), (1, 1));
        let mut header = one.header().clone();
        header.totals.records += 1;
        let unequal = Batch::seal(header, one.body(), Digest([0; 32]));
        let report = walk(&[&unequal]);
        assert_eq!((report.unequal, report.totals.records), (1, 3));
    }

    #[test]
    fn gaps_are_listed_by_cause_with_their_place() {
        let mut body = BodyBuilder::default();
        body.cover(STREAM, None, Mark::default(), Check::NONE);
        let gap = Gap { cause: Cause::Truncated, records: 0, bytes: 77, about: None };
        push(&mut body, 0, Content::Gap(gap));
        let report = walk(&[&seal(None, &body)]);
        let sum = &report.gaps[&Cause::Truncated];
        assert_eq!((sum.gaps, sum.bytes, sum.ranges[0].offset), (1, 77, Offset(0)));
        assert_eq!((report.totals.gaps, report.totals.gap_bytes), (1, 77));
    }
}
