//! Reading a file of the log. Readers see what was committed when they began, and wait for nobody.

use headwater_protocol::identity::{Offset, ShardId};
use redb::ReadableDatabase;

use super::tables::{BOUNDS, CHUNKS, DEAD, ENTRIES, SNAPSHOTS};
use super::{DeadLetter, Stored, StoredSnapshot};
use crate::limits::ByteCount;

/// Why the log can't be read.
#[derive(Debug, thiserror::Error)]
#[error("read {what} of shard {shard}")]
pub struct ReadError {
    /// What was being read.
    pub what: &'static str,
    /// The shard.
    pub shard: ShardId,
    /// What redb said.
    pub source: Box<redb::Error>,
}

pub(super) fn bounds(
    database: &impl ReadableDatabase,
    shard: ShardId,
) -> Result<(Offset, Offset), redb::Error> {
    let table = database.begin_read()?.open_table(BOUNDS)?;
    let row = table.get(shard.0)?;
    let (start, end) = row.map_or((0, 0), |row| (row.value().0, row.value().1));
    Ok((Offset(start), Offset(end)))
}

pub(super) fn entries(
    database: &impl ReadableDatabase,
    shard: ShardId,
    from: Offset,
    budget: ByteCount,
) -> Result<Vec<Stored>, redb::Error> {
    let table = database.begin_read()?.open_table(ENTRIES)?;
    let (mut entries, mut bytes) = (Vec::new(), 0);
    for row in table.range((shard.0, from.0)..=(shard.0, u64::MAX))? {
        let (key, value) = row?;
        bytes += value.value().len() as u64;
        if bytes > budget.0 && !entries.is_empty() {
            break;
        }
        let (identity, entry) = value.value().split_first_chunk().unwrap_or((&[0; 32], &[]));
        let offset = Offset(key.value().1);
        entries.push(Stored { offset, identity: *identity, entry: entry.to_vec() });
    }
    Ok(entries)
}

pub(super) fn snapshots(
    database: &impl ReadableDatabase,
    shard: ShardId,
) -> Result<Vec<Offset>, redb::Error> {
    let table = database.begin_read()?.open_table(SNAPSHOTS)?;
    let rows = table.range((shard.0, 0)..=(shard.0, u64::MAX))?;
    rows.rev().map(|row| Ok(Offset(row?.0.value().1))).collect()
}

pub(super) fn snapshot(
    database: &impl ReadableDatabase,
    shard: ShardId,
    next: Offset,
) -> Result<Option<StoredSnapshot>, redb::Error> {
    let transaction = database.begin_read()?;
    let manifest = transaction.open_table(SNAPSHOTS)?;
    let Some(counts) = manifest.get((shard.0, next.0))?.map(|row| row.value()) else {
        return Ok(None);
    };
    let chunks = transaction.open_table(CHUNKS)?;
    let part = |part: u8, count: u32| -> Result<Vec<u8>, redb::Error> {
        let mut bytes = Vec::new();
        for place in 0..count {
            // A chunk that is missing leaves bytes that no reader of snapshots accepts.
            if let Some(chunk) = chunks.get((shard.0, next.0, part, place))? {
                bytes.extend_from_slice(chunk.value());
            }
        }
        Ok(bytes)
    };
    let (ledger, view) = (part(0, counts.0)?, part(1, counts.1)?);
    // Written in one transaction with the others: what is there is all of it.
    let mut windows = Vec::new();
    for chunk in chunks.range((shard.0, next.0, 2, 0)..=(shard.0, next.0, 2, u32::MAX))? {
        windows.extend_from_slice(chunk?.1.value());
    }
    Ok(Some(StoredSnapshot { next, ledger, view, windows }))
}

pub(super) fn dead_letters(
    database: &impl ReadableDatabase,
    shard: ShardId,
) -> Result<Vec<DeadLetter>, redb::Error> {
    let table = database.begin_read()?.open_table(DEAD)?;
    let mut letters = Vec::new();
    for row in table.range((shard.0, 0)..=(shard.0, u64::MAX))? {
        let (key, value) = row?;
        let (reason, batch) = value.value();
        let (reason, batch) = (reason.to_owned(), batch.to_vec());
        letters.push(DeadLetter { offset: Offset(key.value().1), reason, batch });
    }
    Ok(letters)
}
