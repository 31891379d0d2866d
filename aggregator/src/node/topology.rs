//! The line of an aggregator, in order of flow: intake, log, fold, sinks. Built from the end, since each stage
//! needs the next one.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headwater_certs::authority::Authority;
use headwater_certs::token::Address;
use headwater_protocol::entry::WindowRules;
use headwater_protocol::identity::{Generation, LogId, ShardCount};
use tokio::sync::watch;
use tokio::time::Instant;

use super::StartError;
use super::alerting::{Alerting, Terms};
use super::certificates::Certificates;
use super::init::Layout;
use crate::alert::notice::{NoticeOptions, Notices, Pace};
use crate::alert::{AlertBoard, RuleSet};
use crate::clock::wall_us;
use crate::config::Config;
use crate::enrol::{EnrolHandle, EnrolOptions};
use crate::fold::{FoldHandle, FoldOptions, Live};
use crate::health::{HealthHandle, Started};
use crate::history::read::HistoryReader;
use crate::history::{Averages, Parquet};
use crate::intake::{IntakeHandle, IntakeOptions};
use crate::limits::{SINK_BYTES_MAX, SINK_RECORDS_MAX};
use crate::log::{EmbeddedLog, Log, LogOptions, Space};
use crate::merge::{MergeHandle, MergeOptions};
use crate::metrics::Metrics;
use crate::registry::{Actor, NodeRecord, Registry, ResetKey, RestoredRecord};
use crate::sink::{RangeRules, SinkAbout, SinkHandle, SinkOptions, SinkStore};
use crate::window::Combination;

/// Everything that runs.
#[derive(Debug)]
pub(super) struct Stages {
    pub(super) config: Config,
    pub(super) metrics: Arc<Metrics>,
    pub(super) health: HealthHandle,
    pub(super) registry: Registry,
    pub(super) authority: Arc<Authority>,
    pub(super) log: Arc<EmbeddedLog>,
    pub(super) live: Live,
    pub(super) merge: MergeHandle,
    pub(super) fold: FoldHandle,
    pub(super) intake: IntakeHandle,
    pub(super) enrol: EnrolHandle,
    pub(super) alerting: Alerting,
    pub(super) sinks: Vec<SinkHandle>,
    /// Where sinks stand. `None` if there are none.
    pub(super) sink_store: Option<SinkStore>,
    /// The room on the disk.
    pub(super) space: Arc<Space>,
    /// From which backup the node comes. `None` if from none.
    pub(super) restored: Option<RestoredRecord>,
    /// `None` where no history is kept.
    pub(super) history: Option<HistoryReader>,
    notices: Notices,
    stop: watch::Sender<bool>,
}

/// Starts every stage; what was started is stopped if a later one can't be.
pub(super) async fn start(config: Config) -> Result<Stages, StartError> {
    let metrics = Arc::new(Metrics::default());
    let started = Arc::new(Started {
        metrics: Arc::clone(&metrics),
        space: OnceLock::new(),
        fold: OnceLock::new(),
        intake: OnceLock::new(),
    });
    let health = HealthHandle::start(config.metrics.listen, Arc::clone(&started));
    let health = health.await.map_err(StartError::Health)?;
    let result = start_behind(config, metrics, health.clone(), &started).await;
    if result.is_err() {
        health.stop();
    }
    result
}

async fn start_behind(
    config: Config,
    metrics: Arc<Metrics>,
    health: HealthHandle,
    started: &Started,
) -> Result<Stages, StartError> {
    let Ground { space, registry, node, authority, log, sink_store, history, restored, reset_key } =
        open(&config, &metrics).await?;
    let certificates = Certificates::new(&config, Arc::clone(&authority));
    let tls = certificates.issue().map_err(StartError::Identity)?;
    let windows = window_rules(&config, &registry)?;
    let (live, board) = (Live::default(), AlertBoard::default());
    let merge = start_merge(&config, &metrics, &node, (&space, &board)).await?;
    let alerting = alerting(&registry, &config, (&merge, board))?;
    let notices = notices(&config, &metrics, (&registry, node.log), &alerting)?;
    let fold_options = FoldOptions {
        log: Arc::clone(&log) as _,
        node: node.id,
        windows,
        beat_us: config.history.folder.as_ref().map(|_| micros(config.history.every)),
        restored: generations(restored.as_ref(), log.shards()),
        outbox: merge.outbox(),
        live: live.clone(),
        space: Arc::clone(&space),
        metrics: metrics.fold.clone(),
        intake: metrics.intake.clone(),
    };
    let fold = start_fold(fold_options).await?;
    let sinks = start_sinks(&config, &metrics, sink_store.clone(), (&log, &merge, &space))?;
    let intake = IntakeHandle::start(IntakeOptions {
        listen: config.intake.listen,
        max_connections: config.intake.max_connections,
        receive_buffer: config.intake.receive_buffer,
        node_name: config.node.name.clone(),
        tls: tls.devices,
        fold: fold.clone(),
        reset_key,
        registry: registry.clone(),
        space: Arc::clone(&space),
        metrics: metrics.intake.clone(),
    });
    let intake = match intake {
        Ok(intake) => intake,
        Err(error) => {
            stop_behind(&fold, &merge, &sinks, &notices).await;
            return Err(StartError::Intake(error));
        }
    };
    let enrol = EnrolHandle::start(EnrolOptions {
        listen: config.enrol.listen,
        tls: tls.enrolment,
        authority: Arc::clone(&authority),
        certificate_life: config.enrol.certificate_life,
        serving: vec![serving(&config, intake.address().port())],
        registry: registry.clone(),
        metrics: metrics.enrol.clone(),
    });
    let enrol = match enrol {
        Ok(enrol) => enrol,
        Err(error) => {
            intake.stop().await;
            stop_behind(&fold, &merge, &sinks, &notices).await;
            return Err(StartError::Enrol(error));
        }
    };
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(certificates.renew(intake.clone(), enrol.clone(), stopped.clone()));
    tokio::spawn(save(fold.clone(), config.log.snapshot_every, stopped.clone()));
    tokio::spawn(tick(fold.clone(), stopped.clone()));
    tokio::spawn(look(Arc::clone(&space), stopped));
    started.all(Arc::clone(&space), &fold, &intake);
    #[rustfmt::skip]
    let stages = Stages { config, metrics, health, registry, authority, log, live, merge, fold, intake, enrol, alerting, sinks, sink_store, history, space, restored, notices, stop };
    Ok(stages)
}

/// Starts telling of every change of an alert.
fn notices(
    config: &Config,
    metrics: &Metrics,
    (registry, log): (&Registry, LogId),
    alerting: &Alerting,
) -> Result<Notices, StartError> {
    let notices = Notices::start(NoticeOptions {
        webhooks: config.alert.webhooks.clone(),
        board: alerting.board().clone(),
        registry: registry.clone(),
        log,
        pace: Pace::default(),
        metrics: metrics.alert.clone(),
    });
    notices.map_err(StartError::Notices)
}

/// Thresholds on their way to the merge fold: those that a crash held up, and the shipped ones if there never
/// were any.
fn alerting(
    registry: &Registry,
    config: &Config,
    (merge, board): (&MergeHandle, AlertBoard),
) -> Result<Alerting, StartError> {
    let webhooks = config.alert.webhooks.iter().map(|webhook| webhook.name.clone()).collect();
    let combinations = Combination::kept(&config.window.combinations);
    let base_us = micros(config.window.length);
    let terms = Terms { combinations, base_us, webhooks };
    let merge = merge.clone();
    let append = Arc::new(move |sets: &[RuleSet]| merge.publish(sets));
    let alerting = Alerting::new(registry.clone(), board, terms, append);
    alerting.append_pending().map_err(StartError::Node)?;
    if let Err(error) = alerting.publish_shipped(wall_us()) {
        tracing::warn!(%error, "publish the shipped thresholds");
    }
    Ok(alerting)
}

async fn start_fold(options: FoldOptions) -> Result<FoldHandle, StartError> {
    let fold = blocking(move || FoldHandle::start(&options, workers())).await?;
    fold.map_err(StartError::Fold)
}

/// What is on the disk, opened.
struct Ground {
    space: Arc<Space>,
    registry: Registry,
    node: NodeRecord,
    authority: Arc<Authority>,
    log: Arc<EmbeddedLog>,
    sink_store: Option<SinkStore>,
    restored: Option<RestoredRecord>,
    /// `None` where no history is kept.
    history: Option<HistoryReader>,
    reset_key: ResetKey,
}

async fn open(config: &Config, metrics: &Metrics) -> Result<Ground, StartError> {
    let folder = &config.node.data_dir;
    let layout = Layout(folder);
    let space = Space::of(folder, config.intake.min_free)
        .map_err(|source| StartError::Space { folder: folder.clone(), source })?;
    let space = Arc::new(space);
    let registry = Registry::open(&layout.registry()).map_err(StartError::Registry)?;
    let node = registry.node().map_err(StartError::Node)?.filter(|node| node.complete);
    let node = node.ok_or_else(|| StartError::NoNode { folder: folder.clone() })?;
    let reset_key = registry.reset_key().map_err(StartError::Node)?;
    let restored = registry.restored().map_err(StartError::Node)?;
    let authority = Authority::load(&layout.authority()).map_err(StartError::Authority)?;
    let options = LogOptions {
        id: node.log,
        shards: config.log.shards,
        group_commit: config.log.group_commit,
        space: Arc::clone(&space),
        metrics: metrics.log.clone(),
    };
    let log_folder = layout.log();
    let log = blocking(move || EmbeddedLog::open(&log_folder, &options)).await?;
    let log = Arc::new(log.map_err(StartError::Log)?);
    let sink_store = open_sink_store(config, &log).await?;
    let history = history(config, sink_store.as_ref(), &log);
    let authority = Arc::new(authority);
    Ok(Ground { space, registry, node, authority, log, sink_store, restored, history, reset_key })
}

impl Stages {
    /// The sink of the history. `None` if there is none.
    pub(super) fn history_sink(&self) -> Option<&SinkHandle> {
        self.sinks.iter().find(|sink| sink.view().name == HISTORY)
    }

    /// Stops the line from its beginning: nothing is taken, what was taken is folded, what is folded is in
    /// a snapshot.
    pub(super) async fn stop(&self) {
        self.stop.send_replace(true);
        self.enrol.stop();
        self.intake.stop().await;
        stop_behind(&self.fold, &self.merge, &self.sinks, &self.notices).await;
        let log = Arc::clone(&self.log);
        // It ends with the runtime if that ends first.
        drop(tokio::task::spawn_blocking(move || log.close()).await);
        self.health.stop();
    }
}

/// How samples are added up from now on: what the configuration says, as a version of its own if it is new.
fn window_rules(config: &Config, registry: &Registry) -> Result<Vec<WindowRules>, StartError> {
    let micros = |span: Duration| u64::try_from(span.as_micros()).expect("at most an hour");
    let wish = WindowRules {
        version: 0,
        from_us: 0,
        length_us: micros(config.window.length),
        lateness_us: micros(config.window.lateness),
        keys_max: config.window.max_keys,
        combinations: config.window.combinations.clone(),
        quantiles: config.window.quantiles.clone(),
    };
    let name = "configuration".to_owned();
    let actor = Actor { name, source: String::new(), at_us: wall_us() };
    let versions = registry.window_rules(&wish, &actor).map_err(StartError::Node)?;
    let length_us = versions.last().map_or(wish.length_us, |rules| rules.length_us);
    if length_us != wish.length_us {
        let (wished_s, length_s) = (wish.length_us / 1_000_000, length_us / 1_000_000);
        return Err(StartError::WindowLength { wished_s, length_s });
    }
    Ok(versions)
}

/// From which generations on the shards of a restored node go on.
fn generations(restored: Option<&RestoredRecord>, shards: ShardCount) -> Arc<[Generation]> {
    let Some(restored) = restored else { return Arc::new([]) };
    shards.shards().map(|shard| restored.generation(shard)).collect()
}

async fn start_merge(
    config: &Config,
    metrics: &Metrics,
    node: &NodeRecord,
    (space, board): (&Arc<Space>, &AlertBoard),
) -> Result<MergeHandle, StartError> {
    let options = MergeOptions {
        folder: Layout(&config.node.data_dir).merge(),
        log: node.log,
        node: node.id,
        group_commit: config.log.group_commit,
        length: config.window.length,
        keep: config.window.keep,
        is_followed: config.history.folder.is_some(),
        board: board.clone(),
        space: Arc::clone(space),
        log_metrics: metrics.merge_log.clone(),
        metrics: metrics.merge.clone(),
    };
    blocking(move || MergeHandle::start(options)).await?.map_err(StartError::Merge)
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).expect("at most an hour")
}

/// Where sinks stand, and with it the snapshots that they go on from. `None` if there is no sink.
async fn open_sink_store(
    config: &Config,
    log: &Arc<EmbeddedLog>,
) -> Result<Option<SinkStore>, StartError> {
    if config.history.folder.is_none() {
        return Ok(None);
    }
    let (path, log) = (Layout(&config.node.data_dir).sinks(), Arc::clone(log));
    let open = move || {
        let store = SinkStore::open(&path, log.id())?;
        store.hold_ground(HISTORY, &*log)?;
        Ok(Some(store))
    };
    blocking(open).await?.map_err(StartError::SinkStore)
}

/// What the sink of the history is called.
const HISTORY: &str = "history";

/// The reader of what the sink of the history writes.
fn history(
    config: &Config,
    store: Option<&SinkStore>,
    log: &Arc<EmbeddedLog>,
) -> Option<HistoryReader> {
    let (root, store) = (config.history.folder.clone()?, store?.clone());
    Some(HistoryReader::new(root, HISTORY, Arc::clone(log) as _, store))
}

/// Starts what follows the fold at its own pace.
fn start_sinks(
    config: &Config,
    metrics: &Metrics,
    store: Option<SinkStore>,
    (log, merge, space): (&Arc<EmbeddedLog>, &MergeHandle, &Arc<Space>),
) -> Result<Vec<SinkHandle>, StartError> {
    let (Some(folder), Some(store)) = (config.history.folder.clone(), store) else {
        return Ok(Vec::new());
    };
    let location = folder.display().to_string();
    let about = |name: &str, claim| {
        let (name, location) = (name.to_owned(), location.clone());
        SinkAbout { name, kind: "parquet", location, claim }
    };
    let averages = Averages {
        folder: folder.clone(),
        log: log.id(),
        store: merge.store().clone(),
        every: config.history.every,
        retention: config.history.retention.clone(),
        space: Arc::clone(space),
        metrics: metrics.sink.clone(),
    };
    let averages = averages
        .start(
            about(
                "averages",
                "each figure once: a file is exchanged for another when something comes late",
            ),
            store.clone(),
        )
        .map_err(StartError::Sink)?;
    let history = SinkHandle::start(SinkOptions {
        about: about(HISTORY, "each row once: files are whole, and named after what they hold"),
        destination: Box::new(Parquet::new(folder, log.id(), &config.history.retention)),
        log: Arc::clone(log) as _,
        store,
        rules: RangeRules {
            pane_us: micros(config.history.every),
            records_max: SINK_RECORDS_MAX,
            bytes_max: SINK_BYTES_MAX,
        },
        space: Arc::clone(space),
        metrics: metrics.sink.clone(),
    });
    Ok(vec![history.map_err(StartError::Sink)?, averages])
}

/// Stops what lies behind the intake: the shard folds, what they feed, what follows them, and who is told.
async fn stop_behind(
    fold: &FoldHandle,
    merge: &MergeHandle,
    sinks: &[SinkHandle],
    notices: &Notices,
) {
    fold.stop().await;
    let (merge, sinks) = (merge.clone(), sinks.to_vec());
    let stop = move || {
        merge.stop();
        sinks.iter().for_each(SinkHandle::stop);
    };
    // It ends with the runtime if that ends first.
    drop(tokio::task::spawn_blocking(stop).await);
    notices.stop().await;
}

/// Runs what waits for the disk off the runtime's threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, StartError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| StartError::Stopping)
}

/// As many fold workers as there are processors, up to four: beyond that the disk is the limit.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).clamp(1, 4)
}

/// Where agents are told to go.
pub(super) fn serving(config: &Config, port: u16) -> Address {
    match &config.intake.advertise {
        Some(address) => address.clone(),
        None => own_address(config, config.intake.listen.ip(), port),
    }
}

/// Where devices are told to enrol: the host that agents are told, and the port of enrolment.
pub(super) fn enrolling(config: &Config, port: u16) -> Address {
    match &config.intake.advertise {
        Some(address) => join(address.host(), port),
        None => own_address(config, config.enrol.listen.ip(), port),
    }
}

fn own_address(config: &Config, listen: std::net::IpAddr, port: u16) -> Address {
    if listen.is_unspecified() {
        return join(&config.node.name, port);
    }
    join(&listen.to_string(), port)
}

fn join(host: &str, port: u16) -> Address {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{host}:{port}").parse().expect("a host that was checked and a port that is in use")
}

async fn save(fold: FoldHandle, every: Duration, mut stopped: watch::Receiver<bool>) {
    let mut due = tokio::time::interval(every);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => fold.save().await,
            _ = stopped.changed() => return,
        }
    }
}

/// Helps shards on in which time stands still.
async fn tick(fold: FoldHandle, mut stopped: watch::Receiver<bool>) {
    let mut due = tokio::time::interval_at(Instant::now() + RETURN_TIME, TICK_INTERVAL);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => fold.tick().await,
            _ = stopped.changed() => return,
        }
    }
}

/// How often it is looked for shards in which time stands still: a part of what a window waits anyway.
const TICK_INTERVAL: Duration = Duration::from_millis(250);

/// How long after its start a node leaves shards alone: their agents come back in this time, and a window
/// that closed before would lack what they bring. Alerts are made of first revisions.
const RETURN_TIME: Duration = Duration::from_secs(10);

/// Looks at the disk also while nothing is written: room comes back when somebody else makes it.
async fn look(space: Arc<Space>, mut stopped: watch::Receiver<bool>) {
    let mut due = tokio::time::interval(Duration::from_secs(1));
    let mut was_short = false;
    loop {
        tokio::select! {
            _ = due.tick() => {}
            _ = stopped.changed() => return,
        }
        if let Err(error) = space.look() {
            tracing::warn!(%error, "ask how much room the disk has");
        }
        let (short, free, needed) = (space.is_short(), space.free(), space.needed());
        if short && !was_short {
            tracing::error!(%free, %needed, "the disk is short: nothing is taken, agents keep their spools");
        } else if was_short && !short {
            tracing::info!(%free, "the disk has room again");
        }
        was_short = short;
    }
}
