//! One group of requests as one transaction.

use std::collections::BTreeMap;

use headwater_protocol::entry::identity;
use headwater_protocol::identity::{Offset, ShardId};
use redb::{Database, Durability, ReadableTable, Table, WriteTransaction};

use super::{Held, Request};
use crate::killpoint;
use crate::limits::{DEAD_LETTERS_MAX, SNAPSHOTS_KEPT};
use crate::log::tables::{BOUNDS, CHUNK_BYTES, CHUNKS, DEAD, ENTRIES, SNAPSHOTS};
use crate::log::{DeadLetter, Durable, Stored, StoredSnapshot};

/// An append that is durable.
pub(super) struct Appended {
    pub(super) stored: Stored,
    pub(super) durable: Durable,
}

/// Writes a group and gives its appends, in order.
///
/// Every error means that what is on the disk is not known.
pub(super) fn write(
    database: &Database,
    group: Vec<Request>,
    held: &Held,
) -> Result<Vec<Appended>, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_quick_repair(true);
    let mut appended = Vec::new();
    {
        let mut entries = transaction.open_table(ENTRIES)?;
        let mut bounds =
            Bounds { table: transaction.open_table(BOUNDS)?, changed: BTreeMap::new() };
        for request in group {
            match request {
                Request::Append { shard, entry, durable } => {
                    let (offset, identity) = bounds.take(shard, &entry)?;
                    let length = identity.len() + entry.len();
                    let mut row = entries.insert_reserve((shard.0, offset.0), length)?;
                    row.as_mut()[..identity.len()].copy_from_slice(&identity);
                    row.as_mut()[identity.len()..].copy_from_slice(&entry);
                    drop(row);
                    appended.push(Appended { stored: Stored { offset, identity, entry }, durable });
                }
                Request::Trim { shard, before } => {
                    let before = bounds.trim(shard, before)?;
                    entries.retain_in((shard.0, 0)..(shard.0, before.0), |_, _| false)?;
                }
                Request::Snapshot { shard, snapshot } => {
                    keep_snapshot(&transaction, shard, &snapshot, held.lowest(shard))?
                }
                Request::DropSnapshot { shard, next } => {
                    drop_snapshot(&transaction, shard, next.0)?
                }
                Request::DeadLetter { shard, letter } => keep_letter(&transaction, shard, &letter)?,
                Request::Hold { .. } | Request::Stop => {}
            }
        }
        bounds.store()?;
    }
    killpoint::pass("log.before_commit");
    transaction.commit()?;
    Ok(appended)
}

/// Start and end of the shards that a group touches.
struct Bounds<'t> {
    table: Table<'t, u16, (u64, u64, &'static [u8; 32])>,
    changed: BTreeMap<ShardId, (u64, u64, [u8; 32])>,
}

impl Bounds<'_> {
    fn of(&mut self, shard: ShardId) -> Result<&mut (u64, u64, [u8; 32]), redb::Error> {
        let stored = match self.table.get(shard.0)? {
            None => (0, 0, [0; 32]),
            Some(row) => {
                let (start, end, identity) = row.value();
                (start, end, *identity)
            }
        };
        Ok(self.changed.entry(shard).or_insert(stored))
    }

    /// The offset of the next entry, which is taken, and the log's identity with it.
    fn take(&mut self, shard: ShardId, entry: &[u8]) -> Result<(Offset, [u8; 32]), redb::Error> {
        let (_, end, last) = self.of(shard)?;
        let offset = Offset(*end);
        *end = offset.next().0;
        *last = identity(last, entry);
        Ok((offset, *last))
    }

    /// Moves the start, never beyond the end; gives where it is.
    fn trim(&mut self, shard: ShardId, before: Offset) -> Result<Offset, redb::Error> {
        let (start, end, _) = self.of(shard)?;
        *start = before.0.clamp(*start, *end);
        Ok(Offset(*start))
    }

    fn store(mut self) -> Result<(), redb::Error> {
        for (shard, (start, end, identity)) in self.changed {
            self.table.insert(shard.0, (start, end, &identity))?;
        }
        Ok(())
    }
}

fn keep_snapshot(
    transaction: &WriteTransaction,
    shard: ShardId,
    snapshot: &StoredSnapshot,
    held: Option<Offset>,
) -> Result<(), redb::Error> {
    let next = snapshot.next.0;
    drop_snapshot(transaction, shard, next)?;
    let old: Vec<u64> = {
        let mut chunks = transaction.open_table(CHUNKS)?;
        let mut counts = [0_u32; 3];
        let parts = [&snapshot.ledger, &snapshot.view, &snapshot.windows];
        for (part, bytes) in parts.into_iter().enumerate() {
            for chunk in bytes.chunks(CHUNK_BYTES) {
                let number = u8::try_from(part).expect("a snapshot has three parts");
                chunks.insert((shard.0, next, number, counts[part]), chunk)?;
                counts[part] += 1;
            }
        }
        let mut manifest = transaction.open_table(SNAPSHOTS)?;
        manifest.insert((shard.0, next), (counts[0], counts[1]))?;
        let rows = manifest.range((shard.0, 0)..=(shard.0, u64::MAX))?.rev();
        let all: Vec<u64> =
            rows.map(|row| Ok(row?.0.value().1)).collect::<Result<_, redb::StorageError>>()?;
        let ground = held.and_then(|held| all.iter().copied().find(|next| *next <= held.0));
        let older = all.into_iter().skip(SNAPSHOTS_KEPT);
        older.filter(|next| Some(*next) != ground).collect()
    };
    old.into_iter().try_for_each(|next| drop_snapshot(transaction, shard, next))
}

fn drop_snapshot(
    transaction: &WriteTransaction,
    shard: ShardId,
    next: u64,
) -> Result<(), redb::Error> {
    transaction.open_table(SNAPSHOTS)?.remove((shard.0, next))?;
    let all = (shard.0, next, 0, 0)..=(shard.0, next, u8::MAX, u32::MAX);
    transaction.open_table(CHUNKS)?.retain_in(all, |_, _| false)?;
    Ok(())
}

fn keep_letter(
    transaction: &WriteTransaction,
    shard: ShardId,
    letter: &DeadLetter,
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(DEAD)?;
    table.insert((shard.0, letter.offset.0), (letter.reason.as_str(), letter.batch.as_slice()))?;
    let rows = table.range((shard.0, 0)..=(shard.0, u64::MAX))?;
    let older = rows.rev().skip(usize::try_from(DEAD_LETTERS_MAX).unwrap_or(usize::MAX));
    let old: Vec<u64> =
        older.map(|row| Ok(row?.0.value().1)).collect::<Result<_, redb::StorageError>>()?;
    for offset in old {
        table.remove((shard.0, offset))?;
    }
    Ok(())
}
