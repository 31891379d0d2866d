//! Alerts and thresholds, as the API and the console ask for them.

use std::collections::BTreeSet;

use headwater_protocol::identity::DeviceId;

use super::{NodeHandle, actor, blocking};
use crate::alert::Alert;
use crate::alert::notice::LOG;
use crate::api::rows::{AlertRow, Moment, NoticeRow, ThresholdRow, ThresholdsView};
use crate::node::alerting::{Applied, ApplyError, ApplyRequest};
use crate::registry::{NoticeCursor, RegistryError};

impl NodeHandle {
    /// Alerts that fire, the worst first, then those that are pending.
    #[must_use]
    pub fn alerts(&self) -> Vec<AlertRow> {
        self.rows(&self.stages.alerting.board().open())
    }

    /// Alerts that ended, the last one first; only so many are kept.
    #[must_use]
    pub fn ended_alerts(&self) -> Vec<AlertRow> {
        self.rows(&self.stages.alerting.board().ended())
    }

    /// Alerts of a device: what fires, the worst first, what is pending, then what ended.
    #[must_use]
    pub fn device_alerts(&self, id: DeviceId) -> Vec<AlertRow> {
        self.rows(&self.stages.alerting.board().of_device(&id.to_string()))
    }

    /// The number of the last change of an alert. 0 if there was none.
    #[must_use]
    pub fn last_alert_change(&self) -> u64 {
        self.stages.alerting.board().last()
    }

    fn rows(&self, alerts: &[Alert]) -> Vec<AlertRow> {
        if alerts.is_empty() {
            return Vec::new();
        }
        let names = self.names();
        let name = |id: &str| id.parse().ok().and_then(|id| names.get(&id).cloned());
        alerts.iter().map(|alert| AlertRow::of(alert, name)).collect()
    }

    /// Every destination of notices, and how far it is.
    ///
    /// # Errors
    /// If cursors can't be read.
    pub async fn notices(&self) -> Result<Vec<NoticeRow>, RegistryError> {
        let last = self.stages.alerting.board().last();
        let webhooks = self.stages.config.alert.webhooks.iter();
        let mut names: Vec<String> = webhooks.map(|webhook| webhook.name.clone()).collect();
        names.push(LOG.to_owned());
        let registry = self.stages.registry.clone();
        let read = move || {
            let rows = names.into_iter().map(|destination| {
                let cursor = registry.notice_cursor(&destination)?;
                let told = |of: fn(&NoticeCursor) -> u64| cursor.as_ref().map_or(0, of);
                Ok(NoticeRow {
                    waiting: cursor.as_ref().map_or(0, |cursor| last.saturating_sub(cursor.seq)),
                    sent: told(|cursor| cursor.sent),
                    dead: told(|cursor| cursor.dead),
                    missed: told(|cursor| cursor.missed),
                    fault: cursor.and_then(|cursor| cursor.fault),
                    destination,
                })
            });
            rows.collect()
        };
        blocking(read).await.unwrap_or_else(|| Ok(Vec::new()))
    }

    /// The newest thresholds, and what each does at present.
    ///
    /// # Errors
    /// If they can't be read.
    pub async fn thresholds(&self) -> Result<ThresholdsView, RegistryError> {
        let alerting = self.stages.alerting.clone();
        let newest =
            blocking(move || alerting.newest()).await.unwrap_or_else(|| Ok(<_>::default()));
        let (newest, board) = (newest?, self.stages.alerting.board());
        let row = |rule| {
            let row = ThresholdRow::of(rule);
            let state = board.rule_state(&rule.name);
            let word = match state.seen_us {
                _ if state.firing > 0 => "firing",
                _ if state.pending > 0 => "pending",
                Some(_) => "ok",
                None => "no data yet",
            };
            ThresholdRow {
                state: word.to_owned(),
                firing: state.firing as u64,
                pending: state.pending as u64,
                not_watched: state.turned_away,
                seen: state.seen_us.map(Moment),
                ..row
            }
        };
        Ok(ThresholdsView {
            revision: newest.revision,
            from: Moment(newest.from_us),
            published: Moment(newest.published_us),
            actor: newest.actor.clone(),
            message: newest.message.clone(),
            in_force: board.revisions().1,
            thresholds: newest.rules.iter().map(row).collect(),
        })
    }

    /// Applies a file of thresholds, or says what it would change.
    ///
    /// # Errors
    /// Every mistake of the file at once; then nothing is changed.
    pub async fn apply_thresholds(
        &self,
        request: ApplyRequest,
        actor_name: &str,
    ) -> Result<Applied, ApplyError> {
        let devices = self.devices().await;
        let latest = devices.iter().flat_map(|device| &device.latest);
        let metrics: BTreeSet<String> = latest.map(|latest| latest.series.metric.clone()).collect();
        let (alerting, actor) = (self.stages.alerting.clone(), actor(actor_name));
        let applied = blocking(move || alerting.apply(&request, &actor, &metrics)).await;
        applied.ok_or(ApplyError::Stopping)?
    }
}
