//! The database file: its tables, its transactions, and the rows of a lane inside one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::{ControlFlow, Deref};
use std::path::{Path, PathBuf};

use headwater_protocol::batch::Batch;
use headwater_protocol::chain::{Head, Link, Row, Rows, Sealed};
use headwater_protocol::codec::DecodeError;
use headwater_protocol::identity::{DeviceId, Lane};
use headwater_protocol::limits;
use headwater_protocol::position::Stream;
use redb::{
    Durability, ReadableDatabase, ReadableTable, StorageBackend, Table, TableDefinition,
    WriteTransaction,
};

use super::damage;
use super::format::{self, LINK_BYTES, STREAM_BYTES};
use super::host::HostRow;
use super::lane::Newest;
use super::room;
use crate::limits::NEWEST_BYTES_MAX;

/// Memory for pages, read and written together (LIMITS page, section 4: all of it is used). The rows
/// are read once and written once, so that a larger one would gain nothing.
const CACHE_BYTES: usize = 1 << 20;

const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");
const HEADS: TableDefinition<'static, u8, &[u8]> = TableDefinition::new("heads");

const META_FORMAT: &str = "format";
const META_DEVICE: &str = "device";
const META_HORIZON: &str = "horizon";
const META_HOST: &str = "host";

type BatchTable = TableDefinition<'static, u64, &'static [u8]>;
type LinkTable = TableDefinition<'static, u64, &'static [u8; LINK_BYTES]>;
type StreamTable = TableDefinition<'static, &'static [u8; STREAM_BYTES], &'static [u8]>;

fn batches(lane: Lane) -> BatchTable {
    TableDefinition::new(match lane {
        Lane::Live => "live_rows",
        Lane::Bulk => "bulk_rows",
    })
}

fn links(lane: Lane) -> LinkTable {
    TableDefinition::new(match lane {
        Lane::Live => "live_links",
        Lane::Bulk => "bulk_links",
    })
}

fn streams(lane: Lane) -> StreamTable {
    TableDefinition::new(match lane {
        Lane::Live => "live_streams",
        Lane::Bulk => "bulk_streams",
    })
}

/// Why the database can't go on. What reached the disk is unknown: the process ends, and its restart
/// opens what the last commit left.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The file can't be used as a database.
    #[error("open the database")]
    Open(#[source] redb::DatabaseError),
    /// No transaction could be begun.
    #[error("begin a transaction")]
    Begin(#[source] redb::TransactionError),
    /// A table could not be opened.
    #[error("open a table")]
    Table(#[source] redb::TableError),
    /// A page could not be read or written.
    #[error("read or write a page")]
    Page(#[source] redb::StorageError),
    /// The transaction could not be committed.
    #[error("commit")]
    Commit(#[source] redb::CommitError),
    /// A row that the head speaks of is not there.
    #[error("read row {} of lane {lane}: it is not there", row.0)]
    Missing {
        /// The lane.
        lane: Lane,
        /// The row.
        row: Row,
    },
    /// What was read is not what was written.
    #[error("read {what} of lane {lane}: it is damaged")]
    Damaged {
        /// The lane.
        lane: Lane,
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A batch is not the one that was sealed.
    #[error("read row {} of lane {lane}: the batch is not the one that was sealed", row.0)]
    Unchained {
        /// The lane.
        lane: Lane,
        /// The row.
        row: Row,
    },
    /// What the file says of itself is not there, or damaged.
    #[error("read what the file says of itself: it is not there, or damaged")]
    Unmarked,
    /// The rows do not add up to what the head says.
    #[error("compare the rows of lane {lane} with its head: they differ")]
    Unequal {
        /// The lane.
        lane: Lane,
    },
    /// The last process that used the file noted that it is damaged.
    #[error("use the file: it was found damaged ({0})")]
    Noted(Box<str>),
    /// A batch that no node would take. Nothing was written of it.
    #[error("write a batch of {bytes} bytes: more than a batch may have")]
    Oversize {
        /// Bytes of the batch.
        bytes: usize,
    },
}

impl DatabaseError {
    /// Whether the file is to blame, so that a restart would meet the same again.
    pub(super) fn is_damage(&self) -> bool {
        let is_corrupt = |error: &redb::StorageError| match error {
            redb::StorageError::Corrupted(_) => true,
            redb::StorageError::Io(error) => is_damage(error),
            _ => false,
        };
        match self {
            Self::Open(redb::DatabaseError::Storage(error))
            | Self::Begin(redb::TransactionError::Storage(error))
            | Self::Table(redb::TableError::Storage(error))
            | Self::Page(error)
            | Self::Commit(redb::CommitError::Storage(error)) => is_corrupt(error),
            // Tables of other types, or none: it is not a file that this build wrote.
            Self::Table(_) | Self::Open(redb::DatabaseError::UpgradeRequired(_)) => true,
            Self::Missing { .. }
            | Self::Damaged { .. }
            | Self::Unchained { .. }
            | Self::Unmarked
            | Self::Unequal { .. }
            | Self::Noted(_) => true,
            Self::Open(_) | Self::Begin(_) | Self::Commit(_) | Self::Oversize { .. } => false,
        }
    }
}

/// What redb says of a file that ends too early or is something else.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// What the file says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Meta {
    pub(super) format: u32,
    pub(super) device: DeviceId,
}

/// What the file holds of a lane, apart from its rows.
#[derive(Debug)]
pub(super) struct StoredLane {
    pub(super) head: Head,
    pub(super) streams: BTreeMap<Stream, Sealed>,
    /// About what the rows take of the file.
    pub(super) footprint: u64,
}

/// The database.
#[derive(Debug)]
pub(super) struct Database(Closing);

/// A database of redb, which may panic on a damaged page when it is closed as well as before.
#[derive(Debug)]
struct Closing {
    /// `None` once it is closed.
    database: Option<redb::Database>,
    /// Where damage is noted; `None` for a storage that is no file of a folder.
    folder: Option<PathBuf>,
}

impl Deref for Closing {
    type Target = redb::Database;

    fn deref(&self) -> &redb::Database {
        self.database.as_ref().expect("it is open until it is dropped")
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let database = self.database.take();
        if let Some(folder) = &self.folder {
            // What was committed is there whether this goes well or not.
            let _ = damage::watch(folder, || drop(database));
        }
    }
}

impl Database {
    /// Opens a database on a storage, or makes one on an empty storage.
    pub(super) fn open(storage: impl StorageBackend) -> Result<Self, DatabaseError> {
        let mut builder = redb::Database::builder();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create_with_backend(storage).map_err(DatabaseError::Open)?;
        Ok(Self(Closing { database: Some(database), folder: None }))
    }

    /// From now on damage that shows when it is closed is noted in its folder, for the next start.
    pub(super) fn closes_in(&mut self, folder: &Path) {
        self.0.folder = Some(folder.to_owned());
    }

    /// What the file says of itself; `None` for a file that holds nothing yet.
    pub(super) fn meta(&self) -> Result<Option<Meta>, DatabaseError> {
        meta_in(&*self.0)
    }

    /// The horizon of the bulk lane; 0 if none was written.
    pub(super) fn horizon(&self) -> Result<u64, DatabaseError> {
        let read = self.0.begin_read().map_err(DatabaseError::Begin)?;
        let table = read.open_table(META).map_err(DatabaseError::Table)?;
        Ok(meta_row(&table, META_HORIZON)?.map_or(0, u64::from_le_bytes))
    }

    /// What the file says of its host; of one that says nothing readable, nothing.
    pub(super) fn host(&self) -> Result<HostRow, DatabaseError> {
        host_in(&*self.0)
    }

    /// What the file holds of a lane, compared with what its head says.
    pub(super) fn lane(&self, lane: Lane) -> Result<StoredLane, DatabaseError> {
        let damaged = |what, source| DatabaseError::Damaged { lane, what, source };
        let read = self.0.begin_read().map_err(DatabaseError::Begin)?;
        let heads = read.open_table(HEADS).map_err(DatabaseError::Table)?;
        let head = heads.get(lane.code()).map_err(DatabaseError::Page)?;
        let head = head.ok_or(DatabaseError::Unequal { lane })?;
        let (head, sum) = format::verified("head", &[lane.code()], head.value())
            .and_then(format::split_sum)
            .and_then(|(head, sum)| Ok((format::decode_head(head)?, sum)))
            .map_err(|source| damaged("head", source))?;
        let mut found = 0_u64;
        let mut stored = StoredLane { head, streams: BTreeMap::new(), footprint: 0 };
        let table = read.open_table(streams(lane)).map_err(DatabaseError::Table)?;
        for entry in table.iter().map_err(DatabaseError::Page)? {
            let (name, sealed) = entry.map_err(DatabaseError::Page)?;
            found = found.wrapping_add(format::check_of(sealed.value()));
            let sealed = format::verified("stream", name.value(), sealed.value())
                .and_then(format::decode_sealed)
                .map_err(|source| damaged("stream", source))?;
            stored.streams.insert(format::decode_stream(name.value()), sealed);
        }
        let table = read.open_table(links(lane)).map_err(DatabaseError::Table)?;
        let (mut bytes, mut records, mut next) = (0, 0, stored.head.archive_first());
        for entry in table.iter().map_err(DatabaseError::Page)? {
            let (row, link) = entry.map_err(DatabaseError::Page)?;
            let link = format::decode_link(link.value());
            if row.value() != next.0 {
                return Err(DatabaseError::Missing { lane, row: next });
            }
            next = next.next();
            if link.bytes > limits::BATCH_BYTES_MAX as u64 {
                return Err(DatabaseError::Unequal { lane });
            }
            bytes += link.bytes;
            records = u64::saturating_add(records, link.records);
            stored.footprint += room::footprint(link.bytes);
        }
        let stock = stored.head.stock();
        let same = found == sum
            && next == stored.head.next()
            && (bytes, records) == (stock.bytes(), stock.records());
        if same && stored.head.lane() == lane {
            Ok(stored)
        } else {
            Err(DatabaseError::Unequal { lane })
        }
    }

    /// The bytes of a batch of the chain's present epoch; `None` if the row was deleted.
    pub(super) fn read(&self, lane: Lane, row: Row) -> Result<Option<Vec<u8>>, DatabaseError> {
        let read = self.0.begin_read().map_err(DatabaseError::Begin)?;
        let table = read.open_table(batches(lane)).map_err(DatabaseError::Table)?;
        let links = read.open_table(links(lane)).map_err(DatabaseError::Table)?;
        let Some(bytes) = table.get(row.0).map_err(DatabaseError::Page)? else {
            // Deleted rows lose both: a link without its batch is damage, and would be asked for again.
            let is_linked = links.get(row.0).map_err(DatabaseError::Page)?.is_some();
            return if is_linked { Err(DatabaseError::Missing { lane, row }) } else { Ok(None) };
        };
        let batch = whole(bytes.value().to_vec(), &links, (lane, row), Row(0))?;
        Ok(Some(batch.into_bytes()))
    }

    /// How many bytes the batch of a row has; `None` if the row was deleted.
    pub(super) fn bytes(&self, lane: Lane, row: Row) -> Result<Option<u64>, DatabaseError> {
        let read = self.0.begin_read().map_err(DatabaseError::Begin)?;
        let links = read.open_table(links(lane)).map_err(DatabaseError::Table)?;
        let link = links.get(row.0).map_err(DatabaseError::Page)?;
        Ok(link.map(|link| format::decode_link(link.value()).bytes))
    }

    /// Compares a row with its link and, from `first` on, with the row before it.
    pub(super) fn compare(&self, lane: Lane, row: Row, first: Row) -> Result<(), DatabaseError> {
        let read = self.0.begin_read().map_err(DatabaseError::Begin)?;
        let table = read.open_table(batches(lane)).map_err(DatabaseError::Table)?;
        let links = read.open_table(links(lane)).map_err(DatabaseError::Table)?;
        let bytes = table.get(row.0).map_err(DatabaseError::Page)?;
        let bytes = bytes.ok_or(DatabaseError::Missing { lane, row })?.value().to_vec();
        whole(bytes, &links, (lane, row), first).map(drop)
    }

    /// Shows the batches of a lane, the newest first, until `take` has seen enough.
    pub(super) fn newest_first(
        &self,
        lane: Lane,
        mut take: impl FnMut(&Batch) -> ControlFlow<()>,
    ) -> Result<(), DatabaseError> {
        let read = self.0.begin_read().map_err(DatabaseError::Begin)?;
        let table = read.open_table(batches(lane)).map_err(DatabaseError::Table)?;
        for entry in table.iter().map_err(DatabaseError::Page)?.rev() {
            let (_, bytes) = entry.map_err(DatabaseError::Page)?;
            let batch = Batch::parse(bytes.value().to_vec())
                .map_err(|source| DatabaseError::Damaged { lane, what: "batch", source })?;
            if take(&batch).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Begins a transaction. There is one at a time.
    pub(super) fn begin(&self) -> Result<Transaction, DatabaseError> {
        let mut write = self.0.begin_write().map_err(DatabaseError::Begin)?;
        write.set_durability(Durability::Immediate).expect("no savepoint was ever made");
        // Reopening after a crash takes milliseconds instead of a second per GB.
        write.set_quick_repair(true);
        Ok(Transaction(write))
    }
}

/// A transaction: all of it reaches the disk, or nothing.
pub(super) struct Transaction(WriteTransaction);

impl std::fmt::Debug for Transaction {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Transaction(..)")
    }
}

impl Transaction {
    /// Writes what the file says of itself, and makes the tables of a fresh file.
    pub(super) fn found(&self, meta: Meta) -> Result<(), DatabaseError> {
        let mut table = self.0.open_table(META).map_err(DatabaseError::Table)?;
        for (key, row) in [
            (META_FORMAT, meta.format.to_le_bytes().to_vec()),
            (META_DEVICE, meta.device.0.to_vec()),
        ] {
            let row = format::checked(key.as_bytes(), row);
            table.insert(key, row.as_slice()).map_err(DatabaseError::Page)?;
        }
        for lane in Lane::ALL {
            self.rows(lane, Row(0))?;
            self.0.open_table(streams(lane)).map_err(DatabaseError::Table)?;
        }
        Ok(())
    }

    /// Writes the horizon of the bulk lane.
    pub(super) fn put_horizon(&self, horizon: u64) -> Result<(), DatabaseError> {
        let mut table = self.0.open_table(META).map_err(DatabaseError::Table)?;
        let row = format::checked(META_HORIZON.as_bytes(), horizon.to_le_bytes().to_vec());
        table.insert(META_HORIZON, row.as_slice()).map_err(DatabaseError::Page)?;
        Ok(())
    }

    /// Writes what the file says of its host.
    pub(super) fn put_host(&self, host: &HostRow) -> Result<(), DatabaseError> {
        let mut table = self.0.open_table(META).map_err(DatabaseError::Table)?;
        let row = format::checked(META_HOST.as_bytes(), host.encode());
        table.insert(META_HOST, row.as_slice()).map_err(DatabaseError::Page)?;
        Ok(())
    }

    /// Writes a lane's head and those of its streams that changed; a changed one that is not in
    /// `all` was forgotten.
    pub(super) fn put(
        &self,
        head: &Head,
        changed: &BTreeSet<Stream>,
        all: &BTreeMap<Stream, Sealed>,
    ) -> Result<(), DatabaseError> {
        let mut heads = self.0.open_table(HEADS).map_err(DatabaseError::Table)?;
        let lane = head.lane().code();
        let mut sum = match heads.get(lane).map_err(DatabaseError::Page)? {
            None => 0,
            Some(before) => {
                let split = format::verified("head", &[lane], before.value())
                    .and_then(format::split_sum)
                    .map(|(_, sum)| sum);
                let lane = head.lane();
                split.map_err(|source| DatabaseError::Damaged { lane, what: "head", source })?
            }
        };
        let mut table = self.0.open_table(streams(head.lane())).map_err(DatabaseError::Table)?;
        for stream in changed {
            let name = format::encode_stream(*stream);
            match all.get(stream) {
                Some(sealed) => {
                    let bytes = format::checked(&name, format::encode_sealed(sealed));
                    let old = table.insert(&name, bytes.as_slice()).map_err(DatabaseError::Page)?;
                    let old = old.map_or(0, |old| format::check_of(old.value()));
                    sum = sum.wrapping_sub(old).wrapping_add(format::check_of(&bytes));
                }
                None => {
                    let old = table.remove(&name).map_err(DatabaseError::Page)?;
                    sum = sum.wrapping_sub(old.map_or(0, |old| format::check_of(old.value())));
                }
            }
        }
        let row = format::with_sum(format::encode_head(head), sum);
        let row = format::checked(&[lane], row);
        heads.insert(lane, row.as_slice()).map_err(DatabaseError::Page)?;
        Ok(())
    }

    /// The rows of a lane inside this transaction. Those from `first` on are one chain.
    pub(super) fn rows(&self, lane: Lane, first: Row) -> Result<LaneRows<'_>, DatabaseError> {
        let batches = self.0.open_table(batches(lane)).map_err(DatabaseError::Table)?;
        let links = self.0.open_table(links(lane)).map_err(DatabaseError::Table)?;
        Ok(LaneRows { lane, first, batches, links, grown: 0, shrunk: 0, newest: None })
    }

    /// Makes all of it durable.
    pub(super) fn commit(self) -> Result<(), DatabaseError> {
        self.0.commit().map_err(DatabaseError::Commit)
    }
}

/// What a file says of itself and of its host, without a change of it: one that was not closed cleanly is
/// not repaired, which is an error.
pub(super) fn glance(path: &Path) -> Result<Option<(Meta, HostRow)>, DatabaseError> {
    let mut builder = redb::Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    let database = builder.open_read_only(path).map_err(DatabaseError::Open)?;
    let Some(meta) = meta_in(&database)? else { return Ok(None) };
    Ok(Some((meta, host_in(&database)?)))
}

fn host_in(database: &impl ReadableDatabase) -> Result<HostRow, DatabaseError> {
    let read = database.begin_read().map_err(DatabaseError::Begin)?;
    let table = read.open_table(META).map_err(DatabaseError::Table)?;
    let Some(stored) = table.get(META_HOST).map_err(DatabaseError::Page)? else {
        return Ok(HostRow::default());
    };
    // Nothing hangs on it that would be worth setting a spool aside.
    let row = format::verified(META_HOST, META_HOST.as_bytes(), stored.value());
    Ok(row.map_or_else(|_| HostRow::default(), HostRow::decode))
}

fn meta_in(database: &impl ReadableDatabase) -> Result<Option<Meta>, DatabaseError> {
    let read = database.begin_read().map_err(DatabaseError::Begin)?;
    let table = match read.open_table(META) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(DatabaseError::Table(error)),
    };
    let format = meta_row::<4>(&table, META_FORMAT)?;
    let device = meta_row::<16>(&table, META_DEVICE)?;
    let meta = format.zip(device).map(|(format, device)| Meta {
        format: u32::from_le_bytes(format),
        device: DeviceId(device),
    });
    meta.map(Some).ok_or(DatabaseError::Unmarked)
}

/// A row of the table `meta`; `None` if it is not there.
fn meta_row<const BYTES: usize>(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &'static str,
) -> Result<Option<[u8; BYTES]>, DatabaseError> {
    let Some(stored) = table.get(key).map_err(DatabaseError::Page)? else { return Ok(None) };
    let row = format::verified(key, key.as_bytes(), stored.value());
    let row = row.ok().and_then(|row| <[u8; BYTES]>::try_from(row).ok());
    row.map(Some).ok_or(DatabaseError::Unmarked)
}

/// A batch as it was sealed: its link names it and, from the row `first` on, it hangs on the one before.
fn whole(
    bytes: Vec<u8>,
    links: &impl ReadableTable<u64, &'static [u8; LINK_BYTES]>,
    (lane, row): (Lane, Row),
    first: Row,
) -> Result<Batch, DatabaseError> {
    let damaged = |source| DatabaseError::Damaged { lane, what: "batch", source };
    let batch = Batch::parse(bytes).map_err(damaged)?;
    let link = |row: u64| -> Result<Option<Link>, DatabaseError> {
        let link = links.get(row).map_err(DatabaseError::Page)?;
        Ok(link.map(|link| format::decode_link(link.value())))
    };
    let named = link(row.0)? == Some(Link::of(&batch));
    let before = match batch.header().parent {
        Some(parent) => Some(parent.digest),
        None if row > first => link(row.0.wrapping_sub(1))?.map(|link| link.digest),
        None => None,
    };
    match named && before.is_none_or(|before| batch.follows(before)) {
        true => Ok(batch),
        false => Err(DatabaseError::Unchained { lane, row }),
    }
}

/// The rows of one lane inside a transaction.
pub(super) struct LaneRows<'a> {
    lane: Lane,
    first: Row,
    batches: Table<'a, u64, &'static [u8]>,
    links: Table<'a, u64, &'static [u8; LINK_BYTES]>,
    grown: u64,
    shrunk: u64,
    newest: Option<Newest>,
}

impl LaneRows<'_> {
    /// A footprint once these rows are written and deleted.
    pub(super) fn footprint(&self, before: u64) -> u64 {
        (before + self.grown).saturating_sub(self.shrunk)
    }

    /// The batch that was written last, unless it is large.
    pub(super) fn take_newest(&mut self) -> Option<Newest> {
        self.newest.take()
    }
}

impl Rows for LaneRows<'_> {
    type Error = DatabaseError;

    fn read(&self, row: Row) -> Result<Batch, DatabaseError> {
        let lane = self.lane;
        let bytes = self.batches.get(row.0).map_err(DatabaseError::Page)?;
        let bytes = bytes.ok_or(DatabaseError::Missing { lane, row })?.value().to_vec();
        whole(bytes, &self.links, (lane, row), self.first)
    }

    fn link(&self, row: Row) -> Result<Link, DatabaseError> {
        let link = self.links.get(row.0).map_err(DatabaseError::Page)?;
        let link = link.ok_or(DatabaseError::Missing { lane: self.lane, row })?;
        Ok(format::decode_link(link.value()))
    }

    fn write(&mut self, row: Row, batch: &Batch) -> Result<(), DatabaseError> {
        let bytes = batch.bytes();
        if bytes.len() > limits::BATCH_BYTES_MAX {
            return Err(DatabaseError::Oversize { bytes: bytes.len() });
        }
        let link = format::encode_link(Link::of(batch));
        self.batches.insert(row.0, bytes).map_err(DatabaseError::Page)?;
        self.links.insert(row.0, &link).map_err(DatabaseError::Page)?;
        self.grown += room::footprint(bytes.len() as u64);
        let is_small = bytes.len() <= NEWEST_BYTES_MAX;
        self.newest = is_small.then(|| Newest { row, bytes: bytes.into() });
        Ok(())
    }

    fn remove(&mut self, row: Row) -> Result<(), DatabaseError> {
        let link = self.link(row)?;
        self.batches.remove(row.0).map_err(DatabaseError::Page)?;
        self.links.remove(row.0).map_err(DatabaseError::Page)?;
        self.shrunk += room::footprint(link.bytes);
        Ok(())
    }
}
