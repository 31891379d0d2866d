//! Sessions of the console: hashes of their cookies, so that a restart logs nobody out and whoever
//! reads the file can be nobody.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::tables::{SESSIONS, parse, row};
use super::{Registry, RegistryError};

/// A session of the console.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionRecord {
    /// When it began, microseconds since 1970 UTC.
    pub began_us: i64,
    /// When it was last used, to the minute.
    pub used_us: i64,
}

impl Registry {
    /// Every session that was not removed, by the hash of its cookie.
    ///
    /// # Errors
    /// If they can't be read.
    pub fn sessions(&self) -> Result<Vec<([u8; 32], SessionRecord)>, RegistryError> {
        self.read("read sessions", |transaction| {
            let table = transaction.open_table(SESSIONS)?;
            let mut sessions = Vec::new();
            for entry in table.iter()? {
                let (hash, record) = entry?;
                if let Ok(hash) = hash.value().try_into() {
                    sessions.push((hash, parse(record.value())?));
                }
            }
            Ok(sessions)
        })
    }

    /// Keeps a session, and removes others that are over.
    ///
    /// # Errors
    /// If it can't be stored.
    pub fn keep_session(
        &self,
        hash: &[u8; 32],
        record: SessionRecord,
        over: &[[u8; 32]],
    ) -> Result<(), RegistryError> {
        self.write("keep a session", |transaction| {
            let mut table = transaction.open_table(SESSIONS)?;
            for hash in over {
                table.remove(hash.as_slice())?;
            }
            table.insert(hash.as_slice(), row(&record).as_slice())?;
            Ok(())
        })
    }

    /// Removes a session.
    ///
    /// # Errors
    /// If it can't be stored.
    pub fn end_session(&self, hash: &[u8; 32]) -> Result<(), RegistryError> {
        self.write("end a session", |transaction| {
            transaction.open_table(SESSIONS)?.remove(hash.as_slice())?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_outlive_the_process_until_they_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.redb");
        let record = SessionRecord { began_us: 5, used_us: 7 };
        let registry = Registry::open(&path).unwrap();
        registry.keep_session(&[1; 32], record, &[]).unwrap();
        registry.keep_session(&[2; 32], record, &[[1; 32]]).unwrap();
        drop(registry);
        let registry = Registry::open(&path).unwrap();
        assert_eq!(registry.sessions().unwrap(), [([2; 32], record)]);
        registry.end_session(&[2; 32]).unwrap();
        assert_eq!(registry.sessions().unwrap(), []);
    }
}
