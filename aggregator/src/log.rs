//! The log: a shard's durable sequence of entries. Everything else is computed from it.
//!
//! What a log guarantees, whichever it is: entries of a shard have offsets that grow by one; an entry is
//! called durable only after it is; a crash leaves a prefix; what was read once at an offset is read
//! there again, unless a tail was lost, which the tip check and receipts find out. Any number of nodes may
//! append; the log orders them. A log never opens an entry and never decides what counts: that is the
//! fold's.
//!
//! [`EmbeddedLog`] keeps it in a few redb files; a copy of them that is only to be looked at is a [`ReadOnlyLog`]. What is beside the entries (snapshots, dead letters) is
//! written in the same order as the entries, so that a snapshot never says more than what is durable.

mod create;
mod embedded;
mod fatal;
mod meta;
mod read_only;
mod reader;
mod space;
mod tables;
mod writer;

use std::fmt;

use headwater_protocol::identity::{LogId, Offset, ShardCount, ShardId};

use crate::limits::{ByteCount, ENTRY_BYTES_MAX};

pub use create::CreateError;
pub use embedded::{EmbeddedLog, LogOptions};
pub(crate) use fatal::end_process;
pub use meta::MetaError;
pub(crate) use read_only::{ChainError, ReadOnlyLog};
pub use reader::ReadError;
pub use space::{MinFree, Space};
pub(crate) use tables::{RowSays, copied_tables, said_by_row};
pub use writer::OpenError;

/// Called once an entry is durable, as it stands in the log. Never called if it is not known whether it
/// is: whoever appended reads the log then, as for any entry of another node.
pub type Durable = Box<dyn FnOnce(Stored) + Send>;

/// An entry as it stands in the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stored {
    /// Where.
    pub offset: Offset,
    /// The identity of the log up to and including the entry: another one at this offset means that the
    /// log lost a tail in between. `protocol::entry::identity` for a log without one of its own.
    pub identity: [u8; 32],
    /// Its bytes.
    pub entry: Vec<u8>,
}

/// A shard's durable sequence of entries, and what is kept beside it.
pub trait Log: fmt::Debug + Send + Sync {
    /// The log's identity.
    fn id(&self) -> LogId;

    /// How many shards it has: fixed when it was created.
    fn shards(&self) -> ShardCount;

    /// Appends an entry. Entries of one shard that one thread appends get offsets in this order; many
    /// appends share one fsync. `durable` runs on a thread of the log: it hands over and returns.
    ///
    /// # Errors
    /// `AppendError` if the entry is larger than a log takes. Nothing was appended.
    fn append(&self, shard: ShardId, entry: Vec<u8>, durable: Durable) -> Result<(), AppendError>;

    /// Entries from an offset on, in order, until `budget` is used up; at least one if there is one.
    ///
    /// # Errors
    /// If they can't be read.
    fn read(
        &self,
        shard: ShardId,
        from: Offset,
        budget: ByteCount,
    ) -> Result<Vec<Stored>, ReadError>;

    /// The offset of the first entry that is kept; the end, if none is.
    ///
    /// # Errors
    /// If it can't be read.
    fn start(&self, shard: ShardId) -> Result<Offset, ReadError>;

    /// The offset of the next entry.
    ///
    /// # Errors
    /// If it can't be read.
    fn end(&self, shard: ShardId) -> Result<Offset, ReadError>;

    /// Deletes the entries before an offset, some time later.
    fn trim(&self, shard: ShardId, before: Offset);

    /// Keeps a snapshot, and the one before it; older ones go, but for those that are held.
    fn put_snapshot(&self, shard: ShardId, snapshot: StoredSnapshot);

    /// Keeps the newest snapshot at or below an offset as well, as ground for who reads on from there: for this holder and
    /// shard, until it names another offset or the log is closed.
    fn hold(&self, holder: &str, shard: ShardId, from: Offset);

    /// Deletes a snapshot that is of no use.
    fn drop_snapshot(&self, shard: ShardId, next: Offset);

    /// Where the snapshots that are kept end, the newest first.
    ///
    /// # Errors
    /// If they can't be read.
    fn snapshots(&self, shard: ShardId) -> Result<Vec<Offset>, ReadError>;

    /// A snapshot by where it ends. `None` if there is none.
    ///
    /// # Errors
    /// If it can't be read.
    fn snapshot(&self, shard: ShardId, next: Offset) -> Result<Option<StoredSnapshot>, ReadError>;

    /// Keeps the bytes of an entry whose body can't be opened. The same letter twice is one.
    fn put_dead_letter(&self, shard: ShardId, letter: DeadLetter);

    /// The dead letters of a shard, in order of offsets.
    ///
    /// # Errors
    /// If they can't be read.
    fn dead_letters(&self, shard: ShardId) -> Result<Vec<DeadLetter>, ReadError>;
}

/// A snapshot as the log keeps it: bytes that only the fold understands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredSnapshot {
    /// The offset of the first entry that is not in it.
    pub next: Offset,
    /// The ledger, in the format of `protocol::ledger::Snapshot`.
    pub ledger: Vec<u8>,
    /// What is shown of the devices, in the format of `fold::view`.
    pub view: Vec<u8>,
    /// The open windows, in the format of `window`. Empty in a snapshot of a build without windows.
    pub windows: Vec<u8>,
}

impl StoredSnapshot {
    fn bytes(&self) -> usize {
        self.ledger.len() + self.view.len() + self.windows.len()
    }
}

/// A batch that was applied as a gap because its body can't be opened.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DeadLetter {
    /// The entry's offset.
    pub offset: Offset,
    /// Why, for people.
    pub reason: String,
    /// The batch's original bytes.
    pub batch: Vec<u8>,
}

/// Why an entry was not appended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AppendError {
    /// No log takes an entry of this size.
    #[error("append an entry of {bytes}: a log takes at most {most}")]
    TooLarge {
        /// Its size.
        bytes: ByteCount,
        /// The limit.
        most: ByteCount,
    },
}

/// Refuses what no log takes.
fn check_size(entry: &[u8]) -> Result<(), AppendError> {
    if entry.len() <= ENTRY_BYTES_MAX {
        return Ok(());
    }
    let (bytes, most) = (ByteCount(entry.len() as u64), ByteCount(ENTRY_BYTES_MAX as u64));
    Err(AppendError::TooLarge { bytes, most })
}
