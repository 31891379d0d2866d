//! How soon a killed program serves again, with a file of a GiB behind it: the agent's spool that nobody
//! took anything from, and the aggregator's log that all of it went to.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Effort;
use crate::report::{Figure, Section};
use crate::site::{Load, Process, Programs, Site, load_file};
use crate::workload;

/// Kills the agent while the aggregator is away, then the aggregator once it has everything.
pub(crate) fn measure(programs: &Programs, effort: Effort) -> Result<Section> {
    let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
    let file = load_file(folder.path());
    let load = Load {
        file: file.clone(),
        sample_interval: "1s",
        per_cpu: false,
        live_seal_after: None,
        bulk_seal_after: None,
        has_history: false,
    };
    let mut site = Site::new(programs, &load)?;
    let mut agent = site.start_agent()?;
    // An agent that never had a session reads nothing: the ledger may know its files.
    site.until("a sample is in the ledger", || {
        agent.usage()?;
        Ok(site.records_read("live")? > 0)
    })?;
    site.kill_aggregator()?;
    let written = workload::write_noise(&file, effort.stored_mib << 20)?;
    eprintln!("restart: {} lines go to the spool", written.lines);
    let spooled = settled(&site, &mut agent)?;
    let spool_bytes = bytes_below(&site.folder().join("spool"))?;
    let agents = agents(&site, &mut agent, effort.runs)?;
    eprintln!("restart: {spooled} records go to the log");
    site.start_aggregator()?;
    site.until("every record is acked", || {
        agent.usage()?;
        site.is_all_acked()
    })?;
    site.until("every line is in the ledger", || {
        agent.usage()?;
        Ok(site.records_read("bulk")? >= written.lines)
    })?;
    let log_bytes = bytes_below(&site.folder().join("data/log"))?;
    let aggregators = aggregators(&mut site, effort.runs)?;
    agent.stop()?;
    let audit = site.verify()?;
    let lanes = audit["lanes"].as_array().context("an audit has lanes")?;
    let bulk = lanes.iter().find(|lane| lane["lane"] == "bulk").context("no bulk lane")?;
    let clean = audit["clean"] == true && bulk["records"].as_u64() == Some(written.lines);
    ensure!(clean, "the audit says no: {audit}");
    Ok(Section {
        title: "Serving again after a kill",
        workload: format!(
            "{} lines that nothing makes smaller than three quarters, read while the aggregator was \
             away: a spool of {spool_bytes:.0} MB. Each program was killed (SIGKILL) and started \
             again while its disk's cache was warm; the aggregator with a log of {log_bytes:.0} MB",
            written.lines
        ),
        notes: vec![
            "The agent serves once it tells its status, and goes on once a sample of its new life is \
             sealed; there is one each second. The aggregator serves once it answers for the devices, \
             and goes on once the agent, whose pauses between attempts are in it, has a sample \
             applied. Afterwards `headwater ledger verify --all` read the whole log, and found every \
             line once."
                .to_owned(),
        ],
        figures: [
            agents.figures(["agent serves, wall", "agent's CPU until then", "it goes on, wall"]),
            aggregators.figures([
                "aggregator serves, wall",
                "aggregator's CPU until then",
                "the stream goes on, wall",
            ]),
        ]
        .concat(),
    })
}

/// Kills the agent and starts it again, while the aggregator is away.
fn agents(site: &Site, agent: &mut Process, runs: usize) -> Result<Starts> {
    let mut starts = Starts::default();
    for _ in 0..runs {
        agent.kill()?;
        let begun = Instant::now();
        *agent = site.start_agent()?;
        let mut found = 0;
        until_told(site, agent, |status| {
            found = records(status, "live");
            true
        })?;
        starts.serves(begun, agent)?;
        until_told(site, agent, |status| records(status, "live") > found)?;
        starts.goes_on(begun);
    }
    Ok(starts)
}

/// Kills the aggregator and starts it again, with an agent that has something to say each second.
fn aggregators(site: &mut Site, runs: usize) -> Result<Starts> {
    let mut starts = Starts::default();
    for _ in 0..runs {
        let known = site.records_read("live")?;
        site.kill_aggregator()?;
        let begun = Instant::now();
        site.start_aggregator()?;
        starts.serves(begun, &mut site.aggregator)?;
        site.until("a sample is applied again", || Ok(site.records_read("live")? > known))?;
        starts.goes_on(begun);
    }
    Ok(starts)
}

/// What starts took, in seconds, each list in order of starts.
#[derive(Debug, Default)]
struct Starts {
    wall: Vec<f64>,
    cpu: Vec<f64>,
    goes_on: Vec<f64>,
}

impl Starts {
    fn serves(&mut self, begun: Instant, process: &mut Process) -> Result<()> {
        self.wall.push(begun.elapsed().as_secs_f64());
        self.cpu.push(process.usage()?.cpu_seconds);
        Ok(())
    }

    fn goes_on(&mut self, begun: Instant) {
        self.goes_on.push(begun.elapsed().as_secs_f64());
    }

    fn figures(self, names: [&'static str; 3]) -> Vec<Figure> {
        let [wall, cpu, goes_on] = names;
        vec![
            Figure::new(wall, "s", self.wall),
            Figure::new(cpu, "s", self.cpu).at_most(CPU_SECONDS_MAX),
            Figure::new(goes_on, "s", self.goes_on),
        ]
    }
}

/// A start is to take three seconds at most: that much processor time is more on any machine.
const CPU_SECONDS_MAX: f64 = 3.0;

/// Waits until the agent has read all it can: the whole file, or as much as its spool takes.
fn settled(site: &Site, agent: &mut Process) -> Result<u64> {
    let (mut last, mut same) = (0, 0);
    until_told(site, agent, |status| {
        let now = records(status, "bulk");
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        same > SAME
    })?;
    Ok(last)
}

/// Looks without a change after which the agent has read all it can: 3 s, and a batch is sealed within one.
const SAME: usize = 30;

fn until_told(
    site: &Site,
    agent: &mut Process,
    mut holds: impl FnMut(&Value) -> bool,
) -> Result<()> {
    site.until("the agent has read and sealed", || {
        agent.usage()?;
        // Before its spool is open it has no socket.
        Ok(site.agent_status().is_ok_and(|status| holds(&status)))
    })
}

/// Records of a lane that nobody took yet.
fn records(status: &Value, lane: &str) -> u64 {
    status[lane]["unsent_records"].as_u64().unwrap_or(0)
}

/// Megabytes of the files of a folder.
fn bytes_below(folder: &Path) -> Result<f64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {folder:?}"))? {
        let about = entry?.metadata()?;
        bytes += if about.is_file() { about.len() } else { 0 };
    }
    #[expect(clippy::cast_precision_loss, reason = "files of less than a PiB")]
    let bytes = bytes as f64;
    Ok(bytes / 1e6)
}
