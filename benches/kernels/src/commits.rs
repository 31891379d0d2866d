//! Commits of the log beside a plain file: how many bytes a second become durable.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use headwater_aggregator::limits::ByteCount;
use headwater_aggregator::log::{EmbeddedLog, Log, LogOptions, MinFree, Space};
use headwater_aggregator::metrics::Metrics;
use headwater_protocol::identity::{LogId, ShardCount, ShardId};
use serde::Serialize;

/// Blocks of commits of each, one after the other.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Commits {
    /// Bytes a second, of the log's and of the plain file's, block by block.
    log: Vec<f64>,
    plain: Vec<f64>,
}

/// Just under 2^16, so that redb's own part of a value fits beside it.
const BATCH_BYTES: usize = 65_000;
const COMMITS: usize = 40;
const LOG: LogId = LogId([7; 16]);

/// Appends to both in turn, in a folder that is empty.
pub(crate) fn measure(folder: &Path, group: usize, blocks: usize) -> Result<Commits> {
    let shards = ShardCount::DEFAULT;
    EmbeddedLog::create(folder, LOG, shards)?;
    let space = Arc::new(Space::of(folder, MinFree::Bytes(ByteCount(0)))?);
    let (group_commit, metrics) = (Duration::from_millis(2), Metrics::default().log);
    let log =
        EmbeddedLog::open(folder, &LogOptions { id: LOG, shards, group_commit, space, metrics })?;
    let mut plain = File::create(folder.join("plain")).context("make the plain file")?;
    let mut batch = vec![0; BATCH_BYTES];
    let mut found = Commits::default();
    for block in 0..blocks {
        let seed = u64::try_from(block).context("blocks are few")?;
        fill(&mut batch, seed);
        found.log.push(timed(group, || append(&log, &batch, group))?);
        found.plain.push(timed(group, || {
            for _ in 0..group {
                plain.write_all(&batch)?;
            }
            plain.sync_data().context("sync the plain file")
        })?);
    }
    log.close();
    Ok(found)
}

/// Bytes a second of so many commits.
#[expect(clippy::cast_precision_loss, reason = "some megabytes")]
fn timed(group: usize, mut commit: impl FnMut() -> Result<()>) -> Result<f64> {
    let begun = Instant::now();
    for _ in 0..COMMITS {
        commit()?;
    }
    Ok((COMMITS * group * BATCH_BYTES) as f64 / begun.elapsed().as_secs_f64())
}

/// Appends to one shard, and waits until all of it is durable.
fn append(log: &EmbeddedLog, batch: &[u8], group: usize) -> Result<()> {
    let (told, durable) = mpsc::channel();
    for _ in 0..group {
        let told = told.clone();
        let tell = Box::new(move |_| told.send(()).unwrap_or_default());
        log.append(ShardId(0), batch.to_vec(), tell)?;
    }
    for _ in 0..group {
        durable.recv().context("the log ended")?;
    }
    Ok(())
}

/// Bytes that nothing makes smaller.
fn fill(batch: &mut [u8], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for word in batch.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
}
