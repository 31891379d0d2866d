//! A log on a real disk, opened and closed as a node does.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use headwater_aggregator::limits::ByteCount;
use headwater_aggregator::log::{EmbeddedLog, Log, LogOptions, MinFree, OpenError, Space, Stored};
use headwater_aggregator::metrics::Metrics;
use headwater_protocol::identity::{LogId, Offset, ShardCount, ShardId};

pub(crate) const LOG: LogId = LogId([9; 16]);
/// Long enough for the slowest disk, short enough for a person who waits.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn space(folder: &Path) -> Arc<Space> {
    Arc::new(Space::of(folder, MinFree::Bytes(ByteCount(0))).unwrap())
}

pub(crate) fn options(folder: &Path, metrics: &Metrics) -> LogOptions {
    LogOptions {
        id: LOG,
        shards: ShardCount::DEFAULT,
        group_commit: Duration::from_millis(2),
        space: space(folder),
        metrics: metrics.log.clone(),
    }
}

pub(crate) fn create(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::create(folder, LOG, ShardCount::DEFAULT).unwrap();
    open(folder).unwrap()
}

pub(crate) fn open(folder: &Path) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open(folder, &options(folder, &Metrics::default()))
}

/// Appends and gives the way to hear that it is durable.
pub(crate) fn append(log: &dyn Log, shard: u16, entry: &[u8]) -> Receiver<Stored> {
    let (told, durable) = channel();
    let tell = Box::new(move |stored| drop(told.send(stored)));
    log.append(ShardId(shard), entry.to_vec(), tell).unwrap();
    durable
}

/// Appends and waits until it is durable.
pub(crate) fn append_durably(log: &dyn Log, shard: u16, entry: &[u8]) -> Stored {
    append(log, shard, entry)
        .recv_timeout(DEADLINE)
        .expect("an append is durable before the deadline")
}

/// Every entry of a shard.
pub(crate) fn all(log: &dyn Log, shard: u16) -> Vec<Stored> {
    let (mut all, mut next) = (Vec::new(), Offset(0));
    loop {
        let part = log.read(ShardId(shard), next, ByteCount(1 << 20)).unwrap();
        let Some(last) = part.last() else { return all };
        next = last.offset.next();
        all.extend(part);
    }
}

/// Copies the files of a folder, as a backup does.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &target);
        } else if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}
