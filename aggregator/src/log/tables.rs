//! The tables of one file of the embedded log. `docs/log.md` has them for readers.

use headwater_protocol::entry::{Control, Entry, EntryKind};
use headwater_protocol::identity::{Generation, Offset, ShardId};
use redb::{TableDefinition, Value};

use crate::backup::CopiedTable;

/// What the file is: `format`, `log`, `shards`, `file`, `files`.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// Entries by shard and offset: 32 bytes of identity, then the entry.
pub(super) const ENTRIES: TableDefinition<'_, (u16, u64), &[u8]> = TableDefinition::new("entries");
/// First offset that is kept, offset of the next entry, and identity of the last one, by shard. No row:
/// all zero.
pub(super) const BOUNDS: TableDefinition<'_, u16, (u64, u64, &[u8; 32])> =
    TableDefinition::new("bounds");
/// Snapshots by shard and the offset they end before: how many chunks ledger and view have.
pub(super) const SNAPSHOTS: TableDefinition<'_, (u16, u64), (u32, u32)> =
    TableDefinition::new("snapshots");
/// Chunks of snapshots by shard, offset, part (0 ledger, 1 view, 2 windows) and place.
pub(super) const CHUNKS: TableDefinition<'_, (u16, u64, u8, u32), &[u8]> =
    TableDefinition::new("chunks");
/// Dead letters by shard and offset: reason and batch.
pub(super) const DEAD: TableDefinition<'_, (u16, u64), (&str, &[u8])> =
    TableDefinition::new("dead");

/// Bytes of a chunk: just under 512 KiB, since redb takes a run of 2^(n+1) bytes for a value of 2^n.
pub(super) const CHUNK_BYTES: usize = headwater_protocol::limits::BATCH_BYTES_AIM;

/// What is in a backup of a file.
pub(crate) fn copied_tables() -> Vec<&'static dyn CopiedTable> {
    vec![&META, &ENTRIES, &BOUNDS, &SNAPSHOTS, &CHUNKS, &DEAD]
}

/// What a row says of how far a shard's log reaches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RowSays {
    /// First offset that is kept, offset of the next entry.
    Bounds {
        /// The first one.
        start: Offset,
        /// The next one.
        end: Offset,
    },
    /// A generation that an entry carries or raises.
    Generation(Generation),
}

type Bounds = (u64, u64, &'static [u8; 32]);

/// Reads in a row of a table how far a shard's log reaches. `None` if it says nothing of it.
pub(crate) fn said_by_row(table: &str, key: &[u8], value: &[u8]) -> Option<(ShardId, RowSays)> {
    if table == CopiedTable::name(&BOUNDS) {
        let fits =
            u16::fixed_width() == Some(key.len()) && Bounds::fixed_width() == Some(value.len());
        let (start, end, _) = fits.then(|| Bounds::from_bytes(value))?;
        let (start, end) = (Offset(start), Offset(end));
        return Some((ShardId(u16::from_bytes(key)), RowSays::Bounds { start, end }));
    }
    if table != CopiedTable::name(&ENTRIES) || <(u16, u64)>::fixed_width() != Some(key.len()) {
        return None;
    }
    let (shard, _) = <(u16, u64)>::from_bytes(key);
    let entry = Entry::decode(value.get(32..)?).ok()?;
    let generation = match entry.kind {
        EntryKind::Control(Control::Generation(raised)) => raised.max(entry.generation),
        _ => entry.generation,
    };
    Some((ShardId(shard), RowSays::Generation(generation)))
}
