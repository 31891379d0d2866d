//! Alerts and their changes, as they are shown and told.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::decimal::Decimal;
use super::rules::RuleName;
use super::threshold::Severity;
use super::tracked::Subject;

/// Which alert it is: a function of threshold, owner, key, series and the window in which it began, so
/// that every replay makes the same one.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct AlertId([u8; 8]);

impl AlertId {
    pub(super) fn new(rule: &RuleName, by: &[String], subject: &Subject, began_us: i64) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut word = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        word(&rule.name);
        word(&rule.owner);
        by.iter().for_each(|label| word(label));
        // Lists of any length end where a length begins that no text has.
        word(if subject.is_other { "other keys" } else { "key" });
        subject.key.iter().for_each(|(label, value)| {
            word(label);
            word(value);
        });
        word(&subject.metric);
        subject.labels.iter().for_each(|(label, value)| {
            word(label);
            word(value);
        });
        let lengths = [by.len(), subject.key.len(), subject.labels.len()];
        lengths.iter().for_each(|length| _ = hasher.update(&(*length as u64).to_le_bytes()));
        hasher.update(&[subject.scale]);
        hasher.update(&began_us.to_le_bytes());
        let mut id = [0; 8];
        hasher.finalize_xof().fill(&mut id);
        Self(id)
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

/// Where an alert stands.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum AlertState {
    /// Its limit is passed, not for long enough yet.
    Pending,
    /// It is one.
    Firing,
    /// It is over.
    Cleared(EndReason),
}

/// Why an alert is over.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum EndReason {
    /// What is measured came back.
    CameBack,
    /// Its threshold was removed, or watches something else now.
    RuleRemoved,
    /// Its labels do not fit the threshold's conditions any more.
    OutOfScope,
}

impl EndReason {
    /// The words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::CameBack => "came back",
            Self::RuleRemoved => "rule removed",
            Self::OutOfScope => "out of scope",
        }
    }
}

/// An alert as it stands, or stood.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Alert {
    /// Which one.
    pub id: AlertId,
    /// By which threshold.
    pub rule: RuleName,
    /// Where it stands.
    pub state: AlertState,
    /// How bad it is; while it is pending, how bad it will be.
    pub severity: Severity,
    /// The key: labels of the combination with their values.
    pub key: BTreeMap<String, String>,
    /// The metric.
    pub metric: String,
    /// Dimensions of the series.
    pub labels: BTreeMap<String, String>,
    /// The last number that counted, rounded for people.
    pub value: Decimal,
    /// The limit that it passed.
    pub limit: Decimal,
    /// Start of the window in which it began, microseconds since 1970 UTC.
    pub began_us: i64,
    /// End of the window in which it last changed.
    pub changed_us: i64,
    /// End of the last window that said anything of it.
    pub seen_us: i64,
    /// How often it changed: the number of the last change.
    pub number: u32,
    /// The revision of the rules when it last changed.
    pub revision: u64,
    /// Why these limits.
    pub note: Option<String>,
    /// Where it says what to do.
    pub runbook: Option<String>,
    /// Names of the webhooks that are told. Empty: all.
    pub notify: Vec<String>,
}

/// What changed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ChangeKind {
    /// It is an alert now.
    Fired,
    /// It got worse.
    Rose,
    /// It is not as bad any more.
    Fell,
    /// It is over.
    Cleared,
}

impl ChangeKind {
    /// The word in logs and rows.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Rose => "rose",
            Self::Fell => "fell",
            Self::Cleared => "cleared",
        }
    }
}

/// One change of one alert.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AlertChange {
    /// Its place among all changes, from 1.
    pub seq: u64,
    /// What changed.
    pub kind: ChangeKind,
    /// The alert after it; its `number` counts the changes of this alert alone.
    pub alert: Alert,
}

impl AlertChange {
    /// What says that two messages speak of one change, however often they come.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        format!("{}-{}", self.alert.id, self.alert.number)
    }
}
