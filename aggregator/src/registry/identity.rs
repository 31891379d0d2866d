//! What this node is.

use headwater_protocol::identity::{LogId, NodeId, ShardCount};
use serde::{Deserialize, Serialize};

use super::tables::{META, parse, row};
use super::{Registry, RegistryError};

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

impl Registry {
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
