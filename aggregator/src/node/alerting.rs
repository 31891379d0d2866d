//! Thresholds on their way into the merge log, and what alerts say on their way out.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::alert::{
    AlertBoard, Known, Mistakes, Plan, PublishError, RuleChange, RuleSet, SHIPPED, Threshold,
    ThresholdFile,
};
use crate::registry::{Actor, Registry, RegistryError};
use crate::window::Combination;

/// Hands sets of rules to the merge log, in order. What the log holds already the fold ignores.
pub type Append = Arc<dyn Fn(&[RuleSet]) + Send + Sync>;

/// Everything about alerts that is not the fold itself. Clones are handles of the same.
#[derive(Clone)]
pub struct Alerting {
    registry: Registry,
    board: AlertBoard,
    terms: Arc<Terms>,
    append: Append,
    /// Held from the look at the present revision to the entry of the next one.
    publishing: Arc<Mutex<()>>,
}

/// What thresholds are checked against.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The combinations that are added up.
    pub combinations: Vec<Combination>,
    /// Length of the base window in microseconds.
    pub base_us: i64,
    /// Names of the webhooks.
    pub webhooks: Vec<String>,
}

/// What is to be applied.
#[derive(Clone, Debug)]
pub struct ApplyRequest {
    /// The file's name, for places of mistakes.
    pub file: String,
    /// Its text.
    pub text: String,
    /// Whether thresholds of the same owner that it does not name are removed.
    pub prune: bool,
    /// Whether only to say what would change.
    pub dry_run: bool,
    /// What for. `None` if nobody said.
    pub message: Option<String>,
    /// The revision that was looked at. `None`: any.
    pub revision: Option<u64>,
}

/// What was changed, or would be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Applied {
    /// The newest revision now.
    pub revision: u64,
    /// Whether it is a new one.
    pub published: bool,
    /// The start of the first window that it holds for.
    pub from_us: i64,
    /// Whose thresholds they are.
    pub owner: String,
    /// What changes.
    pub changes: Vec<RuleChange>,
    /// What is not wrong and should be known.
    pub warnings: Vec<String>,
}

/// Why nothing was applied. The former revision stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The file has mistakes.
    #[error("apply thresholds")]
    Mistakes(#[source] Mistakes),
    /// The set can't be evaluated.
    #[error("apply thresholds")]
    Publish(#[source] PublishError),
    /// Somebody else published in the meantime.
    #[error(
        "apply thresholds: revision {looked_at} was looked at, and {present} is the newest now"
    )]
    Moved {
        /// The revision that was looked at.
        looked_at: u64,
        /// The newest one.
        present: u64,
    },
    /// It can't be stored.
    #[error("apply thresholds")]
    Store(#[source] RegistryError),
    /// The node is stopping.
    #[error("apply thresholds: the node is stopping")]
    Stopping,
}

impl fmt::Debug for Alerting {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Alerting").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Alerting {
    /// Alerting on a board that the merge fold fills.
    #[must_use]
    pub fn new(registry: Registry, board: AlertBoard, terms: Terms, append: Append) -> Self {
        Self { registry, board, terms: Arc::new(terms), append, publishing: Arc::default() }
    }

    /// What the fold shows.
    #[must_use]
    pub fn board(&self) -> &AlertBoard {
        &self.board
    }

    /// Revisions that are stored and that the merge log does not hold, in order: after a crash between the
    /// two, and nearly never else.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn pending_control(&self) -> Result<Vec<RuleSet>, RegistryError> {
        self.registry.rules_after(self.board.revisions().0)
    }

    /// Appends what is pending. To be called once the fold has shown its recovered state.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn append_pending(&self) -> Result<(), RegistryError> {
        let pending = self.pending_control()?;
        if !pending.is_empty() {
            (self.append)(&pending);
        }
        Ok(())
    }

    /// The newest rules: those of the registry, unless it came back from an old backup.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn newest(&self) -> Result<RuleSet, RegistryError> {
        let stored = self.registry.newest_rules()?.unwrap_or_default();
        let folded = self.board.rules();
        Ok(if folded.revision > stored.revision { folded } else { stored })
    }

    /// Publishes the thresholds that are shipped, if none were ever published. `false` if some were.
    ///
    /// # Errors
    /// If they can't be stored.
    pub fn publish_shipped(&self, at_us: i64) -> Result<bool, ApplyError> {
        if self.newest().map_err(ApplyError::Store)?.revision > 0 {
            return Ok(false);
        }
        let request = ApplyRequest {
            file: "thresholds.toml".to_owned(),
            text: SHIPPED.to_owned(),
            prune: false,
            dry_run: false,
            message: Some("the thresholds that are shipped".to_owned()),
            revision: Some(0),
        };
        let actor = Actor { name: "headwater".to_owned(), source: String::new(), at_us };
        self.apply(&request, &actor, &BTreeSet::new()).map(|applied| applied.published)
    }

    /// Applies a file, or says what it would change. `metrics` are those that anybody sends; empty if that
    /// is not known.
    ///
    /// # Errors
    /// Every mistake of the file at once; then nothing is changed.
    pub fn apply(
        &self,
        request: &ApplyRequest,
        actor: &Actor,
        metrics: &BTreeSet<String>,
    ) -> Result<Applied, ApplyError> {
        let known = Known {
            combinations: Some(&self.terms.combinations),
            base_us: Some(self.terms.base_us),
            webhooks: Some(&self.terms.webhooks),
        };
        let file = ThresholdFile::parse(&request.file, &request.text, known);
        let file = file.map_err(ApplyError::Mistakes)?;
        let _publishing = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.newest().map_err(ApplyError::Store)?;
        if let Some(looked_at) = request.revision.filter(|looked_at| *looked_at != present.revision)
        {
            return Err(ApplyError::Moved { looked_at, present: present.revision });
        }
        // What is known of combinations the merge fold says itself.
        let sent = |rule: &&Threshold| !rule.scope.is_by(&Combination::of_combinations());
        let sent = file.rules.iter().filter(sent);
        let unknown = sent.filter(|rule| !metrics.contains(&rule.scope.metric));
        let mut warnings: Vec<String> = unknown
            .filter(|_| !metrics.is_empty())
            .map(|rule| format!("{}: no device sends {} yet", rule.name.name, rule.scope.metric))
            .collect();
        let plan = Plan::new(&present, file, request.prune).map_err(ApplyError::Publish)?;
        warnings.extend(plan.kept.iter().map(|name| {
            format!("{name}: not in the file, and stays in force; --prune removes it")
        }));
        let mut applied = Applied {
            revision: present.revision,
            published: false,
            from_us: present.from_us,
            owner: plan.owner,
            changes: plan.changes,
            warnings,
        };
        if request.dry_run || applied.changes.is_empty() {
            return Ok(applied);
        }
        let set = RuleSet {
            revision: present.revision + 1,
            from_us: first_window(actor.at_us, self.terms.base_us),
            published_us: actor.at_us,
            actor: actor.name.clone(),
            message: request.message.clone(),
            rules: plan.rules,
        };
        let stored = self.registry.publish_rules(&set, &said(&applied), actor);
        if !stored.map_err(ApplyError::Store)? {
            return Err(ApplyError::Moved { looked_at: present.revision, present: set.revision });
        }
        (applied.revision, applied.published) = (set.revision, true);
        applied.from_us = set.from_us;
        // What could not be appended the last time goes first: the fold takes revisions in order.
        let pending = self.pending_control().unwrap_or_else(|_| vec![set]);
        (self.append)(&pending);
        Ok(applied)
    }
}

/// The start of the first window that a revision holds for: the one after the next, so that the entry is
/// in the log before the window is closed.
fn first_window(now_us: i64, base_us: i64) -> i64 {
    let window = now_us.div_euclid(base_us.max(1));
    window.saturating_add(2).saturating_mul(base_us)
}

/// What changes, for the audit.
fn said(applied: &Applied) -> String {
    let changes = applied
        .changes
        .iter()
        .map(|change| format!("{} {}/{}", change.sign.word(), applied.owner, change.name));
    changes.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Alerts;

    const BASE: i64 = 10_000_000;
    const FILE: &str = "owner = \"ana\"\n[[threshold]]\nname = \"load\"\nmetric = \"load.1m\"\n\
                        when = \"above\"\nwarn = 8\n";

    /// A node's alerting whose merge log is a list, and a fold that may be behind it.
    struct Site {
        alerting: Alerting,
        log: Arc<Mutex<Vec<RuleSet>>>,
        _folder: tempfile::TempDir,
    }

    fn site() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(&folder.path().join("control.redb")).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let appended = Arc::clone(&log);
        let terms = Terms {
            combinations: Combination::kept(&[vec!["device".to_owned()]]),
            base_us: BASE,
            webhooks: Vec::new(),
        };
        let append = move |sets: &[RuleSet]| appended.lock().unwrap().extend_from_slice(sets);
        let board = AlertBoard::default();
        let alerting = Alerting::new(registry, board, terms, Arc::new(append));
        Site { alerting, log, _folder: folder }
    }

    fn request(text: &str) -> ApplyRequest {
        ApplyRequest {
            file: "t.toml".to_owned(),
            text: text.to_owned(),
            prune: false,
            dry_run: false,
            message: None,
            revision: None,
        }
    }

    fn ana() -> Actor {
        Actor { name: "ana".to_owned(), source: String::new(), at_us: 123_456_789 }
    }

    #[test]
    fn a_new_node_begins_with_the_shipped_thresholds_once() {
        let site = site();
        assert!(site.alerting.publish_shipped(0).unwrap());
        assert!(!site.alerting.publish_shipped(0).unwrap());
        let newest = site.alerting.newest().unwrap();
        assert_eq!((newest.revision, newest.rules[0].name.owner.as_str()), (1, "shipped"));
        assert_eq!(site.log.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_revision_holds_from_the_window_after_the_next_and_is_stored_before_it_is_appended() {
        let site = site();
        let none = BTreeSet::from(["cpu.busy_ratio".to_owned()]);
        let dry = ApplyRequest { dry_run: true, ..request(FILE) };
        let applied = site.alerting.apply(&dry, &ana(), &none).unwrap();
        assert_eq!((applied.revision, applied.published, applied.changes.len()), (0, false, 1));
        assert!(site.log.lock().unwrap().is_empty());
        let applied = site.alerting.apply(&request(FILE), &ana(), &none).unwrap();
        assert_eq!((applied.revision, applied.from_us), (1, 140_000_000));
        assert_eq!(applied.warnings, ["load: no device sends load.1m yet"]);
        let shipped = ApplyRequest { dry_run: true, ..request(SHIPPED) };
        let warnings = site.alerting.apply(&shipped, &ana(), &none).unwrap().warnings;
        assert!(!warnings.iter().any(|it| it.contains("pooled")), "{warnings:?}");
        let again = site.alerting.apply(&request(FILE), &ana(), &none).unwrap();
        assert!(!again.published && again.changes.is_empty());
        let stale = ApplyRequest { revision: Some(0), ..request(&FILE.replace('8', "9")) };
        let moved = site.alerting.apply(&stale, &ana(), &none).unwrap_err();
        assert!(matches!(moved, ApplyError::Moved { looked_at: 0, present: 1 }), "{moved}");
    }

    #[test]
    fn what_a_crash_kept_out_of_the_log_is_appended_before_what_comes_next() {
        let site = site();
        let mut alerts = Alerts::default();
        site.alerting.apply(&request(FILE), &ana(), &BTreeSet::new()).unwrap();
        // The entry of revision 1 was lost with the process.
        site.log.lock().unwrap().clear();
        site.alerting.board().show(&alerts);
        let pending = site.alerting.pending_control().unwrap();
        assert_eq!(pending.iter().map(|set| set.revision).collect::<Vec<_>>(), [1]);
        let next = request(&FILE.replace('8', "9"));
        site.alerting.apply(&next, &ana(), &BTreeSet::new()).unwrap();
        for set in site.log.lock().unwrap().iter() {
            let bytes = set.encode();
            alerts.publish(RuleSet::decode(&bytes).unwrap());
        }
        site.alerting.board().show(&alerts);
        assert_eq!(alerts.revision(), 2);
        assert!(site.alerting.pending_control().unwrap().is_empty());
    }

    #[test]
    fn a_file_with_a_mistake_changes_nothing() {
        let site = site();
        site.alerting.apply(&request(FILE), &ana(), &BTreeSet::new()).unwrap();
        let wrong = request(&FILE.replace("above", "over"));
        let refused = site.alerting.apply(&wrong, &ana(), &BTreeSet::new()).unwrap_err();
        assert!(matches!(refused, ApplyError::Mistakes(_)), "{refused}");
        assert_eq!(site.alerting.newest().unwrap().revision, 1);
    }
}
