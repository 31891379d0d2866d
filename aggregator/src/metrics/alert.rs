//! What alerts and their notices count.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What alerts count.
#[derive(Clone, Debug)]
pub struct AlertMetrics {
    /// Notices by destination and result.
    pub notices: Family<NoticeLabel, Counter>,
}

/// What became of a notice: as many series as there are webhooks, times four.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct NoticeLabel {
    /// Name of the webhook, or `log`.
    pub destination: String,
    /// `sent`, `failed` (it is tried again), `dead` (it is not) or `missed` (too far behind).
    pub result: &'static str,
}

impl AlertMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self { notices: Family::default() };
        let help = "Notices by destination and result";
        registry.register("notices", help, metrics.notices.clone());
        metrics
    }

    /// Counts what became of a notice.
    pub fn notice(&self, destination: &str, result: &'static str) {
        self.add(destination, result, 1);
    }

    /// Counts changes that a destination was too far behind for.
    pub fn missed(&self, destination: &str, count: u64) {
        self.add(destination, "missed", count);
    }

    fn add(&self, destination: &str, result: &'static str, count: u64) {
        let label = NoticeLabel { destination: destination.to_owned(), result };
        self.notices.get_or_create(&label).inc_by(count);
    }
}
