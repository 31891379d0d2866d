//! Sets of thresholds: each revision, in the same commit as its audit entry. They become control entries
//! of the merge log afterwards.

use redb::ReadableTable;

use super::audit::{Deed, note};
use super::tables::{RULE_SETS, parse, row};
use super::{Actor, Registry, RegistryError};
use crate::alert::RuleSet;
use crate::limits::RULE_SETS_KEPT;

impl Registry {
    /// The newest set. `None` if none was ever published.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn newest_rules(&self) -> Result<Option<RuleSet>, RegistryError> {
        self.read("read the thresholds", |transaction| {
            let table = transaction.open_table(RULE_SETS)?;
            table.last()?.map(|(_, set)| parse(set.value())).transpose()
        })
    }

    /// The sets of later revisions, in order.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn rules_after(&self, revision: u64) -> Result<Vec<RuleSet>, RegistryError> {
        self.read("read the thresholds", |transaction| {
            let table = transaction.open_table(RULE_SETS)?;
            let later = table.range(revision.saturating_add(1)..)?;
            later.map(|row| parse(row?.1.value())).collect()
        })
    }

    /// Keeps a set, if none of its revision or a later one is kept: then nothing is changed, and the answer
    /// is `false`. `changes` say what is different, for the audit.
    ///
    /// # Errors
    /// If it can't be stored.
    pub fn publish_rules(
        &self,
        set: &RuleSet,
        changes: &str,
        actor: &Actor,
    ) -> Result<bool, RegistryError> {
        self.write("store thresholds", |transaction| {
            let mut table = transaction.open_table(RULE_SETS)?;
            if table.last()?.is_some_and(|(newest, _)| newest.value() >= set.revision) {
                return Ok(false);
            }
            table.insert(set.revision, row(set).as_slice())?;
            let oldest = set.revision.saturating_sub(RULE_SETS_KEPT);
            table.retain_in(..oldest, |_, _| false)?;
            let message = set.message.as_deref().unwrap_or("no message");
            let deed = Deed {
                action: "thresholds published",
                subject: format!("revision {}", set.revision),
                detail: format!("{message}: {changes}"),
            };
            note(transaction, actor, deed)?;
            Ok(true)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_kept_once_with_its_audit_entry() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(&folder.path().join("control.redb")).unwrap();
        let actor = Actor { name: "ana".to_owned(), source: String::new(), at_us: 7 };
        let set = |revision| RuleSet { revision, ..RuleSet::default() };
        assert_eq!(registry.newest_rules().unwrap(), None);
        assert!(registry.publish_rules(&set(1), "+ a", &actor).unwrap());
        assert!(!registry.publish_rules(&set(1), "+ b", &actor).unwrap());
        assert!(registry.publish_rules(&set(2), "~ a", &actor).unwrap());
        assert_eq!(registry.rules_after(1).unwrap(), [set(2)]);
        assert_eq!(registry.newest_rules().unwrap(), Some(set(2)));
        let audit = registry.audit().unwrap();
        let details: Vec<&str> = audit.iter().map(|entry| entry.detail.as_str()).collect();
        assert_eq!(details, ["no message: + a", "no message: ~ a"]);
        let far = RULE_SETS_KEPT + 2;
        assert!(registry.publish_rules(&set(far), "", &actor).unwrap());
        assert_eq!(registry.rules_after(0).unwrap(), [set(2), set(far)]);
    }
}
