//! Lines of the rest.

use serde::Serialize;

use super::Moment;

/// A line of the rest of the history.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RestRow {
    /// Whose it is.
    History {
        /// The folder of the files.
        folder: String,
        /// The log's id.
        log: String,
        /// Tables that follow the log's shards: of others nothing is told here.
        tables: Vec<&'static str>,
    },
    /// Files hold every entry of a shard before `cursor`; what follows is from there up to `end`.
    Shard {
        /// The shard.
        shard: u16,
        /// Where its files end.
        cursor: u64,
        /// Where its log ends.
        end: u64,
    },
    /// So many bytes of Parquet come next.
    File {
        /// The folder in which its rows will lie, below that of the history.
        folder: String,
        /// Its rows.
        rows: u64,
        /// Its bytes.
        bytes: u64,
    },
    /// Rows of a shard are left out.
    Cut {
        /// The shard.
        shard: u16,
        /// From this time of the log on.
        from: Moment,
        /// Entries of the log that were not read.
        entries: u64,
    },
    /// Everything was said.
    Done {},
}
