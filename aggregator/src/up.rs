//! `headwater up`: everything on this host, from nothing, in one folder.
//!
//! In order: find the agent's program, make the folder (authority, log, two configurations), choose
//! free ports, start the node in this process, enrol the agent if it is not enrolled, run it as a
//! child, and show once a second what flows. A second `up` finds all of it and goes on.
//!
//! What stops: on Ctrl-C the agent first, so that what it holds is still acked, then the node. The
//! child reads a pipe from this process and ends when the pipe does, however this process ends.

mod agent;
mod figures;
mod folder;
mod ports;
mod sources;
mod steps;

use std::net::IpAddr;
use std::time::Duration;

use headwater_protocol::identity::ShardCount;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::api;
use crate::cli::args::Up;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, escape, units};
use crate::cli::serve::{self, Started, Stop};
use crate::console::ConsoleHandle;
use crate::node::{LiveView, Node, NodeHandle, TokenRequest};
use agent::{Agent, Program};
use figures::Figures;
use folder::Folder;
use ports::Ports;
use sources::Sources;
use steps::Steps;

/// Runs everything until it is told to stop.
///
/// # Errors
/// Each names what is in the way and what to do.
pub fn run(up: &Up, output: &Output) -> Result<(), Failure> {
    let program = Program::find()?;
    let folder = Folder::open(&up.dir)?;
    let runtime = serve::runtime()?;
    runtime.block_on(async {
        let mut stop = Stop::new()?;
        let mut running = tokio::select! {
            begun = begin(up, output, &folder, &program) => begun?,
            () = stop.wait() => return Err(Failure::new(Exit::Interrupted, "")),
        };
        running.watch(&mut stop).await;
        tokio::select! {
            () = running.end() => Ok(()),
            () = stop.wait() => Err(Failure::new(Exit::Interrupted, "stopped at once")
                .cause("a second signal came while agent and aggregator were stopping")
                .next("headwater up: it goes on from what is durable")),
        }
    })
}

/// What runs.
struct Running {
    node: NodeHandle,
    served: api::Served,
    console: ConsoleHandle,
    agent: Agent,
    steps: Steps,
    figures: Figures,
}

async fn begin(
    up: &Up,
    output: &Output,
    folder: &Folder,
    program: &Program,
) -> Result<Running, Failure> {
    serve::refuse_if_served(folder.path()).await?;
    let mut steps = Steps::new(output);
    let name = folder::host_name();
    serve::log_to_file(folder.log_file("headwater.log")?, tracing::Level::INFO);
    if Node::exists(folder.path()) {
        steps.done("folder", &format!("{} · found, goes on where it stopped", folder.shown()));
    } else {
        folder.refuse_if_enrolled()?;
        serve::make(folder.path(), &name, ShardCount::DEFAULT)?;
        steps.done("folder", &format!("{} · authority and log are made", folder.shown()));
    }
    let (Started { node, console, served }, ports) = start_node(up.listen, folder, &name).await?;
    let (intake, enrol) = (node.intake_address(), node.enrol_address());
    steps.done("aggregator", &format!("quic {intake} · enrolment {enrol}"));
    let link = console.link();
    let link = link.map_or_else(|_| format!("http://{}/", console.address()), |link| link.url);
    steps.done("console", &link);
    steps.done("metrics", &format!("http://{}/metrics", node.metrics_address()));
    for taken in ports.taken() {
        steps.note(taken);
    }
    let site = Site { folder, program, name, ports: &ports, sources: Sources::look() };
    let agent = match start_agent(&node, &mut steps, &site).await {
        Ok(agent) => agent,
        Err(failure) => {
            node.shutdown().await;
            return Err(failure);
        }
    };
    invite(&node, &mut steps, &ports).await?;
    Ok(Running { node, served, console, agent, steps, figures: Figures::new(output) })
}

/// Starts the node on free ports. One that another program has in the moment between the choice and
/// the start is chosen anew; it may be free again by then, if that program only looked, as this one does.
async fn start_node(
    listen: IpAddr,
    folder: &Folder,
    name: &str,
) -> Result<(Started, Ports), Failure> {
    for _ in 0..PORT_RACES_MAX {
        let ports = Ports::choose(listen)?;
        let config = folder.write_headwater(name, &ports)?;
        match serve::start(serve::load(Some(&config))?).await {
            Ok(started) => return Ok((started, ports)),
            Err(refusal) if refusal.address_taken => {
                tracing::info!(?refusal, "other ports");
                sleep(some_of(PORT_RACE_PAUSE)).await;
            }
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Err(Failure::new(Exit::Failed, "other programs take every port that is chosen")
        .next("headwater up, once more"))
}

/// Ports may be lost to others that start at the same time so often, and no more.
const PORT_RACES_MAX: usize = 20;
/// Longest pause between two choices: long against a start, so that those who meet part.
const PORT_RACE_PAUSE: Duration = Duration::from_millis(300);

/// A random part of a time.
fn some_of(most: Duration) -> Duration {
    let mut random = [0];
    // Without randomness the whole of it: it is only a pause.
    getrandom::fill(&mut random).map_or(most, |()| most.mul_f64(f64::from(random[0]) / 255.0))
}

/// Where the agent is started, and with what.
struct Site<'a> {
    folder: &'a Folder,
    program: &'a Program,
    name: String,
    ports: &'a Ports,
    sources: Sources,
}

async fn start_agent(
    node: &NodeHandle,
    steps: &mut Steps,
    site: &Site<'_>,
) -> Result<Agent, Failure> {
    let folder = site.folder;
    let config = folder.write_agent(&site.name, site.ports, &site.sources)?;
    let first = !folder.is_enrolled();
    let program = site.program.shown();
    if first {
        let token = create_token(node, site.ports).await?;
        site.program.enrol(folder, &site.name, &token).await?;
        steps.done("agent", &format!("{program} · enrolled as {}", site.name));
    } else {
        steps.done("agent", &format!("{program} · enrolled before"));
    }
    let agent = Agent::start(site.program.clone(), config, folder.path_of("agent.log"))?;
    steps.done("samples", "cpu, memory, disks, network and load of this host, every second");
    steps.done("logs", &site.sources.described(first));
    for note in site.sources.notes() {
        steps.note(&note);
    }
    Ok(agent)
}

async fn create_token(node: &NodeHandle, ports: &Ports) -> Result<String, Failure> {
    let request = TokenRequest {
        uses: None,
        life: None,
        group: None,
        creator: "headwater up".to_owned(),
        addresses: vec![ports.enrol_reachable().to_string()],
    };
    let token = node
        .create_token(request)
        .await
        .map_err(|error| Failure::new(Exit::Failed, "cannot make a join token").cause_of(&error))?;
    Ok(token.text)
}

/// Says how the next host joins.
async fn invite(node: &NodeHandle, steps: &mut Steps, ports: &Ports) -> Result<(), Failure> {
    let token = create_token(node, ports).await?;
    steps.blank();
    steps.line("The next host enrols with this line (one host, within 24 h):");
    steps.line(&format!("headwater-agent enrol --token-stdin <<< '{token}'"));
    match ports.listen() {
        IpAddr::V4(ip) if ip.is_loopback() => steps.line(LOOPBACK),
        IpAddr::V6(ip) if ip.is_loopback() => steps.line(LOOPBACK),
        _ => {}
    }
    steps.blank();
    steps.line("Look at it, here:  headwater console · headwater devices · headwater tap · headwater ledger");
    steps.line("Ctrl-C stops agent and aggregator; headwater up goes on where they stopped.");
    Ok(())
}

const LOOPBACK: &str = "(loopback is this host only; for others: headwater up --listen ADDRESS)";

impl Running {
    /// Shows what flows until a signal comes.
    async fn watch(&mut self, stop: &mut Stop) {
        let mut second = interval_at(Instant::now() + SECOND, SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let begun = Instant::now();
        let mut seen = false;
        loop {
            tokio::select! {
                () = stop.wait() => return,
                event = self.agent.next() => {
                    self.figures.clear();
                    self.steps.warn("agent", &event);
                }
                _ = second.tick() => {
                    let live = self.node.live().await;
                    if !seen && live.ledger.tallies.applied > 0 && live.batches > 0 {
                        seen = true;
                        self.figures.clear();
                        let after = units::duration(begun.elapsed());
                        self.steps.done("data", &format!("the first batch was applied within {after}"));
                    }
                    let devices = self.node.names().len();
                    self.figures.show(&live, devices);
                }
            }
        }
    }

    /// Stops everything, the agent first, and says what was done.
    async fn end(mut self) {
        self.figures.clear();
        let agent = self.agent.stop().await;
        self.steps.done("agent", &escape::visible(&agent));
        let live = self.node.live().await;
        self.console.stop();
        drop(self.served);
        self.node.shutdown().await;
        self.steps.done("aggregator", "stopped, everything is on disk");
        self.steps.line(&summary(&live));
    }
}

fn summary(live: &LiveView) -> String {
    let ledger = live.ledger;
    format!(
        "{} applied in {} · {} · {}",
        units::count(ledger.totals.records, "record"),
        units::count(ledger.tallies.applied, "batch"),
        units::count(ledger.totals.gaps, "gap"),
        figures::adds_up(ledger.adds_up()),
    )
}

/// How often figures are shown.
const SECOND: Duration = Duration::from_secs(1);
