//! Other agents on the same work in the same run: the log's lines from one file, and an idle host.
//!
//! The log goes by turns through Headwater and each of the others, so that what else the machine does falls on all
//! of them alike. Every line that was written has to arrive; how often it does so when somebody is killed is the work
//! of `make bench-peers`.

mod collectd;
mod collector;
mod otlp;
mod rsyslog;

use std::net::TcpListener;
use std::path::Path;

use anyhow::{Result, ensure};

use super::{Effort, idle, throughput};
use crate::report::{Better, Figure, Section};
use crate::site::{Others, Process, Programs, load_file};
use crate::workload::{self, Written};

/// Ships a log and idles, with each program in turn.
pub(crate) fn measure(programs: &Programs, others: &Others, effort: Effort) -> Result<Section> {
    let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
    let file = load_file(folder.path());
    let written = workload::write(&file, effort.peers_mib << 20)?;
    let mut rows: Vec<Row> = Sender::ALL.map(Row::new).into();
    for run in 0..effort.runs {
        for row in &mut rows {
            eprintln!("peers: run {} of {}, {}", run + 1, effort.runs, row.sender.name());
            row.shipped.push(row.sender.ship(programs, others, &file, written)?);
        }
    }
    let mut figures = log_figures(&rows, written);
    figures.extend(idle_figures(programs, others, effort)?);
    Ok(Section {
        title: "Others on the same work, by turns",
        workload: format!(
            "{} lines, {} MiB of the mix above, through each program in turn, {} times; then an idle host, {} s each",
            written.lines, effort.peers_mib, effort.runs, effort.idle_seconds,
        ),
        figures,
        notes: notes(others)?,
    })
}

fn notes(others: &Others) -> Result<Vec<String>> {
    Ok(vec![
        format!(
            "{}; {}; {}. Headwater syncs its spool before a line counts as read, and the aggregator its log before it \
             acks; its wire is encrypted, with certificates on both sides. The others sync nothing unless the row says so \
             and speak plain text, which spares them work. Their configurations lie in benches/src/measure/peers.",
            rsyslog::version(others)?,
            collector::version(others)?,
            collectd::version(others)?,
        ),
        "rsyslog sends by RELP to a second rsyslog that writes a file. The Collector sends OTLP as protobuf, packed by zstd, \
         to this program, which writes each request's lines to a file before it answers. In both cases the file had the \
         bytes that were written, to the byte."
            .to_owned(),
        "CPU is the sender's, from its start to the last line's arrival. The wire is all that loopback carried, both \
         directions. A ratio is made within each turn; below 1 the other program is better. collectd has neither a spool nor \
         acks, and measures other things of the host."
            .to_owned(),
    ])
}

/// A program that ships the file, as it is set up.
#[derive(Clone, Copy, Debug)]
enum Sender {
    Headwater,
    Rsyslog,
    Collector,
    CollectorSynced,
}

impl Sender {
    const ALL: [Self; 4] = [Self::Headwater, Self::Rsyslog, Self::Collector, Self::CollectorSynced];

    fn name(self) -> &'static str {
        match self {
            Self::Headwater => "Headwater",
            Self::Rsyslog => "rsyslog, disk queue",
            Self::Collector => "OpenTelemetry Collector",
            Self::CollectorSynced => "OpenTelemetry Collector, fsync",
        }
    }

    fn ship(
        self,
        programs: &Programs,
        others: &Others,
        file: &Path,
        written: Written,
    ) -> Result<Shipped> {
        let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
        match self {
            Self::Headwater => {
                let run = throughput::ship(programs, file, written, false)?;
                Ok(Shipped {
                    cpu_seconds: run.agent.cpu_seconds,
                    peak_bytes: run.agent.resident_bytes_peak,
                    wire_bytes: run.loopback_bytes,
                })
            }
            Self::Rsyslog => rsyslog::ship(others, folder.path(), file, written),
            Self::Collector | Self::CollectorSynced => {
                let sync = matches!(self, Self::CollectorSynced);
                collector::ship(others, folder.path(), (file, written), sync)
            }
        }
    }
}

/// What a sender took for the whole file.
#[derive(Clone, Copy, Debug)]
struct Shipped {
    cpu_seconds: f64,
    peak_bytes: f64,
    wire_bytes: f64,
}

impl Shipped {
    /// By a sender that has shipped it, since loopback had carried so many bytes.
    fn by(sender: &mut Process, before: u64) -> Result<Self> {
        let usage = sender.usage()?;
        #[expect(clippy::cast_precision_loss, reason = "less than a PiB")]
        let wire_bytes = (sender.loopback_bytes()? - before) as f64;
        let (cpu_seconds, peak_bytes) = (usage.cpu_seconds, usage.resident_bytes_peak);
        Ok(Self { cpu_seconds, peak_bytes, wire_bytes })
    }
}

/// A sender, and what it took in each turn.
#[derive(Debug)]
struct Row {
    sender: Sender,
    shipped: Vec<Shipped>,
}

impl Row {
    fn new(sender: Sender) -> Self {
        Self { sender, shipped: Vec::new() }
    }

    fn figure(&self, what: &str, unit: &'static str, of: impl Fn(&Shipped) -> f64) -> Figure {
        let name = format!("{what}: {}", self.sender.name());
        Figure::new(name, unit, self.shipped.iter().map(of).collect())
    }

    /// By turns, so many times what another took.
    fn times(&self, other: &Self, what: &str, of: impl Fn(&Shipped) -> f64) -> Figure {
        let turns = self.shipped.iter().zip(&other.shipped);
        let name = format!("{what}, {} / {}", self.sender.name(), other.sender.name());
        Figure::new(name, "", turns.map(|(own, other)| of(own) / of(other)).collect())
    }
}

fn log_figures(rows: &[Row], written: Written) -> Vec<Figure> {
    let gib = written.gib();
    let cpu = |it: &Shipped| it.cpu_seconds;
    let wire = |it: &Shipped| it.wire_bytes;
    let mut figures: Vec<Figure> = Vec::new();
    figures.extend(rows.iter().map(|row| row.figure("sender CPU", "s/GiB", |it| cpu(it) / gib)));
    let [ours, others @ ..] = rows else { return figures };
    figures
        .extend(others.iter().map(|row| row.times(ours, "sender CPU", cpu).recorded(Better::More)));
    figures.extend(rows.iter().map(|row| row.figure("wire", "MB/GiB", |it| wire(it) / 1e6 / gib)));
    figures.extend(others.iter().map(|row| row.times(ours, "wire", wire).recorded(Better::More)));
    figures.extend(rows.iter().map(|row| row.figure("RSS, peak", "MB", |it| it.peak_bytes / 1e6)));
    figures
}

fn idle_figures(programs: &Programs, others: &Others, effort: Effort) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (seconds, interval) in [(10, "10s"), (1, "1s")] {
        let theirs = collectd::watch(others, programs.work(), seconds, effort.idle_seconds)?;
        let ours = idle::watch(programs, effort, interval, None)?;
        let rows = [
            ("Headwater", ours.cpu_seconds_per_hour, ours.peak_megabytes),
            ("collectd", theirs.cpu_seconds_per_hour, theirs.peak_megabytes),
        ];
        for (name, cpu, peak) in rows {
            let what = format!("idle, every {seconds} s: {name}, CPU");
            figures.push(Figure::new(what, "s/h", vec![cpu]));
            let what = format!("idle, every {seconds} s: {name}, RSS, peak");
            figures.push(Figure::new(what, "MB", vec![peak]));
        }
        let ratio = theirs.cpu_seconds_per_hour / ours.cpu_seconds_per_hour;
        let what = format!("idle, every {seconds} s: CPU, collectd / Headwater");
        figures.push(Figure::new(what, "", vec![ratio]));
    }
    Ok(figures)
}

/// A port on loopback that nobody listens on.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Holds what arrived against what was written: as many bytes, and as many lines.
fn check(received: &Path, written: Written) -> Result<()> {
    let bytes = std::fs::read(received)?;
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let found = (lines as u64, bytes.len() as u64);
    let expected = (written.lines, written.bytes);
    ensure!(found == expected, "{found:?} lines and bytes arrived of {expected:?}");
    Ok(())
}
