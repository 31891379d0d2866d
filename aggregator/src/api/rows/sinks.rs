//! What `sinks` answers.

use serde::{Deserialize, Serialize};

use super::Moment;
use crate::sink::SinkView;

/// A sink.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SinkRow {
    /// Its name.
    pub name: String,
    /// What it is: `parquet`.
    pub kind: String,
    /// `running`, `paused`, `failing` or `no room`.
    pub state: String,
    /// Where it writes.
    pub location: String,
    /// What may be claimed of its rows.
    pub claim: String,
    /// Records that were applied, are read, and are not written yet.
    pub waiting_records: u64,
    /// Entries of the log that it has not read.
    pub unread_entries: u64,
    /// Time of the oldest record that is not written, by the log's clock; `null` if there is none.
    pub oldest: Option<Moment>,
    /// Ranges of entries written since the aggregator started.
    pub ranges: u64,
    /// Rows written since the aggregator started.
    pub rows: u64,
    /// Bytes written since the aggregator started.
    pub bytes: u64,
    /// Files put together since the aggregator started.
    #[serde(default)]
    pub merged: u64,
    /// Why files that should be put together stay apart; `null` if none do.
    #[serde(default)]
    pub apart: Option<String>,
    /// What its last try failed at; `null` if it did not.
    pub error: Option<String>,
    /// When that was.
    pub error_at: Option<Moment>,
    /// Tries since it last wrote.
    pub tries: u32,
}

impl SinkRow {
    pub(crate) fn of(view: &SinkView) -> Self {
        Self {
            name: view.name.clone(),
            kind: view.kind.to_owned(),
            state: view.state.word().to_owned(),
            location: view.location.clone(),
            claim: view.claim.to_owned(),
            waiting_records: view.waiting_records,
            unread_entries: view.unread_entries,
            oldest: view.oldest_us.map(Moment),
            ranges: view.ranges,
            rows: view.rows,
            bytes: view.bytes,
            merged: view.merged,
            apart: view.apart.clone(),
            error: view.error.as_ref().map(|error| error.text.clone()),
            error_at: view.error.as_ref().map(|error| Moment(error.at_us)),
            tries: view.error.as_ref().map_or(0, |error| error.tries),
        }
    }
}
