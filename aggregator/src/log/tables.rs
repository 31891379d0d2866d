//! The tables of one file of the embedded log. `docs/log.md` has them for readers.

use redb::TableDefinition;

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
