//! The history, as the API reads it.

use std::ops::ControlFlow;

use headwater_protocol::identity::{Offset, ShardId};

use super::NodeHandle;
use crate::fold::{AppliedBatch, Replay, ReplayError};
use crate::history::read::HistoryReader;

impl NodeHandle {
    /// The reader of the history's files. `None` where none are kept.
    #[must_use]
    pub fn history(&self) -> Option<HistoryReader> {
        self.stages.history.clone()
    }

    /// As [`NodeHandle::replay`], for who is off the async threads already.
    ///
    /// # Errors
    /// If the log can't be read.
    pub fn replay_here(
        &self,
        shard: ShardId,
        from: Offset,
        mut visit: impl FnMut(AppliedBatch) -> ControlFlow<()>,
    ) -> Result<(), ReplayError> {
        let mut replay = Replay::from(&*self.stages.log, shard, from)?;
        while let Some(applied) = replay.next_applied()? {
            if visit(applied).is_break() {
                break;
            }
        }
        Ok(())
    }
}
