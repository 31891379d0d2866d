//! What it takes to read the lines of one device and one hour: from the files of those alone, and by going through the log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use headwater_aggregator::fold::Replay;
use headwater_aggregator::history::Table;
use headwater_aggregator::history::read::{HistoryReader, Order, Times, Wanted, rows_of};
use headwater_aggregator::log::Log;
use headwater_aggregator::sink::SinkStore;
use headwater_protocol::batch::Batch;
use headwater_protocol::body::BodyBuilder;
use headwater_protocol::header::{Clock, Counts, Header};
use headwater_protocol::identity::{DeviceId, Offset, Seq, ShardId, Tip};
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Fingerprint, Line, Part, SourceInfo};
use serde::Serialize;

use super::history::{NAME, Running, cpu_seconds};
use super::lane::{self, NOON_US};

/// Batches that a device seals in an hour.
const BATCHES: i64 = 120;
const HOUR_US: i64 = 3_600_000_000;
const STREAM: Stream =
    Stream { source: SourceId(*b"a file of a host"), run: Run { number: 3, nonce: 77 } };

/// What a query takes.
#[derive(Debug, Serialize)]
pub(crate) struct Read {
    lines: usize,
    cpu_seconds: f64,
    /// Of files, or of entries.
    bytes: u64,
    files: u64,
}

/// One question, asked of both.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    lines: u64,
    files: u64,
    file_bytes: u64,
    of_files: Read,
    of_log: Read,
}

/// Lines of so many devices and hours.
pub(crate) fn measure(devices: u8, lines: u32, hours: i64) -> Result<Found> {
    let folder = tempfile::tempdir()?;
    let running = Running::start(folder.path(), sealed(devices, lines, hours), MINUTE_US)?;
    running.wait_for_rows()?;
    let tables = folder.path().join("history/table=events");
    // Hours that have ended are merged, as they are in a history that is read.
    while super::history::files_below(&tables)?.0 > hours.cast_unsigned() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let (device, hour) = (DeviceId([devices / 2; 16]), hours / 2);
    let from_us = NOON_US + hour * HOUR_US;
    let times = Times { from_us, to_us: from_us + HOUR_US };
    let wanted = Wanted { device: Some(device), times, ..Wanted::default() };
    let of_files = of_files(folder.path(), &running, wanted.clone())?;
    let of_log = of_log(&*running.log, &wanted)?;
    ensure!(of_files.lines == of_log.lines, "the same lines: {of_files:?} {of_log:?}");
    let lines = running.expected;
    let (files, file_bytes) = super::history::files_below(&tables)?;
    running.stop();
    Ok(Found { lines, files, file_bytes, of_files, of_log })
}

const MINUTE_US: i64 = 60_000_000;
const SHARD: ShardId = ShardId(0);

fn of_files(folder: &Path, running: &Running, wanted: Wanted) -> Result<Read> {
    let store: SinkStore = running.store.clone();
    let log: Arc<dyn Log> = Arc::clone(&running.log) as _;
    let begun = cpu_seconds();
    let reader = HistoryReader::new(folder.join("history"), NAME, log, store);
    let cursors: BTreeMap<ShardId, Offset> = reader.cursors(&[SHARD])?;
    let listing = reader.list(Table::Events, wanted.times, &cursors)?;
    let mut sweep = listing.sweep(SHARD, wanted, Order::Forward);
    let lines = std::iter::from_fn(|| sweep.next_range()).map(|(_, rows)| rows.len()).sum();
    ensure!(sweep.take_warnings().is_empty(), "every file is whole");
    let cpu_seconds = cpu_seconds() - begun;
    let effort = sweep.effort();
    Ok(Read { lines, cpu_seconds, bytes: effort.bytes, files: effort.files })
}

fn of_log(log: &dyn Log, wanted: &Wanted) -> Result<Read> {
    let begun = cpu_seconds();
    let mut replay = Replay::from(log, SHARD, Offset(0))?;
    let (mut lines, mut bytes) = (0, 0);
    while let Some(batch) = replay.next_applied()? {
        bytes += batch.bytes;
        lines += rows_of(&batch, Table::Events, wanted, |_| "".into()).len();
    }
    Ok(Read { lines, cpu_seconds: cpu_seconds() - begun, bytes, files: 0 })
}

/// Batches of all devices, in order of time.
fn sealed(devices: u8, lines: u32, hours: i64) -> impl Iterator<Item = Batch> {
    let mut lanes: Vec<(Mark, Counts, Option<Batch>)> =
        (0..devices).map(|_| (Mark::default(), Counts::default(), None)).collect();
    let in_batch = i64::from(lines) / BATCHES;
    (0..hours * BATCHES).flat_map(move |number| {
        let at_us = NOON_US + number * (HOUR_US / BATCHES);
        let batches: Vec<Batch> = (0..devices)
            .zip(&mut lanes)
            .map(|(device, (mark, totals, last))| {
                let mut body = BodyBuilder::default();
                body.cover(STREAM, Some(&info()), *mark, Check::NONE);
                for line in 0..in_batch {
                    let time_us = at_us + line * 1_000;
                    let text = text(device, number * in_batch + line);
                    let (taken, part) = (text.len() as u64 + 1, Part::Whole);
                    body.push_line(STREAM, Line { taken, time_us, part, body: text.as_bytes() });
                }
                *mark = body.end(STREAM).unwrap_or(*mark);
                *totals = totals.plus(body.counts());
                let (packing, packed) = body.pack(lane::LEVEL);
                let seq = last.as_ref().and_then(|last| last.header().seq.next());
                let wall_us = at_us + in_batch * 1_000;
                let header = Header {
                    device: DeviceId([device; 16]),
                    seq: seq.unwrap_or(Seq::FIRST),
                    parent: seq.is_none().then_some(Tip::GENESIS),
                    clock: Clock { wall_us, ..Clock::default() },
                    totals: *totals,
                    ..lane::first(&body, packing)
                };
                let before = last.as_ref().map_or(lane::GENESIS, Batch::digest);
                let batch = Batch::seal(header, &packed, before);
                *last = Some(batch.clone());
                batch
            })
            .collect();
        batches
    })
}

fn info() -> SourceInfo {
    let fingerprint = Fingerprint { length: 64, hash: [1; 16] };
    SourceInfo::File { path: b"/var/log/app.log".to_vec(), fingerprint }
}

/// A line of an access log, of which no two are alike.
fn text(device: u8, number: i64) -> String {
    // Two rounds of splitmix64: digits that do not pack.
    let mixed =
        (number.cast_unsigned() ^ u64::from(device) << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let (status, path) = (if number % 50 == 0 { 502 } else { 200 }, mixed >> 16);
    format!(
        "192.0.2.{device} - - \"GET /api/v1/items/{path:012x}?page={} HTTP/1.1\" {status} {} \"-\" \"client/1.4\"",
        number % 7,
        number % 9_973
    )
}
