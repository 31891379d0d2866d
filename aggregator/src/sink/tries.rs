//! What any sink notes of its tries: counts, its view, how long it waits after an error.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::destination::Written;
use super::view::{SinkError, SinkState, SinkView};
use crate::api::chain;
use crate::clock::wall_us;
use crate::metrics::{SinkErrorLabel, SinkLabel, SinkMetrics};

/// The longest first wait after an error; each later one may be twice as long.
const WAIT_FIRST: Duration = Duration::from_millis(500);
/// The longest wait after an error.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What a sink notes of itself.
#[derive(Debug)]
pub struct Tries {
    name: String,
    view: Arc<Mutex<SinkView>>,
    metrics: SinkMetrics,
    /// Since it last wrote.
    failed: u32,
}

impl Tries {
    /// Of a sink that has not tried anything.
    #[must_use]
    pub fn new(view: Arc<Mutex<SinkView>>, metrics: SinkMetrics) -> Self {
        let name = view.lock().unwrap_or_else(PoisonError::into_inner).name.clone();
        Self { name, view, metrics, failed: 0 }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it counts.
    #[must_use]
    pub fn metrics(&self) -> &SinkMetrics {
        &self.metrics
    }

    /// What it shows.
    pub fn view(&self) -> MutexGuard<'_, SinkView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The label of its metrics.
    #[must_use]
    pub fn label(&self) -> SinkLabel {
        SinkLabel { sink: self.name.clone() }
    }

    /// Something is written.
    pub fn note_written(&mut self, written: &Written, took: Duration) {
        let (label, metrics) = (self.label(), &self.metrics);
        metrics.rows.get_or_create(&label).inc_by(written.rows);
        metrics.bytes.get_or_create(&label).inc_by(written.bytes);
        metrics.ranges.get_or_create(&label).inc();
        metrics.write_seconds.get_or_create(&label).inc_by(took.as_secs_f64());
        if self.failed > 0 {
            tracing::info!(sink = self.name, tries = self.failed, "the sink writes again");
        }
        self.failed = 0;
        let mut view = self.view();
        view.ranges += 1;
        view.rows += written.rows;
        view.bytes += written.bytes;
        view.error = None;
    }

    /// Something stands in its way. `kind` is one word for a label.
    pub fn note_failed(&mut self, kind: &'static str, error: &dyn std::error::Error) {
        self.failed = self.failed.saturating_add(1);
        let (text, tries) = (chain(error), self.failed);
        if tries == 1 {
            let sink = &self.name;
            tracing::warn!(sink, error = text, "the sink does not go on; it tries again");
        }
        let label = SinkErrorLabel { sink: self.name.clone(), kind };
        self.metrics.errors.get_or_create(&label).inc();
        self.view().error = Some(SinkError { text, at_us: wall_us(), tries });
    }

    /// Pieces were deleted that are not kept any longer, or could not be: that is in nobody's way.
    pub fn note_expired<E: std::error::Error>(&self, expired: Result<u64, E>) {
        match expired {
            Ok(0) => {}
            Ok(pieces) => _ = self.metrics.expired.get_or_create(&self.label()).inc_by(pieces),
            Err(error) => {
                let (sink, text) = (self.name.as_str(), chain(&error));
                let label = SinkErrorLabel { sink: self.name.clone(), kind: "expire" };
                if self.metrics.errors.get_or_create(&label).inc() == 0 {
                    tracing::warn!(
                        sink,
                        error = text,
                        "what is not kept any longer can't be deleted"
                    );
                }
            }
        }
    }

    /// How long it waits until it tries again: a random time, so that sinks of many nodes do not come back to a destination
    /// at one moment.
    #[must_use]
    pub fn wait(&self) -> Duration {
        let most = WAIT_FIRST.saturating_mul(1 << self.failed.min(10)).min(WAIT_MAX);
        let random = getrandom::u32().unwrap_or(u32::MAX);
        most.mul_f64((f64::from(random) / f64::from(u32::MAX)).max(0.05))
    }

    /// Shows how it is. `oldest_us`: since when something waits.
    pub fn show(&self, state: SinkState, oldest_us: Option<i64>) {
        let age_us = oldest_us.map_or(0, |oldest_us| wall_us().saturating_sub(oldest_us).max(0));
        #[expect(clippy::cast_precision_loss, reason = "an age in seconds")]
        self.metrics.lag_seconds.get_or_create(&self.label()).set(age_us as f64 / 1e6);
        let mut view = self.view();
        view.state = state;
        view.oldest_us = oldest_us;
    }
}
