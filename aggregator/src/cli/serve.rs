//! `headwater init` and `headwater serve`.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use headwater_protocol::identity::ShardCount;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format::{Writer, debug_fn};

use super::args::Global;
use super::failure::{Exit, Failure};
use super::output::escape::visible;
use super::output::{Output, Signs};
use crate::api::{self, chain};
use crate::config::Config;
use crate::console::{self, ConsoleHandle};
use crate::node::{InitOptions, Node, NodeHandle};

/// The configuration that the user named, or the host's own, or the defaults.
pub(crate) fn config(global: &Global) -> Result<Config, Failure> {
    load(config_file(global))
}

/// The file of it; `None` for the defaults.
pub(super) fn config_file(global: &Global) -> Option<&Path> {
    let of_host = Path::new(CONFIG_FILE);
    global.config.as_deref().or_else(|| of_host.exists().then_some(of_host))
}

/// Reads a configuration: what is wrong with it stands first, its place below.
pub(crate) fn load(file: Option<&Path>) -> Result<Config, Failure> {
    Config::load(file).map_err(|error| {
        let text = chain(&error);
        let (what, place) = text.split_once('\n').unwrap_or((&text, ""));
        let failure = Failure::new(Exit::Config, format!("the configuration is invalid: {what}"));
        let failure = match place.trim_end() {
            "" => failure,
            place => failure.fact("where", place),
        };
        failure.next("correct it, then the same command")
    })
}

/// The folder of the configured aggregator.
pub(super) fn data_dir(global: &Global) -> Result<PathBuf, Failure> {
    Ok(config(global)?.node.data_dir)
}

/// The configuration of a host's service.
const CONFIG_FILE: &str = "/etc/headwater/headwater.toml";

/// Makes a node.
pub(super) fn init(global: &Global, output: &Output, dir: Option<PathBuf>) -> Result<(), Failure> {
    let config = config(global)?;
    let serve = match &dir {
        Some(dir) => format!("HEADWATER__NODE__DATA_DIR={} headwater serve", dir.display()),
        None => "headwater serve".to_owned(),
    };
    let dir = dir.unwrap_or_else(|| config.node.data_dir.clone());
    make(&dir, &config.node.name, config.log.shards)?;
    let (signs, dir) = (Signs::of_locale(), dir.display());
    output.note(&format!(
        "{} authority and log are made in {dir} {} whoever has {dir}/ca can enrol devices: keep it private",
        signs.good, signs.dot,
    ));
    output.note(&format!("next: {serve}"));
    Ok(())
}

/// Makes authority and log in a folder.
pub(crate) fn make(dir: &Path, name: &str, shards: ShardCount) -> Result<(), Failure> {
    let options = InitOptions {
        trust_domain: TRUST_DOMAIN.parse().expect("the default realm is one"),
        name: name.to_owned(),
        shards,
    };
    let Err(error) = Node::init(dir, &options) else { return Ok(()) };
    let place = dir.display().to_string();
    // One that is in use can't be opened by anybody else, and is there all the same.
    if Node::exists(dir) {
        return Err(Failure::new(Exit::Conflict, "there is a node already")
            .fact("where", place)
            .cause("a second authority would lock out every device of the first")
            .next("headwater serve, or --dir with another folder"));
    }
    Err(Failure::new(Exit::Failed, "cannot make a node").fact("where", place).cause_of(&error))
}

/// The realm of an authority that nobody named.
const TRUST_DOMAIN: &str = "headwater.internal";

/// Runs the aggregator until it is told to stop.
pub(super) fn run(global: &Global, output: &Output) -> Result<(), Failure> {
    let config = config(global)?;
    log_to_stderr(&config, output);
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut stop = Stop::new()?;
        let Started { node, console, served } = start(config).await?;
        output.note(&ready(&node, &console));
        stop.wait().await;
        tracing::info!("stopping");
        console.stop();
        drop(served);
        tokio::select! {
            () = node.shutdown() => Ok(()),
            () = stop.wait() => Err(Failure::new(Exit::Interrupted, "stopped at once")
                .cause("a second signal came while the log was being closed")
                .next("headwater serve: it goes on from what is durable")),
        }
    })
}

/// The runtime of a node: as many threads as the host has processors.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Failure::new(Exit::Failed, "cannot start the runtime").cause_of(&error))
}

/// Refuses if another process serves a folder: then nothing of it is touched.
pub(crate) async fn refuse_if_served(data_dir: &Path) -> Result<(), Failure> {
    if UnixStream::connect(api::file_of(data_dir)).await.is_err() {
        return Ok(());
    }
    Err(Failure::new(Exit::Conflict, "an aggregator runs in this folder already")
        .fact("where", data_dir.display().to_string())
        .next("headwater devices shows it; another one needs another folder"))
}

/// A node, and what answers for it.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) node: NodeHandle,
    pub(crate) console: ConsoleHandle,
    pub(crate) served: api::Served,
}

/// Why a node did not start.
#[derive(Debug)]
pub(crate) struct NotStarted {
    failure: Failure,
    /// Whether an address was another program's at that moment.
    pub(crate) address_taken: bool,
}

impl From<Failure> for NotStarted {
    fn from(failure: Failure) -> Self {
        Self { failure, address_taken: false }
    }
}

impl From<NotStarted> for Failure {
    fn from(refusal: NotStarted) -> Self {
        refusal.failure
    }
}

/// Starts a node, its console and its socket.
pub(crate) async fn start(config: Config) -> Result<Started, NotStarted> {
    let (data_dir, listen) = (config.node.data_dir.clone(), config.console.listen);
    if !Node::exists(&data_dir) {
        return Err(Failure::new(Exit::Config, "there is no node to serve")
            .fact("where", data_dir.display().to_string())
            .cause("the folder holds neither an authority nor a log")
            .next(format!("headwater init --dir {}", data_dir.display()))
            .into());
    }
    refuse_if_served(&data_dir).await?;
    let node = Node::start(config).await.map_err(|error| NotStarted {
        address_taken: error.address_taken(),
        failure: Failure::new(Exit::Failed, "cannot start the aggregator")
            .fact("where", data_dir.display().to_string())
            .cause_of(&error),
    })?;
    let refusal = match console::serve(node.clone(), listen).await {
        Ok(console) => match api::serve(node.clone(), console.clone(), &data_dir) {
            Ok(served) => return Ok(Started { node, console, served }),
            Err(error) => Failure::new(Exit::Failed, "cannot answer the command line")
                .cause_of(&error)
                .next("a data folder with a shorter path, on a filesystem that has sockets")
                .into(),
        },
        Err(error) => NotStarted {
            address_taken: error.source.kind() == io::ErrorKind::AddrInUse,
            failure: Failure::new(Exit::Failed, "cannot serve the console")
                .cause_of(&error)
                .next("another port in [console] listen; `ss -lntp` shows who has this one"),
        },
    };
    node.shutdown().await;
    Err(refusal)
}

fn ready(node: &NodeHandle, console: &ConsoleHandle) -> String {
    format!(
        "ready: intake quic {} {dot} enrolment tcp {} {dot} console http://{} {dot} metrics http://{}/metrics",
        node.intake_address(),
        node.enrol_address(),
        console.address(),
        node.metrics_address(),
        dot = Signs::of_locale().dot,
    )
}

/// Signals that ask for a clean stop.
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    /// A terminal that was closed. `None` once it was: shells and kernels say so more than once, which
    /// is no second wish.
    hangup: Option<Signal>,
}

impl Stop {
    pub(crate) fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Exit::Failed, "cannot listen for signals").cause_of(&error)
            })
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: Some(listen(SignalKind::hangup())?),
        })
    }

    pub(crate) async fn wait(&mut self) {
        let Self { interrupt, terminate, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = hung_up => self.hangup = None,
        }
    }
}

/// A field of an event, whatever others chose of it made harmless: an event is one line.
fn field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(out, "{field}=")?;
    }
    out.write_str(&visible(&format!("{value:?}")))
}

fn log_to_stderr(config: &Config, output: &Output) {
    let level = match output.verbose {
        0 => config.node.log_level,
        1 => tracing::Level::DEBUG,
        _ => tracing::Level::TRACE,
    };
    let colours = anstream::AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never;
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(colours)
        .fmt_fields(debug_fn(field).delimited(" "))
        .with_writer(io::stderr)
        .init();
}

/// Logs to a file, for a terminal that shows something else.
pub(crate) fn log_to_file(file: std::fs::File, level: tracing::Level) {
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .fmt_fields(debug_fn(field).delimited(" "))
        .with_writer(Mutex::new(file))
        .init();
}
