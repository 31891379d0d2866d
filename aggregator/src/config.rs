//! Configuration: what was written becomes what the node needs, once, at the start.
//!
//! Each key is looked up in the environment, in the files of `headwater.d`, in the main file and in the
//! defaults, in this order; the defaults are themselves a file. A [`Config`] cannot hold a value outside
//! its range; what is refused names the key, the place and the range.

mod error;
mod layer;
mod raw;
mod read;
mod retention;
mod units;
mod webhooks;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_certs::token::Address;
use headwater_protocol::identity::ShardCount;

use crate::alert::notice::Webhook;
use crate::history::Retention;
use crate::limits::ByteCount;
use crate::log::MinFree;

pub use error::{ConfigError, Place};
pub(crate) use layer::nearest;
pub(crate) use units::duration;

/// What the node needs, impossible to hold invalid.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name and place of the node.
    pub node: NodeConfig,
    /// Sessions of agents.
    pub intake: IntakeConfig,
    /// Enrolment.
    pub enrol: EnrolConfig,
    /// The log.
    pub log: LogConfig,
    /// How samples are added up.
    pub window: WindowConfig,
    /// What is kept of what was applied.
    pub history: HistoryConfig,
    /// The console.
    pub console: ConsoleConfig,
    /// Metrics.
    pub metrics: MetricsConfig,
    /// Alerts.
    pub alert: AlertConfig,
}

/// Alerts.
#[derive(Clone, Debug)]
pub struct AlertConfig {
    /// Who is told of them.
    pub webhooks: Vec<Webhook>,
}

/// Name and place of the node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its name: the host's, unless another is set.
    pub name: String,
    /// Where it keeps everything.
    pub data_dir: PathBuf,
    /// What is logged.
    pub log_level: tracing::Level,
}

/// Sessions of agents.
#[derive(Clone, Debug)]
pub struct IntakeConfig {
    /// Where it listens (UDP).
    pub listen: SocketAddr,
    /// The address that agents are told. `None`: made of the node's name and the port.
    pub advertise: Option<Address>,
    /// Connections at once.
    pub max_connections: usize,
    /// What is asked for as the socket's receive buffer.
    pub receive_buffer: ByteCount,
    /// How much of the data disk stays free.
    pub min_free: MinFree,
}

/// Enrolment.
#[derive(Clone, Debug)]
pub struct EnrolConfig {
    /// Where it listens (TCP).
    pub listen: SocketAddr,
    /// How long a token can be used, unless it says otherwise.
    pub token_life: Duration,
    /// How many devices may join by a token, unless it says otherwise.
    pub token_uses: NonZeroU32,
    /// How long a device's certificate is valid.
    pub certificate_life: Duration,
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// How many shards it has.
    pub shards: ShardCount,
    /// How often snapshots are written of what changed.
    pub snapshot_every: Duration,
    /// Longest wait to share one fsync.
    pub group_commit: Duration,
}

/// How samples are added up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WindowConfig {
    /// How long a window is: as long as when the node was made.
    pub length: Duration,
    /// How long after its end a window waits for what is late.
    pub lateness: Duration,
    /// Names of labels to add up by; the device is among them.
    pub combinations: Vec<Vec<String>>,
    /// Those of them whose quantiles are kept.
    pub quantiles: Vec<Vec<String>>,
    /// Keys that one combination may have.
    pub max_keys: u32,
    /// How long averages are kept.
    pub keep: Duration,
}

/// What is kept of what was applied.
#[derive(Clone, Debug)]
pub struct HistoryConfig {
    /// The folder of its files. `None`: nothing is kept beside the log.
    pub folder: Option<PathBuf>,
    /// How long a stretch of time a new file holds.
    pub every: Duration,
    /// How much of each table is kept: everything, unless a person says otherwise.
    pub retention: Retention,
}

/// The console.
#[derive(Clone, Debug)]
pub struct ConsoleConfig {
    /// Where it listens (TCP): always on loopback, until there are users and roles.
    pub listen: SocketAddr,
}

/// Metrics.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// Where they are served (TCP).
    pub listen: SocketAddr,
}

impl Config {
    /// Reads the configuration: defaults, the file and those of its folder `.d`, the environment.
    /// `None` for no file at all.
    ///
    /// # Errors
    /// The first fault, with its place and what helps.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::from_layers(file, std::env::vars_os())
    }

    /// As `load`, with other variables than those of this process.
    ///
    /// # Errors
    /// As `load`.
    ///
    /// # Panics
    /// Never: the file of defaults is tested.
    pub fn from_layers(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let defaults = layer::Layer::parse("defaults", DEFAULTS).expect("the defaults are valid");
        let mut layers = vec![defaults];
        for path in file.map(layer::files).transpose()?.unwrap_or_default() {
            layers.push(layer::of_file(&path)?);
        }
        for (name, value) in variables {
            layers.extend(layer::of_variable(&name, &value)?);
        }
        Self::try_from(read::Layers(&layers))
    }
}

/// Every key with its default, as a commented file.
pub const DEFAULTS: &str = include_str!("config/headwater.toml");
