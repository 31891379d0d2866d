//! A log file from its first byte to the last ack: processor, memory, wire and disk of both ends.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Effort;
use super::disk::{self, Compressed};
use crate::report::{Better, Figure, Section};
use crate::site::{Load, Programs, Site, Usage, load_file};
use crate::workload::{self, Written};

/// Ships the log as often as asked.
pub(crate) fn measure(programs: &Programs, effort: Effort, alone: bool) -> Result<Section> {
    let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
    let file = load_file(folder.path());
    let written = workload::write(&file, effort.log_mib << 20)?;
    let mut runs = Runs::default();
    for run in 0..effort.runs {
        eprintln!("log: run {} of {}, {} lines", run + 1, effort.runs, written.lines);
        runs.0.push(ship(programs, &file, written, run == 0)?);
    }
    runs.report(written, &file, alone)
}

/// What one run took.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) agent: Usage,
    pub(super) aggregator: Usage,
    wall_seconds: f64,
    pub(super) loopback_bytes: f64,
    pub(super) batch_bytes: f64,
    batches: f64,
    /// What zstd -3 alone took right after it.
    floor: Compressed,
}

/// Ships a file, and checks that what is stored is what it holds; byte for byte, if it is read back.
pub(super) fn ship(
    programs: &Programs,
    file: &Path,
    written: Written,
    read_back: bool,
) -> Result<Run> {
    let load = Load {
        file: file.to_owned(),
        sample_interval: "10s",
        per_cpu: false,
        live_seal_after: None,
        bulk_seal_after: None,
        has_history: false,
    };
    let mut site = Site::new(programs, &load)?;
    let loopback_before = site.aggregator.loopback_bytes()?;
    let before = site.aggregator.usage()?;
    let begun = Instant::now();
    let mut agent = site.start_agent()?;
    site.until("every line is in the ledger", || {
        agent.usage()?;
        Ok(site.records_read("bulk")? >= written.lines)
    })?;
    site.until("every record is acked", || {
        agent.usage()?;
        site.is_all_acked()
    })?;
    let wall_seconds = begun.elapsed().as_secs_f64();
    let agent_usage = agent.usage()?;
    let after = site.aggregator.usage()?;
    let loopback = site.aggregator.loopback_bytes()? - loopback_before;
    let scrape = site.scrape()?;
    agent.stop()?;
    check(&site.verify()?, written)?;
    if read_back {
        compare(&site, file)?;
    }
    #[expect(clippy::cast_precision_loss, reason = "less than a PiB")]
    let loopback_bytes = loopback as f64;
    Ok(Run {
        agent: agent_usage,
        aggregator: Usage {
            cpu_seconds: after.cpu_seconds - before.cpu_seconds,
            disk_bytes: after.disk_bytes - before.disk_bytes,
            ..after
        },
        wall_seconds,
        loopback_bytes,
        batch_bytes: scrape.value("headwater_intake_arrived_bytes_total")?,
        batches: scrape.value("headwater_intake_batches_total")?,
        floor: disk::compress(file, 3)?,
    })
}

/// Records in are records out: the audit reads the whole log again and counts.
fn check(report: &Value, written: Written) -> Result<()> {
    let zero = ["missing", "repeated", "gaps"];
    let clean = report["clean"] == true && zero.iter().all(|key| report[*key] == 0);
    ensure!(clean, "the audit says no: {report}");
    let lanes = report["lanes"].as_array().context("an audit has lanes")?;
    let bulk = lanes.iter().find(|lane| lane["lane"] == "bulk").context("no bulk lane")?;
    let records = bulk["records"].as_u64();
    ensure!(records == Some(written.lines), "{} lines in, {records:?} out", written.lines);
    Ok(())
}

/// Reads every line back and compares it with the file, byte for byte.
fn compare(site: &Site, file: &Path) -> Result<()> {
    let mut command = site.headwater();
    command.args(["logs", "--timeout", "10m", "--source"]).arg(file);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().context("run headwater logs")?;
    let mut stored = BufReader::new(child.stdout.take().context("a piped child has a pipe")?);
    let mut original = BufReader::new(File::open(file)?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let length = original.read(&mut left)?;
        if length == 0 {
            break;
        }
        stored.read_exact(&mut right[..length]).context("read back less than was written")?;
        ensure!(left[..length] == right[..length], "what is read back differs from the file");
    }
    ensure!(stored.read(&mut right)? == 0, "read back more than was written");
    ensure!(child.wait()?.success(), "headwater logs ended badly");
    Ok(())
}

#[derive(Debug, Default)]
struct Runs(Vec<Run>);

impl Runs {
    #[expect(clippy::cast_precision_loss, reason = "lines of a file, bytes of less than a PiB")]
    fn report(&self, written: Written, file: &Path, alone: bool) -> Result<Section> {
        let fast = disk::compress(file, 1)?;
        let usual = self.0.first().context("there is a run")?.floor;
        let smaller = |made: Compressed| written.bytes as f64 / made.bytes as f64;
        Ok(Section {
            title: "A log file, from its first byte to the last ack",
            workload: format!(
                "{} lines, {} MiB: half nginx, 35 % JSON with random trace ids, 15 % syslog; \
                 {:.0} B a line; zstd -1 makes it {:.2} times smaller, zstd -3 {:.2} times",
                written.lines,
                effort_mib(written),
                written.bytes as f64 / written.lines as f64,
                smaller(fast),
                smaller(usual),
            ),
            notes: vec![
                "fsync is on: the agent's for every commit of its spool, the aggregator's before \
                 every ack. CPU is user and system time of the whole process; the agent's from its \
                 start to the last ack."
                    .to_owned(),
                format!(
                    "Records in are records out: after each run, `headwater ledger verify --all` \
                     read the log again and found 0 missing, 0 repeated, 0 gaps and {} lines. After \
                     the first one, every line was read back and compared with the file, byte for \
                     byte. A run that fails either is no run: the program ends without figures.",
                    written.lines,
                ),
                format!(
                    "zstd -3 alone is the same file in one thread, in pieces of {} MiB, right after \
                     each run; zstd -1 took {:.1} CPU s/GiB. When the others were measured, on a \
                     machine that was slower or busier, it took {OTHERS_FLOOR}: their CPU seconds \
                     compare with ours by that ratio, not as they stand.",
                    disk::PIECE_BYTES >> 20,
                    fast.cpu_seconds / written.gib(),
                ),
            ],
            figures: self.figures(written, fast, alone),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "lines of a file, bytes of less than a PiB")]
    fn figures(&self, written: Written, fast: Compressed, alone: bool) -> Vec<Figure> {
        let (gib, lines) = (written.gib(), written.lines as f64);
        let megabytes = |bytes: f64| bytes / 1e6 / gib;
        let wire = if alone {
            self.figure("wire, all of it", "MB/GiB", |run| megabytes(run.loopback_bytes))
                .peer(234.0, "OpenTelemetry Collector", Better::Less)
                .at_most(A_NINTH_MB)
        } else {
            self.figure("batches on the wire", "MB/GiB", |run| megabytes(run.batch_bytes))
        };
        vec![
            self.figure("sender CPU", "s/GiB", |run| run.agent.cpu_seconds / gib)
                .at_most(12.0)
                .limit("8 to 11, prototypes".to_owned())
                .peer(111.8, "OpenTelemetry Collector, fsync", Better::Less),
            self.figure("zstd -3 alone, CPU", "s/GiB", |run| run.floor.cpu_seconds / gib),
            self.figure("sender CPU / zstd -3 alone", "", |run| {
                run.agent.cpu_seconds / run.floor.cpu_seconds
            })
            .limit("1".to_owned())
            .recorded(Better::Less)
            .peer(
                111.8 / OTHERS_FLOOR,
                "OpenTelemetry Collector, fsync",
                Better::Less,
            ),
            self.figure("aggregator CPU", "s/GiB", |run| run.aggregator.cpu_seconds / gib)
                .at_most(6.0)
                .peer(7.2, "a bare OTLP receiver: write(2), no ledger", Better::Less),
            self.figure("aggregator CPU / zstd -3 alone", "", |run| {
                run.aggregator.cpu_seconds / run.floor.cpu_seconds
            })
            .recorded(Better::Less),
            self.figure("lines, wall", "lines/s", |run| lines / run.wall_seconds).peer(
                11_430.0,
                "OpenTelemetry Collector, fsync",
                Better::More,
            ),
            self.figure("time, wall", "s", |run| run.wall_seconds),
            self.figure("agent RSS, peak", "MB", |run| run.agent.resident_bytes_peak / 1e6)
                .at_most(40.0)
                .peer(17.0, "rsyslog, disk queue", Better::Less),
            self.figure("aggregator RSS, peak", "MB", |run| {
                run.aggregator.resident_bytes_peak / 1e6
            }),
            wire.limit(format!("{:.0}, zstd -1 alone", megabytes(fast.bytes as f64))),
            self.figure("batches on the wire / zstd -1 alone", "", |run| {
                run.batch_bytes / fast.bytes as f64
            })
            .recorded(Better::Less),
            self.figure("agent's disk writes", "MB/GiB", |run| megabytes(run.agent.disk_bytes))
                .peer(31_300.0, "OpenTelemetry Collector, fsync", Better::Less),
            self.figure("aggregator's disk writes", "MB/GiB", |run| {
                megabytes(run.aggregator.disk_bytes)
            }),
            self.figure("batches", "", |run| run.batches),
        ]
    }

    fn figure(&self, name: &'static str, unit: &'static str, of: impl Fn(&Run) -> f64) -> Figure {
        Figure::new(name, unit, self.0.iter().map(of).collect())
    }
}

/// A ninth of a GiB.
const A_NINTH_MB: f64 = 119.3;
/// CPU s/GiB of zstd -3 alone where the others were measured.
const OTHERS_FLOOR: f64 = 5.75;

/// The size as it was asked for: the last line did not fit.
fn effort_mib(written: Written) -> u64 {
    written.bytes.div_ceil(1 << 20)
}
