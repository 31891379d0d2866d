//! A node that is stopped, looked at without a change of it.

use std::io;
use std::path::{Path, PathBuf};

use redb::DatabaseError;

use super::Node;
use super::init::Layout;
use crate::log::{EmbeddedLog, OpenError};
use crate::registry::{NodeRecord, Registry};

/// Why a node that is stopped can't be looked at.
#[derive(Debug, thiserror::Error)]
pub enum GlanceError {
    /// The folder holds no node, or one that was never completed.
    #[error("look at the node: the folder holds none that is complete")]
    NoNode,
    /// A process has its files open.
    #[error("look at the node: its files are in use")]
    InUse,
    /// It was not closed, and the next start has to put it in order.
    #[error("look at the node: it was not closed")]
    Unclosed,
    /// The registry can't be read.
    #[error("look at the node: read {path:?}")]
    Registry {
        /// Its file.
        path: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// A file of the log can't be read, or belongs to another log.
    #[error("look at the node")]
    Log(#[source] OpenError),
}

impl Node {
    /// The folder of a node's authority.
    #[must_use]
    pub fn authority_folder(data_dir: &Path) -> PathBuf {
        Layout(data_dir).authority()
    }

    /// What a node that is stopped says of itself, and whether the files of its log belong to it.
    ///
    /// # Errors
    /// Each says what is in the way; nothing was changed.
    pub fn glance(data_dir: &Path) -> Result<NodeRecord, GlanceError> {
        let layout = Layout(data_dir);
        let path = layout.registry();
        let is_missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        if std::fs::metadata(&path).is_err_and(is_missing) {
            return Err(GlanceError::NoNode);
        }
        let record = match Registry::record_of(&path) {
            Ok(record) => record.filter(|node| node.complete).ok_or(GlanceError::NoNode)?,
            Err(redb::Error::DatabaseAlreadyOpen) => return Err(GlanceError::InUse),
            Err(redb::Error::RepairAborted) => return Err(GlanceError::Unclosed),
            Err(source) => return Err(GlanceError::Registry { path, source: Box::new(source) }),
        };
        match EmbeddedLog::look(&layout.log(), record.log, record.shards) {
            Ok(()) => Ok(record),
            Err(OpenError::InUse { .. }) => Err(GlanceError::InUse),
            Err(OpenError::Database { source, .. })
                if matches!(*source, DatabaseError::RepairAborted) =>
            {
                Err(GlanceError::Unclosed)
            }
            Err(error) => Err(GlanceError::Log(error)),
        }
    }
}
