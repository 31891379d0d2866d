//! Averages and changes of alerts as files, from the store of the merge fold.
//!
//! Another sink than that of the records: what a window is may change after it was written, when something of it comes late. So a
//! file holds a span of time as the store has it, and is exchanged at once for another one when the store has something else: each
//! figure is in one row, the last one that is known. The store marks what is in no file; what it has let go can't be read as a
//! whole any more, and what still comes of that is written beside it, as rows that add.
//!
//! All keys but those of single devices: what is of one device are its samples.

mod plan;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_protocol::identity::{LogId, Offset, ShardId};
use parquet::errors::ParquetError;

use super::folder::{Change, Folder, FolderError, Retired};
use super::retention::{Expiry, Retention};
use super::table::{Hour, Spot, Table};
use crate::clock::wall_us;
use crate::killpoint;
use crate::log::Space;
use crate::merge::{Average, Pending, PendingKind, Store, StoreError};
use crate::metrics::SinkMetrics;
use crate::sink::{SinkAbout, SinkHandle, SinkState, SinkStore, StartError, Tries, Turns, Written};
use plan::{Grid, LateName, SpanName, Task, span};
use rows::About;

/// Where its files are made.
const PARTIAL: &str = ".partial-averages";
/// Rows of one file: what is more lies in the next one.
const ROWS_MAX: usize = 500_000;
/// How often it is looked for what changed.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// For how long a folder stays that was exchanged: whoever has opened it reads its list to the end.
const RETIRED_FOR: Duration = Duration::from_secs(60);
/// After a file was replaced it waits so many times as long as that took: it takes at most a fifth of a processor.
const REST: u32 = 4;
/// For how long after its end an hour may still get files, by the time of windows.
const SETTLE_US: i64 = 5 * 60_000_000;
/// The shard in the names of folders: one merge fold has all keys.
const SHARD: ShardId = ShardId(0);

/// What writes averages and changes of alerts to files.
#[derive(Clone, Debug)]
pub struct Averages {
    /// The folder of the history.
    pub folder: PathBuf,
    /// The log that the history is of.
    pub log: LogId,
    /// What it reads; it has to be followed.
    pub store: Store,
    /// How long a stretch of time a new file holds, in whole seconds.
    pub every: Duration,
    /// How much of its files is kept.
    pub retention: Retention,
    /// Whether the disk has room.
    pub space: Arc<Space>,
    /// Where it counts.
    pub metrics: SinkMetrics,
}

impl Averages {
    /// Starts it.
    ///
    /// # Errors
    /// If it can't be read whether a person has stopped it, or there is no thread for it.
    pub fn start(self, about: SinkAbout, store: SinkStore) -> Result<SinkHandle, StartError> {
        SinkHandle::spawn(about, store, |view| {
            let tries = Tries::new(view, self.metrics.clone());
            Writer::new(self, tries)
        })
    }
}

/// Why it does not go on right now.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("read averages")]
    Store(#[from] StoreError),
    #[error("write averages")]
    Folder(#[from] FolderError),
    #[error("encode averages")]
    Encode(#[from] ParquetError),
    #[error(
        "replace a file of averages: this file system can't exchange two folders at once; move the history to another one"
    )]
    NoExchange,
}

impl Trouble {
    /// One word for a label.
    fn kind(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::Folder(_) | Self::Encode(_) | Self::NoExchange => "write",
        }
    }
}

struct Writer {
    options: Averages,
    tries: Tries,
    grid: Grid,
    /// `None` until it was opened once.
    folder: Option<Folder>,
    can_exchange: Option<bool>,
    /// When each mark was seen first.
    seen: BTreeMap<(Table, i64), Instant>,
    expiry: Expiry,
    /// Folders in which small files may lie.
    hours: BTreeSet<(Table, Hour)>,
    /// Folders that were exchanged, the oldest first.
    retired: Vec<(Instant, Retired)>,
    /// Before when no file is replaced that could be left as it is.
    rests_until: Instant,
    /// When it was last looked for late figures.
    late_at: Instant,
}

impl Turns for Writer {
    fn turn(&mut self, paused: bool) -> Duration {
        let is_short = self.options.space.is_short();
        let begun = Instant::now();
        let done = if paused || is_short { Ok(None) } else { self.work(begun) };
        let (wait, state) = match &done {
            _ if paused => (LOOK_INTERVAL, SinkState::Paused),
            _ if is_short => (LOOK_INTERVAL, SinkState::Short),
            Ok(Some(_)) => (Duration::ZERO, SinkState::Running),
            Ok(None) => (LOOK_INTERVAL, SinkState::Running),
            Err(_) => (self.tries.wait(), SinkState::Failing),
        };
        match done {
            Ok(Some(written)) => self.tries.note_written(&written, begun.elapsed()),
            Ok(None) => {}
            Err(trouble) => self.tries.note_failed(trouble.kind(), &trouble),
        }
        if let Some(folder) = self.folder.clone().filter(|_| !paused) {
            let expired = self.expiry.step(&folder, wall_us(), begun);
            self.tries.note_expired(expired.map(|expired| expired.files));
        }
        self.show(state);
        wait
    }
}

impl Writer {
    fn new(options: Averages, tries: Tries) -> Self {
        let now = Instant::now();
        Self {
            grid: Grid::new(options.every),
            tries,
            folder: None,
            can_exchange: None,
            expiry: Expiry::new(&options.retention, &[Table::Averages, Table::Alerts]),
            options,
            seen: BTreeMap::new(),
            hours: BTreeSet::new(),
            retired: Vec::new(),
            rests_until: now,
            late_at: now,
        }
    }

    /// Does one thing that is to be done. `None` if there is none.
    fn work(&mut self, now: Instant) -> Result<Option<Written>, Trouble> {
        let folder = self.open()?;
        self.delete_retired(&folder, now)?;
        for (kind, table) in KINDS {
            let pending = self.options.store.pending(kind)?;
            if let Some(at_us) = self.ready(table, &pending, now) {
                let spot = Spot { hour: Hour::of(at_us), table, shard: SHARD };
                let lying = folder.list_named(&spot.folder(), SpanName::parse)?;
                let is_over = is_over(spot.hour, &pending);
                let task = plan::changed(&lying, at_us, (self.grid, is_over));
                return self.write(&folder, (spot, kind), &task, now).map(Some);
            }
        }
        if now < self.rests_until {
            return Ok(None);
        }
        if let Some((spot, kind, task)) = self.together(&folder)? {
            let written = self.write(&folder, (spot, kind), &task, now)?;
            self.rests_until = Instant::now() + now.elapsed() * REST;
            return Ok(Some(written));
        }
        self.late(&folder, now)
    }

    /// The folder; the first time, what lies in it is looked through.
    fn open(&mut self) -> Result<Folder, Trouble> {
        if let Some(folder) = &self.folder {
            return Ok(folder.clone());
        }
        let folder = Folder::open_with(&self.options.folder, PARTIAL)?;
        let is_anew = self.options.store.is_anew()?;
        for spot in folder.spots()? {
            let Some((kind, table)) = KINDS.into_iter().find(|(_, table)| *table == spot.table)
            else {
                continue;
            };
            if is_anew {
                self.withdraw(&folder, spot, kind)?;
            }
            self.hours.insert((table, spot.hour));
        }
        if is_anew {
            self.options.store.note_settled()?;
        }
        Ok(self.folder.insert(folder).clone())
    }

    /// Sets aside what a store that was made anew does not say: it has a mark for all that it says.
    fn withdraw(&self, folder: &Folder, spot: Spot, kind: PendingKind) -> Result<(), Trouble> {
        let pending = self.options.store.pending(kind)?;
        let place = spot.folder();
        let mut withdrawn = 0;
        for (name, _) in folder.list_named(&place, SpanName::parse)? {
            if !pending.at_us.iter().any(|at_us| name.covers(*at_us)) {
                folder.withdraw(&place, name)?;
                withdrawn += 1;
            }
        }
        for (name, _) in folder.list_named(&place, LateName::parse)? {
            folder.withdraw(&place, name)?;
            withdrawn += 1;
        }
        let metrics = self.tries.metrics();
        metrics.withdrawn.get_or_create(&self.tries.label()).inc_by(withdrawn);
        Ok(())
    }

    /// Something that changed and is to be written now. What has just changed may change again in a moment.
    fn ready(&mut self, table: Table, pending: &Pending, now: Instant) -> Option<i64> {
        self.seen.retain(|(of, at_us), _| *of != table || pending.at_us.contains(at_us));
        let every = self.options.every;
        let quiet = (every / 4).clamp(Duration::from_millis(500), Duration::from_secs(15));
        pending.at_us.iter().copied().find(|at_us| {
            let since = *self.seen.entry((table, *at_us)).or_insert(now);
            let is_past = pending.newest_us >= Some(self.grid.cell(*at_us).1);
            now.duration_since(since) >= if is_past { quiet } else { every + quiet }
        })
    }

    /// Small files of a folder that are to become one.
    fn together(&mut self, folder: &Folder) -> Result<Option<(Spot, PendingKind, Task)>, Trouble> {
        for (kind, table) in KINDS {
            let pending = self.options.store.pending(kind)?;
            let hours = self.hours.iter().filter(|(of, _)| *of == table);
            for (_, hour) in hours.copied().collect::<Vec<_>>() {
                let is_over = is_over(hour, &pending);
                if span(hour).0 < pending.before_us {
                    self.hours.remove(&(table, hour));
                    continue;
                }
                let spot = Spot { hour, table, shard: SHARD };
                let lying = folder.list_named(&spot.folder(), SpanName::parse)?;
                match plan::together(&lying, is_over) {
                    Some(task) => return Ok(Some((spot, kind, task))),
                    None if is_over => drop(self.hours.remove(&(table, hour))),
                    None => {}
                }
            }
        }
        Ok(None)
    }

    /// Writes a span as the store has it.
    fn write(
        &mut self,
        folder: &Folder,
        (spot, kind): (Spot, PendingKind),
        task: &Task,
        now: Instant,
    ) -> Result<Written, Trouble> {
        let (mut files, mut taken, mut written) = (Vec::new(), Vec::new(), Written::default());
        let mut from_us = task.from_us;
        while from_us < task.to_us {
            let (bytes, rows, end_us, as_of) = self.encode(kind, (from_us, task.to_us))?;
            taken.push(((from_us, end_us), as_of));
            if rows > 0 {
                let is_full = end_us < task.to_us || from_us > task.from_us;
                let (from_s, to_s) = (from_us.div_euclid(1_000_000), end_us.div_euclid(1_000_000));
                let name = SpanName { from_s, to_s, as_of: as_of.0, is_full };
                written.rows += rows as u64;
                written.pieces += 1;
                written.bytes += bytes.len() as u64;
                files.push((name.to_string(), bytes));
            }
            from_us = end_us;
        }
        self.put(folder, &spot.folder(), (task, &files), now)?;
        killpoint::pass("history.averages_written");
        for (range, as_of) in taken {
            self.options.store.note_taken(kind, range, as_of)?;
        }
        self.hours.insert((spot.table, spot.hour));
        Ok(written)
    }

    fn encode(
        &self,
        kind: PendingKind,
        (from_us, to_us): (i64, i64),
    ) -> Result<(Vec<u8>, usize, i64, Offset), Trouble> {
        let (store, log) = (&self.options.store, self.options.log);
        let about = |to_us, as_of: Offset| About { log, from_us, to_us, as_of: as_of.0 };
        match kind {
            PendingKind::Averages => {
                let it = store.averages((from_us, to_us), ROWS_MAX)?;
                let bytes = rows::averages(about(it.end_us, it.as_of), &it.rows, false)?;
                Ok((bytes, it.rows.len(), it.end_us, it.as_of))
            }
            PendingKind::Alerts => {
                let it = store.alert_changes((from_us, to_us))?;
                let bytes = rows::alerts(about(it.end_us, it.as_of), &it.rows)?;
                Ok((bytes, it.rows.len(), it.end_us, it.as_of))
            }
        }
    }

    /// Has files in a folder in place of others, at once if there are any.
    fn put(
        &mut self,
        folder: &Folder,
        place: &str,
        (task, files): (&Task, &[(String, Vec<u8>)]),
        now: Instant,
    ) -> Result<(), Trouble> {
        if task.gone.is_empty() {
            for (name, bytes) in files {
                folder.put(place, name, bytes)?;
            }
            return Ok(());
        }
        if !self.can_exchange(folder)? {
            return Err(Trouble::NoExchange);
        }
        let gone: Vec<String> = task.gone.iter().map(SpanName::to_string).collect();
        let change = Change { place, gone: &gone, made: files, keeps_aside: false };
        self.retired.push((now, folder.change(&change)?));
        Ok(())
    }

    fn can_exchange(&mut self, folder: &Folder) -> Result<bool, Trouble> {
        if let Some(can) = self.can_exchange {
            return Ok(can);
        }
        Ok(*self.can_exchange.insert(folder.can_exchange()?))
    }

    /// Writes figures of windows that the store has let go, beside what there is of them.
    fn late(&mut self, folder: &Folder, now: Instant) -> Result<Option<Written>, Trouble> {
        if now.duration_since(self.late_at) < self.options.every {
            return Ok(None);
        }
        self.late_at = now;
        let mut written = Written::default();
        for batch in self.options.store.late_batches()? {
            let rows = self.options.store.late(batch)?;
            let same_hour =
                |one: &Average, other: &Average| Hour::of(one.start_us) == Hour::of(other.start_us);
            for rows in rows.chunk_by(same_hour) {
                let hour = Hour::of(rows[0].start_us);
                let (from_us, to_us) = span(hour);
                let about = About { log: self.options.log, from_us, to_us, as_of: batch };
                let bytes = rows::averages(about, rows, true)?;
                let spot = Spot { hour, table: Table::Averages, shard: SHARD };
                folder.put(&spot.folder(), LateName { batch }, &bytes)?;
                written.rows += rows.len() as u64;
                written.pieces += 1;
                written.bytes += bytes.len() as u64;
            }
            killpoint::pass("history.late_averages_written");
            self.options.store.note_late_taken(batch)?;
        }
        Ok((written.pieces > 0).then_some(written))
    }

    fn delete_retired(&mut self, folder: &Folder, now: Instant) -> Result<(), Trouble> {
        let is_over = |(since, _): &(Instant, Retired)| now.duration_since(*since) >= RETIRED_FOR;
        while self.retired.first().is_some_and(is_over) {
            let (_, retired) = self.retired.remove(0);
            folder.delete(&retired)?;
        }
        Ok(())
    }

    fn show(&self, state: SinkState) {
        // What can't be read now is told by the next step.
        let pending = self.options.store.pending(PendingKind::Averages).unwrap_or_default();
        self.tries.show(state, pending.at_us.first().copied());
        self.tries.view().waiting_records = pending.at_us.len() as u64;
    }
}

/// Whether an hour has ended, by the time of windows.
fn is_over(hour: Hour, pending: &Pending) -> bool {
    pending.newest_us >= Some(span(hour).1.saturating_add(SETTLE_US))
}

/// What is written to which table.
const KINDS: [(PendingKind, Table); 2] =
    [(PendingKind::Averages, Table::Averages), (PendingKind::Alerts, Table::Alerts)];

#[cfg(test)]
mod tests;
