//! The way from the shard folds to the merge fold, and the word back that an output is safe there.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headwater_protocol::identity::ShardId;

use super::driver::Input;
use crate::window::{Output, Position};

/// Up to where each shard's outputs are durable in the merge log and folded.
///
/// Shared by the merge thread, which writes, and the fold workers, which look before they save a snapshot
/// that says more: a message would come too late or hold the one up that waits for the other.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    shared: Arc<(Mutex<BTreeMap<ShardId, Position>>, Condvar)>,
}

impl Merged {
    /// Up to where a shard's outputs are safe. `None` if none is.
    #[must_use]
    pub fn of(&self, shard: ShardId) -> Option<Position> {
        let (positions, _) = &*self.shared;
        positions.lock().unwrap_or_else(PoisonError::into_inner).get(&shard).copied()
    }

    /// Waits until a shard's outputs are safe up to a position. `false` if they are not in time.
    #[must_use]
    pub fn wait(&self, shard: ShardId, until: Position, longest: Duration) -> bool {
        let (positions, changed) = &*self.shared;
        let deadline = Instant::now() + longest;
        let mut positions = positions.lock().unwrap_or_else(PoisonError::into_inner);
        while positions.get(&shard) < Some(&until) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = changed.wait_timeout(positions, left);
            positions = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(super) fn note(&self, shard: ShardId, at: Position) {
        let (positions, changed) = &*self.shared;
        positions.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, at);
        changed.notify_all();
    }
}

/// Where a fold worker puts what its shards let out.
#[derive(Clone, Debug)]
pub struct Outbox {
    pub(super) inputs: SyncSender<Input>,
    pub(super) merged: Merged,
}

impl Outbox {
    /// Hands outputs of one entry over, in order; waits while the merge fold has too much to do.
    pub fn send(&self, shard: ShardId, outputs: Vec<Output>) {
        if !outputs.is_empty() {
            let since = Instant::now();
            // The merge fold has stopped: the next start tells it all from the log.
            drop(self.inputs.send(Input::Outputs { shard, outputs, since }));
        }
    }

    /// Up to where outputs are safe.
    #[must_use]
    pub fn merged(&self) -> &Merged {
        &self.merged
    }
}
