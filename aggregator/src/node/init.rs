//! Making a node: authority, registry, log. An interrupted attempt is completed by the next one.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use headwater_certs::UnixTime;
use headwater_certs::authority::{self, Authority};
use headwater_certs::name::TrustDomain;
use headwater_protocol::identity::{LogId, NodeId, ShardCount};

use crate::log::{CreateError, EmbeddedLog};
use crate::registry::{self, NodeRecord, Registry, RegistryError};

/// What a new node is called and how it is cut.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The realm of its authority.
    pub trust_domain: TrustDomain,
    /// Its name: letters, digits, `.`, `-` and `_`.
    pub name: String,
    /// How many shards its log has, for good.
    pub shards: ShardCount,
}

/// Why no node was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The folder holds a node.
    #[error("make a node: there is one already")]
    Exists,
    /// A folder can't be made.
    #[error("make a node: create {folder:?}")]
    Folder {
        /// Which one.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No identity could be drawn.
    #[error("make a node: draw its identity")]
    Random(#[source] getrandom::Error),
    /// The registry can't be opened.
    #[error("make a node")]
    Open(#[source] registry::OpenError),
    /// The registry can't be written.
    #[error("make a node")]
    Registry(#[source] RegistryError),
    /// No authority could be made.
    #[error("make a node")]
    Authority(#[source] authority::CreateError),
    /// The authority of an interrupted attempt can't be loaded.
    #[error("make a node")]
    LoadAuthority(#[source] authority::LoadError),
    /// The authority can't be saved.
    #[error("make a node")]
    SaveAuthority(#[source] authority::SaveError),
    /// The log can't be made.
    #[error("make a node")]
    Log(#[source] CreateError),
}

/// Where everything lies in a node's folder.
pub(super) struct Layout<'a>(pub(super) &'a Path);

impl Layout<'_> {
    pub(super) fn registry(&self) -> PathBuf {
        self.0.join("control.redb")
    }

    pub(super) fn authority(&self) -> PathBuf {
        self.0.join("ca")
    }

    pub(super) fn merge(&self) -> PathBuf {
        self.0.join("merge")
    }

    pub(super) fn sinks(&self) -> PathBuf {
        self.0.join("sinks.redb")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

/// Whether a folder holds a node that is complete. One that is in use is.
pub(super) fn exists(data_dir: &Path) -> bool {
    let path = Layout(data_dir).registry();
    if !path.exists() {
        return false;
    }
    match Registry::open(&path) {
        Ok(registry) => matches!(registry.node(), Ok(Some(node)) if node.complete),
        // Whatever is wrong with it, there is something that must not be made anew.
        Err(_) => true,
    }
}

pub(super) fn init(data_dir: &Path, options: &InitOptions) -> Result<(), InitError> {
    let layout = Layout(data_dir);
    for folder in [data_dir.to_owned(), layout.log()] {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|source| InitError::Folder { folder, source })?;
    }
    let registry = Registry::open(&layout.registry()).map_err(InitError::Open)?;
    let mut node = match registry.node().map_err(InitError::Registry)? {
        Some(node) if node.complete => {
            return Err(InitError::Exists);
        }
        Some(node) => node,
        None => draw(options)?,
    };
    registry.set_node(&node).map_err(InitError::Registry)?;
    match Authority::load(&layout.authority()) {
        Ok(_) => {}
        Err(error) if error.is_missing() => {
            let authority = Authority::create(options.trust_domain.clone(), UnixTime::now());
            let authority = authority.map_err(InitError::Authority)?;
            authority.save(&layout.authority()).map_err(InitError::SaveAuthority)?;
        }
        Err(error) => return Err(InitError::LoadAuthority(error)),
    }
    EmbeddedLog::create(&layout.log(), node.log, node.shards).map_err(InitError::Log)?;
    node.complete = true;
    registry.set_node(&node).map_err(InitError::Registry)
}

fn draw(options: &InitOptions) -> Result<NodeRecord, InitError> {
    let (mut id, mut log) = ([0; 16], [0; 16]);
    for random in [&mut id, &mut log] {
        getrandom::fill(random).map_err(InitError::Random)?;
    }
    Ok(NodeRecord {
        id: NodeId(id),
        name: options.name.clone(),
        log: LogId(log),
        shards: options.shards,
        complete: false,
    })
}
