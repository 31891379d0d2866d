//! Headwater agent: what a host measures and logs goes to an aggregator, each record once.
//!
//! The line is fixed: **sample** and **tail** read, **spool** keeps what was read until the ledger has
//! it, **ship** sends it and brings the ledger's word back. Data moves one way; only acks and
//! backpressure come back. [`run`] is the whole topology.
//!
//! What holds between any two lines of this code: what was read and is not in a source any more is in
//! the spool; what left the spool was acked by the fold; what is in neither is declared as a gap.

mod killpoint;
mod stages;

pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod enrol;
pub mod limits;
pub mod sample;
pub mod ship;
pub mod shutdown;
pub mod spool;
pub mod status;
pub mod tail;

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use headwater_certs::identity::{DeviceIdentity, LoadError};
use headwater_protocol::identity::DeviceId;
use headwater_protocol::wire::{Hello, PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use tokio::sync::watch;
use tracing::{info, warn};

use self::clock::Clocks;
use self::config::{Config, SampleConfig};
use self::enrol::{EnrolmentState, StateError};
use self::sample::{Sampler, Schedule};
use self::ship::{SessionPath, Ship, ShipError, Standing};
use self::shutdown::Shutdown;
use self::spool::{HostFacts, OpenError, Spool, SpoolError, SpoolView, SpoolWriter};
use self::stages::Stages;
use self::status::StatusSource;
use self::tail::{FileStatuses, TailError, TailStop};

/// Why the agent ended. Its service manager starts it again.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is no identity, or it can't be read.
    #[error("read the identity")]
    Identity(#[source] LoadError),
    /// What enrolment told can't be read.
    #[error("read what enrolment told")]
    Enrolment(#[source] StateError),
    /// The spool can't be opened.
    #[error(transparent)]
    Open(OpenError),
    /// The spool could not go on.
    #[error(transparent)]
    Spool(SpoolError),
    /// The ship stage could not go on.
    #[error("ship")]
    Ship(#[source] ShipError),
    /// The tail stage could not go on.
    #[error("tail")]
    Tail(#[source] TailError),
    /// A thread could not be started.
    #[error("start thread {name}")]
    Thread {
        /// Which one.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A stage ended without being told to.
    #[error("stage {name} ended without being told to")]
    Ended {
        /// Which one.
        name: &'static str,
    },
}

/// Runs the agent until it is told to stop or a stage can't go on.
///
/// # Errors
/// Why it could not go on. What was read is in the spool or still in its source.
pub async fn run(config: Config, shutdown: Shutdown) -> Result<(), AgentError> {
    let identity = DeviceIdentity::load(&config.identity.dir).map_err(AgentError::Identity)?;
    let enrolled = EnrolmentState::load(&config.identity.dir).map_err(AgentError::Enrolment)?;
    let device = Device::of(&config, &identity, &enrolled);
    let clocks = Clocks::of_this_boot(&config.sample.host.proc);
    let spool = open_spool(&config, &device, clocks)?;
    let Spool { writer, landing, reader, thread } = spool;
    let spool = thread.start().map_err(|source| AgentError::Thread { name: "spool", source })?;

    let (standing, stands) = watch::channel(Standing::default());
    let path = SessionPath::default();
    let stop = TailStop::new().map_err(|source| AgentError::Thread { name: "tail", source })?;
    let files = FileStatuses::default();
    let (sampling, sampled_until) = channel();
    let mut stages = Stages::new();
    let sample = SampleStage::new(&config, &device, writer, reader.view());
    stages.start("sample", move || {
        sample.run(&sampled_until);
        Ok(())
    })?;
    let (tailed, tail_stop, tail_files) =
        (config.clone(), stop.clone(), FileStatuses::clone(&files));
    stages.start("tail", move || {
        tail::run(&tailed, landing, &tail_stop, &tail_files).map_err(AgentError::Tail)
    })?;
    let status = StatusSource {
        name: device.name.clone(),
        device: device.id.to_string(),
        started: Instant::now(),
        standing: stands,
        path: path.clone(),
        spool: reader.view(),
        files,
    };
    let ship = Ship {
        addresses: addresses(&config, enrolled),
        config: config.ship.clone(),
        identity_dir: config.identity.dir.clone(),
        device: device.id,
        hello: device.hello(clocks),
        spool: reader,
        clocks,
        standing,
        path,
        budget_file: config.spool.dir.join("budget"),
    };
    info!(device = %device.id, name = device.name, tails = config.tails.len(), "ready");

    let reading = async {
        shutdown.ordered().await;
        stop.order();
        drop(sampling);
        std::future::pending::<()>().await;
    };
    let outcome = tokio::select! {
        shipped = ship::run(ship, shutdown.clone()) => shipped.map_err(AgentError::Ship),
        error = stages.ended(&shutdown) => Err(error),
        () = reading => Ok(()),
        () = serve_status(&config, status) => Ok(()),
    };
    stop.order();
    let ended = tokio::task::spawn_blocking(move || {
        let spooled = spool.stop();
        stages.join();
        spooled
    });
    // The spool knows best why it ended; the others only saw that it did.
    let spooled = ended.await.expect("the end of the stages does not panic");
    spooled.map_err(AgentError::Spool).and(outcome)
}

/// Where aggregators are: as configured, or else as enrolment told.
fn addresses(config: &Config, enrolled: EnrolmentState) -> Vec<String> {
    match config.ship.addresses.as_slice() {
        [] => enrolled.addresses,
        configured => configured.to_vec(),
    }
}

/// Opens the spool, and compares this host with the one that it was filled on.
fn open_spool(config: &Config, device: &Device, clocks: Clocks) -> Result<Spool, AgentError> {
    let level = config.ship.compression_level;
    let opened = spool::open(&config.spool, device.id, clocks, level);
    let mut spool = opened.map_err(AgentError::Open)?;
    let facts = HostFacts::of(&config.sample.host.root, &config.sample.host.sys);
    if let Some(copied) = spool.meet(&facts) {
        warn!("{}", copied.sentence());
    }
    Ok(spool)
}

/// Serves the status for as long as it is polled. Without a socket the agent works all the same.
async fn serve_status(config: &Config, source: StatusSource) {
    if let Err(error) = status::serve(&config.agent.socket, source).await {
        warn!(error = &error as &dyn std::error::Error, "no status is served");
    }
    std::future::pending::<()>().await;
}

/// What the device is and says of itself.
#[derive(Clone, Debug)]
struct Device {
    id: DeviceId,
    name: String,
    labels: BTreeMap<String, String>,
}

impl Device {
    fn of(config: &Config, identity: &DeviceIdentity, enrolled: &EnrolmentState) -> Self {
        let mut labels = enrolled.labels.clone();
        labels.extend(config.agent.labels.clone());
        let name = config.agent.name.clone().or_else(|| Some(enrolled.name.clone()));
        let name = name.filter(|name| !name.is_empty());
        let id = DeviceId(identity.device().to_bytes());
        Self { id, name: name.unwrap_or_else(|| id.to_string()), labels }
    }

    fn hello(&self, clocks: Clocks) -> Hello {
        Hello {
            protocol_oldest: PROTOCOL_OLDEST,
            protocol_newest: PROTOCOL_NEWEST,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            session: getrandom::u64().unwrap_or_default(),
            name: self.name.clone(),
            boot: clocks.boot(),
            labels: self.labels.clone(),
        }
    }

    /// Labels and inventory; a label wins over a fact of the same name.
    fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = sample::inventory();
        facts.insert("agent.name".to_owned(), self.name.clone());
        facts.extend(self.labels.clone());
        facts
    }
}

/// The sampler's thread.
struct SampleStage {
    config: SampleConfig,
    device: Device,
    writer: SpoolWriter,
    /// Whether the ledger adds up, which is sampled too.
    spool: watch::Receiver<SpoolView>,
}

impl SampleStage {
    fn new(
        config: &Config,
        device: &Device,
        writer: SpoolWriter,
        spool: watch::Receiver<SpoolView>,
    ) -> Self {
        Self { config: config.sample.clone(), device: device.clone(), writer, spool }
    }

    /// Samples until the other end of `until` is dropped or the spool takes nothing more.
    fn run(self, until: &Receiver<()>) {
        let (mut sampler, started_us) = (Sampler::new(&self.config), clock::wall_us());
        let schedule = if self.config.align {
            Schedule::aligned(self.config.interval, &self.device.id.0)
        } else {
            Schedule::starting(self.config.interval, started_us)
        };
        let mut told = Instant::now();
        if self.writer.facts(self.device.facts()).is_err() {
            return;
        }
        // Rates and shares of time need a first reading.
        sampler.take(Instant::now);
        let mut last: Option<Instant> = None;
        loop {
            let wait = schedule.wait(clock::wall_us(), last.map(|last| last.elapsed()));
            if until.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            last = Some(Instant::now());
            let mut samples = sampler.take(Instant::now);
            samples.extend(status::differences(&self.spool.borrow()));
            // No two ticks are closer than that: `Schedule::wait`.
            let lull = self.config.interval / 2;
            let mut ended = self.writer.tick_before(lull, clock::wall_us(), samples).is_err();
            for fault in sampler.faults() {
                warn!(fault = &fault as &dyn std::error::Error, "figures are left out");
            }
            if told.elapsed() >= FACTS_INTERVAL {
                told = Instant::now();
                ended |= self.writer.facts(self.device.facts()).is_err();
            }
            if ended {
                return;
            }
        }
    }
}

/// How often facts are looked at: kernel and memory change with a reboot, names seldom.
const FACTS_INTERVAL: Duration = Duration::from_secs(3600);
