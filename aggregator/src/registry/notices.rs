//! How far along the changes of alerts each destination of notices is.

use headwater_protocol::identity::LogId;
use serde::{Deserialize, Serialize};

use super::tables::{NOTICES, parse, row};
use super::{Registry, RegistryError};

/// The cursor of a destination, and what became of the notices before it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NoticeCursor {
    /// The log whose alerts it counts: another one begins anew.
    pub log: LogId,
    /// The last change that is done with.
    pub seq: u64,
    /// Notices that were taken.
    pub sent: u64,
    /// Notices that were given up.
    pub dead: u64,
    /// Changes that were not held any more when their turn came.
    pub missed: u64,
    /// What was wrong the last time. `None` if the last notice was taken.
    pub fault: Option<String>,
}

impl NoticeCursor {
    /// A destination that is told from here on.
    #[must_use]
    pub fn new(log: LogId, seq: u64) -> Self {
        Self { log, seq, sent: 0, dead: 0, missed: 0, fault: None }
    }
}

impl Registry {
    /// The cursor of a destination. `None` if it was never told anything.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn notice_cursor(&self, name: &str) -> Result<Option<NoticeCursor>, RegistryError> {
        self.read("read the cursor of notices", |transaction| {
            let table = transaction.open_table(NOTICES)?;
            table.get(name)?.map(|cursor| parse(cursor.value())).transpose()
        })
    }

    /// Moves the cursor of a destination.
    ///
    /// # Errors
    /// If it can't be stored.
    pub fn set_notice_cursor(
        &self,
        name: &str,
        cursor: &NoticeCursor,
    ) -> Result<(), RegistryError> {
        self.write("move the cursor of notices", |transaction| {
            transaction.open_table(NOTICES)?.insert(name, row(cursor).as_slice())?;
            Ok(())
        })
    }
}
