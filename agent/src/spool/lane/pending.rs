//! What was read and is not sealed yet, in order of arrival.
//!
//! Lines stay in the buffers that they were read into; a body is built of them when it is sealed, and
//! what turned out too large for one batch is built again in two.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use headwater_protocol::body::BodyBuilder;
use headwater_protocol::chain::Chain;
use headwater_protocol::limits;
use headwater_protocol::position::{Check, Stream};
use headwater_protocol::record;
use headwater_protocol::record::{Cause, Content, Gap, Record, SourceInfo};
use tokio::sync::OwnedSemaphorePermit;

use crate::tail::Line;

/// Lines of a file that follow one another, as they were read.
#[derive(Debug)]
pub(in crate::spool) struct Lines {
    /// The stream.
    pub(in crate::spool) stream: Stream,
    /// The position of the first line.
    pub(in crate::spool) start: u64,
    /// What was read, from `start` on.
    pub(in crate::spool) bytes: Vec<u8>,
    /// The lines, in order; none to store that the run has begun.
    pub(in crate::spool) lines: Vec<Line>,
    /// The check after the last line.
    pub(in crate::spool) check: Check,
    /// When they were read: microseconds since 1970 UTC.
    pub(in crate::spool) time_us: i64,
}

/// Something that does not start where its stream ends: its reader has to ask for the positions again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::spool) struct NotNext;

/// What waits to be sealed.
#[derive(Debug, Default)]
pub(in crate::spool) struct Pending {
    items: VecDeque<Item>,
    ends: BTreeMap<Stream, (u64, Check)>,
    cost: usize,
    records: u64,
    since: Option<Instant>,
    /// Memory that is held for it, of what all that waits may hold.
    held: usize,
    is_hasty: bool,
    is_complete: bool,
}

#[derive(Debug)]
struct Item {
    content: Waiting,
    cost: usize,
    records: u64,
    /// Room in memory, given back when the item is sealed; `None` for what the agent made itself.
    permit: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum Waiting {
    /// Lines; those before `next`, which take the first `at` bytes, are sealed.
    Lines {
        lines: Lines,
        next: usize,
        at: usize,
    },
    Record {
        record: Record,
        check: Option<Check>,
    },
}

/// How much of what waits a body took.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::spool) struct Cut {
    items: usize,
    /// Lines of the item after those.
    lines: usize,
    /// A bound on the bytes of the body.
    pub(in crate::spool) cost: usize,
}

impl Pending {
    pub(in crate::spool) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// A bound on the bytes of all bodies, before they are packed.
    pub(in crate::spool) fn cost(&self) -> usize {
        self.cost
    }

    /// Records, samples counted one by one.
    pub(in crate::spool) fn records(&self) -> u64 {
        self.records
    }

    /// Memory that is held for it.
    pub(in crate::spool) fn held(&self) -> usize {
        self.held
    }

    /// Whether some of it may not be there to be read again after a crash: then it does not wait for more.
    pub(in crate::spool) fn is_hasty(&self) -> bool {
        self.is_hasty
    }

    /// What waits may not be there to be read again: a file was rotated or truncated.
    pub(in crate::spool) fn hurry(&mut self) {
        self.is_hasty = !self.items.is_empty();
    }

    /// Whether it is known that no more comes soon.
    pub(in crate::spool) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// No more comes soon.
    pub(in crate::spool) fn complete(&mut self) {
        self.is_complete = !self.items.is_empty();
    }

    /// When the oldest of it arrived; `None` if there is nothing.
    pub(in crate::spool) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Where a stream ends, with what waits; `None` for one that is not known, or read no further.
    pub(in crate::spool) fn end(&self, chain: &Chain, stream: Stream) -> Option<u64> {
        let sealed = || {
            let sealed = chain.streams().get(&stream).filter(|sealed| sealed.given_up.is_none());
            sealed.map(|sealed| sealed.highest.position)
        };
        self.ends.get(&stream).map(|(end, _)| *end).or_else(sealed)
    }

    /// Where a stream ends in what waits, and the check there; `None` if nothing of it waits.
    pub(in crate::spool) fn last(&self, stream: Stream) -> Option<(u64, Check)> {
        self.ends.get(&stream).copied()
    }

    /// Takes lines that start where their stream ends.
    pub(in crate::spool) fn push_lines(
        &mut self,
        chain: &Chain,
        lines: Lines,
        permit: Option<OwnedSemaphorePermit>,
        now: Instant,
    ) -> Result<(), NotNext> {
        if self.end(chain, lines.stream) != Some(lines.start) {
            return Err(NotNext);
        }
        let taken: u64 = lines.lines.iter().map(|line| u64::from(line.taken)).sum();
        let cost = lines.lines.iter().map(line_cost).sum();
        let end = (lines.stream, lines.start + taken, lines.check);
        let records = lines.lines.len() as u64;
        // Where a run began is known nowhere else until some of it is sealed.
        self.is_hasty |= records == 0 || chain.is_only_begun(lines.stream);
        let content = Waiting::Lines { lines, next: 0, at: 0 };
        self.push(Item { content, cost, records, permit }, end, now);
        Ok(())
    }

    /// Takes a record that starts where its stream ends. `check` is that at its end, where it has one.
    pub(in crate::spool) fn push_record(
        &mut self,
        chain: &Chain,
        record: Record,
        check: Option<Check>,
        now: Instant,
    ) -> Result<(), NotNext> {
        if self.end(chain, record.stream) != Some(record.start) {
            return Err(NotNext);
        }
        let end = (record.stream, record.end, check.unwrap_or(Check::NONE));
        let (cost, records) = (record.weight(), record.count());
        // It stands for what was seen once.
        self.is_hasty = true;
        let content = Waiting::Record { record, check };
        self.push(Item { content, cost, records, permit: None }, end, now);
        Ok(())
    }

    fn push(&mut self, item: Item, (stream, end, check): (Stream, u64, Check), now: Instant) {
        self.cost += item.cost;
        self.records += item.records;
        self.held += item.held();
        self.ends.insert(stream, (end, check));
        self.since.get_or_insert(now);
        self.items.push_back(item);
    }

    /// Builds a body of the first of it, up to a cost of `most`, but of one record at least.
    pub(in crate::spool) fn body(&self, chain: &Chain, most: usize) -> (BodyBuilder, Cut) {
        let mut growing = Growing { body: BodyBuilder::default(), records: 0, cost: 0, most };
        let mut cut = Cut::default();
        for item in &self.items {
            match &item.content {
                Waiting::Lines { lines, next, at } => {
                    let taken = growing.lines(chain, lines, (*next, *at));
                    if taken.is_none_or(|taken| *next + taken < lines.lines.len()) {
                        cut.lines = taken.unwrap_or(0);
                        break;
                    }
                }
                Waiting::Record { record, check } => {
                    if !growing.record(chain, record, *check) {
                        break;
                    }
                }
            }
            cut.items += 1;
        }
        cut.cost = growing.cost;
        (growing.body, cut)
    }

    /// Lets go of what a body took.
    pub(in crate::spool) fn remove(&mut self, cut: Cut) {
        for item in self.items.drain(..cut.items) {
            self.cost -= item.cost;
            self.records -= item.records;
            self.held -= item.held();
        }
        if let Some(item) = self.items.front_mut()
            && let Waiting::Lines { lines, next, at } = &mut item.content
        {
            let sealed = &lines.lines[*next..*next + cut.lines];
            let cost: usize = sealed.iter().map(line_cost).sum();
            *at += sealed.iter().map(|line| line.taken as usize).sum::<usize>();
            *next += cut.lines;
            item.cost -= cost;
            item.records -= cut.lines as u64;
            self.cost -= cost;
            self.records -= cut.lines as u64;
        }
        if self.items.is_empty() {
            self.clear();
        }
    }

    /// Drops all of it: it is in its files still.
    pub(in crate::spool) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Replaces the samples that wait by one gap in their place, so that they cost next to nothing.
    /// Gives the number of records that it stands for and did not before.
    pub(in crate::spool) fn declare(&mut self, cause: Cause) -> u64 {
        let mut declared = 0;
        let mut kept: VecDeque<Item> = VecDeque::new();
        for mut item in std::mem::take(&mut self.items) {
            if let Waiting::Record { record, .. } = &mut item.content
                && let Content::Tick(tick) = &record.content
            {
                let records = tick.len() as u64;
                declared += records;
                record.content = Content::Gap(Gap { cause, records, bytes: 0, about: None });
                item.cost = record.weight();
            }
            let joined = kept.back_mut().is_some_and(|last| last.join(&item));
            if !joined {
                kept.push_back(item);
            }
        }
        self.cost = kept.iter().map(|item| item.cost).sum();
        self.items = kept;
        declared
    }
}

impl Item {
    fn held(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    /// Makes one gap of two that follow one another; says whether it did.
    fn join(&mut self, next: &Self) -> bool {
        let (Waiting::Record { record, .. }, Waiting::Record { record: next_record, .. }) =
            (&mut self.content, &next.content)
        else {
            return false;
        };
        let (Content::Gap(gap), Content::Gap(next_gap)) =
            (&mut record.content, &next_record.content)
        else {
            return false;
        };
        let alike = gap.cause == next_gap.cause && gap.about == next_gap.about;
        let follows = record.stream == next_record.stream && record.end == next_record.start;
        if !alike || !follows {
            return false;
        }
        gap.records += next_gap.records;
        gap.bytes += next_gap.bytes;
        record.end = next_record.end;
        self.records += next.records;
        true
    }
}

/// A body in the making.
struct Growing {
    body: BodyBuilder,
    records: usize,
    cost: usize,
    most: usize,
}

impl Growing {
    /// Takes as many lines as fit, from one that stands at a byte; `None` if there is no room at all.
    fn lines(&mut self, chain: &Chain, lines: &Lines, from: (usize, usize)) -> Option<usize> {
        let (next, mut at) = from;
        let stream = lines.stream;
        if !self.has_room(chain, stream, lines.lines.get(next).map_or(0, line_cost)) {
            return None;
        }
        self.cover(chain, stream);
        let mut taken = 0;
        for line in &lines.lines[next..] {
            // Cut only where the bytes before are at hand: a position without its check is worth nothing.
            let may_cut = taken > 0 && at >= Check::BYTES;
            if may_cut && !self.has_room(chain, stream, line_cost(line)) {
                break;
            }
            let body = &lines.bytes[at..at + line.body as usize];
            let (bytes, time_us) = (u64::from(line.taken), lines.time_us);
            let record = record::Line { taken: bytes, time_us, part: line.part, body };
            self.body.push_line(stream, record);
            at += line.taken as usize;
            self.records += 1;
            self.cost += line_cost(line);
            taken += 1;
        }
        let all = next + taken == lines.lines.len();
        self.body.set_check(stream, if all { lines.check } else { check_at(&lines.bytes, at) });
        Some(taken)
    }

    fn record(&mut self, chain: &Chain, record: &Record, check: Option<Check>) -> bool {
        let cost = record.weight();
        let samples = match &record.content {
            Content::Tick(tick) => tick.len(),
            Content::Event(_) | Content::Facts(_) | Content::Gap(_) => 0,
        };
        let room = self.body.is_empty() || self.body.has_room(1, samples, record.facts(), cost);
        if !room || !self.has_room(chain, record.stream, cost) {
            return false;
        }
        self.cover(chain, record.stream);
        self.body.push(record);
        if let Some(check) = check {
            self.body.set_check(record.stream, check);
        }
        self.records += 1;
        self.cost += cost;
        true
    }

    fn has_room(&self, chain: &Chain, stream: Stream, cost: usize) -> bool {
        if self.body.is_empty() {
            return true;
        }
        let cover = self.body.end(stream).map_or_else(|| cover_cost(chain, stream), |_| 0);
        self.cost + cost + cover <= self.most
            && self.records < limits::RECORDS_PER_BATCH_MAX - Check::BYTES
            && (cover == 0 || self.body.has_room(1, 0, 0, cost))
    }

    fn cover(&mut self, chain: &Chain, stream: Stream) {
        if self.body.end(stream).is_none() {
            self.cost += cover_cost(chain, stream);
            chain.cover(&mut self.body, stream);
        }
    }
}

/// What a stream costs in a body: its name, its span and what its source is.
fn cover_cost(chain: &Chain, stream: Stream) -> usize {
    let info = chain.streams().get(&stream).and_then(|sealed| sealed.info.as_ref());
    let path = match info {
        Some(SourceInfo::File { path, .. }) => path.len(),
        Some(SourceInfo::Host | SourceInfo::Device) | None => 0,
    };
    128 + path
}

/// The check between two lines. Bodies are cut where enough bytes stand before.
fn check_at(bytes: &[u8], at: usize) -> Check {
    Check::of(&bytes[at.saturating_sub(Check::BYTES)..at])
}

/// A bound on what a line takes in a body: its columns, at most, and itself.
fn line_cost(line: &Line) -> usize {
    24 + line.body as usize
}

#[cfg(test)]
mod tests {
    use headwater_protocol::chain::Fresh;
    use headwater_protocol::identity::{DeviceId, Epoch, Lane};
    use headwater_protocol::position::SourceId;
    use headwater_protocol::record::{Fingerprint, Part};

    use super::*;

    #[test]
    fn what_is_known_nowhere_else_is_hasty_until_it_is_sealed() {
        let fresh = Fresh { epoch: Epoch([1; 16]), seed: 1 };
        let mut chain = Chain::new(DeviceId([7; 16]), Lane::Bulk, fresh);
        let info = SourceInfo::File { path: b"/x".to_vec(), fingerprint: Fingerprint::default() };
        let stream = chain.begin_run(SourceId([9; 16]), info, 0, 7);
        let (now, check) = (Instant::now(), Check::NONE);
        let lines = |count: usize| {
            let lines = vec![Line { body: 1, taken: 2, part: Part::Whole }; count];
            Lines { stream, start: 0, bytes: b"x\n".repeat(count), lines, check, time_us: 1 }
        };
        let gap = Gap { cause: Cause::Truncated, records: 0, bytes: 2, about: None };
        let content = Content::Gap(gap);
        let record = Record { stream, start: 0, end: 2, time_us: 1, content };

        let mut pending = Pending::default();
        pending.hurry();
        assert!(!pending.is_hasty(), "nothing waits");
        pending.push_lines(&chain, lines(1), None, now).unwrap();
        assert!(pending.is_hasty(), "where the run begins is known nowhere else");
        pending.clear();
        assert!(!pending.is_hasty(), "sealed");
        pending.push_record(&chain, record, None, now).unwrap();
        assert!(pending.is_hasty(), "a gap is seen once");
        let (_, cut) = pending.body(&chain, usize::MAX);
        pending.remove(cut);
        assert!(!pending.is_hasty() && pending.is_empty());
    }
}
