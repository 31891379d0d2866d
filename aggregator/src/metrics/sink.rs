//! What sinks count.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What sinks count, by name.
#[derive(Clone, Debug)]
pub struct SinkMetrics {
    /// Ranges written.
    pub ranges: Family<SinkLabel, Counter>,
    /// Rows written.
    pub rows: Family<SinkLabel, Counter>,
    /// Bytes that they take at their destination.
    pub bytes: Family<SinkLabel, Counter>,
    /// Time spent on writing.
    pub write_seconds: Family<SinkLabel, Counter<f64, AtomicU64>>,
    /// Pieces that were taken back because the log lost what they hold.
    pub withdrawn: Family<SinkLabel, Counter>,
    /// Pieces that were deleted as they are not kept any longer.
    pub expired: Family<SinkLabel, Counter>,
    /// Pieces that were put together.
    pub merged: Family<SinkLabel, Counter>,
    /// Bytes that they took.
    pub merged_before: Family<SinkLabel, Counter>,
    /// Bytes of what they became.
    pub merged_after: Family<SinkLabel, Counter>,
    /// Age of the oldest record that is not written.
    pub lag_seconds: Family<SinkLabel, Gauge<f64, AtomicU64>>,
    /// Tries that failed, by what stood in the way.
    pub errors: Family<SinkErrorLabel, Counter>,
}

/// A sink.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct SinkLabel {
    /// Its name.
    pub sink: String,
}

/// A sink, and what stood in its way.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct SinkErrorLabel {
    /// Its name.
    pub sink: String,
    /// `write`, `log`, `store`, `merge` or `expire`.
    pub kind: &'static str,
}

impl SinkMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            ranges: Family::default(),
            rows: Family::default(),
            bytes: Family::default(),
            write_seconds: Family::default(),
            withdrawn: Family::default(),
            expired: Family::default(),
            merged: Family::default(),
            merged_before: Family::default(),
            merged_after: Family::default(),
            lag_seconds: Family::default(),
            errors: Family::default(),
        };
        registry.register("ranges", "Ranges written", metrics.ranges.clone());
        registry.register("rows", "Rows written", metrics.rows.clone());
        let bytes = metrics.bytes.clone();
        registry.register_with_unit("written", "Written at the destination", Unit::Bytes, bytes);
        let write = metrics.write_seconds.clone();
        registry.register_with_unit("write", "Time spent on writing", Unit::Seconds, write);
        let help = "Pieces taken back, as the log lost what they hold";
        registry.register("withdrawn", help, metrics.withdrawn.clone());
        let help = "Pieces deleted, as they are not kept any longer";
        registry.register("expired", help, metrics.expired.clone());
        metrics.register_merges(registry);
        let lag = metrics.lag_seconds.clone();
        let help = "Age of the oldest record that is not written";
        registry.register_with_unit("lag", help, Unit::Seconds, lag);
        registry.register(
            "errors",
            "Tries that failed, by what stood in the way",
            metrics.errors.clone(),
        );
        metrics
    }

    fn register_merges(&self, registry: &mut Registry) {
        registry.register("merged", "Pieces put together", self.merged.clone());
        let (before, after) = (self.merged_before.clone(), self.merged_after.clone());
        let help = "Bytes of pieces that were put together";
        registry.register_with_unit("merged_before", help, Unit::Bytes, before);
        let help = "Bytes of what pieces became that were put together";
        registry.register_with_unit("merged_after", help, Unit::Bytes, after);
    }
}
