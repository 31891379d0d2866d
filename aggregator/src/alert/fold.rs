//! The alert fold.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::change::{Alert, AlertChange, AlertState, ChangeKind};
use super::rules::{RuleName, RuleSet};
use super::threshold::Threshold;
use super::tracked::{Held, Span, Subject, Tracked};
use crate::limits::{
    ALERT_CHANGES_MAX, ALERT_SERIES_MAX, ALERT_SERIES_PER_RULE_MAX, ALERTS_ENDED_MAX,
    RULE_SETS_WAITING_MAX,
};
use crate::window::{ClosedWindow, Combination, Row};

/// The state of the alert fold: pure, deterministic, bounded. Equal states encode to equal bytes.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Alerts {
    /// The rules that held for the last window.
    present: RuleSet,
    /// Later ones, each with a later first window than the one before.
    coming: VecDeque<RuleSet>,
    /// End of the last window. `None` before the first.
    end_us: Option<i64>,
    tracked: BTreeMap<RuleName, Tracked>,
    /// Changes that were made so far.
    seq: u64,
    /// The last ones, in order.
    changes: VecDeque<AlertChange>,
    /// The alerts that ended last, in order.
    ended: VecDeque<Alert>,
}

/// What a threshold does at present.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RuleState {
    /// Alerts that fire.
    pub firing: usize,
    /// Alerts that may come.
    pub pending: usize,
    /// Series that are not watched because there are too many.
    pub turned_away: u64,
    /// End of the last window that had anything to watch. `None`: no data yet.
    pub seen_us: Option<i64>,
}

impl Alerts {
    /// A new set of rules. It holds for windows that start at or after its `from_us`; windows before keep
    /// the former. `false`, and nothing is changed, unless its revision follows the newest one (the very
    /// first may have any number) and its rules can be evaluated.
    pub fn publish(&mut self, set: RuleSet) -> bool {
        let newest = self.revision();
        let follows =
            newest == 0 && set.revision > 0 || newest.checked_add(1) == Some(set.revision);
        let Some(set) = follows.then_some(set).and_then(|set| set.checked().ok()) else {
            return false;
        };
        while self.coming.back().is_some_and(|last| last.from_us >= set.from_us) {
            self.coming.pop_back();
        }
        if self.coming.len() >= RULE_SETS_WAITING_MAX {
            self.coming.pop_front();
        }
        self.coming.push_back(set);
        true
    }

    /// The bytes of the state, for a snapshot: equal states have equal bytes.
    ///
    /// # Panics
    /// Never: numbers and texts have an encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("numbers and texts have an encoding")
    }

    /// Reads the bytes of a state.
    ///
    /// # Errors
    /// For every malformed input.
    pub fn decode(bytes: &[u8]) -> Result<Self, rmp_serde::decode::Error> {
        rmp_serde::from_slice(bytes)
    }

    /// The newest revision, which may not hold yet. 0 if none was published.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.newest().revision
    }

    /// The newest rules, which may not hold yet.
    #[must_use]
    pub fn newest(&self) -> &RuleSet {
        self.coming.back().unwrap_or(&self.present)
    }

    /// The rules that held for the last window.
    #[must_use]
    pub fn present(&self) -> &RuleSet {
        &self.present
    }

    /// Evaluates the rules once for each series of a closed window. Windows come in order of start; one
    /// that does not begin after the last one's end says nothing new.
    pub fn handle_window(&mut self, window: &ClosedWindow) -> Vec<AlertChange> {
        if self.end_us.is_some_and(|end_us| window.start_us < end_us) {
            return Vec::new();
        }
        self.end_us = Some(window.end_us());
        let before = self.seq;
        self.adopt(window.start_us);
        let rules = std::mem::take(&mut self.present);
        let rows = by_metric(&rules, window);
        let mut total: usize = self.tracked.values().map(Tracked::len).sum();
        for rule in &rules.rules {
            let mut tracked =
                self.tracked.remove(&rule.name).unwrap_or_else(|| Tracked::new(rule.scope.clone()));
            total -= tracked.len();
            let room = ALERT_SERIES_PER_RULE_MAX.min(ALERT_SERIES_MAX.saturating_sub(total));
            let held = Held { rule, revision: rules.revision, room };
            let rows = rows.get(rule.scope.metric.as_str()).map_or(&[][..], Vec::as_slice);
            let steps = evaluate(held, &mut tracked, rows, window);
            total += tracked.len();
            self.tracked.insert(rule.name.clone(), tracked);
            steps.into_iter().for_each(|step| self.tell(step));
        }
        self.present = rules;
        self.changes_after(before)
    }

    /// Lets the newest rules hold that begin at or before this window.
    fn adopt(&mut self, start_us: i64) {
        while self.coming.front().is_some_and(|set| set.from_us <= start_us) {
            let Some(set) = self.coming.pop_front() else { return };
            let former = std::mem::replace(&mut self.present, set);
            let mut told = Vec::new();
            for (name, mut tracked) in std::mem::take(&mut self.tracked) {
                let rule = self.present.rule(&name).filter(|rule| rule.scope == tracked.scope);
                match (rule, former.rule(&name)) {
                    (Some(rule), Some(before)) => {
                        if rule.window_us != before.window_us {
                            tracked.forget_sums();
                        }
                        self.tracked.insert(name, tracked);
                    }
                    (None, Some(before)) => {
                        told.extend(tracked.removed(before, self.present.revision, start_us));
                    }
                    (_, None) => {}
                }
            }
            told.into_iter().for_each(|step| self.tell(step));
        }
    }

    fn tell(&mut self, (kind, alert): (ChangeKind, Alert)) {
        self.seq += 1;
        if kind == ChangeKind::Cleared {
            if self.ended.len() >= ALERTS_ENDED_MAX {
                self.ended.pop_front();
            }
            self.ended.push_back(alert.clone());
        }
        if self.changes.len() >= ALERT_CHANGES_MAX {
            self.changes.pop_front();
        }
        self.changes.push_back(AlertChange { seq: self.seq, kind, alert });
    }

    /// Changes with a number above `seq` that are still held, oldest first.
    #[must_use]
    pub fn changes_after(&self, seq: u64) -> Vec<AlertChange> {
        let from = self.changes.partition_point(|change| change.seq <= seq);
        self.changes.range(from..).cloned().collect()
    }

    /// The number of the last change. 0 if there was none.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.seq
    }

    /// Alerts that fire, the worst first, then those that are pending; among equals the oldest first.
    #[must_use]
    pub fn open(&self) -> Vec<Alert> {
        let mut open: Vec<Alert> = self
            .tracked
            .iter()
            .filter_map(|(name, tracked)| Some(tracked.open(self.present.rule(name)?)))
            .flatten()
            .collect();
        open.sort_by_key(|alert| {
            let is_pending = alert.state == AlertState::Pending;
            (is_pending, std::cmp::Reverse(alert.severity), alert.began_us)
        });
        open
    }

    /// Alerts that ended, the last one first; only so many are kept.
    #[must_use]
    pub fn recent(&self) -> Vec<Alert> {
        self.ended.iter().rev().cloned().collect()
    }

    /// What a threshold does at present.
    #[must_use]
    pub fn rule_state(&self, name: &RuleName) -> RuleState {
        let Some(tracked) = self.tracked.get(name) else { return RuleState::default() };
        let (firing, pending) = tracked.counts();
        RuleState { firing, pending, turned_away: tracked.turned_away, seen_us: tracked.seen_us }
    }
}

/// The rows of the metrics that any rule watches.
fn by_metric<'a>(rules: &'a RuleSet, window: &'a ClosedWindow) -> BTreeMap<&'a str, Vec<&'a Row>> {
    let metrics = rules.rules.iter().map(|rule| (rule.scope.metric.as_str(), Vec::new()));
    let mut rows: BTreeMap<&str, Vec<&Row>> = metrics.collect();
    for row in &window.rows {
        if let Some(rows) = rows.get_mut(row.series.metric.as_str()) {
            rows.push(row);
        }
    }
    rows
}

/// What a window means by one rule.
fn evaluate(
    held: Held<'_>,
    tracked: &mut Tracked,
    rows: &[&Row],
    window: &ClosedWindow,
) -> Vec<(ChangeKind, Alert)> {
    let rule = held.rule;
    let base = Span { start_us: window.start_us, end_us: window.end_us() };
    let bucket = rule.window_us.filter(|length| *length > window.length_us).map(|length| {
        let start_us = base.start_us.div_euclid(length).saturating_mul(length);
        Span { start_us, end_us: start_us.saturating_add(length) }
    });
    tracked.turned_away = 0;
    let mut told = Vec::new();
    if let Some(bucket) = bucket {
        told.extend(tracked.turn(held, bucket, false));
    }
    tracked.note_silence(rule, base.start_us);
    let mut asked: Option<(&Arc<Combination>, bool)> = None;
    for row in rows {
        let is_by = match asked {
            Some((combination, is_by)) if Arc::ptr_eq(combination, &row.combination) => is_by,
            _ => rule.scope.is_by(&row.combination),
        };
        asked = Some((&row.combination, is_by));
        if !is_by {
            continue;
        }
        if !selects(rule, row) {
            if !tracked.is_idle() {
                told.extend(tracked.leave(held, &Subject::of(row), base.start_us));
            }
            continue;
        }
        tracked.seen_us = Some(base.end_us);
        match bucket {
            Some(_) => tracked.add(held, Subject::of(row), row.figures, base.end_us),
            None => told.extend(tracked.evaluate(held, Subject::of(row), row.figures, base)),
        }
    }
    if let Some(bucket) = bucket.filter(|bucket| bucket.end_us <= base.end_us) {
        told.extend(tracked.turn(held, bucket, true));
    }
    told
}

/// Whether a rule watches a row of its combination.
fn selects(rule: &Threshold, row: &Row) -> bool {
    let dimension = |key: &str| {
        let mut labels = row.series.labels.iter();
        labels.find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    };
    let of_key = |key: &str| {
        let place = row.combination.labels().iter().position(|label| label == key)?;
        Some(row.key.value(place))
    };
    let value_of = |key: &str| {
        let of_row = row.labels.get(key).map(String::as_str);
        of_row.or_else(|| of_key(key)).or_else(|| dimension(key))
    };
    let scope = &rule.scope;
    scope.per.as_ref().is_none_or(|per| dimension(per).is_some())
        && scope.selector.fits(value_of)
        && !scope.exclude.iter().any(|exclude| exclude.fits(value_of))
}
