//! Where a sink stands, for whoever reads what it wrote.

use headwater_protocol::identity::{Offset, ShardId};

use super::store::{SinkStore, StoreError};
use crate::limits::ByteCount;
use crate::log::{Log, ReadError};

/// Why it is not known where a sink stands.
#[derive(Debug, thiserror::Error)]
pub enum CursorError {
    /// What is written down can't be read.
    #[error("find where a sink stands")]
    Store(#[source] StoreError),
    /// The log can't be read.
    #[error("find where a sink stands")]
    Log(#[source] ReadError),
}

/// Behind the last range that a sink wrote of a shard and that the log still has: what lies before it is at its destination for
/// good. 0 if there is none.
///
/// # Errors
/// If it can't be found out.
pub fn cursor(
    store: &SinkStore,
    sink: &str,
    log: &dyn Log,
    shard: ShardId,
) -> Result<Offset, CursorError> {
    let start = log.start(shard).map_err(CursorError::Log)?;
    let mut unreadable = None;
    let last = store.newest(sink, shard, |range| {
        let at = Offset(range.end.0.saturating_sub(1));
        // What the log has trimmed can't be lost any more.
        if at < start {
            return true;
        }
        match log.read(shard, at, ByteCount(0)) {
            Ok(entries) => {
                entries.first().is_some_and(|it| (it.offset, it.identity) == (at, range.tip))
            }
            Err(error) => {
                unreadable.get_or_insert(error);
                true
            }
        }
    });
    let last = last.map_err(CursorError::Store)?;
    match unreadable {
        Some(error) => Err(CursorError::Log(error)),
        None => Ok(last.map_or(Offset(0), |range| range.end)),
    }
}
