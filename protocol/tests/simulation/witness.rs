//! What was read and committed, noted outside of the system: the truth that the checker holds the log
//! against.

use std::collections::{BTreeMap, BTreeSet};

use headwater_protocol::identity::{DeviceId, Digest};
use headwater_protocol::position::Stream;

use super::host::{ContentId, LineId};

/// Something that was read, and where.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Item {
    Sample { stream: Stream, position: u64, value: i64 },
    Line { stream: Stream, position: u64, line: LineId },
}

impl Item {
    fn line(self) -> Option<LineId> {
        match self {
            Self::Line { line, .. } => Some(line),
            Self::Sample { .. } => None,
        }
    }
}

#[derive(Debug, Default)]
pub struct Witness {
    /// Every commit that holds an item, per device.
    commits: BTreeMap<DeviceId, Vec<(u64, Item)>>,
    /// Every item ever committed, whatever became of the disk.
    pub ever: BTreeMap<DeviceId, BTreeSet<Item>>,
    /// Which content a stream reads.
    pub contents: BTreeMap<Stream, ContentId>,
    /// Runs that were given up, because a ledger might have forgotten them.
    pub given_up: BTreeSet<Stream>,
    /// What a stream declared undecided of its content: from where to where.
    pub declared: Vec<(Stream, u64, u64)>,
    /// Every batch that some fold applied.
    pub applied: BTreeSet<Digest>,
    /// What lives of a machine committed that were cut off, from the beginning on.
    pub cut_off: BTreeMap<DeviceId, Vec<BTreeSet<Item>>>,
    /// Lines that stood unread in a file of a machine that was saved: each of its lives reads them.
    pub of_both_lives: BTreeSet<LineId>,
    /// Rules that broke on the way.
    pub broken: Vec<String>,
}

impl Witness {
    pub fn read(&mut self, stream: Stream, content: ContentId) {
        self.contents.insert(stream, content);
    }

    pub fn committed(&mut self, device: DeviceId, commit: u64, items: Vec<Item>) {
        let commits = self.commits.entry(device).or_default();
        let ever = self.ever.entry(device).or_default();
        for item in items {
            commits.push((commit, item));
            ever.insert(item);
        }
    }

    /// The disk went back to a commit: what came after it is gone with the disk. What of it had been
    /// applied must still not be doubled.
    pub fn forget_after(&mut self, device: DeviceId, commit: u64) {
        if let Some(commits) = self.commits.get_mut(&device) {
            commits.retain(|(at, _)| *at <= commit);
        }
    }

    /// A machine goes on as it was at a commit, and with it what its files held.
    pub fn resume_at(&mut self, device: DeviceId, commit: u64) {
        let life = self.owed(device);
        self.cut_off.entry(device).or_default().push(life);
        self.forget_after(device, commit);
    }

    /// Files are older than what was read of them: those of their lines of which the spool knows nothing may
    /// be read once more.
    pub fn files_went_back(&mut self, device: DeviceId, lines: &[LineId]) {
        let read: BTreeSet<LineId> = self.owed(device).into_iter().filter_map(Item::line).collect();
        self.of_both_lives.extend(lines.iter().filter(|line| !read.contains(line)));
    }

    /// What must be applied or declared.
    pub fn owed(&self, device: DeviceId) -> BTreeSet<Item> {
        self.commits.get(&device).into_iter().flatten().map(|(_, item)| *item).collect()
    }
}
