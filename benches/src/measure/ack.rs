//! How long an ack takes when little happens, against the disk that it waits for.
//!
//! Blocks of load and of bare fdatasync take turns, so that both see the same disk: it changes its
//! speed within minutes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Effort;
use super::disk::Probe;
use crate::report::{Better, Figure, Section};
use crate::site::{Histogram, Load, Process, Programs, Site, load_file};
use crate::workload;

/// Measures both, as often as asked.
pub(crate) fn measure(programs: &Programs, effort: Effort) -> Result<Section> {
    let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
    let file = load_file(folder.path());
    let writer = OpenOptions::new().create(true).append(true).open(&file)?;
    let load = Load {
        file,
        sample_interval: "10s",
        per_cpu: false,
        live_seal_after: None,
        bulk_seal_after: Some("10ms"),
        has_history: false,
    };
    let site = Site::new(programs, &load)?;
    let agent = site.start_agent()?;
    let mut low = LowLoad { site, agent, writer, lines: workload::trickle(), written: 0 };
    // The first batches find cold caches and a log that grows for the first time.
    low.block()?;
    let mut probe = Probe::new(folder.path())?;
    let mut runs = Vec::new();
    for run in 0..effort.runs.max(QUICK_RUNS) {
        eprintln!("ack: run {}", run + 1);
        let (mut acks, mut syncs) = (Histogram::default(), Vec::new());
        for _ in 0..effort.ack_blocks {
            acks = acks.and(&low.block()?);
            syncs.extend(probe.append_for(BLOCK, PACE)?);
        }
        runs.push(Run::new(&acks, syncs)?);
    }
    Ok(report(&runs))
}

/// Runs of a quick measurement: a ratio of one says nothing.
const QUICK_RUNS: usize = 3;
/// Length of a block.
const BLOCK: Duration = Duration::from_secs(2);
/// One small batch, or one bare append, so often.
const PACE: Duration = Duration::from_millis(50);

/// An agent that is given a line now and then.
struct LowLoad {
    // Dropped before the site that it talks to.
    agent: Process,
    site: Site,
    writer: File,
    lines: workload::Lines,
    written: u64,
}

impl LowLoad {
    /// A block of load; what the intake counted meanwhile, all of it acked.
    fn block(&mut self) -> Result<Histogram> {
        let before = self.acks()?;
        let begun = Instant::now();
        while begun.elapsed() < BLOCK {
            let next = Instant::now() + PACE;
            self.writer.write_all(self.lines.next_line().as_bytes())?;
            self.written += 1;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let (site, agent, written) = (&self.site, &mut self.agent, self.written);
        site.until("every line is in the ledger", || {
            agent.usage()?;
            Ok(site.records_read("bulk")? >= written)
        })?;
        Ok(self.acks()?.since(&before))
    }

    fn acks(&self) -> Result<Histogram> {
        self.site.scrape()?.histogram("headwater_intake_ack_seconds")
    }
}

/// Milliseconds.
#[derive(Clone, Copy, Debug)]
struct Run {
    acks: f64,
    ack_p50: f64,
    ack_p50_lower: f64,
    ack_p50_upper: f64,
    ack_p99: f64,
    ack_mean: f64,
    sync_p50: f64,
    sync_p99: f64,
    sync_mean: f64,
}

impl Run {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    fn new(acks: &Histogram, mut syncs: Vec<f64>) -> Result<Self> {
        let p50 = acks.quantile(0.5).context("no ack was counted")?;
        let p99 = acks.quantile(0.99).context("acks that took longer than any edge")?;
        ensure!(!syncs.is_empty(), "a block holds at least one append");
        syncs.sort_by(f64::total_cmp);
        let rank = |percent: usize| syncs[(syncs.len() * percent).div_ceil(100).max(1) - 1];
        Ok(Self {
            acks: acks.count(),
            ack_p50: p50.between * 1e3,
            ack_p50_lower: p50.lower * 1e3,
            ack_p50_upper: p50.upper * 1e3,
            ack_p99: p99.between * 1e3,
            ack_mean: acks.mean().unwrap_or_default() * 1e3,
            sync_p50: rank(50) * 1e3,
            sync_p99: rank(99) * 1e3,
            sync_mean: syncs.iter().sum::<f64>() / syncs.len() as f64 * 1e3,
        })
    }
}

fn report(runs: &[Run]) -> Section {
    let figure =
        |name, unit, of: fn(&Run) -> f64| Figure::new(name, unit, runs.iter().map(of).collect());
    let edges =
        runs.iter().map(|run| format!("{:.1} to {:.1} ms", run.ack_p50_lower, run.ack_p50_upper));
    let edges: Vec<String> = edges.collect();
    Section {
        title: "The ack at low load, against the disk",
        workload: format!(
            "one batch of one line every {} ms; blocks of {} s take turns with blocks of bare 4 KiB \
             appends at the same pace, each followed by fdatasync, on the same disk",
            PACE.as_millis(),
            BLOCK.as_secs()
        ),
        notes: vec![
            format!(
                "The ack's time is from arrival at the intake to the ack on its way, by the \
                 aggregator's own histogram at /metrics. Its edges are a factor of two apart and the \
                 quantile lies on a straight line between two of them; it is certain that the p50 of \
                 each run lies within {}.",
                edges.join(", ")
            ),
            "The ratio is made within each run.".to_owned(),
        ],
        figures: vec![
            figure("ack p50 / fdatasync p50", "", |run| run.ack_p50 / run.sync_p50)
                .limit("1; redb's quick repair takes two fsyncs".to_owned())
                .at_most(3.0)
                .recorded(Better::Less),
            figure("the same, for certain at most", "", |run| run.ack_p50_upper / run.sync_p50),
            figure("ack p50", "ms", |run| run.ack_p50),
            figure("fdatasync p50", "ms", |run| run.sync_p50),
            figure("ack p99", "ms", |run| run.ack_p99),
            figure("fdatasync p99", "ms", |run| run.sync_p99),
            figure("ack mean", "ms", |run| run.ack_mean),
            figure("fdatasync mean", "ms", |run| run.sync_mean),
            figure("acks", "", |run| run.acks),
        ],
    }
}
