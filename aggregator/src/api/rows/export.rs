//! A file that is put together again, piece by piece.

use serde::{Deserialize, Serialize};

use super::Moment;

/// The next thing of a file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportRow {
    /// A run begins.
    Run(RunRow),
    /// Bytes that come next, in base64.
    Bytes(String),
    /// Bytes that would come next and are not there.
    Hole(HoleRow),
}

/// A run of a path: what was read from where a file began anew.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RunRow {
    /// Which of the path's runs, in the order in which they were read, from 1.
    pub number: u32,
    /// How many runs the path has.
    pub of: u32,
    /// The stream: source and run.
    pub stream: String,
    /// When its first line was read that is wanted.
    pub first: Moment,
    /// When the last one was.
    pub last: Moment,
}

/// Bytes of a run that are not there.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct HoleRow {
    /// Where they begin in the run.
    pub start: u64,
    /// Where they end; the same as `start` for what was gone before it was known where it stood.
    pub end: u64,
    /// Why, in the ledger's word; `not-stored` if no row says anything of them.
    pub cause: String,
    /// Lines that had been read, as the gap declares them.
    pub records: u64,
    /// Bytes that were gone before they could be read, as the gap declares them.
    pub bytes: u64,
}
