//! What one threshold knows of each series that it watches.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::change::{Alert, AlertId, AlertState, ChangeKind, EndReason};
use super::decimal::Decimal;
use super::measure::Measure;
use super::threshold::{Limits, Scope, Severity, Threshold, When};
use crate::window::{Figures, Row};

/// What is watched on its own: a series of a key.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(super) struct Subject {
    /// Labels of the combination with the key's values.
    pub(super) key: Vec<(String, String)>,
    /// Whether it is everything beyond the most keys, and no key of that name.
    pub(super) is_other: bool,
    pub(super) metric: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) scale: u8,
}

impl Subject {
    pub(super) fn of(row: &Row) -> Self {
        let labels = row.combination.labels().iter().enumerate();
        let key = labels.map(|(index, label)| (label.clone(), row.key.value(index).to_owned()));
        Self {
            key: key.collect(),
            is_other: matches!(*row.key, crate::window::Key::Other),
            metric: row.series.metric.clone(),
            labels: row.series.labels.clone(),
            scale: row.series.scale,
        }
    }
}

/// A stretch of window time, from its start to just before its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) start_us: i64,
    pub(super) end_us: i64,
}

/// A threshold as it holds for a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held<'a> {
    pub(super) rule: &'a Threshold,
    pub(super) revision: u64,
    /// Series that may be watched in all.
    pub(super) room: usize,
}

/// The state of one threshold: series that are fine have none.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Tracked {
    /// What the states belong to.
    pub(super) scope: Scope,
    /// End of the last window that had anything to watch.
    pub(super) seen_us: Option<i64>,
    /// Series that were turned away in the last window because there are too many.
    pub(super) turned_away: u64,
    /// Where the stretch begins that `sums` are of.
    bucket_us: Option<i64>,
    sums: BTreeMap<Subject, Sum>,
    states: BTreeMap<Subject, Watched>,
}

/// Figures as they stand in a snapshot.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
struct Sum {
    sum: i128,
    count: u64,
    min: i64,
    max: i64,
}

/// A series that passes a limit, or passed it and did not come back.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
struct Watched {
    /// Start of the window since which the first limit is passed.
    began_us: i64,
    /// Start of the window since which the limit of `crit` is passed, without a break.
    crit_since_us: Option<i64>,
    /// End of the last window that said anything.
    seen_us: i64,
    value: Decimal,
    /// `None` while it is pending.
    firing: Option<Firing>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
struct Firing {
    severity: Severity,
    changed_us: i64,
    number: u32,
    revision: u64,
}

impl Tracked {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            seen_us: None,
            turned_away: 0,
            bucket_us: None,
            sums: BTreeMap::new(),
            states: BTreeMap::new(),
        }
    }

    /// How many series take room.
    pub(super) fn len(&self) -> usize {
        self.states.len() + self.sums.len()
    }

    /// How many are firing and how many are pending.
    pub(super) fn counts(&self) -> (usize, usize) {
        let firing = self.states.values().filter(|watched| watched.firing.is_some()).count();
        (firing, self.states.len() - firing)
    }

    /// Forgets what was added up: the rule takes another stretch now.
    pub(super) fn forget_sums(&mut self) {
        self.sums.clear();
        self.bucket_us = None;
    }

    /// Notes in each window what was silent for too long by the rule that holds for it: what is pending is
    /// forgotten, it would start over anyway; what fires stays, but does not get worse by its past.
    pub(super) fn note_silence(&mut self, rule: &Threshold, start_us: i64) {
        self.states.retain(|_, watched| {
            let is_late = watched.is_late(rule, start_us);
            if is_late {
                watched.crit_since_us = None;
            }
            watched.firing.is_some() || !is_late
        });
    }

    /// Adds the figures of a base window to the stretch that they lie in.
    pub(super) fn add(
        &mut self,
        held: Held<'_>,
        subject: Subject,
        figures: Figures,
        base_end_us: i64,
    ) {
        if let Some(watched) = self.states.get_mut(&subject) {
            watched.seen_us = base_end_us;
        }
        let Some(before) = self.sums.get(&subject) else {
            if self.len() < held.room {
                self.sums.insert(subject, figures.into());
            } else {
                self.turned_away += 1;
            }
            return;
        };
        let sum = Figures::from(*before).plus(figures);
        self.sums.insert(subject, sum.into());
    }

    /// Ends the stretch that is under way if it is not that of `bucket_us`, or with `whole` if it is.
    pub(super) fn turn(
        &mut self,
        held: Held<'_>,
        bucket: Span,
        whole: bool,
    ) -> Vec<(ChangeKind, Alert)> {
        let Some(begun_us) = self.bucket_us else {
            self.bucket_us = Some(bucket.start_us);
            return Vec::new();
        };
        if begun_us == bucket.start_us && !whole {
            return Vec::new();
        }
        let length_us = bucket.end_us.saturating_sub(bucket.start_us);
        let span = Span { start_us: begun_us, end_us: begun_us.saturating_add(length_us) };
        self.bucket_us = (!whole).then_some(bucket.start_us);
        let sums = std::mem::take(&mut self.sums);
        let steps = sums
            .into_iter()
            .filter_map(|(subject, sum)| self.evaluate(held, subject, Figures::from(sum), span));
        steps.collect()
    }

    /// What the figures of a stretch mean for a series.
    pub(super) fn evaluate(
        &mut self,
        held: Held<'_>,
        subject: Subject,
        figures: Figures,
        span: Span,
    ) -> Option<(ChangeKind, Alert)> {
        let Held { rule, revision, room } = held;
        let measure = Measure::of(rule.stat, figures, subject.scale);
        let has_room = self.len() < room;
        let Some(watched) = self.states.get_mut(&subject) else {
            if !passes(&rule.limits, measure, rule.limits.first().1) {
                return None;
            }
            if !has_room {
                self.turned_away += 1;
                return None;
            }
            let mut watched = Watched::new(rule, measure, span);
            let kind = watched.settle(rule, revision, span);
            let told = kind.map(|kind| (kind, watched.alert(rule, &subject, None)));
            self.states.insert(subject, watched);
            return told;
        };
        match watched.step(held, measure, span) {
            Step::Stays(kind) => kind.map(|kind| (kind, watched.alert(rule, &subject, None))),
            Step::Over => {
                let watched = self.states.remove(&subject)?;
                let (at_us, seen_us) = (span.end_us, span.end_us);
                let end = End { reason: EndReason::CameBack, at_us, revision };
                Watched { seen_us, ..watched }.ended(rule, &subject, end)
            }
        }
    }

    /// Ends what is watched of a series that the rule does not select any more.
    pub(super) fn leave(
        &mut self,
        held: Held<'_>,
        subject: &Subject,
        at_us: i64,
    ) -> Option<(ChangeKind, Alert)> {
        self.sums.remove(subject);
        let watched = self.states.remove(subject)?;
        let end = End { reason: EndReason::OutOfScope, at_us, revision: held.revision };
        watched.ended(held.rule, subject, end)
    }

    /// Ends everything: the rule is gone.
    pub(super) fn removed(
        self,
        rule: &Threshold,
        revision: u64,
        at_us: i64,
    ) -> Vec<(ChangeKind, Alert)> {
        let end = End { reason: EndReason::RuleRemoved, at_us, revision };
        let states = self.states.into_iter();
        states.filter_map(|(subject, watched)| watched.ended(rule, &subject, end)).collect()
    }

    /// Whether anything is watched at all.
    pub(super) fn is_idle(&self) -> bool {
        self.states.is_empty() && self.sums.is_empty()
    }

    /// Everything that is pending or firing.
    pub(super) fn open<'a>(&'a self, rule: &'a Threshold) -> impl Iterator<Item = Alert> + 'a {
        self.states.iter().map(|(subject, watched)| watched.alert(rule, subject, None))
    }
}

/// What a step makes of a series that is watched.
enum Step {
    Stays(Option<ChangeKind>),
    Over,
}

/// How and when something ends.
#[derive(Clone, Copy, Debug)]
struct End {
    reason: EndReason,
    at_us: i64,
    revision: u64,
}

impl Watched {
    fn new(rule: &Threshold, measure: Measure, span: Span) -> Self {
        let mut watched = Self {
            began_us: span.start_us,
            crit_since_us: None,
            seen_us: span.end_us,
            value: measure.rounded(),
            firing: None,
        };
        watched.note_crit(rule, measure, span);
        watched
    }

    fn is_late(&self, rule: &Threshold, start_us: i64) -> bool {
        start_us.saturating_sub(self.seen_us) >= rule.no_data_us
    }

    fn note_crit(&mut self, rule: &Threshold, measure: Measure, span: Span) {
        let limit = rule.limits.of(Severity::Crit);
        let is_past = limit.is_some_and(|limit| passes(&rule.limits, measure, limit));
        self.crit_since_us = is_past.then(|| self.crit_since_us.unwrap_or(span.start_us));
    }

    fn step(&mut self, held: Held<'_>, measure: Measure, span: Span) -> Step {
        let (rule, limits) = (held.rule, &held.rule.limits);
        let holds_on = match self.firing {
            Some(_) => passes(limits, measure, limits.clear()),
            None => passes(limits, measure, limits.first().1),
        };
        if !holds_on {
            return Step::Over;
        }
        self.note_crit(rule, measure, span);
        self.seen_us = span.end_us;
        self.value = measure.rounded();
        Step::Stays(self.settle(rule, held.revision, span))
    }

    /// Whether it fires, rises or falls now.
    fn settle(&mut self, rule: &Threshold, revision: u64, span: Span) -> Option<ChangeKind> {
        let is_due = |since_us: i64| span.end_us.saturating_sub(since_us) >= rule.for_us;
        let crit_is_due = self.crit_since_us.is_some_and(is_due);
        let first = rule.limits.first().0;
        let Some(firing) = &mut self.firing else {
            if !is_due(self.began_us) {
                return None;
            }
            let severity = if crit_is_due { Severity::Crit } else { first };
            let changed_us = span.end_us;
            self.firing = Some(Firing { severity, changed_us, number: 1, revision });
            return Some(ChangeKind::Fired);
        };
        let (severity, kind) = match firing.severity {
            Severity::Warn if crit_is_due => (Severity::Crit, ChangeKind::Rose),
            Severity::Crit if self.crit_since_us.is_none() && first == Severity::Warn => {
                (Severity::Warn, ChangeKind::Fell)
            }
            Severity::Warn | Severity::Crit => return None,
        };
        let number = firing.number.saturating_add(1);
        *firing = Firing { severity, changed_us: span.end_us, number, revision };
        Some(kind)
    }

    /// The alert as it ends; `None` if it was only pending: nobody was told of it.
    fn ended(
        mut self,
        rule: &Threshold,
        subject: &Subject,
        end: End,
    ) -> Option<(ChangeKind, Alert)> {
        let firing = self.firing.as_mut()?;
        firing.number = firing.number.saturating_add(1);
        (firing.changed_us, firing.revision) = (end.at_us, end.revision);
        Some((ChangeKind::Cleared, self.alert(rule, subject, Some(end.reason))))
    }

    fn alert(&self, rule: &Threshold, subject: &Subject, ended: Option<EndReason>) -> Alert {
        let severity = match self.firing {
            Some(firing) => firing.severity,
            None if self.crit_since_us == Some(self.began_us) => Severity::Crit,
            None => rule.limits.first().0,
        };
        let state = match (ended, self.firing) {
            (Some(reason), _) => AlertState::Cleared(reason),
            (None, Some(_)) => AlertState::Firing,
            (None, None) => AlertState::Pending,
        };
        Alert {
            id: AlertId::new(&rule.name, &rule.scope.by, subject, self.began_us),
            rule: rule.name.clone(),
            state,
            severity,
            key: subject.key.iter().cloned().collect(),
            metric: subject.metric.clone(),
            labels: subject.labels.iter().cloned().collect(),
            value: self.value,
            limit: rule.limits.of(severity).unwrap_or(rule.limits.first().1),
            began_us: self.began_us,
            changed_us: self.firing.map_or(self.began_us, |firing| firing.changed_us),
            seen_us: self.seen_us,
            number: self.firing.map_or(0, |firing| firing.number),
            revision: self.firing.map_or(0, |firing| firing.revision),
            note: rule.note.clone(),
            runbook: rule.runbook.clone(),
            notify: rule.notify.clone(),
        }
    }
}

fn passes(limits: &Limits, measure: Measure, limit: Decimal) -> bool {
    let order = measure.compare(limit);
    match limits.when() {
        When::Above => order.is_gt(),
        When::Below => order.is_lt(),
    }
}

impl From<Figures> for Sum {
    fn from(Figures { sum, count, min, max }: Figures) -> Self {
        Self { sum, count, min, max }
    }
}

impl From<Sum> for Figures {
    fn from(Sum { sum, count, min, max }: Sum) -> Self {
        Self { sum, count, min, max }
    }
}
