//! What the parts of the programs that decide about size and speed take, by themselves, as a line of JSON. A program of its
//! own, because the others are measured as they are shipped.
//!
//! `headwater-kernels samples SECONDS` samples this host each second for so long, `headwater-kernels history SECONDS` ten times a second
//! and makes files of a day of which each hour is that, `headwater-kernels averages DEVICES TICKS QUANTILES` averages
//! what a fleet sends in batches of so many ticks, `headwater-kernels lines FILE BYTES` seals the lines of a file in batches of so
//! many bytes, `headwater-kernels reader DEVICES LINES HOURS` reads the lines of one device and hour of a log and its history to which each device brought so many lines an
//! hour, and `headwater-kernels commits FOLDER GROUP BLOCKS` appends to a log and to a plain file in turn.

mod averages;
mod commits;
mod history;
mod lane;
mod lines;
mod reader;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use headwater_agent::config::Config;
use headwater_agent::sample::Sampler;
use headwater_protocol::identity::DeviceId;
use headwater_protocol::record::Sample;
use headwater_protocol::wire::{Frame, LastBatch};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use lane::Lane;

/// What a host's samples take.
#[derive(Debug, Serialize)]
struct Samples {
    /// Series of the fullest tick.
    series: usize,
    /// Those of the first tick whose value never changed.
    still: usize,
    by_rows: Vec<Sealed>,
    /// As a file of one device.
    file: history::Rows,
    /// As files of many devices: each one's ticks begin at another of this host's.
    files: history::Rows,
}

/// Batches of so many ticks each.
#[derive(Debug, Serialize)]
struct Sealed {
    rows: usize,
    /// Bytes of the frames of batches that follow others, by samples: head, header and body.
    wire_bytes_per_sample: f64,
    /// Bytes of the bodies that are stored, by samples.
    body_bytes_per_sample: f64,
    /// CPU time for a sample: sealing is not in it.
    code_ns: f64,
    complete_ns: f64,
}

/// A tick: microseconds since the first one, and what was measured.
type Tick = (i64, Vec<Sample>);

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let found = match arguments.as_slice() {
        ["samples", seconds] => {
            serde_json::to_string(&samples(seconds.parse().context("SECONDS is a number")?)?)?
        }
        ["history", seconds] => {
            serde_json::to_string(&day(seconds.parse().context("SECONDS is a number")?)?)?
        }
        ["lines", file, bytes] => {
            let bytes = bytes.parse().context("BYTES is a number")?;
            serde_json::to_string(&lines::measure(Path::new(file), bytes)?)?
        }
        ["averages", devices, ticks, quantiles] => {
            let with_quantiles = quantiles.parse().context("QUANTILES is true or false")?;
            let devices = devices.parse().context("DEVICES is a number")?;
            let ticks = ticks.parse().context("TICKS is a number")?;
            serde_json::to_string(&averages::measure(devices, ticks, with_quantiles)?)?
        }
        ["reader", devices, lines, hours] => {
            let devices = devices.parse().context("DEVICES is a number up to 255")?;
            let lines = lines.parse().context("LINES is a number")?;
            let hours = hours.parse().context("HOURS is a number")?;
            serde_json::to_string(&reader::measure(devices, lines, hours)?)?
        }
        ["commits", folder, group, blocks] => {
            let group = group.parse().context("GROUP is a number")?;
            let blocks = blocks.parse().context("BLOCKS is a number")?;
            serde_json::to_string(&commits::measure(Path::new(folder), group, blocks)?)?
        }
        _ => bail!(
            "usage: headwater-kernels samples SECONDS | history SECONDS | averages DEVICES TICKS QUANTILES | lines FILE BYTES | reader DEVICES LINES HOURS | commits FOLDER GROUP BLOCKS"
        ),
    };
    #[expect(clippy::print_stdout, reason = "what the benches read")]
    {
        println!("{found}");
    }
    Ok(())
}

/// Devices whose samples are in files together.
const DEVICES: u8 = 64;
/// Ticks of a batch on its way into a file.
const TICKS: usize = 10;

fn samples(seconds: u32) -> Result<Samples> {
    let ticks = sampled(seconds, Duration::from_secs(1));
    let files = |devices: u8| -> Result<history::Rows> {
        let folder = tempfile::tempdir()?;
        let mut batches = Vec::new();
        for device in 0..devices {
            let mut lane = Lane::of(DeviceId([device; 16]));
            let first = ticks.len() * usize::from(device) / usize::from(devices);
            let turned = ticks.iter().cycle().skip(first).zip(&ticks);
            // The times of this host's ticks, and what it measured at others.
            let turned = turned.map(|((_, samples), (at_us, _))| (*at_us, samples.clone()));
            let turned: Vec<Tick> = turned.collect();
            batches.extend(turned.chunks(TICKS).map(|part| lane.seal(part)));
        }
        history::written(folder.path(), &batches)
    };
    let (file, files) = (files(1)?, files(DEVICES)?);
    Ok(Samples {
        file,
        files,
        series: ticks.iter().map(|(_, samples)| samples.len()).max().unwrap_or_default(),
        still: still(&ticks),
        by_rows: [60, 10, 1].map(|rows| sealed(&ticks, rows)).into(),
    })
}

/// Ticks of an hour.
const HOUR: usize = 3_600;
const HOURS: usize = 24;

/// Hours are files of their own, so that it makes none smaller that they are alike.
fn day(seconds: u32) -> Result<history::Day> {
    let ticks = sampled(10 * seconds, Duration::from_millis(100));
    let (mut lane, mut batches) = (Lane::default(), Vec::new());
    let hour: Vec<&Tick> = ticks.iter().cycle().take(HOUR).collect();
    let seconds = (0..).map(|second| second * 1_000_000);
    let day: Vec<Tick> = seconds
        .zip(std::iter::repeat_n(hour, HOURS).flatten())
        .map(|(at_us, (_, samples))| (at_us, samples.clone()))
        .collect();
    batches.extend(day.chunks(TICKS).map(|part| lane.seal(part)));
    let folder = tempfile::tempdir()?;
    history::day(folder.path(), &batches, HOURS as u64)
}

fn sampled(times: u32, every: Duration) -> Vec<Tick> {
    let mut config = Config::default().sample;
    config.per_cpu = true;
    let mut sampler = Sampler::new(&config);
    let begun = Instant::now();
    // Rates need two readings.
    sampler.take(Instant::now);
    (1..=times)
        .map(|time| {
            let due = begun + every * time;
            // The rhythm of a sampler, not a wait for anything.
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let at = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
            (at, sampler.take(Instant::now))
        })
        .collect()
}

fn still(ticks: &[Tick]) -> usize {
    let Some((_, first)) = ticks.first() else { return 0 };
    let is_still = |sample: &&Sample| {
        let mut all = ticks.iter().flat_map(|(_, samples)| samples);
        all.all(|other| other.series != sample.series || other.value == sample.value)
    };
    first.iter().filter(is_still).count()
}

#[expect(clippy::cast_precision_loss, reason = "bytes and nanoseconds of a minute")]
fn sealed(ticks: &[Tick], rows: usize) -> Sealed {
    let mut lane = Lane::default();
    let batches: Vec<_> = ticks.chunks_exact(rows).map(|part| lane.seal(part)).collect();
    let (mut sender, mut node) = (LastBatch::default(), LastBatch::default());
    let (mut wire, mut body, mut samples, mut coding, mut completing) = (0, 0, 0, 0.0, 0.0);
    for batch in &batches {
        let before = cpu_ns();
        let next = sender.abbreviate(Lane::sent(batch), batch.bytes());
        let coded = cpu_ns();
        let Some(next) = next else {
            node.note(batch);
            continue;
        };
        let frame = Frame::Next(next);
        wire += frame.encode().len();
        let Frame::Next(next) = frame else { continue };
        let begun = cpu_ns();
        let completed = node.complete(&next);
        completing += cpu_ns() - begun;
        coding += coded - before;
        assert!(completed.is_ok_and(|(_, completed)| completed == *batch), "it comes back");
        body += batch.body().len();
        samples += batch.header().counts.records;
    }
    let each = |total: f64| total / samples.max(1) as f64;
    Sealed {
        rows,
        wire_bytes_per_sample: each(wire as f64),
        body_bytes_per_sample: each(body as f64),
        code_ns: each(coding),
        complete_ns: each(completing),
    }
}

/// CPU time of this thread.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a minute")]
fn cpu_ns() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}
