//! What the merge fold says of a window once it is closed.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::identity::ShardId;
use headwater_protocol::record::Series;

use super::{Combination, Figures, Key};

/// A window that the merge fold closed: its first revision, which never changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClosedWindow {
    /// Where it begins: microseconds since 1970 UTC, a multiple of its length.
    pub start_us: i64,
    /// How long it is, in microseconds.
    pub length_us: i64,
    /// Shards that stayed away and are not in it; nearly always none.
    pub without: Vec<ShardId>,
    /// What was measured, in order of combination, key and series.
    pub rows: Vec<Row>,
}

impl ClosedWindow {
    /// Where the next window begins.
    #[must_use]
    pub fn end_us(&self) -> i64 {
        self.start_us.saturating_add(self.length_us)
    }
}

/// The figures of one series of one key in one window.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Row {
    /// What is added up by.
    pub combination: Arc<Combination>,
    /// The key of that combination.
    pub key: Arc<Key>,
    /// Labels to select rows by: of a device all that it said of itself, else the combination's own with
    /// the key's values.
    pub labels: Arc<BTreeMap<String, String>>,
    /// What was measured. Dimensions of a series (`mount`, `interface`) are never averaged away.
    pub series: Arc<Series>,
    /// The figures.
    pub figures: Figures,
    /// Devices that sent at least one of the samples.
    pub devices: u32,
    /// Devices of this key that are known: coverage is `devices` of `known`.
    pub known: u32,
}
