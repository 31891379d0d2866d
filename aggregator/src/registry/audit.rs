//! The audit: who changed what, in the same commit as the change, chained by hash.

use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::tables::{AUDIT, parse, row};
use super::{Actor, Registry, RegistryError};

/// One change.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuditEntry {
    /// Microseconds since 1970 UTC.
    pub at_us: i64,
    /// Who.
    pub actor: String,
    /// From which address; empty from this host.
    pub source: String,
    /// What was done, such as `device enrolled`.
    pub action: String,
    /// To what: an id.
    pub subject: String,
    /// What else there is to know. Never a secret.
    pub detail: String,
    /// BLAKE3 of the bytes of the entry before; zero in the first.
    pub before: [u8; 32],
}

/// What was done, to what.
pub(super) struct Deed<'a> {
    pub(super) action: &'a str,
    pub(super) subject: String,
    pub(super) detail: String,
}

/// Adds an entry to the commit of the change that it speaks of.
pub(super) fn note(
    transaction: &WriteTransaction,
    actor: &Actor,
    deed: Deed<'_>,
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(AUDIT)?;
    let (next, before) = match table.last()? {
        Some((number, entry)) => (number.value() + 1, *blake3::hash(entry.value()).as_bytes()),
        None => (0, [0; 32]),
    };
    let entry = AuditEntry {
        at_us: actor.at_us,
        actor: actor.name.clone(),
        source: actor.source.clone(),
        action: deed.action.to_owned(),
        subject: deed.subject,
        detail: deed.detail,
        before,
    };
    table.insert(next, row(&entry).as_slice())?;
    Ok(())
}

impl Registry {
    /// Notes what changed nothing but should be known, such as a device that used another one's id.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn note(&self, actor: &Actor, action: &str, detail: &str) -> Result<(), RegistryError> {
        let deed = Deed { action, subject: actor.name.clone(), detail: detail.to_owned() };
        self.write("note an event", |transaction| note(transaction, actor, deed))
    }

    /// Every entry, the oldest first.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn audit(&self) -> Result<Vec<AuditEntry>, RegistryError> {
        self.read("read the audit", |transaction| {
            let table = transaction.open_table(AUDIT)?;
            table.iter()?.map(|row| parse(row?.1.value())).collect()
        })
    }
}
