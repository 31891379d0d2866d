//! What the alert fold shows to everybody else: console, command line, notices.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::change::{Alert, AlertChange};
use super::fold::{Alerts, RuleState};
use super::rules::{RuleName, RuleSet};
use crate::limits::ALERT_CHANGES_MAX;
use crate::window::DEVICE;

/// A copy of what the alert fold says, as of its last window. Clones are the same board.
#[derive(Clone, Debug)]
pub struct AlertBoard {
    shown: Arc<Mutex<Shown>>,
    /// The number of the last change; `None` until the fold has shown itself.
    last: watch::Sender<Option<u64>>,
}

#[derive(Debug, Default)]
struct Shown {
    open: Vec<Alert>,
    ended: Vec<Alert>,
    newest: RuleSet,
    in_force: u64,
    states: BTreeMap<RuleName, RuleState>,
    changes: VecDeque<AlertChange>,
    seq: u64,
    /// The number of the last change when the fold first showed itself.
    first: Option<u64>,
}

/// What comes next for somebody who is told all changes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Next {
    /// The change. `None` if there is none yet.
    pub change: Option<AlertChange>,
    /// How many before it are not held any more.
    pub missed: u64,
}

impl Default for AlertBoard {
    fn default() -> Self {
        Self { shown: Arc::default(), last: watch::Sender::new(None) }
    }
}

impl AlertBoard {
    /// Shows the state of the fold: once it is recovered, and after each window and each set of rules.
    pub fn show(&self, alerts: &Alerts) {
        let mut shown = self.shown();
        if alerts.last_seq() < shown.seq {
            shown.changes.clear();
            shown.seq = 0;
        }
        let ended = shown.changes.is_empty() || alerts.last_seq() != shown.seq;
        let later = alerts.changes_after(shown.seq);
        shown.changes.extend(later);
        let beyond = shown.changes.len().saturating_sub(ALERT_CHANGES_MAX);
        shown.changes.drain(..beyond);
        shown.seq = alerts.last_seq();
        shown.open = alerts.open();
        if ended {
            shown.ended = alerts.recent();
        }
        if shown.newest.revision != alerts.revision() {
            shown.newest = alerts.newest().clone();
        }
        shown.in_force = alerts.present().revision;
        let names = alerts.newest().rules.iter().map(|rule| &rule.name);
        shown.states = names.map(|name| (name.clone(), alerts.rule_state(name))).collect();
        let seq = shown.seq;
        shown.first.get_or_insert(seq);
        drop(shown);
        self.last.send_replace(Some(seq));
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        // Whoever panicked while holding it left whole values.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Alerts that fire or are pending, the worst first.
    #[must_use]
    pub fn open(&self) -> Vec<Alert> {
        self.shown().open.clone()
    }

    /// Alerts that ended, the last one first.
    #[must_use]
    pub fn ended(&self) -> Vec<Alert> {
        self.shown().ended.clone()
    }

    /// Alerts whose key is a device: those that are open, then those that ended.
    #[must_use]
    pub fn of_device(&self, id: &str) -> Vec<Alert> {
        let shown = self.shown();
        let all = shown.open.iter().chain(&shown.ended);
        all.filter(|alert| alert.key.get(DEVICE).is_some_and(|key| key == id)).cloned().collect()
    }

    /// The newest rules, which may not hold yet.
    #[must_use]
    pub fn rules(&self) -> RuleSet {
        self.shown().newest.clone()
    }

    /// The newest revision that the fold knows, and the one that held for its last window.
    #[must_use]
    pub fn revisions(&self) -> (u64, u64) {
        let shown = self.shown();
        (shown.newest.revision, shown.in_force)
    }

    /// What a threshold does at present.
    #[must_use]
    pub fn rule_state(&self, name: &RuleName) -> RuleState {
        self.shown().states.get(name).copied().unwrap_or_default()
    }

    /// What comes after a change.
    #[must_use]
    pub fn next_after(&self, seq: u64) -> Next {
        let shown = self.shown();
        let at = shown.changes.partition_point(|change| change.seq <= seq);
        let change = shown.changes.get(at).cloned();
        let next = change.as_ref().map_or(shown.seq.saturating_add(1), |change| change.seq);
        Next { missed: next.saturating_sub(seq).saturating_sub(1), change }
    }

    /// The number of the last change. 0 if there was none.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.shown().seq
    }

    /// The number of the last change when the fold first showed itself: what a destination that is new is
    /// not told. 0 until it has.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.shown().first.unwrap_or(0)
    }

    /// The number of the last change, as it grows; `None` until the fold has shown itself.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<u64>> {
        self.last.subscribe()
    }
}
