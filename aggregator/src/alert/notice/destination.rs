//! One destination: what it was told, and what it is told next.

use std::sync::Arc;
use std::time::Duration;

use headwater_protocol::identity::LogId;
use tokio::sync::watch;

use super::post::{PostError, Poster};
use super::{Pace, body};
use crate::alert::board::AlertBoard;
use crate::alert::change::{AlertChange, ChangeKind};
use crate::alert::threshold::Severity;
use crate::api::chain;
use crate::clock::wall_us;
use crate::metrics::AlertMetrics;
use crate::registry::{NoticeCursor, Registry, RegistryError};
use crate::window::DEVICE;

/// Who is told.
#[derive(Debug)]
pub(super) enum Destination {
    /// Our own log.
    Log,
    Webhook(Arc<Poster>),
}

/// The task of a destination.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) name: String,
    pub(super) destination: Destination,
    pub(super) board: AlertBoard,
    pub(super) registry: Registry,
    pub(super) log: LogId,
    pub(super) pace: Pace,
    pub(super) metrics: AlertMetrics,
    pub(super) stopped: watch::Receiver<bool>,
}

/// What became of a notice.
enum Outcome {
    Taken,
    /// It was tried too often.
    Dead(PostError),
    /// The node stops; the notice is told after the next start.
    Stopped,
}

impl Task {
    pub(super) async fn run(mut self) {
        let mut changed = self.board.watch();
        let mut stopped = self.stopped.clone();
        // What there is to tell is known once the fold has shown itself.
        let shown = tokio::select! {
            shown = changed.wait_for(Option::is_some) => shown.map(|last| last.unwrap_or(0)),
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let Ok(last) = shown else { return };
        let mut cursor = self.begin(last);
        // Where it begins must outlive a restart before its first notice.
        self.save(&cursor).await;
        loop {
            let next = self.board.next_after(cursor.seq);
            if next.missed > 0 {
                self.skip(&mut cursor, next.missed).await;
                continue;
            }
            let Some(change) = next.change else {
                tokio::select! {
                    changed = changed.changed() => if changed.is_err() { return },
                    _ = stopped.wait_for(|stopped| *stopped) => return,
                }
                continue;
            };
            if self.is_told(&change) {
                match self.tell(&change).await {
                    Outcome::Taken => {
                        self.metrics.notice(&self.name, "sent");
                        (cursor.sent, cursor.fault) = (cursor.sent + 1, None);
                    }
                    Outcome::Dead(error) => {
                        self.metrics.notice(&self.name, "dead");
                        let (alert, error) = (change.alert.id, chain(&error));
                        tracing::error!(destination = %self.name, %alert, number = change.alert.number, %error, "a notice is given up");
                        (cursor.dead, cursor.fault) = (cursor.dead + 1, Some(error));
                    }
                    Outcome::Stopped => return,
                }
            }
            cursor.seq = change.seq;
            self.save(&cursor).await;
        }
    }

    /// Where it goes on. A destination that is new is told what changes from this start on; one of another
    /// log from its beginning.
    fn begin(&self, last: u64) -> NoticeCursor {
        let stored = self.registry.notice_cursor(&self.name).unwrap_or_else(|error| {
            tracing::error!(destination = %self.name, error = %chain(&error), "read how far notices are");
            None
        });
        match stored {
            Some(cursor) if cursor.log == self.log && cursor.seq <= last => cursor,
            Some(cursor) => {
                tracing::warn!(destination = %self.name, "alerts are counted anew: notices begin anew too");
                NoticeCursor { log: self.log, seq: 0, ..cursor }
            }
            None => NoticeCursor::new(self.log, self.board.first()),
        }
    }

    async fn skip(&self, cursor: &mut NoticeCursor, missed: u64) {
        tracing::error!(destination = %self.name, missed, "changes of alerts are not held any more: their notices are missing");
        cursor.seq += missed;
        cursor.missed += missed;
        self.metrics.missed(&self.name, missed);
        self.save(cursor).await;
    }

    /// Whether the threshold names this destination, or none. Our log is told everything.
    fn is_told(&self, change: &AlertChange) -> bool {
        let names = &change.alert.notify;
        matches!(self.destination, Destination::Log)
            || names.is_empty()
            || names.contains(&self.name)
    }

    async fn tell(&mut self, change: &AlertChange) -> Outcome {
        let id = change.alert.key.get(DEVICE).and_then(|id| id.parse().ok());
        let device = id.and_then(|id| self.registry.device(id).ok().flatten());
        let device = device.map(|device| device.name);
        let poster = match &self.destination {
            Destination::Log => {
                log(change, device.as_deref());
                return Outcome::Taken;
            }
            Destination::Webhook(poster) => Arc::clone(poster),
        };
        let (body, key) =
            (body::of(change, &self.name, device.as_deref()), change.idempotency_key());
        let mut stopped = self.stopped.clone();
        let mut tries = 1;
        loop {
            let unix_s = u64::try_from(wall_us() / 1_000_000).unwrap_or_default();
            let posted = tokio::select! {
                posted = poster.post(body.clone(), &key, unix_s) => posted,
                _ = stopped.wait_for(|stopped| *stopped) => return Outcome::Stopped,
            };
            let Err(error) = posted else { return Outcome::Taken };
            if tries >= self.pace.tries {
                return Outcome::Dead(error);
            }
            self.metrics.notice(&self.name, "failed");
            let wait = self.wait(tries);
            tracing::warn!(destination = %self.name, key, tries, error = %chain(&error), wait_seconds = wait.as_secs(), "a notice is not taken");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return Outcome::Stopped,
            }
            tries += 1;
        }
    }

    /// Anything up to twice as long as the time before: destinations that fail together do not come back
    /// together.
    fn wait(&self, tries: u32) -> Duration {
        let longest = self.pace.first.saturating_mul(1 << tries.saturating_sub(1).min(16));
        let longest = longest.min(self.pace.most);
        let mut random = [0; 4];
        // Without randomness everybody waits the longest time, which is long enough.
        let share = getrandom::fill(&mut random).map_or(u32::MAX, |()| u32::from_le_bytes(random));
        longest.mul_f64(f64::from(share) / f64::from(u32::MAX))
    }

    async fn save(&self, cursor: &NoticeCursor) {
        let (registry, name, cursor) = (self.registry.clone(), self.name.clone(), cursor.clone());
        let saved = tokio::task::spawn_blocking(move || registry.set_notice_cursor(&name, &cursor));
        let failed = |error: RegistryError| {
            tracing::error!(destination = %self.name, error = %chain(&error), "note how far notices are: they may come again");
        };
        if let Ok(Err(error)) = saved.await {
            failed(error);
        }
    }
}

/// One line of our log.
fn log(change: &AlertChange, device: Option<&str>) {
    let alert = &change.alert;
    let words = body::summary(alert, device);
    let (id, number, severity) = (alert.id, alert.number, alert.severity.word());
    let (change, is_worse) = (change.kind.word(), change.kind != ChangeKind::Cleared);
    let (threshold, value, limit) = (&alert.rule.name, alert.value, alert.limit);
    match alert.severity {
        Severity::Crit | Severity::Warn if is_worse => {
            tracing::warn!(alert = %id, number, change, threshold, severity, %value, %limit, "{}", words.escape_debug());
        }
        Severity::Crit | Severity::Warn => {
            tracing::info!(alert = %id, number, change, threshold, severity, %value, %limit, "{}", words.escape_debug());
        }
    }
}
