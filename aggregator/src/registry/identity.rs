//! What this node is.

use std::path::Path;

use headwater_protocol::identity::{LogId, NodeId, ShardCount};
use redb::{Database, ReadableDatabase, TableError};
use serde::{Deserialize, Serialize};

use super::tables::{META, parse, row};
use super::{CACHE_BYTES, Registry, RegistryError};

/// What this node is: drawn once.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NodeRecord {
    /// Its mark in the entries that it appends.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its log.
    pub log: LogId,
    /// How many shards the log has.
    pub shards: ShardCount,
    /// Whether authority and log were made too: until then nobody was enrolled.
    pub complete: bool,
}

/// A secret of this node alone. Who has it can end its sessions.
#[derive(Clone)]
pub struct ResetKey(pub [u8; 32]);

impl std::fmt::Debug for ResetKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("ResetKey(..)")
    }
}

impl Registry {
    /// The record of the node whose registry a file is, without a change of it. `None` if it was never
    /// written.
    ///
    /// # Errors
    /// If it is in use, was not closed, or can't be read.
    pub fn record_of(path: &Path) -> Result<Option<NodeRecord>, redb::Error> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).open_read_only(path)?;
        let table = match database.begin_read()?.open_table(META) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        table.get("node")?.map(|node| parse(node.value())).transpose()
    }

    /// The record of this node. `None` if it was never written.
    ///
    /// # Errors
    /// If it can't be read.
    pub fn node(&self) -> Result<Option<NodeRecord>, RegistryError> {
        self.read("look up this node", |transaction| {
            let table = transaction.open_table(META)?;
            table.get("node")?.map(|node| parse(node.value())).transpose()
        })
    }

    /// The secret by which this node's stateless resets are known after a restart: drawn once.
    ///
    /// # Errors
    /// If it can't be read or written.
    pub fn reset_key(&self) -> Result<ResetKey, RegistryError> {
        let known = self.read("look up the key of stateless resets", |transaction| {
            let table = transaction.open_table(META)?;
            Ok(table.get("reset_key")?.and_then(|key| key.value().try_into().ok()))
        })?;
        if let Some(key) = known {
            return Ok(ResetKey(key));
        }
        let mut key = [0; 32];
        getrandom::fill(&mut key).expect("the kernel has random numbers");
        self.write("draw the key of stateless resets", |transaction| {
            transaction.open_table(META)?.insert("reset_key", key.as_slice())?;
            Ok(ResetKey(key))
        })
    }

    /// Writes the record of this node.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn set_node(&self, node: &NodeRecord) -> Result<(), RegistryError> {
        self.write("note this node", |transaction| {
            transaction.open_table(META)?.insert("node", row(node).as_slice())?;
            Ok(())
        })
    }
}
