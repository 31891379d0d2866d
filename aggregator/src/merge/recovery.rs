//! Recovery of the merge fold: the newest snapshot that the store has not fallen behind, then replay.

use headwater_protocol::codec::DecodeError;
use headwater_protocol::identity::{Generation, Offset, ShardId};
use headwater_protocol::ledger::LogTip;

use super::entry::MergeEntry;
use super::snapshot::Snapshot;
use super::state::MergeState;
use super::store::{Store, StoreError};
use crate::limits::{ByteCount, READ_BYTES};
use crate::log::{ChainError, Log, ReadError, ReadOnlyLog};

/// The only shard of the merge log.
pub(super) const SHARD: ShardId = ShardId(0);

/// A state with where it ends.
#[derive(Clone, Debug)]
pub(super) struct Recovered {
    pub(super) state: MergeState,
    pub(super) next: Offset,
    /// `None` for an empty log.
    pub(super) tip: Option<LogTip>,
    /// Entries that were folded after the snapshot.
    pub(super) replayed: u64,
}

/// Why the merge fold can't go on. A person decides; data stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The merge log can't be read.
    #[error("recover the merge fold")]
    Read(#[source] ReadError),
    /// An entry can't be read: damaged, or of a newer build.
    #[error("recover the merge fold: decode the entry at offset {offset}")]
    Entry {
        /// The entry.
        offset: Offset,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The store can't be read or written.
    #[error("recover the merge fold")]
    Store(#[source] StoreError),
}

/// Recovers the state, and brings the store up to it.
pub(super) fn recover(log: &dyn Log, store: &Store) -> Result<Recovered, RecoveryError> {
    let stored = store.next().map_err(RecoveryError::Store)?;
    let mut found = ground(log, stored)?;
    loop {
        let entries = log.read(SHARD, found.next, READ_BYTES).map_err(RecoveryError::Read)?;
        if entries.is_empty() {
            return Ok(found);
        }
        for entry in entries {
            let offset = entry.offset;
            let (decoded, tip) = read(&entry.entry, offset, entry.identity)?;
            let merging = found.state.fold(decoded);
            found.next = offset.next();
            found.tip = Some(tip);
            found.replayed += 1;
            let is_empty = merging.writes.is_empty() && merging.changes.is_empty();
            if offset >= stored && !is_empty {
                let (writes, changes) = (&merging.writes, &merging.changes);
                store.apply(writes, changes, found.next).map_err(RecoveryError::Store)?;
            }
        }
    }
}

/// Goes through a copy of a merge log: each entry is there, hangs on the one before, and can be read. How many there are is
/// returned.
///
/// # Errors
/// The first entry that is not as it was.
pub(crate) fn check_chain(log: &ReadOnlyLog) -> Result<u64, ChainError> {
    log.check_chain(SHARD, |stored| MergeEntry::decode(&stored.entry).is_ok())
}

/// Reads an entry, and what it makes the tip.
pub(super) fn read(
    bytes: &[u8],
    offset: Offset,
    identity: [u8; 32],
) -> Result<(MergeEntry, LogTip), RecoveryError> {
    let entry = MergeEntry::decode(bytes);
    let entry = entry.map_err(|source| RecoveryError::Entry { offset, source })?;
    Ok((entry, LogTip { offset, generation: Generation(0), identity }))
}

/// The newest snapshot whose tip is in the log and that does not go beyond the store; the empty state if
/// there is none.
fn ground(log: &dyn Log, stored: Offset) -> Result<Recovered, RecoveryError> {
    for next in log.snapshots(SHARD).map_err(RecoveryError::Read)? {
        let snapshot = match log.snapshot(SHARD, next).map_err(RecoveryError::Read)? {
            Some(snapshot) if next <= stored => Snapshot::decode(&snapshot.ledger).ok(),
            _ => None,
        };
        let Some(Snapshot { log: of, tip, state }) = snapshot else { continue };
        let entries = log.read(SHARD, tip.offset, ByteCount(0)).map_err(RecoveryError::Read)?;
        let in_log = entries
            .first()
            .is_some_and(|entry| (entry.offset, entry.identity) == (tip.offset, tip.identity));
        if of == log.id() && in_log && tip.offset.next() == next {
            return Ok(Recovered { state, next, tip: Some(tip), replayed: 0 });
        }
        tracing::warn!(%next, "a snapshot of the merge fold is not of this log: it is left out");
    }
    Ok(Recovered { state: MergeState::default(), next: Offset(0), tip: None, replayed: 0 })
}
