//! The node: all stages of an aggregator, and the handle that the command line and the API use.

mod alerting;
mod averages;
mod certificates;
mod console;
mod glance;
mod handle;
mod init;
mod shown;
mod sources;
mod topology;
mod verify;
mod view;

use std::io;
use std::path::{Path, PathBuf};

use headwater_certs::authority;

use crate::alert::notice;
use crate::config::Config;
use crate::registry::RegistryError;
use crate::{enrol, fold, health, intake, log, merge, registry, sink};

pub use alerting::{Alerting, Append, Applied, ApplyError, ApplyRequest, Terms};
pub use averages::{
    AverageQuery, AverageWindow, Averages, AveragesError, DeviceWindows, Point, SeriesPoints,
};
pub use certificates::IdentityError;
pub use glance::GlanceError;
pub(crate) use handle::RestPiece;
pub use handle::{NodeHandle, TokenRequest};
pub use init::{InitError, InitOptions};
pub use sources::SourcesError;
pub(crate) use verify::shard as audit_shard;
pub use verify::{
    GAP_RANGES_MAX, GapRange, GapSum, LaneReport, VerifyError, VerifyProgress, VerifyReport,
};
pub use view::{
    CreatedToken, DeviceView, LaneView, Latest, LedgerView, LiveView, SessionView, StreamView,
    TokenView,
};

/// A node.
#[derive(Debug)]
pub struct Node;

impl Node {
    /// Whether a folder holds a node.
    #[must_use]
    pub fn exists(data_dir: &Path) -> bool {
        init::exists(data_dir)
    }

    /// Makes authority, registry and log in a folder. One that was interrupted is completed.
    ///
    /// # Errors
    /// `InitError::Exists` if the folder holds a node (exit code 7).
    pub fn init(data_dir: &Path, options: &InitOptions) -> Result<(), InitError> {
        init::init(data_dir, options)
    }

    /// Starts every stage. To be called inside a tokio runtime, of one thread or more.
    ///
    /// # Errors
    /// Each names what is in the way and what to do.
    pub async fn start(config: Config) -> Result<NodeHandle, StartError> {
        topology::start(config).await.map(NodeHandle::new)
    }
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder holds no node.
    #[error("start the node: there is none in {folder:?}; make one: headwater init")]
    NoNode {
        /// The folder.
        folder: PathBuf,
    },
    /// The disk can't be looked at.
    #[error("start the node: ask how much room {folder:?} has")]
    Space {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The registry can't be opened.
    #[error("start the node")]
    Registry(#[source] registry::OpenError),
    /// The registry can't be read.
    #[error("start the node")]
    Node(#[source] RegistryError),
    /// The authority can't be loaded.
    #[error("start the node")]
    Authority(#[source] authority::LoadError),
    /// The node has no certificate.
    #[error("start the node")]
    Identity(#[source] IdentityError),
    /// The log can't be opened.
    #[error("start the node")]
    Log(#[source] log::OpenError),
    /// Windows of another length than the node was made with.
    #[error(
        "start the node: window.length is {wished_s} s, this node was made with {length_s} s, and it is fixed; set window.length = \"{length_s}s\""
    )]
    WindowLength {
        /// As configured, in seconds.
        wished_s: u64,
        /// As created, in seconds.
        length_s: u64,
    },
    /// The merge fold can't be served.
    #[error("start the node")]
    Merge(#[source] merge::StartError),
    /// A shard can't be served.
    #[error("start the node")]
    Fold(#[source] fold::StartError),
    /// Where sinks stand can't be read.
    #[error("start the node")]
    SinkStore(#[source] sink::StoreError),
    /// A sink can't be started.
    #[error("start the node")]
    Sink(#[source] sink::StartError),
    /// The intake can't listen.
    #[error("start the node")]
    Intake(#[source] intake::ListenError),
    /// Enrolment can't listen.
    #[error("start the node")]
    Enrol(#[source] enrol::ListenError),
    /// Notices of alerts can't be sent.
    #[error("start the node")]
    Notices(#[source] notice::NoticeError),
    /// Metrics can't be served.
    #[error("start the node")]
    Health(#[source] health::ListenError),
    /// The runtime is ending.
    #[error("start the node: the program is stopping")]
    Stopping,
}

impl StartError {
    /// Whether an address was another program's at that moment.
    #[must_use]
    pub fn address_taken(&self) -> bool {
        matches!(
            self,
            Self::Intake(intake::ListenError::InUse { .. })
                | Self::Enrol(enrol::ListenError::InUse { .. })
                | Self::Health(health::ListenError::InUse { .. })
        )
    }
}
