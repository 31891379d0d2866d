//! Configuration: what was written becomes what the program needs, once, at the start.
//!
//! Each key is looked up in the environment, in the files of `agent.d`, in the main file and in the
//! defaults, in this order; the defaults are themselves a file, the one that `config init` prints, so
//! the two cannot differ. A [`Config`] cannot hold a value outside its range; what is refused names the
//! key, the place and the range.

mod error;
mod globs;
mod layer;
mod raw;
mod read;
mod sections;
mod tails;
mod units;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::error::{ConfigError, Place};
pub use self::globs::Globs;
use self::layer::Layer;
use self::read::Layers;
use self::sections::{LOG_LEVELS, read};
pub use self::tails::{LongLine, Multiline, Pattern, StartAt, TailConfig, TailLimits};
pub use self::units::{Budget, ByteCount, Period, Room};

/// What the agent is to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Config {
    /// The agent itself.
    pub agent: AgentConfig,
    /// Certificate and key.
    pub identity: IdentityConfig,
    /// What is sampled of the host.
    pub sample: SampleConfig,
    /// The files to tail, in the order in which they were written.
    pub tails: Vec<TailConfig>,
    /// Bounds that all tails share.
    pub tail_limits: TailLimits,
    /// Where records wait.
    pub spool: SpoolConfig,
    /// How they travel.
    pub ship: ShipConfig,
}

/// The agent itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentConfig {
    /// What people call the device; `None` for the name given at enrolment.
    pub name: Option<String>,
    /// What is logged.
    pub log_level: LogLevel,
    /// Where `status` asks.
    pub socket: PathBuf,
    /// Labels of the device.
    pub labels: BTreeMap<String, String>,
}

/// From which severity on something is logged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "the words of tracing")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        LOG_LEVELS.iter().find(|(_, level)| *level == self).map_or("info", |(word, _)| word)
    }
}

/// Certificate and key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct IdentityConfig {
    /// Their folder.
    pub dir: PathBuf,
}

/// What is sampled of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SampleConfig {
    /// Between two ticks, 1 s to 1 h.
    pub interval: Duration,
    /// Ticks keep to the wall clock.
    pub align: bool,
    /// Shares of the processors' time.
    pub cpu: bool,
    /// The busy share of each processor as well; without `cpu` it has no effect.
    pub per_cpu: bool,
    /// Memory and swap.
    pub memory: bool,
    /// Space and inodes per mount.
    pub disk: bool,
    /// Types of filesystems that are left out.
    pub disk_exclude_fstype: Globs,
    /// Mount points that are left out.
    pub disk_exclude_mount: Globs,
    /// What goes through each disk.
    pub disk_io: bool,
    /// What goes through each network interface.
    pub network: bool,
    /// Names of interfaces that are left out.
    pub network_exclude: Globs,
    /// Load and uptime.
    pub load: bool,
    /// Which share of the time tasks waited for processors, memory and disks.
    pub pressure: bool,
    /// What the temperature sensors say.
    pub temperature: bool,
    /// What is told of processes.
    pub processes: ProcessDetail,
    /// Where the host's trees are mounted.
    pub host: SampleHost,
}

/// What is told of processes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProcessDetail {
    /// Nothing.
    Off,
    /// How many there are.
    Count,
}

/// Where the host's trees are mounted.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SampleHost {
    /// `/proc` of the host.
    pub proc: PathBuf,
    /// `/sys` of the host.
    pub sys: PathBuf,
    /// `/` of the host.
    pub root: PathBuf,
}

/// Where records wait.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SpoolConfig {
    /// Its folder.
    pub dir: PathBuf,
    /// What it may take of the disk.
    pub max_bytes: ByteCount,
    /// What it leaves free of the filesystem.
    pub min_free: Room,
    /// What is kept aside, so that acks and deletes work on a full disk.
    pub reserve: ByteCount,
    /// Acked batches that are kept; at most half of `max_bytes`.
    pub grace_bytes: ByteCount,
    /// Age at which a batch of the live lane is sealed.
    pub live_seal_after: Duration,
    /// Age at which a batch of the bulk lane is sealed.
    pub bulk_seal_after: Duration,
    /// Compressed size at which a batch is sealed.
    pub seal_bytes: ByteCount,
}

/// How records travel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShipConfig {
    /// `host:port` of aggregators; empty for those given at enrolment.
    pub addresses: Vec<String>,
    /// For one address.
    pub connect_timeout: Duration,
    /// Between two signs of life on a silent connection; `None` for none.
    pub keep_alive: Option<Duration>,
    /// Silence after which a connection is given up.
    pub idle_timeout: Duration,
    /// The longest pause between two attempts, before jitter.
    pub max_backoff: Duration,
    /// Of zstd, 1 to 19.
    pub compression_level: i32,
    /// Batches of one lane on their way.
    pub max_in_flight: usize,
    /// Bytes that may travel, in both directions; `None` for any number.
    pub budget: Option<Budget>,
}

/// A configuration and where it comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// The files that were read, weakest first.
    pub files: Vec<PathBuf>,
    /// What is in force and probably not meant.
    pub warnings: Vec<ConfigWarning>,
}

/// Something in force that is probably not meant.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ConfigWarning {
    /// The grace buffer may take at most half of the spool.
    #[error("spool.grace_bytes is held at {held}, half of spool.max_bytes")]
    GraceHeld {
        /// What is in force.
        held: ByteCount,
    },
    /// Two tails name the same pattern.
    #[error("tails \"{first}\" and \"{second}\" both read {pattern}: \"{first}\" has it")]
    PatternTwice {
        /// The tail that reads it.
        first: String,
        /// The tail that does not.
        second: String,
        /// The pattern.
        pattern: String,
    },
}

impl Config {
    /// Where the main file is unless the command line says otherwise.
    pub const PATH: &str = "/etc/headwater/agent.toml";

    /// Reads the configuration. `None` is [`Config::PATH`], which need not exist.
    ///
    /// # Errors
    /// The first fault that was found; nothing of the configuration may be used.
    pub fn load(path: Option<&Path>) -> Result<Loaded, ConfigError> {
        Self::load_with(path, std::env::vars_os())
    }

    /// Reads the configuration with a given environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(
        path: Option<&Path>,
        environment: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Loaded, ConfigError> {
        let files = layer::files(path.unwrap_or(Path::new(Self::PATH)), path.is_some())?;
        let mut layers = vec![defaults()];
        for file in &files {
            layers.push(layer::of_file(file)?);
        }
        let mut environment: Vec<(OsString, OsString)> = environment.collect();
        environment.sort();
        for (name, value) in &environment {
            layers.extend(layer::of_variable(name, value)?);
        }
        let mut warnings = Vec::new();
        let config = read(&Layers(&layers), &mut warnings)?;
        Ok(Loaded { config, files, warnings })
    }
}

impl Default for Config {
    fn default() -> Self {
        read(&Layers(&[defaults()]), &mut Vec::new()).expect("the defaults are inside their ranges")
    }
}

/// The complete commented file, every default shown.
#[must_use]
pub fn commented_defaults() -> String {
    DEFAULTS.to_owned()
}

const DEFAULTS: &str = include_str!("config/agent.toml");

fn defaults() -> Layer {
    Layer::parse("defaults", DEFAULTS).expect("the file of defaults is well-formed")
}
