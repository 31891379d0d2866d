//! A fresh aggregator and a fresh agent on loopback, the programs that ship, in a folder of their own.

mod fleet;
mod http;
mod others;
mod process;
mod programs;
mod scrape;
mod settings;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use fleet::{Fleet, Plan};
pub(crate) use http::Session;
pub(crate) use others::{Others, await_file};
pub(crate) use process::{Process, Usage};
pub(crate) use programs::Programs;
pub(crate) use scrape::{Histogram, Scrape};
pub(crate) use settings::Load;

/// An aggregator that runs, and the place of an agent that is enrolled with it.
#[derive(Debug)]
pub(crate) struct Site {
    // Fields are dropped in this order: what runs, then its folder.
    pub(crate) aggregator: Process,
    programs: Programs,
    ports: Ports,
    folder: TempDir,
}

impl Site {
    /// Makes a node, serves it, and enrols an agent that is to carry a load.
    pub(crate) fn new(programs: &Programs, load: &Load) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
        let ports = Ports::free()?;
        settings::write(folder.path(), &ports, load)?;
        programs.finish(programs.headwater(folder.path()).arg("init"))?;
        let aggregator = serve(programs, folder.path())?;
        let programs = programs.clone();
        let site = Self { aggregator, programs, ports, folder };
        site.until_answered()?;
        let token = site.programs.finish(site.headwater().args(["tokens", "create"]))?;
        site.programs.enrol(site.folder.path(), &token)?;
        Ok(site)
    }

    /// Ends the aggregator with SIGKILL.
    pub(crate) fn kill_aggregator(&mut self) -> Result<()> {
        self.aggregator.kill()
    }

    /// Starts an aggregator that was killed, and waits until it answers.
    pub(crate) fn start_aggregator(&mut self) -> Result<()> {
        self.aggregator = serve(&self.programs, self.folder.path())?;
        self.until_answered()
    }

    fn until_answered(&self) -> Result<()> {
        self.until("the aggregator answers", || Ok(self.ask("/api/v1/devices").is_ok()))
    }

    /// Where everything of it lies.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the agent.
    pub(crate) fn start_agent(&self) -> Result<Process> {
        let mut command = self.programs.agent(self.folder.path());
        let log = self.folder.path().join("agent.log");
        Process::start("headwater-agent", command.arg("run"), &log)
    }

    /// Starts a fleet of so many made-up devices, which enrol over the network, and waits until each is online.
    pub(crate) fn start_fleet(&self, devices: usize) -> Result<Process> {
        let log = self.folder.path().join("fleet.log");
        let mut fleet = Process::start("fleet", &mut self.fleet_of(devices)?, &log)?;
        self.until("the whole fleet is online", || {
            fleet.usage().with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
            let rows: Vec<Value> = serde_json::from_str(&self.ask("/api/v1/devices")?)?;
            let online = rows.iter().filter(|row| row["state"] == "online");
            Ok(online.count() >= devices)
        })?;
        Ok(fleet)
    }

    /// The command of a fleet, with a token for all of it.
    fn fleet_of(&self, devices: usize) -> Result<std::process::Command> {
        let token = self.folder.path().join("fleet.token");
        let mut create = self.headwater();
        create.args(["tokens", "create", "--uses", &devices.to_string()]);
        std::fs::write(&token, self.programs.finish(&mut create)?)?;
        let mut command = self.programs.fleet(self.folder.path());
        command.args([&devices.to_string(), &self.ports.intake.to_string()]).arg(&token);
        Ok(command)
    }

    /// A session with the console, as a browser has it.
    pub(crate) fn enter_console(&self) -> Result<Session> {
        let said = self.programs.finish(self.headwater().arg("console"))?;
        let link = said.split_whitespace().find(|word| word.contains("setup="));
        Session::enter(self.ports.console, link.with_context(|| format!("no link in: {said}"))?)
    }

    /// A command to the aggregator.
    pub(crate) fn headwater(&self) -> std::process::Command {
        self.programs.headwater(self.folder.path())
    }

    /// What the aggregator counts.
    pub(crate) fn scrape(&self) -> Result<Scrape> {
        Ok(Scrape::new(http::ask_port(self.ports.metrics, "/metrics")?))
    }

    /// Records of a lane that the ledger holds, gaps included.
    pub(crate) fn records_read(&self, lane: &str) -> Result<u64> {
        let rows: Value = serde_json::from_str(&self.ask("/api/v1/ledger")?)?;
        let lanes = rows.as_array().into_iter().flatten().filter_map(|row| row["lanes"].as_array());
        let found = lanes.flatten().filter(|row| row["lane"] == lane);
        Ok(found.filter_map(|row| row["records_read"].as_u64()).sum())
    }

    /// Whether the agent says that every line that it has read is acked.
    pub(crate) fn is_all_acked(&self) -> Result<bool> {
        let status = self.agent_status()?;
        let left = ["unsent_records", "pending_records", "dropped_records"];
        Ok(left.iter().all(|key| status["bulk"][*key] == 0))
    }

    /// What the agent says of itself.
    pub(crate) fn agent_status(&self) -> Result<Value> {
        let said = http::listen_to(&self.folder.path().join("agent.sock"))?;
        Ok(serde_json::from_str(&said)?)
    }

    /// The audit of everything, as the aggregator reports it.
    pub(crate) fn verify(&self) -> Result<Value> {
        let mut command = self.headwater();
        command.args(["ledger", "verify", "--all", "--json", "--timeout", "10m"]);
        Ok(serde_json::from_str(&self.programs.finish(&mut command)?)?)
    }

    fn ask(&self, path: &str) -> Result<String> {
        http::ask_socket(&self.folder.path().join("data/headwater.sock"), path)
    }

    /// Waits until something holds. What the programs said is shown where it never does.
    pub(crate) fn until(&self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        let late = Instant::now() + PATIENCE;
        let outcome = loop {
            match holds() {
                Ok(true) => return Ok(()),
                Ok(false) if Instant::now() < late => std::thread::sleep(LOOK_INTERVAL),
                Ok(false) => break anyhow::anyhow!("it does not come true within {PATIENCE:?}"),
                Err(error) => break error,
            }
        };
        let said = |name: &str| {
            let text = std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
            let last: Vec<&str> = text.lines().rev().take(10).collect();
            last.into_iter().rev().collect::<Vec<_>>().join("\n")
        };
        let (headwater, agent) = (said("headwater.log"), said("agent.log"));
        bail!("{what}: {outcome:#}\nheadwater said:\n{headwater}\nheadwater-agent said:\n{agent}")
    }
}

fn serve(programs: &Programs, folder: &Path) -> Result<Process> {
    let mut command = programs.headwater(folder);
    Process::start("headwater", command.arg("serve"), &folder.join("headwater.log"))
}

/// How often something that is waited for is looked at: little beside what is measured.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// A load that others finish in a minute takes ten only where something stands still.
const PATIENCE: Duration = Duration::from_secs(600);

/// Where the aggregator listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    intake: SocketAddr,
    enrol: SocketAddr,
    metrics: SocketAddr,
    console: SocketAddr,
}

impl Ports {
    /// Ports that were free a moment ago. In a namespace of their own nobody else can take them.
    fn free() -> Result<Self> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let intake = UdpSocket::bind(any).context("bind a port on loopback")?;
        let tcp = [TcpListener::bind(any)?, TcpListener::bind(any)?, TcpListener::bind(any)?];
        let [enrol, metrics, console] = &tcp;
        Ok(Self {
            intake: intake.local_addr()?,
            enrol: enrol.local_addr()?,
            metrics: metrics.local_addr()?,
            console: console.local_addr()?,
        })
    }
}

/// The load of an agent that has little to do: samples every ten seconds, and a file of one line.
pub(crate) fn quiet_load(folder: &Path) -> Result<Load> {
    let file = load_file(folder);
    std::fs::write(&file, "a quiet file\n").with_context(|| format!("write {file:?}"))?;
    let (sample_interval, per_cpu) = ("10s", false);
    Ok(Load {
        file,
        sample_interval,
        per_cpu,
        live_seal_after: None,
        bulk_seal_after: None,
        has_history: false,
    })
}

/// A file of the load in a folder, made before the site is.
pub(crate) fn load_file(folder: &Path) -> PathBuf {
    folder.join("in.log")
}
