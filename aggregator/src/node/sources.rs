//! What is backed up of a node, while it runs and while it is stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError};

use super::init::Layout;
use super::{Node, NodeHandle};
use crate::backup::{Head, STREAM, Sources};
use crate::registry::{self, NodeRecord, Registry, RegistryError};

/// Why a node that is stopped can't be backed up.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// The folder holds no node.
    #[error("open the node: there is none in {folder:?}")]
    NoNode {
        /// The folder.
        folder: PathBuf,
    },
    /// A process has its files open.
    #[error("open {path:?}: another process has it open")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A database can't be opened.
    #[error("open {path:?}")]
    Database {
        /// Its file.
        path: PathBuf,
        /// What redb said.
        source: Box<DatabaseError>,
    },
    /// The registry can't be opened.
    #[error("open the node")]
    Registry(#[source] registry::OpenError),
    /// The registry can't be read.
    #[error("open the node")]
    Record(#[source] RegistryError),
}

impl NodeHandle {
    /// What is backed up of it. Reading that holds up nobody.
    ///
    /// # Errors
    /// If the registry can't be read.
    pub(crate) fn sources(&self) -> Result<Sources, SourcesError> {
        let stages = self.stages();
        let data_dir = &stages.config.node.data_dir;
        let node = stages.registry.node().map_err(SourcesError::Record)?;
        let missing = || SourcesError::NoNode { folder: data_dir.clone() };
        Ok(Sources {
            head: head(&node.ok_or_else(missing)?, data_dir),
            authority: Layout(data_dir).authority(),
            registry: stages.registry.database(),
            sinks: stages.sink_store.as_ref().map(|store| store.database()),
            merge: stages.merge.databases(),
            log: stages.log.databases(),
            space: Some(Arc::clone(&stages.space)),
        })
    }
}

impl Node {
    /// What is backed up of a node that is stopped. What a crash left behind is put in order, as a start would.
    ///
    /// # Errors
    /// If there is none, or a process has it open.
    pub(crate) fn sources(data_dir: &Path) -> Result<Sources, SourcesError> {
        let layout = Layout(data_dir);
        let missing = || SourcesError::NoNode { folder: data_dir.to_owned() };
        if !layout.registry().exists() {
            return Err(missing());
        }
        let registry = Registry::open(&layout.registry()).map_err(|error| match error {
            registry::OpenError::InUse { path } => SourcesError::InUse { path },
            error => SourcesError::Registry(error),
        })?;
        let node = registry.node().map_err(SourcesError::Record)?;
        let node = node.filter(|node| node.complete).ok_or_else(missing)?;
        let sinks = layout.sinks();
        Ok(Sources {
            head: head(&node, data_dir),
            authority: layout.authority(),
            registry: registry.database(),
            sinks: if sinks.exists() { Some(open(&sinks)?) } else { None },
            merge: open_log(&layout.merge())?,
            log: open_log(&layout.log())?,
            space: None,
        })
    }
}

fn head(node: &NodeRecord, data_dir: &Path) -> Head {
    let layout = Layout(data_dir);
    let mut files = vec![layout.registry(), layout.sinks()];
    for folder in [layout.merge(), layout.log()] {
        files.extend((0..).map(|number| file_of(&folder, number)).take_while(|file| file.exists()));
    }
    let sizes = files.iter().filter_map(|file| std::fs::metadata(file).ok());
    Head {
        stream: STREAM,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        node: node.name.clone(),
        log: node.log,
        shards: node.shards,
        bytes: sizes.map(|about| about.len()).sum(),
    }
}

fn file_of(folder: &Path, number: u16) -> PathBuf {
    folder.join(format!("log-{number}.redb"))
}

/// The files of a log that there are: whether they are all is what a check says.
fn open_log(folder: &Path) -> Result<Vec<Arc<Database>>, SourcesError> {
    let files = (0..).map(|number| file_of(folder, number)).take_while(|file| file.exists());
    files.map(|file| open(&file)).collect()
}

fn open(path: &Path) -> Result<Arc<Database>, SourcesError> {
    let opened = Database::builder().set_cache_size(CACHE_BYTES).open(path);
    opened.map(Arc::new).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => SourcesError::InUse { path: path.to_owned() },
        source => SourcesError::Database { path: path.to_owned(), source: Box::new(source) },
    })
}

/// Page cache of each database: it is read once, from front to back.
const CACHE_BYTES: usize = 4 << 20;
