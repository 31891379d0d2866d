//! What the merge fold counts.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// What the merge fold counts.
#[derive(Clone, Debug)]
pub struct MergeMetrics {
    /// Entries of its log that it folded.
    pub entries: Counter,
    /// Windows whose first revision was made.
    pub windows: Counter,
    /// From the moment in which a shard's watermark passed a window's end to its average being readable,
    /// for the shard that was waited for last.
    pub visible_seconds: Histogram,
}

impl MergeMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            entries: Counter::default(),
            windows: Counter::default(),
            visible_seconds: super::seconds(),
        };
        registry.register("entries", "Entries of the merge log folded", metrics.entries.clone());
        registry.register("windows", "Windows closed", metrics.windows.clone());
        let help = "From the watermark at a window's end to its average being readable";
        let visible = metrics.visible_seconds.clone();
        registry.register_with_unit("visible", help, Unit::Seconds, visible);
        metrics
    }
}
