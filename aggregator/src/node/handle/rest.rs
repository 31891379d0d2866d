//! What the history's files do not hold yet, as the API asks for it.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use headwater_protocol::identity::{LogId, Offset, ShardId};

use super::{NodeHandle, blocking};
use crate::history::{Rest, RestError, RestFile, Table};
use crate::limits::ByteCount;
use crate::log::Log;

/// A piece of the rest, shard by shard: where each stands comes first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum RestPiece {
    /// Files hold every entry of a shard before `cursor`; what follows is up to `end`.
    Shard { shard: ShardId, cursor: Offset, end: Offset },
    /// Rows of it.
    File(RestFile),
    /// Rows of a shard from a time of the log on are left out: there are more than were asked for.
    Cut { shard: ShardId, from_us: i64, entries: u64 },
}

/// Whose rest it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct HistoryPlace {
    /// The folder of the files.
    pub(crate) folder: PathBuf,
    /// The log that they are of.
    pub(crate) log: LogId,
}

impl NodeHandle {
    /// The history of this node. `None` if it keeps none.
    pub(crate) fn history_place(&self) -> Option<HistoryPlace> {
        let folder = self.stages.config.history.folder.clone()?;
        Some(HistoryPlace { folder, log: self.log_id() })
    }

    /// Tells, of each shard, where its files end and what of some tables comes after; files of `bytes_max` in all, and one
    /// more at most. On a thread for blocking work; `tell` may end it.
    ///
    /// # Errors
    /// If the log can't be read.
    pub(crate) async fn rest<Tell>(
        &self,
        tables: Vec<Table>,
        bytes_max: ByteCount,
        mut tell: Tell,
    ) -> Result<(), RestError>
    where
        Tell: FnMut(RestPiece) -> ControlFlow<()> + Send + 'static,
    {
        let stages = Arc::clone(&self.stages);
        let told = blocking(move || {
            let Some(sink) = stages.history_sink() else { return Ok(()) };
            let mut left = bytes_max.0;
            for shard in stages.log.shards().shards() {
                let unwritten = sink.unwritten(&*stages.log, shard)?;
                let mut rest = Rest::new(stages.log.id(), unwritten, tables.clone());
                let range = *rest.range();
                let place = RestPiece::Shard { shard, cursor: range.first, end: range.end };
                if tell(place).is_break() || shard_rest(&mut rest, &mut left, &mut tell)?.is_break()
                {
                    break;
                }
            }
            Ok(())
        });
        told.await.unwrap_or(Ok(()))
    }
}

fn shard_rest(
    rest: &mut Rest<'_>,
    left: &mut u64,
    tell: &mut impl FnMut(RestPiece) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, RestError> {
    loop {
        let (shard, entries) = (rest.range().shard, rest.unread());
        if entries > 0 && *left == 0 {
            let from_us = rest.range().clock_us;
            return Ok(tell(RestPiece::Cut { shard, from_us, entries }));
        }
        let Some(files) = rest.next_files()? else { return Ok(ControlFlow::Continue(())) };
        for file in files {
            *left = left.saturating_sub(file.bytes.len() as u64);
            if tell(RestPiece::File(file)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
    }
}
