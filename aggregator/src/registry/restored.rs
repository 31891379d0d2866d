//! From which backup this node comes.

use headwater_protocol::identity::{Generation, ShardId};
use serde::{Deserialize, Serialize};

use super::audit::{Deed, note};
use super::tables::{META, parse, row};
use super::{Actor, Registry, RegistryError};

/// What a restore says to every start after it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RestoredRecord {
    /// When it was restored, microseconds since 1970 UTC.
    pub at_us: i64,
    /// When the backup was made, microseconds since 1970 UTC.
    pub backup_us: i64,
    /// The least generation of each shard, in order: above the one that it had in the backup.
    pub generations: Vec<u64>,
}

impl RestoredRecord {
    /// The least generation of a shard.
    #[must_use]
    pub fn generation(&self, shard: ShardId) -> Generation {
        Generation(self.generations.get(usize::from(shard.0)).copied().unwrap_or_default())
    }
}

impl Registry {
    /// The backup that this node was last restored from. `None` if it never was.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn restored(&self) -> Result<Option<RestoredRecord>, RegistryError> {
        self.read("look up the last restore", |transaction| {
            let table = transaction.open_table(META)?;
            table.get("restored")?.map(|record| parse(record.value())).transpose()
        })
    }

    /// Notes that this node is restored from a backup.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn set_restored(
        &self,
        record: &RestoredRecord,
        actor: &Actor,
    ) -> Result<(), RegistryError> {
        self.write("note a restore", |transaction| {
            let mut meta = transaction.open_table(META)?;
            meta.insert("restored", row(record).as_slice())?;
            drop(meta);
            let detail = format!("{record:?}");
            note(
                transaction,
                actor,
                Deed { action: "restored", subject: "node".to_owned(), detail },
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_is_known_to_every_start_after_it_and_stands_in_the_audit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.redb");
        let record = RestoredRecord { at_us: 9, backup_us: 7, generations: vec![1, 3] };
        let actor = Actor { name: "one".to_owned(), source: String::new(), at_us: 9 };
        let registry = Registry::open(&path).unwrap();
        assert_eq!(registry.restored().unwrap(), None);
        registry.set_restored(&record, &actor).unwrap();
        drop(registry);
        let registry = Registry::open(&path).unwrap();
        assert_eq!(registry.restored().unwrap(), Some(record.clone()));
        assert_eq!(registry.audit().unwrap()[0].action, "restored");
        assert_eq!([0, 1, 2].map(|shard| record.generation(ShardId(shard)).0), [1, 3, 0]);
    }
}
