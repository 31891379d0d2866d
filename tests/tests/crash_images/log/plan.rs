//! What a log is asked for, group by group, and what it must hold after each.

use std::collections::BTreeMap;

use headwater_aggregator::fold::ShardState;
use headwater_aggregator::log::{DeadLetter, Stored, StoredSnapshot};
use headwater_protocol::batch::Batch;
use headwater_protocol::body::BodyBuilder;
use headwater_protocol::entry::{Entry, EntryKind, SentClock, identity};
use headwater_protocol::header::{Clock, Counts, Header};
use headwater_protocol::identity::{
    DeviceId, Digest, Epoch, Generation, Lane, NodeId, Offset, Seq, ShardId, Tip,
};
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Line, Part, SourceInfo};
use headwater_tests::draws::Draws;

use super::LOG;

/// Two shards of the first of four files.
pub(crate) const SHARDS: [ShardId; 2] = [ShardId(0), ShardId(4)];
/// How many snapshots of a shard are kept.
const SNAPSHOTS_KEPT: usize = 2;

/// One request.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Append(ShardId, Vec<u8>),
    Snapshot(ShardId, StoredSnapshot),
    DropSnapshot(ShardId, Offset),
    Letter(ShardId, DeadLetter),
    Trim(ShardId, Offset),
}

/// What a shard holds, by offsets.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Kept {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The newest first.
    pub(crate) snapshots: Vec<u64>,
    pub(crate) letters: Vec<u64>,
}

/// Requests in groups, each of which is one commit, and what they lead to.
pub(crate) struct Plan {
    pub(crate) groups: Vec<Vec<Asked>>,
    /// What is kept after so many groups.
    pub(crate) kept: Vec<BTreeMap<ShardId, Kept>>,
    /// All entries of a shard that were ever appended.
    pub(crate) entries: BTreeMap<ShardId, Vec<Stored>>,
    /// The fold's state after so many entries.
    pub(crate) states: BTreeMap<ShardId, Vec<StoredSnapshot>>,
}

impl Plan {
    pub(crate) fn drawn(draws: &mut Draws, groups: usize) -> Self {
        let mut making = Making::new();
        for number in 0..groups {
            let mut group = Vec::new();
            // The first is taken as soon as it comes, so it is alone.
            let appends = if number == 0 { 1 } else { draws.of(1..6) };
            for _ in 1..appends {
                making.append(&mut group, draws);
                making.beside(&mut group, draws);
            }
            making.append(&mut group, draws);
            making.plan.groups.push(group);
            making.plan.kept.push(making.kept.clone());
        }
        making.plan
    }

    /// The number of the group after which the shards end here.
    pub(crate) fn group_that_ends_at(&self, ends: &BTreeMap<ShardId, usize>) -> Option<usize> {
        let same = |kept: &BTreeMap<ShardId, Kept>| {
            kept.iter().all(|(shard, kept)| ends.get(shard) == Some(&kept.end))
        };
        self.kept.iter().position(same)
    }
}

/// A plan in the making: the devices that send, and the fold of what they sent.
struct Making {
    plan: Plan,
    kept: BTreeMap<ShardId, Kept>,
    folds: BTreeMap<ShardId, ShardState>,
    devices: Vec<(ShardId, Sender)>,
}

impl Making {
    fn new() -> Self {
        let folds: BTreeMap<_, _> =
            SHARDS.into_iter().map(|shard| (shard, ShardState::new(shard))).collect();
        let kept: BTreeMap<_, _> =
            SHARDS.into_iter().map(|shard| (shard, Kept::default())).collect();
        let plan = Plan {
            groups: Vec::new(),
            kept: vec![kept.clone()],
            entries: SHARDS.into_iter().map(|shard| (shard, Vec::new())).collect(),
            states: folds.iter().map(|(shard, fold)| (*shard, vec![fold.snapshot(LOG)])).collect(),
        };
        let shards = SHARDS.into_iter().chain(SHARDS);
        let devices = (1..).zip(shards).map(|(id, shard)| (shard, Sender::new(id))).collect();
        Self { plan, kept, folds, devices }
    }

    fn append(&mut self, group: &mut Vec<Asked>, draws: &mut Draws) {
        let place = draws.place(self.devices.len());
        let (shard, sender) = &mut self.devices[place];
        let (shard, entry) = (*shard, sender.entry(draws));
        let entries = self.plan.entries.get_mut(&shard).unwrap();
        let before = entries.last().map_or([0; 32], |stored| stored.identity);
        let stored = Stored {
            offset: Offset(entries.len() as u64),
            identity: identity(&before, &entry),
            entry: entry.clone(),
        };
        let fold = self.folds.get_mut(&shard).unwrap();
        fold.fold(&stored).unwrap();
        self.plan.states.get_mut(&shard).unwrap().push(fold.snapshot(LOG));
        entries.push(stored);
        self.kept.get_mut(&shard).unwrap().end += 1;
        group.push(Asked::Append(shard, entry));
    }

    /// What is kept beside the entries, and goes with them.
    fn beside(&mut self, group: &mut Vec<Asked>, draws: &mut Draws) {
        let shard = SHARDS[draws.place(SHARDS.len())];
        let kept = self.kept.get_mut(&shard).unwrap();
        match draws.of(0..100) {
            0..20 => {
                let snapshot = self.plan.states[&shard].last().unwrap().clone();
                let next = snapshot.next.0;
                if kept.snapshots.first() != Some(&next) {
                    kept.snapshots.insert(0, next);
                    kept.snapshots.truncate(SNAPSHOTS_KEPT);
                }
                group.push(Asked::Snapshot(shard, snapshot));
            }
            20..25 if kept.snapshots.len() == SNAPSHOTS_KEPT => {
                let newest = kept.snapshots.remove(0);
                group.push(Asked::DropSnapshot(shard, Offset(newest)));
            }
            25..45 if !kept.snapshots.is_empty() => {
                // The entry that the older snapshot ends at stays: recovery looks it up.
                let before = kept.snapshots.last().unwrap().saturating_sub(1);
                kept.start = kept.start.max(usize::try_from(before).unwrap());
                group.push(Asked::Trim(shard, Offset(before)));
            }
            45..60 if kept.end > 0 => {
                let offset = kept.end as u64 - 1;
                if kept.letters.last() != Some(&offset) {
                    kept.letters.push(offset);
                }
                group.push(Asked::Letter(shard, letter(offset)));
            }
            _ => {}
        }
    }
}

/// The dead letter of an offset.
pub(crate) fn letter(offset: u64) -> DeadLetter {
    DeadLetter {
        offset: Offset(offset),
        reason: format!("letter {offset}"),
        batch: vec![offset.to_le_bytes()[0]; 3_000],
    }
}

/// A device that seals batches of lines.
struct Sender {
    device: DeviceId,
    epoch: Epoch,
    seq: Seq,
    before: Digest,
    totals: Counts,
    mark: Mark,
}

impl Sender {
    fn new(id: u8) -> Self {
        Self {
            device: DeviceId([id; 16]),
            epoch: Epoch([id; 16]),
            seq: Seq::FIRST,
            before: Tip::GENESIS.digest,
            totals: Counts::default(),
            mark: Mark::default(),
        }
    }

    fn entry(&mut self, draws: &mut Draws) -> Vec<u8> {
        let run = Run { number: 1, nonce: 7 };
        let stream = Stream { source: SourceId([9; 16]), run };
        let info = SourceInfo::File { path: b"/app.log".to_vec(), fingerprint: Default::default() };
        let mut body = BodyBuilder::default();
        body.cover(stream, Some(&info), self.mark, Check::NONE);
        let bytes = [60, 600, 6_000, 60_000][draws.place(4)];
        for _ in 0..draws.of(1..4) {
            let text: Vec<u8> = (0..bytes / 8).flat_map(|_| draws.number().to_le_bytes()).collect();
            let taken = text.len() as u64 + 1;
            body.push_line(stream, Line { taken, time_us: 1, part: Part::Whole, body: &text });
        }
        self.mark = body.end(stream).unwrap();
        self.totals = self.totals.plus(body.counts());
        let (packing, packed) = body.pack(1);
        let header = Header {
            device: self.device,
            lane: Lane::Bulk,
            epoch: self.epoch,
            seq: self.seq,
            parent: (self.seq == Seq::FIRST).then_some(Tip::GENESIS),
            rekeyed: true,
            lane_state: 0,
            clock: Clock::default(),
            counts: body.counts(),
            totals: self.totals,
            spans: body.spans(),
            packing,
        };
        let batch = Batch::seal(header, &packed, self.before);
        self.before = batch.digest();
        self.seq = Seq::new(self.seq.number() + 1).unwrap();
        let kind = EntryKind::Batch { sent: SentClock::default(), batch: Box::new(batch) };
        let (appender, generation) = (NodeId([2; 16]), Generation(0));
        Entry { appender, stamp_us: 1, generation, kind }.encode()
    }
}
