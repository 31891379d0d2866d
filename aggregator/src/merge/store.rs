//! The store: averages of the recent past, for whoever looks. A cache of the merge fold's output.
//!
//! One redb file, `averages.redb`. A row per key and window holds the figures of all its series. What was
//! written follows from the merge log up to an offset that is committed with it, so that a crash repeats
//! nothing: additions are added once.

#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod names;
mod pending;
mod rows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_protocol::identity::{LogId, Offset};
use headwater_protocol::record::Series;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::state::Write;
use crate::alert::AlertChange;
use crate::killpoint;
use crate::window::{Combination, Figures, Key, Spread};
use names::Names;
use pending::Marks;
use rows::{StoredWindow, add, decode, encode};

pub use pending::{Average, Pending, PendingKind, Taken};

/// The version of the tables that this build writes. A file of another one is made anew.
const FORMAT: u32 = 1;
/// Page cache: the upper pages of the trees, and the newest windows of some devices.
const CACHE_BYTES: usize = 4 << 20;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Figures by window and key: see `rows`.
const ROWS: TableDefinition<'_, (i64, u32), &[u8]> = TableDefinition::new("rows");

/// The averages of the recent past. Clones share one file.
#[derive(Clone, Debug)]
pub struct Store {
    database: Arc<Database>,
    path: Arc<Path>,
    /// Whether it is noted what no file of the history has yet.
    is_followed: bool,
}

/// The figures of one key in one window.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyWindow {
    /// Where the window begins, microseconds since 1970 UTC.
    pub start_us: i64,
    /// Which revision it is: 1 is the first.
    pub revision: u32,
    /// Devices of this key that were known.
    pub known: u32,
    /// The figures, in order of series.
    pub rows: Vec<StoredRow>,
}

/// The figures of one series.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredRow {
    /// What was measured.
    pub series: Arc<Series>,
    /// The figures.
    pub figures: Figures,
    /// How the samples' values are spread.
    pub spread: Spread,
    /// Devices that sent at least one of the samples.
    pub devices: u32,
}

/// Why the store can't be read or written. It can be deleted while the node is stopped: it is made anew of
/// the merge log.
#[derive(Debug, thiserror::Error)]
#[error("{what} in {path:?}; it is a cache: stop the node, delete the file, start it again")]
pub struct StoreError {
    /// What was attempted.
    pub what: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What redb said.
    pub source: Box<redb::Error>,
}

impl Store {
    /// Opens the store of a log. One of another log or format, or a damaged one, is made anew. Whether it is followed: what
    /// changes is noted until it is in a file of the history, and stays until then.
    ///
    /// # Errors
    /// If the file can't be made or is in use.
    pub fn open(path: &Path, log: LogId, is_followed: bool) -> Result<Self, StoreError> {
        let failed = |what, source| StoreError { what, path: path.to_owned(), source };
        if let Ok(store) = Self::try_open(path, is_followed)
            && store.belongs_to(log).unwrap_or(false)
        {
            store.write("make the tables", Durability::Immediate, |transaction| {
                pending::prepare(transaction, is_followed)
            })?;
            return Ok(store);
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                let error = redb::Error::Io(error);
                return Err(failed("delete what is of no use", Box::new(error)));
            }
            Ok(()) | Err(_) => {}
        }
        let store = Self::try_open(path, is_followed);
        let store = store.map_err(|error| failed("make the tables", error))?;
        store.prepare(log)?;
        Ok(store)
    }

    fn try_open(path: &Path, is_followed: bool) -> Result<Self, Box<redb::Error>> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path);
        let database = Arc::new(database.map_err(|error| Box::new(error.into()))?);
        Ok(Self { database, path: path.into(), is_followed })
    }

    fn belongs_to(&self, log: LogId) -> Result<bool, StoreError> {
        self.read("read whose it is", |transaction| {
            let meta = transaction.open_table(META)?;
            let is = |name, expected: &[u8]| -> Result<bool, redb::Error> {
                Ok(meta.get(name)?.is_some_and(|found| found.value() == expected))
            };
            Ok(is("format", &FORMAT.to_le_bytes())? && is("log", &log.0)?)
        })
    }

    fn prepare(&self, log: LogId) -> Result<(), StoreError> {
        self.write("make the tables", Durability::Immediate, |transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert("format", FORMAT.to_le_bytes().as_slice())?;
            meta.insert("log", log.0.as_slice())?;
            drop(meta);
            drop(transaction.open_table(ROWS)?);
            Names::prepare(transaction)?;
            pending::note_anew(transaction)?;
            pending::prepare(transaction, self.is_followed)
        })
    }

    /// The offset of the merge log up to which everything is in.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn next(&self) -> Result<Offset, StoreError> {
        self.read("read how far it is", |transaction| {
            let meta = transaction.open_table(META)?;
            let next = meta.get("next")?.and_then(|next| next.value().try_into().ok());
            Ok(Offset(next.map_or(0, u64::from_le_bytes)))
        })
    }

    /// Writes what entries up to `next` brought; durable with the next `sync`, or in a while by itself.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn apply(
        &self,
        writes: &[Write],
        changes: &[AlertChange],
        next: Offset,
    ) -> Result<(), StoreError> {
        self.write("write averages", Durability::None, |transaction| {
            let mut marks = self.is_followed.then(|| Marks::open(transaction)).transpose()?;
            let mut names = Names::open(transaction)?;
            let mut rows = transaction.open_table(ROWS)?;
            for write in writes {
                let place = (write.start_us, names.key(&write.combination, &write.key)?);
                let mut window = StoredWindow::of(write, &mut names)?;
                if let Some(marks) = marks.as_mut().filter(|_| !write.combination.is_device())
                    && marks.take(write.start_us, place.1, &window)?
                {
                    continue;
                }
                if write.revision == 0 {
                    let before = rows.get(place)?.and_then(|row| decode(row.value()).ok());
                    window = add(before, window);
                }
                rows.insert(place, encode(&window).as_slice())?;
            }
            drop(rows);
            drop(names);
            if let Some(mut marks) = marks {
                changes.iter().try_for_each(|change| marks.take_change(change))?;
                marks.write(next)?;
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert("next", next.0.to_le_bytes().as_slice())?;
            Ok(())
        })
    }

    /// Makes everything durable, and deletes the windows that begin before a time; of a store that is followed, none that
    /// is in no file.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn sync(&self, before_us: i64) -> Result<(), StoreError> {
        self.write("make averages durable", Durability::Immediate, |transaction| {
            let before_us = match self.is_followed {
                true => pending::let_go(transaction, before_us)?,
                false => before_us,
            };
            let mut rows = transaction.open_table(ROWS)?;
            rows.retain_in((i64::MIN, 0)..(before_us, 0), |_, _| false)?;
            Ok(())
        })
    }

    /// Windows of one key that begin in `[from_us, to_us)`, in order.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn windows(
        &self,
        (combination, key): (&Combination, &Key),
        range: (i64, i64),
        length_us: i64,
    ) -> Result<Vec<KeyWindow>, StoreError> {
        let mut windows = Vec::new();
        self.visit((combination, key), range, length_us, |mut window| {
            window.rows.sort_by(|one, other| one.series.cmp(&other.series));
            windows.push(window);
        })?;
        Ok(windows)
    }

    /// Shows each of those windows, one after the other, its rows in no particular order.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn visit(
        &self,
        (combination, key): (&Combination, &Key),
        (from_us, to_us): (i64, i64),
        length_us: i64,
        mut show: impl FnMut(KeyWindow),
    ) -> Result<(), StoreError> {
        self.read("read averages", |transaction| {
            let mut series = BTreeMap::new();
            let Some(id) = names::key_id(transaction, combination, key)? else { return Ok(()) };
            let rows = transaction.open_table(ROWS)?;
            let Some((oldest, _)) = rows.first()? else { return Ok(()) };
            let first = from_us.max(oldest.value().0);
            let mut start_us = first.saturating_add((-first).rem_euclid(length_us));
            while start_us < to_us {
                if let Some(row) = rows.get((start_us, id))?
                    && let Ok(window) = decode(row.value())
                {
                    show(window.named(start_us, transaction, &mut series)?);
                }
                start_us = start_us.saturating_add(length_us);
            }
            Ok(())
        })
    }

    /// The keys of a combination that have ever had figures, in order.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn keys(&self, combination: &Combination) -> Result<Vec<Key>, StoreError> {
        self.read("read keys", |transaction| names::keys(transaction, combination))
    }

    fn write<T>(
        &self,
        what: &'static str,
        durability: Durability,
        change: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let failed =
            |source| StoreError { what, path: self.path.to_path_buf(), source: Box::new(source) };
        let mut transaction = self.database.begin_write().map_err(|error| failed(error.into()))?;
        transaction.set_durability(durability).map_err(|error| failed(error.into()))?;
        if matches!(durability, Durability::Immediate) {
            transaction.set_quick_repair(true);
        }
        let changed = change(&transaction).map_err(failed)?;
        killpoint::pass("merge.before_commit");
        transaction.commit().map_err(|error| failed(error.into()))?;
        killpoint::pass("merge.after_commit");
        Ok(changed)
    }

    fn read<T>(
        &self,
        what: &'static str,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let failed =
            |source| StoreError { what, path: self.path.to_path_buf(), source: Box::new(source) };
        let transaction = self.database.begin_read().map_err(|error| failed(error.into()))?;
        read(&transaction).map_err(failed)
    }
}
