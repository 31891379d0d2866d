//! Alerts and thresholds in JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Moment;
use crate::alert::{Alert, AlertState, Threshold};

/// An alert.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AlertRow {
    /// Which one: the same in every replay.
    pub id: String,
    /// Name of the threshold.
    pub threshold: String,
    /// `warn` or `crit`.
    pub severity: String,
    /// `pending`, `firing` or `cleared`.
    pub state: String,
    /// Name of the device, when the key is one; its id where the name is not known.
    pub device: Option<String>,
    /// The key: labels with their values.
    pub key: BTreeMap<String, String>,
    /// The metric.
    pub metric: String,
    /// Dimensions of the series.
    pub labels: BTreeMap<String, String>,
    /// The last number that counted, as decimal text.
    pub value: String,
    /// The limit that it passed.
    pub limit: String,
    /// Start of the window in which it began.
    pub began: Moment,
    /// End of the window in which it last changed.
    pub changed: Moment,
    /// The revision of the thresholds when it last changed.
    pub revision: u64,
    /// Why these limits.
    pub note: Option<String>,
    /// Where it says what to do.
    pub runbook: Option<String>,
    /// End of the last window that said anything of it: later ones have no data.
    pub seen: Moment,
    /// Whose threshold it is.
    pub owner: String,
    /// Why it is over: `came back`, `rule removed` or `out of scope`; `null` while it is open.
    pub reason: Option<String>,
}

impl AlertRow {
    /// The row of an alert; `device_name` finds names of devices by their ids.
    #[must_use]
    pub fn of(alert: &Alert, device_name: impl Fn(&str) -> Option<String>) -> Self {
        let (state, reason) = match alert.state {
            AlertState::Pending => ("pending", None),
            AlertState::Firing => ("firing", None),
            AlertState::Cleared(reason) => ("cleared", Some(reason.words().to_owned())),
        };
        let device = alert.key.get(crate::window::DEVICE);
        Self {
            id: alert.id.to_string(),
            threshold: alert.rule.name.clone(),
            severity: alert.severity.word().to_owned(),
            state: state.to_owned(),
            device: device.map(|id| device_name(id).unwrap_or_else(|| id.clone())),
            key: alert.key.clone(),
            metric: alert.metric.clone(),
            labels: alert.labels.clone(),
            value: alert.value.to_string(),
            limit: alert.limit.to_string(),
            began: Moment(alert.began_us),
            changed: Moment(alert.changed_us),
            revision: alert.revision,
            note: alert.note.clone(),
            runbook: alert.runbook.clone(),
            seen: Moment(alert.seen_us),
            owner: alert.rule.owner.clone(),
            reason,
        }
    }
}

/// The thresholds that hold, and those that will.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ThresholdsView {
    /// The newest revision. 0 if nothing was published.
    pub revision: u64,
    /// The start of the first window that it holds for.
    pub from: Moment,
    /// When it was published.
    pub published: Moment,
    /// Who published it.
    pub actor: String,
    /// What for.
    pub message: Option<String>,
    /// The revision that held for the last window.
    pub in_force: u64,
    /// The thresholds of the newest revision.
    pub thresholds: Vec<ThresholdRow>,
}

/// A threshold.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ThresholdRow {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub owner: String,
    /// `firing`, `pending`, `ok`, or `no data yet`.
    pub state: String,
    /// Alerts that fire.
    pub firing: u64,
    /// Alerts that may come.
    pub pending: u64,
    /// Series that are not watched because there are too many.
    pub not_watched: u64,
    /// End of the last window that had anything to watch; `null`: no data yet.
    pub seen: Option<Moment>,
    /// What is measured.
    pub metric: String,
    /// The labels whose keys are watched.
    pub by: Vec<String>,
    /// Only series with this dimension.
    pub per: Option<String>,
    /// `mean`, `min`, `max`, `sum` or `count`.
    pub stat: String,
    /// Over how many seconds; `null`: the base window.
    pub window_seconds: Option<u64>,
    /// `above` or `below`.
    pub when: String,
    /// The limit of `warn`, as decimal text.
    pub warn: Option<String>,
    /// The limit of `crit`.
    pub crit: Option<String>,
    /// What it must come back to.
    pub clear: String,
    /// How long a limit must be passed.
    pub for_seconds: u64,
    /// After a silence this long what is pending starts over.
    pub no_data_seconds: u64,
    /// Conditions on labels.
    #[serde(rename = "where")]
    pub conditions: String,
    /// What is left out.
    pub exclude: Vec<String>,
    /// Why these numbers.
    pub note: Option<String>,
    /// Where it says what to do.
    pub runbook: Option<String>,
    /// Names of the webhooks that are told. Empty: all.
    pub notify: Vec<String>,
}

impl ThresholdRow {
    /// The row of a threshold, without what it does at present.
    #[must_use]
    pub fn of(rule: &Threshold) -> Self {
        use crate::alert::Severity::{Crit, Warn};
        let seconds = |micros: i64| u64::try_from(micros / 1_000_000).unwrap_or_default();
        let limit = |severity| rule.limits.of(severity).map(|limit| limit.to_string());
        Self {
            name: rule.name.name.clone(),
            owner: rule.name.owner.clone(),
            state: "no data yet".to_owned(),
            firing: 0,
            pending: 0,
            not_watched: 0,
            seen: None,
            metric: rule.scope.metric.clone(),
            by: rule.scope.by.clone(),
            per: rule.scope.per.clone(),
            stat: rule.stat.word().to_owned(),
            window_seconds: rule.window_us.map(seconds),
            when: rule.limits.when().word().to_owned(),
            warn: limit(Warn),
            crit: limit(Crit),
            clear: rule.limits.clear().to_string(),
            for_seconds: seconds(rule.for_us),
            no_data_seconds: seconds(rule.no_data_us),
            conditions: rule.scope.selector.to_string(),
            exclude: rule.scope.exclude.iter().map(ToString::to_string).collect(),
            note: rule.note.clone(),
            runbook: rule.runbook.clone(),
            notify: rule.notify.clone(),
        }
    }
}

/// A destination of notices.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NoticeRow {
    /// Name of the webhook, or `log`.
    pub destination: String,
    /// Changes that it was not told yet.
    pub waiting: u64,
    /// Notices that were taken.
    pub sent: u64,
    /// Notices that were given up.
    pub dead: u64,
    /// Changes that were not held any more when their turn came.
    pub missed: u64,
    /// What was wrong the last time that a notice was given up; `null` if one was taken since.
    pub fault: Option<String>,
}

/// Thresholds to apply: the text of a file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdsWish {
    /// The file's name, for places of mistakes.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Whether thresholds of the same owner that the file does not name are removed.
    pub prune: bool,
    /// Whether only to say what would change.
    pub dry_run: bool,
    /// What for.
    pub message: Option<String>,
    /// The revision that was looked at; another one in the meantime is a conflict. `null`: any.
    pub revision: Option<u64>,
}

/// What applying a file changed, or would change.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AppliedRow {
    /// The newest revision now; of a dry run, the one it would change.
    pub revision: u64,
    /// Whether it was published: a dry run and a file that changes nothing are not.
    pub published: bool,
    /// The start of the first window that the revision holds for.
    pub from: Moment,
    /// Whose thresholds the file has.
    pub owner: String,
    /// What changes, in order of names.
    pub changes: Vec<RuleChangeRow>,
    /// What is not wrong and should be known.
    pub warnings: Vec<String>,
}

/// One threshold that changes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RuleChangeRow {
    /// `added`, `changed` or `removed`.
    pub change: String,
    /// Its name.
    pub name: String,
    /// What is different, such as `warn 0.8 → 0.85`.
    pub details: Vec<String>,
}
