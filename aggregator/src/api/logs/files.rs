//! What is stored: of each shard the lines of files up to the sink's cursor, then those of the log from it on.

use std::collections::BTreeMap;
use std::error::Error;

use headwater_protocol::identity::{Offset, ShardId};
use tokio::sync::mpsc;

use super::super::Refusal;
use super::super::rows::{LeftOutRow, LineRow};
use super::{End, Reader};
use crate::history::Table;
use crate::history::read::{HistoryReader, Listing, Order, Row, Sweep};

/// Rows of a range, its first entry, and the files that are left out.
type Swept = (Offset, Vec<Row>, Vec<String>);

impl Reader {
    /// Reads all that is stored, shard by shard.
    pub(super) async fn read_stored(&mut self) -> Result<(), End> {
        let shards: Vec<ShardId> = self.next.keys().copied().collect();
        let Some(history) = self.node.history() else { return self.catch_up().await };
        let times = self.selection.wanted().times;
        let of = shards.clone();
        let listed = off_thread(move || {
            let cursors = history.cursors(&of).map_err(boxed)?;
            list(&history, times, &cursors).map(|listing| (cursors, listing))
        });
        let (cursors, listing) = listed.await?;
        for shard in shards {
            let cursor = cursors.get(&shard).copied().unwrap_or(Offset(0));
            self.next.insert(shard, cursor);
            if self.last.is_some() {
                // The newest first: what they leave no room for is not read.
                self.catch_up_one(shard, cursor).await?;
                self.read_last_of_files(&listing, shard).await?;
            } else {
                self.read_files(&listing, shard).await?;
                self.catch_up_one(shard, cursor).await?;
            }
        }
        Ok(())
    }

    async fn catch_up_one(&mut self, shard: ShardId, from: Offset) -> Result<(), End> {
        if self.node.end(shard) > from { self.replay(shard, from).await } else { Ok(()) }
    }

    async fn read_files(&mut self, listing: &Listing, shard: ShardId) -> Result<(), End> {
        let wanted = self.selection.wanted().clone();
        let mut ranges = swept(listing.sweep(shard, wanted, Order::Forward));
        while let Some((_, rows, left_out)) = ranges.next().await? {
            self.tell_left_out(left_out).await?;
            let lines = self.lines_of(rows);
            self.send(&lines).await?;
        }
        Ok(())
    }

    async fn read_last_of_files(&mut self, listing: &Listing, shard: ShardId) -> Result<(), End> {
        let wanted = self.selection.wanted().clone();
        let mut ranges = swept(listing.sweep(shard, wanted, Order::Backward));
        // No range came later than those behind it.
        let mut came_us = i64::MAX;
        while let Some((first, rows, left_out)) = ranges.next().await? {
            self.tell_left_out(left_out).await?;
            came_us =
                rows.iter().map(|row| row.time_us).max().map_or(came_us, |it| came_us.min(it));
            let lines = self.lines_of(rows);
            let Some(last) = &mut self.last else { return Ok(()) };
            if last.is_newer_than(came_us) {
                return Ok(());
            }
            last.take_rows((came_us, shard, first), lines).map_err(End::Refused)?;
        }
        Ok(())
    }

    fn lines_of(&mut self, rows: Vec<Row>) -> Vec<LineRow> {
        if rows.iter().any(|row| self.selection.is_unnamed(row.device)) {
            self.selection.add_names(self.node.names());
        }
        rows.into_iter().filter_map(|row| self.selection.line_of(row)).collect()
    }

    async fn tell_left_out(&self, files: Vec<String>) -> Result<(), End> {
        let rows: Vec<LeftOutRow> =
            files.into_iter().map(|left_out| LeftOutRow { left_out }).collect();
        self.lines.send(&rows).await.map_err(|_| End::Gone)
    }
}

fn list(
    history: &HistoryReader,
    times: crate::history::read::Times,
    cursors: &BTreeMap<ShardId, Offset>,
) -> Result<Listing, Box<dyn Error + Send + Sync>> {
    history.list(Table::Events, times, cursors).map_err(boxed)
}

fn boxed(error: impl Error + Send + Sync + 'static) -> Box<dyn Error + Send + Sync> {
    error.into()
}

/// Waits for the disk off the runtime's threads.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Box<dyn Error + Send + Sync>> + Send + 'static,
) -> Result<T, End> {
    let done =
        tokio::task::spawn_blocking(work).await.map_err(|_| End::Refused(super::stopping()))?;
    done.map_err(|error| End::Refused(Refusal::failed("cannot read the history", &*error)))
}

/// Ranges, as a thread that waits for the disk finds them.
struct Ranges {
    found: mpsc::Receiver<Swept>,
    thread: tokio::task::JoinHandle<()>,
}

/// Sweeps on a thread for blocking work, a range ahead of whoever reads.
fn swept(mut sweep: Sweep) -> Ranges {
    let (sender, found) = mpsc::channel(1);
    let thread = tokio::task::spawn_blocking(move || {
        loop {
            let range = sweep.next_range();
            let left_out = sweep.take_warnings();
            let is_end = range.is_none();
            let (first, rows) = range.unwrap_or((Offset(0), Vec::new()));
            // A reader that has gone wants no more.
            if sender.blocking_send((first, rows, left_out)).is_err() || is_end {
                return;
            }
        }
    });
    Ranges { found, thread }
}

impl Ranges {
    async fn next(&mut self) -> Result<Option<Swept>, End> {
        if let Some(swept) = self.found.recv().await {
            return Ok(Some(swept));
        }
        let ended = (&mut self.thread).await;
        ended.map(|()| None).map_err(|error| {
            End::Refused(Refusal::failed("cannot read the history to its end", &error))
        })
    }
}
