//! Log lines, read back: first what is stored, from the files of the history and from the log where they end, then what comes,
//! with neither hole nor repeat between any two.
//!
//! The subscription is opened before the first entry is read, and every shard is read by offset: what
//! is heard of below the offset that was reached is known, what lies between is read from the log.

mod files;
mod last;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use headwater_protocol::identity::{Offset, ShardId};
use serde::Deserialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::mpsc;

use super::lines::Lines;
use super::selection::Selection;
use super::{Refusal, rows::LineRow};
use crate::fold::AppliedBatch;
use crate::history::read::{Times, Wanted as WantedRows};
use crate::node::NodeHandle;
use last::LastLines;

/// Which lines.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// Name or id; all devices without.
    device: Option<String>,
    /// Path of the file; all files without.
    source: Option<String>,
    /// Only so many, the last ones.
    last: Option<usize>,
    /// From this time on, microseconds since 1970 UTC.
    from_us: Option<i64>,
    /// Up to this time, without it.
    to_us: Option<i64>,
    /// Only lines that hold this text.
    contains: Option<String>,
    /// Whether to go on with what comes.
    #[serde(default)]
    follow: bool,
}

/// `GET /logs`
pub(super) async fn run(
    State(node): State<NodeHandle>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    if wanted.last.is_some_and(|last| last > LAST_MAX) {
        let what = format!("last is {}, expected at most {LAST_MAX}", wanted.last.unwrap_or(0));
        return Err(Refusal::new(StatusCode::BAD_REQUEST, what).next("no --last reads all lines"));
    }
    // Before anything is read: what is applied in the meantime is heard of.
    let live = wanted.follow.then(|| node.subscribe());
    let devices = match &wanted.device {
        Some(name) => vec![node.device(name).await.ok_or_else(|| Refusal::no_device(name))?],
        None => node.devices().await,
    };
    let shards: Vec<ShardId> = match &wanted.device {
        Some(_) => vec![devices[0].shard],
        None => node.shards().shards().collect(),
    };
    let whole = Times::default();
    let rows = WantedRows {
        device: wanted.device.is_some().then(|| devices[0].id),
        path: wanted.source,
        times: Times {
            from_us: wanted.from_us.unwrap_or(whole.from_us),
            to_us: wanted.to_us.unwrap_or(whole.to_us),
        },
        contains: wanted.contains.map(String::into_bytes),
        ..WantedRows::default()
    };
    let selection = Selection::new(rows, &devices);
    let (lines, response) = Lines::open();
    let reader = Reader {
        next: shards.into_iter().map(|shard| (shard, Offset(0))).collect(),
        last: wanted.last.map(LastLines::new),
        selection,
        lines,
        node,
    };
    tokio::spawn(reader.run(live));
    Ok(response)
}

/// Most lines that may be asked for from the end: they are held in memory until the end is known.
const LAST_MAX: usize = 100_000;

struct Reader {
    node: NodeHandle,
    selection: Selection,
    lines: Lines,
    /// The offset that comes next, per shard that is read.
    next: BTreeMap<ShardId, Offset>,
    /// `None` once lines go straight to the reader.
    last: Option<LastLines>,
}

/// Why no more lines come.
enum End {
    /// The reader has gone.
    Gone,
    /// Something is in the way.
    Refused(Refusal),
}

impl Reader {
    async fn run(mut self, live: Option<Receiver<Arc<AppliedBatch>>>) {
        match self.read_and_follow(live).await {
            Ok(()) | Err(End::Gone) => {}
            Err(End::Refused(refusal)) => self.lines.give_up(refusal).await,
        }
    }

    async fn read_and_follow(
        &mut self,
        live: Option<Receiver<Arc<AppliedBatch>>>,
    ) -> Result<(), End> {
        self.read_stored().await?;
        if let Some(last) = self.last.take() {
            self.send(&last.into_rows()).await?;
        }
        let Some(mut live) = live else { return Ok(()) };
        loop {
            let heard = tokio::select! {
                heard = live.recv() => heard,
                () = self.lines.closed() => return Err(End::Gone),
            };
            match heard {
                Ok(batch) if batch.skipped_before > 0 => self.catch_up().await?,
                Ok(batch) => self.take(&batch).await?,
                Err(RecvError::Lagged(_)) => self.catch_up().await?,
                Err(RecvError::Closed) => return Err(End::Refused(stopping())),
            }
        }
    }

    /// Reads each shard from where it was left to its present end.
    async fn catch_up(&mut self) -> Result<(), End> {
        let shards: Vec<(ShardId, Offset)> =
            self.next.iter().map(|(shard, next)| (*shard, *next)).collect();
        for (shard, from) in shards {
            if self.node.end(shard) > from {
                self.replay(shard, from).await?;
            }
        }
        Ok(())
    }

    async fn replay(&mut self, shard: ShardId, from: Offset) -> Result<(), End> {
        let node = self.node.clone();
        let (sender, mut batches) = mpsc::channel(BATCHES_AHEAD);
        let replayed = node.replay(shard, from, move |batch| match sender.blocking_send(batch) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        });
        let taken = async move {
            while let Some(batch) = batches.recv().await {
                self.take(&batch).await?;
            }
            Ok(())
        };
        let (replayed, taken) = tokio::join!(replayed, taken);
        taken?;
        replayed.map_err(|error| End::Refused(Refusal::failed("cannot read the log", &error)))
    }

    /// Takes a batch that comes next in its shard; one that was taken before is let go.
    async fn take(&mut self, batch: &AppliedBatch) -> Result<(), End> {
        let Some(next) = self.next.get_mut(&batch.shard) else { return Ok(()) };
        if batch.offset < *next {
            return Ok(());
        }
        *next = batch.offset.next();
        if self.selection.is_new(batch) {
            self.selection.add_names(self.node.names());
        }
        let rows = self.selection.rows(batch);
        match &mut self.last {
            Some(last) => last.take(batch, rows).map_err(End::Refused),
            None => self.send(&rows).await,
        }
    }

    async fn send(&self, rows: &[LineRow]) -> Result<(), End> {
        for rows in rows.chunks(ROWS_PER_CHUNK) {
            self.lines.send(rows).await.map_err(|_| End::Gone)?;
        }
        Ok(())
    }
}

fn stopping() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the aggregator is stopping")
        .next("once more when it runs again")
}

/// Batches that wait between the thread that reads and the task that writes.
const BATCHES_AHEAD: usize = 2;

/// Rows that are written at once: some 100 KiB of usual lines.
const ROWS_PER_CHUNK: usize = 1_000;
