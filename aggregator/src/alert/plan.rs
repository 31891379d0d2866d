//! What a file would change.

use super::file::ThresholdFile;
use super::rules::{PublishError, RuleSet};
use super::threshold::{Severity, Threshold};

/// The rules after a file is applied, and what is different.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Whose thresholds change.
    pub owner: String,
    /// What changes, in order of names.
    pub changes: Vec<RuleChange>,
    /// Names of thresholds of this owner that the file does not have and that stay.
    pub kept: Vec<String>,
    /// All rules of all owners afterwards, in order of names.
    pub rules: Vec<Threshold>,
}

/// One threshold that changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleChange {
    /// How.
    pub sign: Sign,
    /// Its name.
    pub name: String,
    /// What is different, such as `warn 0.8 → 0.85`; of one that is new, what it says.
    pub details: Vec<String>,
}

/// How a threshold changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
    /// It is gone.
    Removed,
}

impl Sign {
    /// The word in rows.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

impl Plan {
    /// What a file changes in a set: thresholds of its own owner only; those that it does not name stay,
    /// unless they are to be pruned.
    ///
    /// # Errors
    /// If the set would have too many thresholds.
    pub fn new(present: &RuleSet, file: ThresholdFile, prune: bool) -> Result<Self, PublishError> {
        let ThresholdFile { owner, rules } = file;
        let (mut changes, mut kept, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for before in &present.rules {
            let name = &before.name;
            if name.owner != owner {
                all.push(before.clone());
            } else if rules.iter().all(|rule| rule.name != *name) {
                if prune {
                    let (sign, name) = (Sign::Removed, name.name.clone());
                    changes.push(RuleChange { sign, name, details: Vec::new() });
                } else {
                    kept.push(name.name.clone());
                    all.push(before.clone());
                }
            }
        }
        for rule in rules {
            let name = rule.name.name.clone();
            match present.rule(&rule.name) {
                Some(before) if *before == rule => {}
                Some(before) => {
                    let details = differences(before, &rule);
                    changes.push(RuleChange { sign: Sign::Changed, name, details });
                }
                None => {
                    let facts = facts(&rule).into_iter();
                    let set = facts.filter_map(|(key, value)| Some(format!("{key} {}", value?)));
                    let details = set.collect();
                    changes.push(RuleChange { sign: Sign::Added, name, details });
                }
            }
            all.push(rule);
        }
        changes.sort_by(|one, other| one.name.cmp(&other.name));
        let checked = RuleSet { rules: all, ..RuleSet::default() }.checked()?;
        Ok(Self { owner, changes, kept, rules: checked.rules })
    }
}

fn differences(before: &Threshold, after: &Threshold) -> Vec<String> {
    let pairs = facts(before).into_iter().zip(facts(after));
    let differ = pairs.filter(|((_, one), (_, other))| one != other);
    let shown = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    differ
        .map(|((key, one), (_, other))| format!("{key} {} → {}", shown(one), shown(other)))
        .collect()
}

/// What a threshold says, key by key as in a file; `None` where it says nothing.
fn facts(rule: &Threshold) -> Vec<(&'static str, Option<String>)> {
    let list = |items: &[String]| (!items.is_empty()).then(|| items.join(","));
    let exclude: Vec<String> = rule.scope.exclude.iter().map(ToString::to_string).collect();
    let limit = |severity| rule.limits.of(severity).map(|limit| limit.to_string());
    let clear = rule.limits.clear();
    let selector = &rule.scope.selector;
    vec![
        ("metric", Some(rule.scope.metric.clone())),
        ("by", list(&rule.scope.by)),
        ("per", rule.scope.per.clone()),
        ("stat", Some(rule.stat.word().to_owned())),
        ("window", rule.window_us.map(written)),
        ("when", Some(rule.limits.when().word().to_owned())),
        ("warn", limit(Severity::Warn)),
        ("crit", limit(Severity::Crit)),
        ("clear", (clear != rule.limits.first().1).then(|| clear.to_string())),
        ("for", Some(written(rule.for_us))),
        ("no_data", Some(written(rule.no_data_us))),
        ("where", (!selector.is_empty()).then(|| selector.to_string())),
        ("exclude", list(&exclude)),
        ("note", rule.note.clone()),
        ("runbook", rule.runbook.clone()),
        ("notify", list(&rule.notify)),
    ]
}

/// A span of time as a file has it: `30s`, `15m`.
fn written(micros: i64) -> String {
    let ms = micros / 1_000;
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.iter().find(|(unit, _)| ms != 0 && ms % unit == 0);
    match unit {
        Some((unit, word)) => format!("{}{word}", ms / unit),
        None if ms == 0 => "0s".to_owned(),
        None => format!("{ms}ms"),
    }
}
