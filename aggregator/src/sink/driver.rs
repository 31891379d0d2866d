//! The thread of a sink: reads, writes, moves its cursor, and waits.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use headwater_protocol::identity::{Generation, Offset, ShardId};

use super::destination::{Place, Settled, WriteError, Written};
use super::follow::{FollowError, Follower, Step};
use super::handle::{SinkOptions, Turns};
use super::range::{Planned, Range};
use super::store::{SinkStore, StoreError, Tip};
use super::tries::Tries;
use super::view::{SinkState, SinkView};
use crate::api::chain;
use crate::killpoint;
use crate::limits::ByteCount;
use crate::log::{Log, ReadError};
use crate::metrics::SinkErrorLabel;

/// How often a sink that has caught up looks for more.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// After putting pieces together a sink waits so many times as long as that took: it takes at most a fifth of a processor.
const MERGE_REST: u32 = 4;
/// The least wait after pieces could not be put together.
const MERGE_WAIT: Duration = Duration::from_secs(30);

/// Places of which it is remembered why their pieces stay apart.
const APART_MAX: usize = 256;

/// Why a sink does not go on right now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("write a range")]
    Write(#[source] WriteError),
    #[error("follow the log")]
    Follow(#[source] FollowError),
    #[error("read the log")]
    Read(#[source] ReadError),
    #[error("keep where it stands")]
    Store(#[source] StoreError),
}

impl Trouble {
    /// One word for a label.
    fn kind(&self) -> &'static str {
        match self {
            Self::Write(_) => "write",
            Self::Follow(_) | Self::Read(_) => "log",
            Self::Store(_) => "store",
        }
    }
}

pub(super) struct Driver {
    options: SinkOptions,
    shards: Vec<ShardId>,
    followers: BTreeMap<ShardId, Follower>,
    /// A range that is not written yet, with its shard: it is written before anything else.
    planned: Option<Planned>,
    /// Whether it is known where each shard was left.
    is_prepared: bool,
    tries: Tries,
    /// When pieces are put together again.
    merges_from: Instant,
    /// What stays apart, and why.
    apart: BTreeMap<String, String>,
}

impl Driver {
    pub(super) fn new(options: SinkOptions, view: Arc<Mutex<SinkView>>) -> Self {
        let shards = options.log.shards().shards().collect();
        let tries = Tries::new(view, options.metrics.clone());
        Self {
            options,
            shards,
            followers: BTreeMap::new(),
            planned: None,
            is_prepared: false,
            tries,
            merges_from: Instant::now(),
            apart: BTreeMap::new(),
        }
    }
}

impl Turns for Driver {
    /// Goes once through all shards.
    fn turn(&mut self, paused: bool) -> Duration {
        let is_short = self.options.space.is_short();
        let done = if paused || is_short { Ok(false) } else { self.write_complete() };
        let (wait, state) = match &done {
            _ if paused => (LOOK_INTERVAL, SinkState::Paused),
            _ if is_short => (LOOK_INTERVAL, SinkState::Short),
            Ok(true) => (Duration::ZERO, SinkState::Running),
            Ok(false) => (LOOK_INTERVAL, SinkState::Running),
            Err(_) => (self.tries.wait(), SinkState::Failing),
        };
        match done {
            // Nothing waits to be written.
            Ok(false) if state == SinkState::Running => self.merge(),
            Ok(_) => {}
            Err(trouble) => self.tries.note_failed(trouble.kind(), &trouble),
        }
        if !paused {
            let expired = self.options.destination.expire();
            self.tries.note_expired(expired);
        }
        self.show(state);
        wait
    }
}

impl Driver {
    /// Writes what is complete, at most one range of each shard; whether there was any is returned.
    fn write_complete(&mut self) -> Result<bool, Trouble> {
        if !self.is_prepared {
            self.prepare()?;
            self.is_prepared = true;
        }
        let mut is_busy = false;
        if let Some(planned) = self.planned.take() {
            self.write(planned)?;
            is_busy = true;
        }
        for shard in self.shards.clone() {
            if let Some(planned) = self.next_range(shard)? {
                self.write(planned)?;
                is_busy = true;
            }
        }
        Ok(is_busy)
    }

    /// Finds where each shard was left, and takes back what the log has lost since.
    fn prepare(&mut self) -> Result<(), Trouble> {
        let Self { options, .. } = self;
        let mut places = BTreeMap::new();
        for shard in &self.shards {
            if options.log.end(*shard).map_err(Trouble::Read)? > Offset(0) {
                let place = place(&*options.log, (&options.store, &options.about.name), *shard)?;
                // Before anything is taken back: what the log does not hold can't be written again.
                let follower = open(options, place)?;
                self.followers.insert(*shard, follower);
                places.insert(*shard, place);
            }
        }
        let pieces = options.destination.withdraw(&places).map_err(Trouble::Write)?;
        let name = &options.about.name;
        for (shard, place) in &places {
            options.log.hold(name, *shard, place.from.end);
            if place.has_lost {
                options.store.go_back(name, *shard, place.from.end).map_err(Trouble::Store)?;
            }
        }
        options.metrics.withdrawn.get_or_create(&self.tries.label()).inc_by(pieces);
        if pieces > 0 {
            tracing::warn!(
                sink = name,
                pieces,
                "the log does not hold what was written (it lost a tail, or was restored): that is withdrawn"
            );
        }
        Ok(())
    }

    /// Reads on in a shard until a range is complete. `None` if there is no more to read.
    fn next_range(&mut self, shard: ShardId) -> Result<Option<Planned>, Trouble> {
        let log = Arc::clone(&self.options.log);
        let end = log.end(shard).map_err(Trouble::Read)?;
        let next = self.followers.get(&shard).map_or(Offset(0), Follower::next);
        if end <= next {
            return Ok(None);
        }
        let follower = match self.followers.entry(shard) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(vacant) => {
                let place = place(
                    &*self.options.log,
                    (&self.options.store, &self.options.about.name),
                    shard,
                )?;
                vacant.insert(open(&self.options, place)?)
            }
        };
        loop {
            match follower.step(&*log) {
                Ok(Step::Range(planned)) => return Ok(Some(planned)),
                Ok(Step::More) => {}
                Ok(Step::End) => return Ok(None),
                Err(error) => {
                    // It may have stopped in the middle of an entry.
                    self.followers.remove(&shard);
                    return Err(Trouble::Follow(error));
                }
            }
        }
    }

    /// Writes a range, and moves the cursor behind it. One that is not taken is kept for the next time.
    fn write(&mut self, planned: Planned) -> Result<(), Trouble> {
        let begun = Instant::now();
        match self.try_write(&planned) {
            Ok(written) => {
                self.tries.note_written(&written, begun.elapsed());
                Ok(())
            }
            Err(trouble) => {
                self.planned = Some(planned);
                Err(trouble)
            }
        }
    }

    fn try_write(&mut self, planned: &Planned) -> Result<Written, Trouble> {
        let Self { options, followers, .. } = self;
        let (name, range) = (&options.about.name, &planned.range);
        options.store.decide(name, range).map_err(Trouble::Store)?;
        killpoint::pass("sink.decided");
        let follower = followers.get_mut(&range.shard).expect("a range comes from its follower");
        let (mut deliveries, mut known) = follower.deliver(&*options.log, planned);
        let written = options.destination.write(range, &mut deliveries, &mut known);
        let written = written.map_err(Trouble::Write)?;
        killpoint::pass("sink.written");
        options.store.note_written(name, range).map_err(Trouble::Store)?;
        options.log.hold(name, range.shard, range.end);
        follower.note_written(known);
        Ok(written)
    }

    /// Has pieces put together, if it is time to. What stays apart is in nobody's way.
    fn merge(&mut self) {
        let begun = Instant::now();
        if begun < self.merges_from {
            return;
        }
        let settled = self.followers.iter().map(|(shard, follower)| {
            let (end, clock_us) = follower.planner().settled();
            (*shard, Settled { end, clock_us })
        });
        let (name, metrics) = (&self.options.about.name, &self.options.metrics);
        let (merged, mut rest) =
            (self.options.destination.merge(&settled.collect()), Duration::ZERO);
        match merged {
            Ok(Some(merged)) => {
                let label = self.tries.label();
                metrics.merged.get_or_create(&label).inc_by(merged.pieces);
                metrics.merged_before.get_or_create(&label).inc_by(merged.bytes_before);
                metrics.merged_after.get_or_create(&label).inc_by(merged.bytes_after);
                tracing::debug!(sink = name, ?merged, "pieces are put together");
                self.apart.remove(&merged.place);
                self.tries.view().merged += merged.pieces;
            }
            Ok(None) => return,
            Err(error) => {
                let text = chain(&error);
                let label = SinkErrorLabel { sink: name.clone(), kind: "merge" };
                metrics.errors.get_or_create(&label).inc();
                if self.apart.get(&error.at) != Some(&text) {
                    tracing::warn!(
                        sink = name,
                        error = text,
                        "pieces stay apart; all rows are there"
                    );
                }
                self.apart.insert(error.at, text);
                if self.apart.len() > APART_MAX {
                    self.apart.pop_first();
                }
                rest = MERGE_WAIT;
            }
        }
        self.merges_from = Instant::now() + rest.max(begun.elapsed() * MERGE_REST);
        let apart = self.apart.values().next().cloned();
        self.tries.view().apart = apart;
    }

    /// Where a shard was left.
    fn cursor(&self, shard: ShardId) -> Offset {
        // What can't be read now is told by the next step.
        let last = self.options.store.newest(&self.options.about.name, shard, |_| true);
        last.ok().flatten().map_or(Offset(0), |range| range.end)
    }

    /// Shows how it is.
    fn show(&self, state: SinkState) {
        let mut waiting_records = self.planned.as_ref().map_or(0, |planned| planned.records);
        let mut oldest_us = None;
        let mut unread_entries = 0;
        for shard in &self.shards {
            // What can't be read now is told by the next step.
            let end = self.options.log.end(*shard).unwrap_or(Offset(0));
            let next = match self.followers.get(shard) {
                Some(follower) => {
                    waiting_records += follower.planner().records();
                    let begun_us = follower.planner().begun_us();
                    oldest_us = [oldest_us, begun_us].into_iter().flatten().min();
                    follower.next()
                }
                None if end == Offset(0) => end,
                None => self.cursor(*shard),
            };
            unread_entries += end.0.saturating_sub(next.0);
        }
        if let Some(planned) = &self.planned {
            oldest_us = [oldest_us, Some(planned.range.clock_us)].into_iter().flatten().min();
        }
        self.tries.show(state, oldest_us);
        let mut view = self.tries.view();
        view.waiting_records = waiting_records;
        view.unread_entries = unread_entries;
    }
}

/// Where a shard was left: behind the last range whose end the log still has.
pub(super) fn place(
    log: &dyn Log,
    (store, name): (&SinkStore, &str),
    shard: ShardId,
) -> Result<Place, Trouble> {
    let (mut unreadable, mut cursor) = (None, None);
    let mut holds = |(end, tip): Tip| {
        let at = Offset(end.0.saturating_sub(1));
        match log.read(shard, at, ByteCount(0)) {
            Ok(entries) => entries.first().is_some_and(|it| (it.offset, it.identity) == (at, tip)),
            Err(error) => {
                unreadable.get_or_insert(error);
                true
            }
        }
    };
    let last = store.newest(name, shard, |range| {
        cursor.get_or_insert(range.end);
        holds((range.end, range.tip))
    });
    let last = last.map_err(Trouble::Store)?;
    let decided = store.decided(name, shard).map_err(Trouble::Store)?;
    let is_kept = decided.is_none_or(&mut holds);
    if let Some(error) = unreadable {
        return Err(Trouble::Read(error));
    }
    let from = last.unwrap_or_else(|| begin(shard));
    let begun = decided.filter(|_| is_kept).map(|(end, _)| end);
    Ok(Place { from, begun, has_lost: cursor.is_some_and(|it| it > from.end) || !is_kept })
}

fn open(options: &SinkOptions, place: Place) -> Result<Follower, Trouble> {
    let follower = Follower::open(&*options.log, place.from, options.rules, place.begun);
    follower.map_err(Trouble::Follow)
}

/// Before the first entry of a shard.
fn begin(shard: ShardId) -> Range {
    let (generation, start) = (Generation(0), Offset(0));
    Range { shard, generation, first: start, end: start, tip: [0; 32], clock_us: i64::MIN }
}

#[cfg(test)]
mod tests;
