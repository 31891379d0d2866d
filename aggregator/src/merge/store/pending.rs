//! What the history has not taken of the store: windows that changed since it looked, changes of alerts, and figures that came
//! for windows the store has let go.
//!
//! A mark says that a window has figures that are in no file yet, and from which entry of the merge log the last of them came.
//! It is written in the transaction that writes the figures, and removed only if nothing came since they were read: whatever is
//! killed, what has no mark is in a file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_protocol::identity::Offset;
use redb::{
    Durability, ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    WriteTransaction,
};

use super::rows::{StoredWindow, add, decode, encode};
use super::{META, ROWS, Store, StoreError, StoredRow, names};
use crate::alert::AlertChange;
use crate::window::{Combination, Key};

/// Marks by kind and time: the entry of the merge log behind the last one that changed something there.
const PENDING: TableDefinition<'_, (u8, i64), u64> = TableDefinition::new("pending");
/// Changes of alerts, by time and number.
const CHANGES: TableDefinition<'_, (i64, u64), &[u8]> = TableDefinition::new("changes");
/// Figures of windows that were let go: they add to what a file has. By batch, start of the window and number of the key.
const LATE: TableDefinition<'_, (u64, i64, u32), &[u8]> = TableDefinition::new("late");

const HOUR_US: i64 = 3_600_000_000;

/// In `meta`: windows that begin before it were let go.
const BEFORE: &str = "before";
/// In `meta`: the batch that late figures come into.
const LATE_BATCH: &str = "late_batch";
/// In `meta`: whether what the history took may be more than this store says, as it was made anew.
const ANEW: &str = "anew";

/// What is marked.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum PendingKind {
    /// The figures of a window, by its start.
    Averages,
    /// Changes of alerts, by their time.
    Alerts,
}

/// Marks, as of one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pending {
    /// Times of which something is in no file, in order.
    pub at_us: BTreeSet<i64>,
    /// Where the newest window of all begins. `None`: there is none.
    pub newest_us: Option<i64>,
    /// Windows that begin before this time were let go: they can't be read any more.
    pub before_us: i64,
}

/// Figures of one series of one key in one window.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Average {
    /// Where the window begins, microseconds since 1970 UTC.
    pub start_us: i64,
    /// What is added up by.
    pub combination: Arc<Combination>,
    /// The key.
    pub key: Arc<Key>,
    /// Which revision of the window it is: 1 is the first.
    pub revision: u32,
    /// Devices of this key that were known.
    pub known: u32,
    /// The figures.
    pub row: StoredRow,
}

/// What was read at once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Taken<T> {
    /// Rows, in order of time.
    pub rows: Vec<T>,
    /// Up to what time that is all there is.
    pub end_us: i64,
    /// Up to which entry of the merge log.
    pub as_of: Offset,
}

impl PendingKind {
    fn number(self) -> u8 {
        match self {
            Self::Averages => 0,
            Self::Alerts => 1,
        }
    }
}

/// Notes what one transaction changes.
pub(super) struct Marks<'t> {
    pending: Table<'t, (u8, i64), u64>,
    changes: Table<'t, (i64, u64), &'static [u8]>,
    late: Table<'t, (u64, i64, u32), &'static [u8]>,
    before_us: i64,
    batch: u64,
    marked: BTreeSet<(u8, i64)>,
}

impl<'t> Marks<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        let meta = transaction.open_table(META)?;
        let (before_us, batch) = (before(&meta)?, number(&meta, LATE_BATCH)?.unwrap_or(0));
        Ok(Self {
            pending: transaction.open_table(PENDING)?,
            changes: transaction.open_table(CHANGES)?,
            late: transaction.open_table(LATE)?,
            before_us,
            batch,
            marked: BTreeSet::new(),
        })
    }

    /// Notes figures of a window. `true` if they are kept here, as the window was let go.
    pub(super) fn take(
        &mut self,
        start_us: i64,
        key: u32,
        window: &StoredWindow,
    ) -> Result<bool, redb::Error> {
        if start_us >= self.before_us {
            self.marked.insert((PendingKind::Averages.number(), start_us));
            return Ok(false);
        }
        let place = (self.batch, start_us, key);
        let there = self.late.get(place)?.and_then(|row| decode(row.value()).ok());
        self.late.insert(place, encode(&add(there, window.clone())).as_slice())?;
        Ok(true)
    }

    /// Keeps a change of an alert.
    pub(super) fn take_change(&mut self, change: &AlertChange) -> Result<(), redb::Error> {
        let at_us = change.alert.changed_us;
        let bytes = rmp_serde::to_vec_named(change).expect("numbers and texts have an encoding");
        self.changes.insert((at_us, change.seq), bytes.as_slice())?;
        self.marked.insert((PendingKind::Alerts.number(), at_us));
        Ok(())
    }

    pub(super) fn write(mut self, next: Offset) -> Result<(), redb::Error> {
        for mark in self.marked {
            self.pending.insert(mark, next.0)?;
        }
        Ok(())
    }
}

/// Makes the tables. Of a store that was kept without marks everything is marked.
pub(super) fn prepare(
    transaction: &WriteTransaction,
    is_followed: bool,
) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    let was_followed = meta.get("followed")?.is_some();
    let mut pending = transaction.open_table(PENDING)?;
    drop(transaction.open_table(CHANGES)?);
    drop(transaction.open_table(LATE)?);
    if !is_followed {
        meta.remove("followed")?;
        pending.retain(|_, _| false)?;
        transaction.open_table(CHANGES)?.retain(|_, _| false)?;
        return Ok(transaction.open_table(LATE)?.retain(|_, _| false)?);
    }
    if !was_followed {
        meta.insert("followed", [1].as_slice())?;
        let rows = transaction.open_table(ROWS)?;
        let next = number(&meta, "next")?.unwrap_or(0);
        let mut from = i64::MIN;
        while let Some(row) = rows.range((from, 0)..)?.next() {
            let start_us = row?.0.value().0;
            pending.insert((PendingKind::Averages.number(), start_us), next)?;
            from = start_us.saturating_add(1);
        }
    }
    Ok(())
}

/// Notes that the store is new, whatever files there are.
pub(super) fn note_anew(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(META)?.insert(ANEW, [1].as_slice())?;
    Ok(())
}

/// Lets changes of alerts before a time go. The time up to which windows may go is returned. Nothing goes that is in no file, nor
/// anything of its hour, which one file may hold: it is to be written as a whole.
pub(super) fn let_go(transaction: &WriteTransaction, before_us: i64) -> Result<i64, redb::Error> {
    let pending = transaction.open_table(PENDING)?;
    let mut bound_us = before_us;
    for kind in [PendingKind::Averages, PendingKind::Alerts] {
        let all = (kind.number(), i64::MIN)..=(kind.number(), i64::MAX);
        let first = pending.range(all)?.next().transpose()?;
        bound_us = first.map_or(bound_us, |(place, _)| place.value().1.min(bound_us));
    }
    let mut meta = transaction.open_table(META)?;
    let hour_us = bound_us.div_euclid(HOUR_US).saturating_mul(HOUR_US);
    let windows_us = hour_us.max(before(&meta)?);
    meta.insert(BEFORE, windows_us.to_le_bytes().as_slice())?;
    transaction.open_table(CHANGES)?.retain_in((i64::MIN, 0)..(windows_us, 0), |_, _| false)?;
    Ok(windows_us)
}

fn number(
    meta: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<u64>, redb::Error> {
    let found = meta.get(name)?.and_then(|it| it.value().try_into().ok());
    Ok(found.map(u64::from_le_bytes))
}

fn before(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<i64, redb::Error> {
    let found = meta.get(BEFORE)?.and_then(|it| it.value().try_into().ok());
    Ok(found.map_or(i64::MIN, i64::from_le_bytes))
}

impl Store {
    /// What is in no file yet.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn pending(&self, kind: PendingKind) -> Result<Pending, StoreError> {
        self.read("read what is in no file", |transaction| {
            let mut at_us = BTreeSet::new();
            let table = transaction.open_table(PENDING)?;
            for row in table.range((kind.number(), i64::MIN)..=(kind.number(), i64::MAX))? {
                at_us.insert(row?.0.value().1);
            }
            let rows = transaction.open_table(ROWS)?;
            let newest_us = rows.last()?.map(|(place, _)| place.value().0);
            let before_us = before(&transaction.open_table(META)?)?;
            Ok(Pending { at_us, newest_us, before_us })
        })
    }

    /// Figures of all keys but those of single devices, of windows that begin in `[from_us, to_us)`: of as many windows as
    /// have no more than so many rows, and at least of one that has any.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn averages(
        &self,
        (from_us, to_us): (i64, i64),
        rows_max: usize,
    ) -> Result<Taken<Average>, StoreError> {
        self.read("read averages of all keys", |transaction| {
            let keys = names::all(transaction)?;
            let table = transaction.open_table(ROWS)?;
            let (mut rows, mut series) = (Vec::new(), BTreeMap::new());
            let (mut at_us, mut end_us) = (from_us, to_us);
            while at_us < to_us {
                let Some(next) = table.range((at_us, 0)..(to_us, 0))?.next() else { break };
                let start_us = next?.0.value().0;
                let before = rows.len();
                for (combination, key, id) in &keys {
                    let Some(bytes) = table.get((start_us, *id))? else { continue };
                    let Ok(window) = decode(bytes.value()) else { continue };
                    let window = window.named(start_us, transaction, &mut series)?;
                    let of = |row| Average {
                        start_us,
                        combination: Arc::clone(combination),
                        key: Arc::clone(key),
                        revision: window.revision,
                        known: window.known,
                        row,
                    };
                    rows.extend(window.rows.into_iter().map(of));
                }
                if before > 0 && rows.len() > rows_max {
                    rows.truncate(before);
                    end_us = start_us;
                    break;
                }
                at_us = start_us.saturating_add(1);
            }
            Ok(Taken { rows, end_us, as_of: as_of(transaction)? })
        })
    }

    /// Changes of alerts in `[from_us, to_us)`.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn alert_changes(
        &self,
        (from_us, to_us): (i64, i64),
    ) -> Result<Taken<AlertChange>, StoreError> {
        self.read("read changes of alerts", |transaction| {
            let mut rows = Vec::new();
            for row in transaction.open_table(CHANGES)?.range((from_us, 0)..(to_us, 0))? {
                // What was written here can be read.
                rows.extend(rmp_serde::from_slice::<AlertChange>(row?.1.value()));
            }
            Ok(Taken { rows, end_us: to_us, as_of: as_of(transaction)? })
        })
    }

    /// What was read up to an entry of the merge log is in a file.
    ///
    /// # Errors
    /// If that can't be written: it is read again.
    pub fn note_taken(
        &self,
        kind: PendingKind,
        (from_us, to_us): (i64, i64),
        as_of: Offset,
    ) -> Result<(), StoreError> {
        self.write("note what is in a file", Durability::None, |transaction| {
            let range = (kind.number(), from_us)..(kind.number(), to_us);
            let mut pending = transaction.open_table(PENDING)?;
            Ok(pending.retain_in(range, |_, last| last > as_of.0)?)
        })
    }

    /// Whether files may say more than this store, as it was made anew: windows that the merge log has lost are in no mark.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn is_anew(&self) -> Result<bool, StoreError> {
        self.read("read whether it is new", |transaction| {
            Ok(transaction.open_table(META)?.get(ANEW)?.is_some())
        })
    }

    /// Files say no more than this store.
    ///
    /// # Errors
    /// If that can't be written.
    pub fn note_settled(&self) -> Result<(), StoreError> {
        self.write("note that it is not new", Durability::Immediate, |transaction| {
            transaction.open_table(META)?.remove(ANEW)?;
            Ok(())
        })
    }

    /// Figures that came for windows which were let go, by batch: what a batch holds never changes. Nothing comes into
    /// those that are returned any more.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn late_batches(&self) -> Result<Vec<u64>, StoreError> {
        let has_any = self.read("read what came late", |transaction| {
            Ok(!transaction.open_table(LATE)?.is_empty()?)
        })?;
        if !has_any {
            return Ok(Vec::new());
        }
        // Durable, with everything before it: after a crash nothing comes into these batches again.
        self.write("close what came late", Durability::Immediate, |transaction| {
            let mut meta = transaction.open_table(META)?;
            let batch = number(&meta, LATE_BATCH)?.unwrap_or(0);
            let late = transaction.open_table(LATE)?;
            let mut batches = BTreeSet::new();
            while let Some(row) = match batches.last() {
                Some(last) => late.range((*last + 1, i64::MIN, 0)..)?.next(),
                None => late.range::<(u64, i64, u32)>(..)?.next(),
            } {
                batches.insert(row?.0.value().0);
            }
            if batches.contains(&batch) {
                meta.insert(LATE_BATCH, (batch + 1).to_le_bytes().as_slice())?;
            }
            Ok(batches.into_iter().collect())
        })
    }

    /// The figures of a batch, in order of windows.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn late(&self, batch: u64) -> Result<Vec<Average>, StoreError> {
        self.read("read what came late", |transaction| {
            let keys = names::all(transaction)?;
            let keys: BTreeMap<u32, _> =
                keys.iter().map(|(by, key, id)| (*id, (by, key))).collect();
            let (mut rows, mut series) = (Vec::new(), BTreeMap::new());
            let all = (batch, i64::MIN, 0)..=(batch, i64::MAX, u32::MAX);
            for row in transaction.open_table(LATE)?.range(all)? {
                let (place, bytes) = row?;
                let (_, start_us, id) = place.value();
                let (Some((by, key)), Ok(window)) = (keys.get(&id), decode(bytes.value())) else {
                    continue;
                };
                let window = window.named(start_us, transaction, &mut series)?;
                rows.extend(window.rows.into_iter().map(|row| Average {
                    start_us,
                    combination: Arc::clone(by),
                    key: Arc::clone(key),
                    revision: window.revision,
                    known: window.known,
                    row,
                }));
            }
            Ok(rows)
        })
    }

    /// A batch is in files.
    ///
    /// # Errors
    /// If that can't be written: it is read again.
    pub fn note_late_taken(&self, batch: u64) -> Result<(), StoreError> {
        self.write("note what is in a file", Durability::None, |transaction| {
            let all = (batch, i64::MIN, 0)..=(batch, i64::MAX, u32::MAX);
            Ok(transaction.open_table(LATE)?.retain_in(all, |_, _| false)?)
        })
    }
}

fn as_of(transaction: &ReadTransaction) -> Result<Offset, redb::Error> {
    Ok(Offset(number(&transaction.open_table(META)?, "next")?.unwrap_or(0)))
}
