//! Thresholds: what is watched, by which limits.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::decimal::Decimal;
use super::rules::RuleName;
use super::selector::Selector;
use crate::window::{Combination, DEVICE};

/// A threshold that makes sense: its limits stand on the right sides of each other.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Threshold {
    /// What it is called, by whom.
    pub name: RuleName,
    /// What is measured.
    pub scope: Scope,
    /// The number that counts.
    pub stat: Stat,
    /// Over how long it is taken, in microseconds; tumbling, as windows are. `None`: the base window.
    pub window_us: Option<i64>,
    /// The limits.
    pub limits: Limits,
    /// How long a limit must be passed before it is an alert, in microseconds.
    pub for_us: i64,
    /// After a silence this long what is pending starts over, in microseconds. What is firing stays.
    pub no_data_us: i64,
    /// Why these numbers.
    pub note: Option<String>,
    /// Where it says what to do.
    pub runbook: Option<String>,
    /// Names of the webhooks that are told. Empty: all.
    pub notify: Vec<String>,
}

/// What a threshold watches: as long as it stays the same, states are kept through a new revision.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Scope {
    /// The metric.
    pub metric: String,
    /// The labels of the combination whose keys are watched, sorted.
    pub by: Vec<String>,
    /// Only series that have this dimension. `None`: all. Each of its values is watched on its own anyway.
    pub per: Option<String>,
    /// Conditions on labels of the row and of the series.
    pub selector: Selector,
    /// Rows that fit any of these are left out.
    pub exclude: Vec<Selector>,
}

impl Scope {
    /// Whether a combination is the one whose keys are watched.
    #[must_use]
    pub fn is_by(&self, combination: &Combination) -> bool {
        let labels: BTreeSet<&String> = combination.labels().iter().collect();
        labels.len() == self.by.len() && labels.into_iter().eq(&self.by)
    }

    /// The labels that are watched by if none are named.
    #[must_use]
    pub fn by_device() -> Vec<String> {
        vec![DEVICE.to_owned()]
    }
}

/// Which number of a window's figures counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Stat {
    /// The average.
    #[default]
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// All added up.
    Sum,
    /// How many samples there are.
    Count,
}

impl Stat {
    /// Every one, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Mean, Self::Min, Self::Max, Self::Sum, Self::Count];

    /// The word in files and rows.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Min => "min",
            Self::Max => "max",
            Self::Sum => "sum",
            Self::Count => "count",
        }
    }
}

/// On which side of a limit it is an alert.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Above it.
    Above,
    /// Below it.
    Below,
}

impl When {
    /// The word in files and rows.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Above => "above",
            Self::Below => "below",
        }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To be looked at.
    Warn,
    /// A person must act.
    Crit,
}

impl Severity {
    /// The word in files and rows.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Crit => "crit",
        }
    }
}

/// Limits: at least one, and each on the right side of the other.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Limits {
    when: When,
    first: (Severity, Decimal),
    /// The limit of `crit` where there is one of `warn` too.
    second: Option<Decimal>,
    clear: Decimal,
}

/// Limits as they are written.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Written {
    when: When,
    warn: Option<Decimal>,
    crit: Option<Decimal>,
    clear: Option<Decimal>,
}

/// Why limits make no sense together.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LimitsError {
    /// There is none.
    #[error("neither warn nor crit is set")]
    None,
    /// `crit` would be reached before `warn`.
    #[error("crit is on the wrong side of warn")]
    Order,
    /// The alert would end before it begins.
    #[error("clear is on the wrong side of the limit")]
    Clear,
}

impl Limits {
    /// Limits; without `clear` an alert ends as soon as its limit is not passed any more.
    ///
    /// # Errors
    /// If they make no sense together.
    pub fn new(
        when: When,
        warn: Option<Decimal>,
        crit: Option<Decimal>,
        clear: Option<Decimal>,
    ) -> Result<Self, LimitsError> {
        let (first, second) = match (warn, crit) {
            (Some(warn), crit) => ((Severity::Warn, warn), crit),
            (None, Some(crit)) => ((Severity::Crit, crit), None),
            (None, None) => return Err(LimitsError::None),
        };
        let is_past = |one: Decimal, other: Decimal| match when {
            When::Above => one > other,
            When::Below => one < other,
        };
        if second.is_some_and(|crit| !is_past(crit, first.1)) {
            return Err(LimitsError::Order);
        }
        let clear = clear.unwrap_or(first.1);
        if is_past(clear, first.1) {
            return Err(LimitsError::Clear);
        }
        Ok(Self { when, first, second, clear })
    }

    /// On which side it is an alert.
    #[must_use]
    pub fn when(&self) -> When {
        self.when
    }

    /// The limit that comes first, and how bad it is to pass it.
    #[must_use]
    pub fn first(&self) -> (Severity, Decimal) {
        self.first
    }

    /// The limit of a severity, if it has one.
    #[must_use]
    pub fn of(&self, severity: Severity) -> Option<Decimal> {
        if self.first.0 == severity { Some(self.first.1) } else { self.second }
    }

    /// What it must come back to.
    #[must_use]
    pub fn clear(&self) -> Decimal {
        self.clear
    }
}

impl TryFrom<Written> for Limits {
    type Error = LimitsError;

    fn try_from(written: Written) -> Result<Self, LimitsError> {
        Self::new(written.when, written.warn, written.crit, written.clear)
    }
}

impl From<Limits> for Written {
    fn from(limits: Limits) -> Self {
        Self {
            when: limits.when,
            warn: limits.of(Severity::Warn),
            crit: limits.of(Severity::Crit),
            clear: Some(limits.clear),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(when: When, texts: [&str; 3]) -> Result<Limits, LimitsError> {
        let [warn, crit, clear] = texts.map(|text| text.parse().ok());
        Limits::new(when, warn, crit, clear)
    }

    #[test]
    fn limits_stand_on_the_right_sides_of_each_other() {
        use When::{Above, Below};
        let cases = [
            (Above, ["0.7", "", ""], Ok(())),
            (Above, ["0.7", "0.9", "0.6"], Ok(())),
            (Below, ["10", "5", "12"], Ok(())),
            (Below, ["", "5", "5"], Ok(())),
            (Above, ["", "", "1"], Err(LimitsError::None)),
            (Above, ["0.9", "0.7", ""], Err(LimitsError::Order)),
            (Above, ["0.9", "0.9", ""], Err(LimitsError::Order)),
            (Below, ["5", "10", ""], Err(LimitsError::Order)),
            (Above, ["0.7", "", "0.71"], Err(LimitsError::Clear)),
            (Below, ["5", "", "4"], Err(LimitsError::Clear)),
        ];
        for (when, texts, expected) in cases {
            let made = limits(when, texts);
            assert_eq!(made.map(|_| ()), expected, "{when:?} {texts:?}");
            let Ok(made) = made else { continue };
            let bytes = rmp_serde::to_vec(&made).unwrap();
            assert_eq!(rmp_serde::from_slice::<Limits>(&bytes).unwrap(), made);
        }
    }

    #[test]
    fn limits_that_make_no_sense_cannot_be_read_either() {
        let wrong = Written {
            when: When::Above,
            warn: Some("2".parse().unwrap()),
            crit: Some("1".parse().unwrap()),
            clear: None,
        };
        assert!(rmp_serde::from_slice::<Limits>(&rmp_serde::to_vec(&wrong).unwrap()).is_err());
    }
}
