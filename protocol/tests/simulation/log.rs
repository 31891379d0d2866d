//! A shard's log: totally ordered, with appends that land late, twice or never, and tails that are
//! lost. Snapshots stand beside it.

use headwater_protocol::entry::{Entry, identity};
use headwater_protocol::identity::{LogId, Offset, ShardId};
use headwater_protocol::ledger::{LogTip, ShardLedger, Snapshot};

use super::random::Random;

pub const LOG: LogId = LogId([7; 16]);
pub const SHARD: ShardId = ShardId(3);
/// So few that runs meet the horizon.
pub const STREAMS_MAX: usize = 6;

/// Who waits for an append, if that node still lives and remembers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Waiting {
    pub node: usize,
    pub life: u64,
    pub agent: usize,
    pub session: u64,
}

/// A copy of what a node keeps, as a backup holds it.
#[derive(Clone, Debug)]
pub struct Backup {
    start: u64,
    entries: Vec<Vec<u8>>,
    identities: Vec<[u8; 32]>,
    ground: [u8; 32],
    trimmed: Vec<Vec<u8>>,
    snapshots: Vec<Vec<u8>>,
}

#[derive(Debug, Default)]
pub struct Log {
    /// Offset of the first entry that is still there.
    pub start: u64,
    entries: Vec<Vec<u8>>,
    /// The identity of the log up to and including each entry.
    identities: Vec<[u8; 32]>,
    ground: [u8; 32],
    /// What was trimmed: for the checker alone.
    trimmed: Vec<Vec<u8>>,
    /// Appends that were asked for and have not landed.
    pub pending: Vec<(Vec<u8>, Option<Waiting>)>,
    pub snapshots: Vec<Vec<u8>>,
}

impl Log {
    pub fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    pub fn read(&self, offset: u64) -> Option<&[u8]> {
        let index = offset.checked_sub(self.start)?;
        self.entries.get(usize::try_from(index).ok()?).map(Vec::as_slice)
    }

    /// The log from its very beginning, for the checker alone.
    pub fn history(&self) -> impl Iterator<Item = &[u8]> {
        self.trimmed.iter().chain(&self.entries).map(Vec::as_slice)
    }

    /// Lets a pending append land at the end, maybe once more later.
    pub fn land(&mut self, index: usize, again: bool) -> (u64, Option<Waiting>) {
        let (entry, waiting) = self.pending.remove(index);
        if again {
            self.pending.push((entry.clone(), None));
        }
        let before = self.identities.last().unwrap_or(&self.ground);
        self.identities.push(identity(before, &entry));
        self.entries.push(entry);
        (self.end() - 1, waiting)
    }

    /// Loses entries from the end, never below the ground snapshot. Gives how many.
    pub fn lose_tail(&mut self, most: usize, random: &mut Random) -> usize {
        let lost = random.below(most.min(self.entries.len()) + 1);
        self.entries.truncate(self.entries.len() - lost);
        self.identities.truncate(self.entries.len());
        lost
    }

    /// A backup of log and snapshots.
    pub fn back_up(&self) -> Backup {
        Backup {
            start: self.start,
            entries: self.entries.clone(),
            identities: self.identities.clone(),
            ground: self.ground,
            trimmed: self.trimmed.clone(),
            snapshots: self.snapshots.clone(),
        }
    }

    /// Puts a backup in the log's place. Gives how many entries it lacks.
    pub fn restore(&mut self, backup: Backup) -> u64 {
        let before = self.end();
        let Backup { start, entries, identities, ground, trimmed, snapshots } = backup;
        let pending = std::mem::take(&mut self.pending);
        *self = Self { start, entries, identities, ground, trimmed, pending, snapshots };
        before.saturating_sub(self.end())
    }

    fn identity(&self, offset: u64) -> Option<[u8; 32]> {
        let index = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.identities.get(index).copied()
    }

    /// A state's tip: the entry before its next offset.
    pub fn tip(&self, next: u64) -> Option<LogTip> {
        let offset = next.checked_sub(1)?;
        let bytes = self.read(offset)?;
        let generation = Entry::decode(bytes).expect("our own entry").generation;
        Some(LogTip { offset: Offset(offset), generation, identity: self.identity(offset)? })
    }

    /// Whether an entry is still what it was. At the log's start the ground's own tip is the truth.
    pub fn holds(&self, tip: Option<LogTip>) -> bool {
        let Some(tip) = tip else { return true };
        if tip.offset.0 + 1 == self.start {
            let ground = Snapshot::decode(&self.snapshots[0]).expect("our own snapshot");
            return ground.tip == Some(tip);
        }
        self.identity(tip.offset.0) == Some(tip.identity)
    }

    /// The newest snapshot whose tip is in the log, or the empty state if the log is whole.
    pub fn newest(&self, check: bool) -> (ShardLedger, Option<LogTip>) {
        for bytes in self.snapshots.iter().rev() {
            let snapshot = Snapshot::decode(bytes).expect("our own snapshot");
            let within = snapshot.ledger.next().0 >= self.start;
            if within && (!check || self.holds(snapshot.tip)) {
                return (snapshot.ledger, snapshot.tip);
            }
        }
        assert_eq!(self.start, 0, "a trimmed log has its ground snapshot");
        (ShardLedger::new(SHARD).with_streams_max(STREAMS_MAX), None)
    }

    pub fn keep(&mut self, snapshot: &Snapshot) {
        self.snapshots.push(snapshot.encode());
        // The ground, and the two newest.
        while self.snapshots.len() > 3 {
            self.snapshots.remove(1);
        }
    }

    /// Trims to the newest snapshot that passes the tip check: it becomes the ground.
    pub fn trim(&mut self) -> bool {
        let newest = (0..self.snapshots.len()).rev().find(|index| {
            let snapshot = Snapshot::decode(&self.snapshots[*index]).expect("our own snapshot");
            snapshot.ledger.next().0 > self.start
                && snapshot.ledger.next().0 <= self.end()
                && self.holds(snapshot.tip)
        });
        let Some(index) = newest else { return false };
        let ground = Snapshot::decode(&self.snapshots[index]).expect("our own snapshot");
        self.snapshots.drain(..index);
        let next = ground.ledger.next().0;
        let gone = (next - self.start) as usize;
        self.ground = self.identities[gone - 1];
        self.identities.drain(..gone);
        self.trimmed.extend(self.entries.drain(..gone));
        self.start = next;
        true
    }
}
