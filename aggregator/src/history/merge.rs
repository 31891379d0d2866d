//! Files of an hour become few: once it has ended, what each range brought of it is put together, and its folder is exchanged for
//! one that holds the result.
//!
//! One folder, and a bounded part of it, at a time, by the thread that writes ranges. What lies beyond the sink's cursor is not
//! touched, so that what is written again after a crash is never in a merged file. Each row says which range brought it: a
//! merged file that reaches beyond what the log still holds is cut back to what it has of that.

mod opened;
mod plan;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use headwater_protocol::identity::{LogId, ShardId};

use super::file::Held;
use super::folder::{Change, Folder, FolderError, Retired};
use super::table::{FileName, Spot};
use crate::sink::{Merged, Settled};
use opened::{OpenError, Opened};
use plan::Lying;
use rows::{Made, RowsError, Weight};

/// For how long after its end an hour is left alone, by the log's time: what is on its way arrives.
const SETTLE_US: i64 = 5 * 60_000_000;
const HOUR_US: i64 = 3_600_000_000;
/// For how long a folder stays that was exchanged: whoever has opened it reads its list to the end.
const RETIRED_FOR: Duration = Duration::from_secs(60);
/// After what time it is tried again to merge a folder that can't be.
const TRY_AGAIN: Duration = Duration::from_secs(3_600);
/// Folders that are remembered as having something to merge; others are found at the next start.
const FOLDERS_MAX: usize = 65_536;

/// Why files of an hour stay apart. All rows stay where they are.
#[derive(Debug, thiserror::Error)]
pub(super) enum MergeError {
    #[error("merge files of an hour")]
    Rows(#[from] RowsError),
    #[error("merge files of an hour")]
    Folder(#[from] FolderError),
    #[error(
        "merge files of an hour: this file system can't exchange two folders at once; they stay as they are"
    )]
    NoExchange,
}

impl From<OpenError> for MergeError {
    fn from(error: OpenError) -> Self {
        Self::Rows(RowsError::Open(error))
    }
}

/// What is to be merged.
#[derive(Debug)]
pub(super) struct Merger {
    log: LogId,
    /// Folders in which there may be something to merge.
    folders: BTreeSet<Spot>,
    /// Folders that could not be merged, and when they are tried again.
    failed: BTreeMap<Spot, Instant>,
    /// Folders that were exchanged, the oldest first.
    retired: Vec<(Instant, Retired)>,
    /// Whether the file system can exchange folders. `None` before that was tried.
    can_exchange: Option<bool>,
}

impl Merger {
    pub(super) fn new(log: LogId) -> Self {
        let (folders, failed, retired) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        Self { log, folders, failed, retired, can_exchange: None }
    }

    /// A file was written to a folder, or lay there.
    pub(super) fn note(&mut self, spot: Spot) {
        if self.folders.len() < FOLDERS_MAX {
            self.folders.insert(spot);
        }
    }

    /// Merges files of one folder, of an hour that has ended. `None` if there is nothing to merge.
    pub(super) fn step(
        &mut self,
        folder: &Folder,
        settled: &BTreeMap<ShardId, Settled>,
        now: Instant,
    ) -> Result<Option<Merged>, (Option<Spot>, MergeError)> {
        self.delete_retired(folder, now).map_err(|error| (None, error))?;
        self.failed.retain(|_, until| now < *until);
        let is_due = |spot: &&Spot| {
            !self.failed.contains_key(spot)
                && settled.get(&spot.shard).is_some_and(|at| has_ended(**spot, at))
        };
        let due: Vec<Spot> = self.folders.iter().filter(is_due).copied().collect();
        if due.is_empty() || !self.can_exchange(folder).map_err(|error| (None, error))? {
            return Ok(None);
        }
        for spot in due {
            let written = settled.get(&spot.shard).map_or(0, |at| at.end.0);
            match self.merge(folder, spot, written, now) {
                Ok(Some(merged)) => return Ok(Some(merged)),
                Ok(None) => _ = self.folders.remove(&spot),
                Err(error) => {
                    self.failed.insert(spot, now + TRY_AGAIN);
                    return Err((Some(spot), error));
                }
            }
        }
        Ok(None)
    }

    fn can_exchange(&mut self, folder: &Folder) -> Result<bool, MergeError> {
        if let Some(can) = self.can_exchange {
            return Ok(can);
        }
        let can = *self.can_exchange.insert(folder.can_exchange()?);
        if can { Ok(true) } else { Err(MergeError::NoExchange) }
    }

    fn merge(
        &mut self,
        folder: &Folder,
        spot: Spot,
        written: u64,
        now: Instant,
    ) -> Result<Option<Merged>, MergeError> {
        let lying = folder.list(spot)?;
        let lying: Vec<Lying> =
            lying.into_iter().map(|(name, bytes)| Lying { name, bytes }).collect();
        let names = plan::merged(&lying, written);
        let files = match self.open(folder, spot, &names) {
            Err(OpenError::Unsealed { .. }) => return Ok(None),
            files => files?,
        };
        if files.len() < 2 {
            return Ok(None);
        }
        let made = rows::made_of(spot.table, self.log, &files, |_| true)?;
        let gone: Vec<FileName> = files.iter().map(|file| file.name).collect();
        drop(files);
        let bytes_after = made.bytes.len() as u64;
        self.change(folder, (spot, &gone, made), false, now)?;
        let bytes = lying.iter().filter(|file| gone.contains(&file.name)).map(|file| file.bytes);
        Ok(Some(Merged {
            place: spot.folder(),
            pieces: gone.len() as u64,
            bytes_before: bytes.sum(),
            bytes_after,
        }))
    }

    /// As many files as may become one.
    fn open(
        &self,
        folder: &Folder,
        spot: Spot,
        names: &[FileName],
    ) -> Result<Vec<Opened>, OpenError> {
        let place = folder.root().join(spot.folder());
        let (mut files, mut weight) = (Vec::new(), Weight::default());
        for name in names {
            let file = Opened::read(&place, *name, (self.log, spot))?;
            weight = weight.plus(Weight::of(&file));
            if !weight.fits() {
                break;
            }
            files.push(file);
        }
        Ok(files)
    }

    /// Takes from a merged file what is of other ranges than those that are said; all of it, if none of its are. The file as it
    /// was is set aside.
    pub(super) fn cut(
        &mut self,
        folder: &Folder,
        (spot, name): (Spot, FileName),
        is_kept: impl Fn(&Held) -> bool,
        now: Instant,
    ) -> Result<(), MergeError> {
        let file = Opened::read(&folder.root().join(spot.folder()), name, (self.log, spot))?;
        if !file.footer.held.iter().any(&is_kept) {
            return Ok(folder.withdraw(&spot.folder(), name)?);
        }
        let made = rows::made_of(spot.table, self.log, &[file], is_kept)?;
        self.change(folder, (spot, &[name], made), true, now)
    }

    /// Whether a merged file of a folder holds what a range brought.
    pub(super) fn holds(
        &self,
        folder: &Folder,
        spot: Spot,
        range: FileName,
    ) -> Result<bool, MergeError> {
        let place = folder.root().join(spot.folder());
        for (name, _) in folder.list(spot)? {
            let is_merged = name.kind != range.kind;
            if is_merged && name.first <= range.first && range.end <= name.end {
                let file = Opened::read(&place, name, (self.log, spot))?;
                let wanted = (range.generation, range.first, range.end);
                let is_range = |held: &Held| (held.generation, held.first, held.end) == wanted;
                if file.footer.held.iter().any(is_range) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn change(
        &mut self,
        folder: &Folder,
        (spot, gone, made): (Spot, &[FileName], Made),
        keeps_aside: bool,
        now: Instant,
    ) -> Result<(), MergeError> {
        let gone: Vec<String> = gone.iter().map(FileName::to_string).collect();
        let (place, gone, made) = (&*spot.folder(), &*gone, &[(made.name.to_string(), made.bytes)]);
        let retired = folder.change(&Change { place, gone, made, keeps_aside })?;
        self.retired.push((now, retired));
        Ok(())
    }

    fn delete_retired(&mut self, folder: &Folder, now: Instant) -> Result<(), MergeError> {
        let is_over = |(since, _): &(Instant, Retired)| now.duration_since(*since) >= RETIRED_FOR;
        while self.retired.first().is_some_and(is_over) {
            let (_, retired) = self.retired.remove(0);
            folder.delete(&retired)?;
        }
        Ok(())
    }
}

/// Whether no range is likely to write to a folder any more.
fn has_ended(spot: Spot, at: &Settled) -> bool {
    let end_us = spot.hour.0.saturating_add(1).saturating_mul(HOUR_US);
    at.clock_us >= end_us.saturating_add(SETTLE_US)
}

#[cfg(test)]
mod tests;
