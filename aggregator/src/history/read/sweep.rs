//! Files of a shard, one after the other in the order of their ranges, and their rows range by range.
//!
//! A file's rows wait until no file that is still to come can have rows of their range. Usually that is one file, or two where
//! one hour ends. Where late rows of many hours would take too much memory, the first of them come before the others of their
//! range: each row comes once all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use headwater_protocol::identity::{LogId, Offset};
use parquet::file::reader::FileReader;

use super::super::folder::{Folder, FolderError};
use super::super::table::{FileName, Spot};
use super::decode::{Ranged, rows};
use super::opened::{OpenError, Opened};
use super::order::put_in_order;
use super::{Row, RowContent, Wanted};
use crate::api::chain;

/// From which end files are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// The oldest range first.
    Forward,
    /// The newest range first; rows within a range are in order of time all the same.
    Backward,
}

/// What a reader did so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Effort {
    /// Folders that were listed.
    pub folders: u64,
    /// Files that were opened.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Groups of rows that were decoded; of the others the footer says that they have nothing that is wanted.
    pub groups: u64,
}

/// The rows of a shard that are wanted, range by range.
#[derive(Debug)]
pub struct Sweep {
    folder: Folder,
    log: LogId,
    below: u64,
    wanted: Wanted,
    order: Order,
    /// Files that are still to be opened, the next one last.
    pending: BTreeSet<(u64, Spot, FileName)>,
    folders: BTreeMap<Spot, OfFolder>,
    /// Rows that wait, by the first entry of their range.
    waiting: BTreeMap<u64, Vec<Row>>,
    waiting_bytes: usize,
    waiting_bytes_max: usize,
    warnings: Vec<String>,
    effort: Effort,
    changes: u32,
}

/// What was taken of a folder.
#[derive(Debug, Default)]
struct OfFolder {
    opened: BTreeSet<FileName>,
    /// The first entries of the ranges whose rows were taken, or are not wanted.
    ranges: BTreeSet<u64>,
    left: usize,
}

impl Sweep {
    pub(super) fn new(
        (root, log): (&Path, LogId),
        spots: impl Iterator<Item = Spot>,
        below: Offset,
        (wanted, order): (Wanted, Order),
    ) -> Self {
        let mut sweep = Self {
            folder: Folder::at(root),
            log,
            below: below.0,
            wanted,
            order,
            pending: BTreeSet::new(),
            folders: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            waiting_bytes_max: WAITING_BYTES_MAX,
            warnings: Vec::new(),
            effort: Effort::default(),
            changes: 0,
        };
        for spot in spots {
            sweep.list(spot);
        }
        sweep
    }

    /// The rows of the next range that has some, in order, and its first entry. `None` after the last one.
    pub fn next_range(&mut self) -> Option<(Offset, Vec<Row>)> {
        loop {
            if self.is_next_complete() || self.waiting_bytes > self.waiting_bytes_max {
                let next = match self.order {
                    Order::Forward => self.waiting.pop_first(),
                    Order::Backward => self.waiting.pop_last(),
                };
                let (first, mut rows) = next?;
                self.waiting_bytes -= rows.iter().map(weight).sum::<usize>();
                put_in_order(&mut rows);
                return Some((Offset(first), rows));
            }
            let (_, spot, name) = self.pending.pop_first()?;
            self.take(spot, name);
            self.leave(spot);
        }
    }

    /// Files whose rows are left out, and why, since this was last asked.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    #[cfg(test)]
    pub(super) fn set_waiting_bytes_max(&mut self, bytes: usize) {
        self.waiting_bytes_max = bytes;
    }

    /// What was done so far.
    #[must_use]
    pub fn effort(&self) -> Effort {
        self.effort
    }

    /// Whether no file that is still to come can have rows of the range that comes next; also if there is no such range.
    fn is_next_complete(&self) -> bool {
        let Some((_, _, name)) = self.pending.first() else { return true };
        match self.order {
            Order::Forward => self.waiting.keys().next().is_some_and(|first| *first < name.first),
            Order::Backward => {
                self.waiting.keys().next_back().is_some_and(|first| *first >= name.end)
            }
        }
    }

    /// Adds the files of a folder that were not opened yet.
    fn list(&mut self, spot: Spot) {
        self.effort.folders += 1;
        let listed = self.folder.list(spot);
        let files = listed.unwrap_or_else(|error: FolderError| {
            self.warnings.push(format!("{}: {}", spot.folder(), chain(&error)));
            Vec::new()
        });
        let of_folder = self.folders.entry(spot).or_default();
        self.pending.retain(|(_, of, _)| *of != spot);
        of_folder.left = 0;
        for (name, _) in files {
            // A merged file may reach beyond the cursor: its rows say which of them do.
            if name.first < self.below && !of_folder.opened.contains(&name) {
                let key = match self.order {
                    Order::Forward => name.first,
                    Order::Backward => u64::MAX - name.end,
                };
                self.pending.insert((key, spot, name));
                of_folder.left += 1;
            }
        }
        if of_folder.left == 0 {
            self.folders.remove(&spot);
        }
    }

    /// A file of a folder is done with.
    fn leave(&mut self, spot: Spot) {
        if let Some(of_folder) = self.folders.get_mut(&spot) {
            of_folder.left = of_folder.left.saturating_sub(1);
            if of_folder.left == 0 {
                self.folders.remove(&spot);
            }
        }
    }

    /// Takes the rows of a file.
    fn take(&mut self, spot: Spot, name: FileName) {
        let of_folder = self.folders.entry(spot).or_default();
        of_folder.opened.insert(name);
        let taken = match Opened::read(self.folder.root(), self.log, (spot, name)) {
            Ok(opened) => self.rows_of(&opened, spot),
            Err(OpenError::Gone) if self.changes < CHANGES_MAX => {
                self.changes += 1;
                of_folder.opened.remove(&name);
                // One more than there are: this file is left after it.
                self.list(spot);
                self.folders.entry(spot).or_default().left += 1;
                return;
            }
            Err(error) => Err(error),
        };
        match taken {
            Ok(rows) => {
                for (first, row) in rows {
                    self.waiting_bytes += weight(&row);
                    self.waiting.entry(first).or_default().push(row);
                }
            }
            Err(error) => {
                self.warnings.push(format!("{}/{name}: {}", spot.folder(), chain(&error)));
            }
        }
    }

    /// The rows of a file that are wanted and were not taken from another one.
    fn rows_of(&mut self, opened: &Opened, spot: Spot) -> Result<Vec<Ranged>, OpenError> {
        self.effort.files += 1;
        self.effort.bytes += opened.bytes;
        let of_folder = self.folders.entry(spot).or_default();
        let (before, below) = (&of_folder.ranges, self.below);
        let is_wanted = |first: u64| first < below && !before.contains(&first);
        let mut found = Vec::new();
        for group in 0..opened.reader.metadata().num_row_groups() {
            if opened.may_hold(group, &self.wanted).map_err(OpenError::Decode)? {
                self.effort.groups += 1;
                let rows = rows(opened, (spot.table, group), &self.wanted, is_wanted);
                found.extend(rows.map_err(OpenError::Decode)?);
            }
        }
        of_folder.ranges.extend(opened.footer.held.iter().map(|held| held.first));
        Ok(found)
    }
}

/// About how many bytes of memory a row takes.
fn weight(row: &Row) -> usize {
    let body = match &row.content {
        RowContent::Line { body, .. } => body.len(),
        RowContent::Gap { .. } => 0,
    };
    size_of::<Row>() + body
}

/// Bytes of rows that wait for others of their range, at most, and what one file has: twice what a merged file unpacks to.
const WAITING_BYTES_MAX: usize = 128 << 20;

/// How often a folder is listed again because a file of it has gone: each time one was merged. More is no merging.
const CHANGES_MAX: u32 = 1_000;
