//! The rows of one path of one device: first which runs there are, then each run by itself.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::ControlFlow;

use headwater_protocol::identity::{DeviceId, Offset, ShardId};
use headwater_protocol::position::Stream;

use crate::api::rows::source_word;
use crate::history::Table;
use crate::history::read::{Listing, Order, Row, Times, Wanted, rows_of};
use crate::node::NodeHandle;

/// Why rows can't be read.
pub(super) type Trouble = Box<dyn Error + Send + Sync>;

/// What is stored of a path of a device.
pub(super) struct Stored {
    node: NodeHandle,
    shard: ShardId,
    /// Where files end, and the log goes on.
    cursor: Offset,
    /// Events and gaps. `None` where no history is kept.
    files: Option<(Listing, Listing)>,
    device: DeviceId,
    path: String,
    times: Times,
    /// What streams read, as far as it is known.
    paths: BTreeMap<Stream, String>,
    left_out: Vec<String>,
}

/// A run of the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundRun {
    pub(super) stream: Stream,
    /// The earliest and the latest time of its lines.
    pub(super) first_us: i64,
    pub(super) last_us: i64,
    /// Whether the log holds some of it that no file has.
    is_in_log: bool,
}

/// Runs in the order in which they were read, and the gaps of each.
pub(super) type Found = (Vec<FoundRun>, BTreeMap<Stream, Vec<Row>>);

impl Stored {
    /// Takes the cursor, and lists the folders.
    pub(super) fn open(
        node: NodeHandle,
        (shard, device): (ShardId, DeviceId),
        (path, times): (String, Times),
        paths: BTreeMap<Stream, String>,
    ) -> Result<Self, Trouble> {
        let (mut cursor, mut files) = (Offset(0), None);
        if let Some(history) = node.history() {
            let cursors = history.cursors(&[shard])?;
            cursor = cursors.get(&shard).copied().unwrap_or(cursor);
            let list = |table| history.list(table, times, &cursors);
            files = Some((list(Table::Events)?, list(Table::Gaps)?));
        }
        let left_out = Vec::new();
        Ok(Self { node, shard, cursor, files, device, path, times, paths, left_out })
    }

    /// Files that are left out, and why, since this was last asked.
    pub(super) fn take_left_out(&mut self) -> Vec<String> {
        std::mem::take(&mut self.left_out)
    }

    /// Which runs there are.
    pub(super) fn find(&mut self) -> Result<Found, Trouble> {
        let mut runs: BTreeMap<Stream, (usize, FoundRun)> = BTreeMap::new();
        let mut note = |row: &Row, is_in_log: bool| {
            let (number, time_us) = (runs.len(), row.time_us);
            let found =
                FoundRun { stream: row.stream, first_us: time_us, last_us: time_us, is_in_log };
            let (_, run) = runs.entry(row.stream).or_insert((number, found));
            run.first_us = run.first_us.min(row.time_us);
            run.last_us = run.last_us.max(row.time_us);
            run.is_in_log |= is_in_log;
        };
        let mut gaps: BTreeMap<Stream, Vec<Row>> = BTreeMap::new();
        let wanted = self.wanted(None, self.times);
        let heads = Wanted { is_without_bodies: true, ..wanted.clone() };
        self.read_files(Table::Events, &heads, |row| {
            note(&row, false);
            ControlFlow::Continue(())
        });
        self.read_files(Table::Gaps, &wanted, |row| {
            gaps.entry(row.stream).or_default().push(row);
            ControlFlow::Continue(())
        });
        self.read_log(Table::Events, &wanted, |row| {
            note(&row, true);
            ControlFlow::Continue(())
        })?;
        self.read_log(Table::Gaps, &wanted, |row| {
            gaps.entry(row.stream).or_default().push(row);
            ControlFlow::Continue(())
        })?;
        let mut runs: Vec<(usize, FoundRun)> = runs.into_values().collect();
        runs.sort_by_key(|(number, _)| *number);
        // Files are named once; the next passes come upon them again.
        self.left_out.sort();
        self.left_out.dedup();
        Ok((runs.into_iter().map(|(_, run)| run).collect(), gaps))
    }

    /// Goes through the lines of a run in order.
    pub(super) fn read(
        &mut self,
        run: &FoundRun,
        mut visit: impl FnMut(Row) -> ControlFlow<()>,
    ) -> Result<(), Trouble> {
        let Times { from_us, to_us } = self.times;
        // Beyond its latest time a run may have grown since; in files it has not.
        let of_run = Times {
            from_us: from_us.max(run.first_us),
            to_us: to_us.min(run.last_us.saturating_add(1)),
        };
        let named = self.left_out.len();
        let mut is_over = false;
        self.read_files(Table::Events, &self.wanted(Some(run.stream), of_run), |row| {
            let next = visit(row);
            is_over = next.is_break();
            next
        });
        self.left_out.truncate(named);
        if is_over || !run.is_in_log {
            return Ok(());
        }
        self.read_log(Table::Events, &self.wanted(Some(run.stream), self.times), visit)
    }

    fn wanted(&self, stream: Option<Stream>, times: Times) -> Wanted {
        let (device, path) = (Some(self.device), Some(self.path.clone()));
        Wanted { device, path, stream, times, ..Wanted::default() }
    }

    fn read_files(
        &mut self,
        table: Table,
        wanted: &Wanted,
        mut visit: impl FnMut(Row) -> ControlFlow<()>,
    ) {
        let Some((events, gaps)) = &self.files else { return };
        let listing = if table == Table::Gaps { gaps } else { events };
        let mut sweep = listing.sweep(self.shard, wanted.clone(), Order::Forward);
        while let Some((_, rows)) = sweep.next_range() {
            let of_path = rows.into_iter().filter(|row| self.is_of_path(row));
            let mut of_path = of_path;
            if of_path.try_for_each(&mut visit).is_break() {
                break;
            }
        }
        self.left_out.extend(sweep.take_warnings());
    }

    fn read_log(
        &mut self,
        table: Table,
        wanted: &Wanted,
        mut visit: impl FnMut(Row) -> ControlFlow<()>,
    ) -> Result<(), Trouble> {
        let mut paths = std::mem::take(&mut self.paths);
        let replayed = self.node.replay_here(self.shard, self.cursor, |batch| {
            if batch.header.device != self.device {
                return ControlFlow::Continue(());
            }
            for (stream, info) in batch.body.iter().flat_map(|body| &body.streams) {
                if let Some(info) = info {
                    paths.insert(*stream, source_word(info));
                }
            }
            let known = |stream| paths.get(&stream).map_or("", String::as_str).into();
            let rows = rows_of(&batch, table, wanted, known);
            rows.into_iter().filter(|row| *row.path == *self.path).try_for_each(&mut visit)
        });
        self.paths = paths;
        Ok(replayed?)
    }

    fn is_of_path(&self, row: &Row) -> bool {
        let known = || self.paths.get(&row.stream).map_or("", String::as_str);
        let path = if row.path.is_empty() { known() } else { &row.path };
        path == self.path
    }
}
