//! Recovery of a shard: the newest snapshot whose tip is in the log, then replay.

use headwater_protocol::entry::Entry;
use headwater_protocol::identity::{Generation, Offset, ShardId};

use super::state::{FoldError, ShardState};
use crate::limits::{ByteCount, READ_BYTES};
use crate::log::{Log, ReadError};
use crate::merge::Outbox;

/// A shard that is recovered.
#[derive(Debug)]
pub struct Recovered {
    /// Its state at the log's end.
    pub state: ShardState,
    /// Where the snapshot ended that it started from; `None` if it started from the log's start.
    pub snapshot: Option<Offset>,
    /// Entries that were folded after it.
    pub replayed: u64,
    /// The highest generation of a snapshot whose tip is not in the log: the log lost a tail. `None` if
    /// it did not.
    pub lost_in: Option<Generation>,
}

/// Why a shard is not served. A person decides; data stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The log can't be read.
    #[error("recover shard {shard}")]
    Read {
        /// The shard.
        shard: ShardId,
        /// What failed.
        source: ReadError,
    },
    /// An entry stops the fold.
    #[error("recover")]
    Fold(#[source] FoldError),
    /// The log was trimmed and no snapshot reaches up to its start.
    #[error(
        "recover shard {shard}: its log starts at offset {start} and no snapshot passes its tip check; restore a backup"
    )]
    NoGround {
        /// The shard.
        shard: ShardId,
        /// The first entry that is there.
        start: Offset,
    },
}

/// Recovers a shard. Snapshots that are of no use are deleted, so that better ones are kept. What the shard
/// lets out on the way goes to `outbox`; a snapshot that has let out more than is safe there is of no use.
/// Without an outbox outputs are nobody's business.
///
/// # Errors
/// If the shard can't be served.
pub fn recover(
    log: &dyn Log,
    shard: ShardId,
    outbox: Option<&Outbox>,
) -> Result<Recovered, RecoveryError> {
    let read = |source| RecoveryError::Read { shard, source };
    let mut lost_in = None;
    let mut found = None;
    for next in log.snapshots(shard).map_err(read)? {
        match try_snapshot(log, shard, next, outbox).map_err(read)? {
            Trial::Passed(state) => {
                found = Some(*state);
                break;
            }
            Trial::TipNotInLog(generation) => {
                tracing::warn!(%shard, %next, "a snapshot's tip is not in the log: its tail was lost");
                lost_in = lost_in.max(Some(generation));
            }
            Trial::Useless => {
                tracing::info!(%shard, %next, "a snapshot is of no use to this build")
            }
        }
        log.drop_snapshot(shard, next);
    }
    let start = log.start(shard).map_err(read)?;
    let snapshot = found.as_ref().map(ShardState::next);
    let mut state = found.unwrap_or_else(|| ShardState::new(shard));
    if state.next() < start {
        return Err(RecoveryError::NoGround { shard, start });
    }
    let mut replayed = 0;
    loop {
        let entries = log.read(shard, state.next(), READ_BYTES).map_err(read)?;
        if entries.is_empty() {
            return Ok(Recovered { state, snapshot, replayed, lost_in });
        }
        for stored in entries {
            // Verdicts were answered when they first fell, or are asked for again.
            let folded = state.fold(&stored).map_err(RecoveryError::Fold)?;
            if let Some(outbox) = outbox {
                outbox.send(shard, folded.outputs);
            }
            replayed += 1;
        }
    }
}

enum Trial {
    Passed(Box<ShardState>),
    TipNotInLog(Generation),
    Useless,
}

fn try_snapshot(
    log: &dyn Log,
    shard: ShardId,
    next: Offset,
    outbox: Option<&Outbox>,
) -> Result<Trial, ReadError> {
    let Some(stored) = log.snapshot(shard, next)? else { return Ok(Trial::Useless) };
    let Ok(state) = ShardState::restore(log.id(), shard, &stored) else {
        return Ok(Trial::Useless);
    };
    if outbox.is_some_and(|outbox| state.windows().emitted() > outbox.merged().of(shard)) {
        return Ok(Trial::Useless);
    }
    let Some(tip) = state.tip() else { return Ok(Trial::Passed(Box::new(state))) };
    let entries = log.read(shard, tip.offset, ByteCount(0))?;
    let in_log = entries.first().is_some_and(|stored| {
        let generation = Entry::decode(&stored.entry).map(|entry| entry.generation);
        (stored.offset, stored.identity, generation)
            == (tip.offset, tip.identity, Ok(tip.generation))
    });
    if in_log {
        return Ok(Trial::Passed(Box::new(state)));
    }
    Ok(Trial::TipNotInLog(state.generation()))
}
