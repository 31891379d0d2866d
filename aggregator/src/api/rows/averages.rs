//! Averages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Moment;

/// Averages of a metric by key.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct ExploreRow {
    /// The metric.
    pub metric: String,
    /// Labels that it is averaged by.
    pub by: Vec<String>,
    /// Windows begin here at the earliest.
    pub from: Moment,
    /// Windows begin before this.
    pub to: Moment,
    /// How long each window is.
    pub window_seconds: u64,
    /// In order of key and series.
    pub rows: Vec<AverageRow>,
}

/// The average of one series of one key, over all closed windows of the span.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AverageRow {
    /// The values of the labels; of the device its name.
    pub key: BTreeMap<String, String>,
    /// Dimensions of the series, which are never averaged away.
    pub labels: BTreeMap<String, String>,
    /// Decimal digits of `sum`, `min` and `max` after the point.
    pub scale: u8,
    /// How many samples.
    pub samples: u64,
    /// Their exact sum, times ten to the power of `scale`: an integer as text, since it may be longer than
    /// 64 bits.
    pub sum: String,
    /// The smallest, times ten to the power of `scale`.
    pub min: i64,
    /// The largest, times ten to the power of `scale`.
    pub max: i64,
    /// The average as a decimal, rounded to two digits more than the samples have.
    pub mean: String,
    /// The quantiles that were asked for, within 1 %, times ten to the power of `scale`; `null` where they are not kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quantiles: BTreeMap<String, Option<i64>>,
    /// Devices that sent samples, in the window where most did.
    pub devices: u32,
    /// Devices of this key that were known, in the window where most were.
    pub known: u32,
    /// Share of the known devices that sent, over all windows.
    pub coverage: f64,
    /// Each window, if that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<AverageWindowRow>,
}

/// One window of an average.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct AverageWindowRow {
    /// Where it begins.
    pub start: Moment,
    /// 1 for the first revision; later ones hold what came late.
    pub revision: u32,
    /// How many samples.
    pub samples: u64,
    /// Their exact sum, as above.
    pub sum: String,
    /// The average, as above.
    pub mean: String,
    /// Quantiles, as above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quantiles: BTreeMap<String, Option<i64>>,
    /// The smallest.
    pub min: i64,
    /// The largest.
    pub max: i64,
    /// Devices that sent samples.
    pub devices: u32,
    /// Devices of this key that were known.
    pub known: u32,
}
