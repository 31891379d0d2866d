//! What the history takes: ticks of this host as files of one shard, and the time to make them.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater_aggregator::history::{Parquet, Retention};
use headwater_aggregator::limits::{ByteCount, SINK_BYTES_MAX, SINK_RECORDS_MAX};
use headwater_aggregator::log::{EmbeddedLog, Log, LogOptions, MinFree, Space};
use headwater_aggregator::metrics::{Metrics, SinkLabel, SinkMetrics};
use headwater_aggregator::sink::{RangeRules, SinkAbout, SinkHandle, SinkOptions, SinkStore};
use headwater_protocol::batch::Batch;
use headwater_protocol::entry::{Entry, EntryKind};
use headwater_protocol::identity::{Generation, LogId, NodeId, ShardCount, ShardId};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::lane::Lane;

const LOG: LogId = LogId([7; 16]);
/// Longer than anything that is appended: what is full alone ends a range.
const PANE_US: i64 = 365 * 86_400_000_000;

/// What rows take.
#[derive(Debug, Serialize)]
pub(crate) struct Rows {
    rows: u64,
    bytes: u64,
    /// Processor time of the whole process, from the first entry that is read to the last file that is safe.
    cpu_seconds: f64,
}

/// What a day of one host takes, as files of its minutes and of its hours.
#[derive(Debug, Serialize)]
pub(crate) struct Day {
    minutes: Rows,
    /// Files that were merged.
    merged: u64,
    merged_bytes: u64,
    /// What is there afterwards.
    files: u64,
    bytes: u64,
    merge_cpu_seconds: f64,
}

/// Appends batches to a log of one shard, and has a sink make files of them.
pub(crate) fn written(folder: &Path, batches: &[Batch]) -> Result<Rows> {
    let sink = Running::start(folder, batches.iter().cloned(), PANE_US)?;
    let rows = sink.wait_for_rows()?;
    sink.stop();
    Ok(rows)
}

/// The same a minute at a time, and merged as hours that have ended.
pub(crate) fn day(folder: &Path, batches: &[Batch], hours: u64) -> Result<Day> {
    let sink = Running::start(folder, batches.iter().cloned(), MINUTE_US)?;
    let minutes = sink.wait_for_rows()?;
    let begun = cpu_seconds();
    let (files, bytes) = loop {
        let found = files_below(&folder.join("history/table=samples"))?;
        if found.0 <= hours {
            break found;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let merge_cpu_seconds = cpu_seconds() - begun;
    let label = SinkLabel { sink: NAME.to_owned() };
    let merged = sink.metrics.merged.get_or_create(&label).get();
    let merged_bytes = sink.metrics.merged_before.get_or_create(&label).get();
    sink.stop();
    Ok(Day { minutes, merged, merged_bytes, files, bytes, merge_cpu_seconds })
}

pub(crate) fn files_below(folder: &Path) -> Result<(u64, u64)> {
    let (mut files, mut bytes) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (more_files, more_bytes) = match entry.file_type()?.is_dir() {
            true => files_below(&entry.path())?,
            // It may have been merged in this moment.
            false => (1, entry.metadata().map_or(0, |about| about.len())),
        };
        files += more_files;
        bytes += more_bytes;
    }
    Ok((files, bytes))
}

pub(crate) const NAME: &str = "history";
const MINUTE_US: i64 = 60_000_000;

/// A sink that follows a log.
pub(crate) struct Running {
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) store: SinkStore,
    sink: SinkHandle,
    metrics: SinkMetrics,
    pub(crate) expected: u64,
    begun: f64,
}

impl Running {
    pub(crate) fn start(
        folder: &Path,
        batches: impl Iterator<Item = Batch>,
        pane_us: i64,
    ) -> Result<Self> {
        let shards = ShardCount::new(1).context("a log has a shard")?;
        EmbeddedLog::create(folder, LOG, shards)?;
        let space = Arc::new(Space::of(folder, MinFree::Bytes(ByteCount(0)))?);
        let metrics = Metrics::default();
        let log = Arc::new(EmbeddedLog::open(
            folder,
            &LogOptions {
                id: LOG,
                shards,
                group_commit: Duration::from_millis(2),
                space: Arc::clone(&space),
                metrics: metrics.log.clone(),
            },
        )?);
        let entry = |stamp_us, kind| {
            Entry { appender: NodeId([1; 16]), stamp_us, generation: Generation(0), kind }.encode()
        };
        let (told, durable) = mpsc::channel();
        let (mut expected, mut appended) = (0, 0);
        for batch in batches {
            expected += batch.header().counts.records;
            appended += 1;
            let (sent, stamp_us) = (Lane::sent(&batch), batch.header().clock.wall_us);
            let batch = Box::new(batch);
            let told = told.clone();
            let tell = Box::new(move |_| told.send(()).unwrap_or_default());
            log.append(ShardId(0), entry(stamp_us, EntryKind::Batch { sent, batch }), tell)?;
        }
        // Time goes on, so that the last range ends.
        log.append(ShardId(0), entry(i64::MAX, EntryKind::Tick), Box::new(|_| {}))?;
        for _ in 0..appended {
            durable.recv().context("the log ended")?;
        }
        let files = folder.join("history");
        let store = SinkStore::open(&folder.join("sinks.redb"), LOG)?;
        let begun = cpu_seconds();
        let sink = SinkHandle::start(SinkOptions {
            about: SinkAbout {
                name: NAME.to_owned(),
                kind: "parquet",
                location: String::new(),
                claim: "",
            },
            destination: Box::new(Parquet::new(files, LOG, &Retention::default())),
            store: store.clone(),
            log: Arc::clone(&log) as _,
            rules: RangeRules { pane_us, records_max: SINK_RECORDS_MAX, bytes_max: SINK_BYTES_MAX },
            space,
            metrics: metrics.sink.clone(),
        })?;
        Ok(Self { log, store, sink, metrics: metrics.sink, expected, begun })
    }

    pub(crate) fn wait_for_rows(&self) -> Result<Rows> {
        let view = loop {
            let view = self.sink.view();
            ensure!(view.error.is_none(), "the sink does not write: {view:?}");
            if view.rows >= self.expected {
                break view;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let cpu_seconds = cpu_seconds() - self.begun;
        Ok(Rows { rows: view.rows, bytes: view.bytes, cpu_seconds })
    }

    pub(crate) fn stop(self) {
        self.sink.stop();
        self.log.close();
    }
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of a minute")]
pub(crate) fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}
