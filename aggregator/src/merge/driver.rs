//! The merge thread: appends what the shard folds let out, folds it once it is durable, fills the store.
//!
//! It works in rounds: everything that waits is appended together, which shares one fsync, and folded when
//! all of it is durable. What comes in the meantime waits for the next round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::{Duration, Instant};

use headwater_protocol::identity::{NodeId, Offset, ShardId};
use headwater_protocol::ledger::LogTip;
use tokio::sync::watch;

use super::entry::{MergeEntry, MergeKind};
use super::recovery::{SHARD, read};
use super::sending::Merged;
use super::snapshot::Snapshot;
use super::state::MergeState;
use super::store::Store;
use crate::alert::{AlertBoard, AlertChange, RuleSet};
use crate::clock::wall_us;
use crate::log::{Log, Stored, StoredSnapshot, end_process};
use crate::metrics::MergeMetrics;
use crate::window::{Output, Position};

/// What the merge thread is handed.
pub(super) enum Input {
    /// What one entry of a shard's log let out, and when.
    Outputs {
        shard: ShardId,
        outputs: Vec<Output>,
        since: Instant,
    },
    /// A revision of the thresholds.
    Rules(Box<RuleSet>),
    Stop(SyncSender<()>),
}

/// Inputs that are appended in one round: some MiB of partials.
const ROUND_INPUTS_MAX: usize = 256;
/// How often the thread looks whether a shard stays away.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How long a window waits for a shard that announced it, after its end: an owner ticks within 2 s, and a
/// shard that moves to another owner is back within 15 s.
const AWAY: Duration = Duration::from_secs(30);
/// How often the store is made durable and the state saved: a replay of a minute takes a moment.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// What the thread owns.
pub(super) struct Driver {
    pub(super) log: Arc<dyn Log>,
    pub(super) node: NodeId,
    pub(super) store: Store,
    pub(super) keep: Duration,
    /// How long a window is.
    pub(super) length: Duration,
    pub(super) metrics: MergeMetrics,
    pub(super) merged: Merged,
    pub(super) board: AlertBoard,
    pub(super) changed: watch::Sender<u64>,
    pub(super) state: MergeState,
    pub(super) next: Offset,
    pub(super) tip: Option<LogTip>,
    pub(super) saved: Saved,
}

/// What is saved.
pub(super) struct Saved {
    pub(super) at: Instant,
    /// Bytes of the last snapshot by this process.
    pub(super) bytes: usize,
    /// Whether there is something that is not.
    pub(super) is_behind: bool,
    /// Whether the store could not be written: it is left alone until the next start makes it whole.
    pub(super) store_failed: bool,
}

/// What is appended in a round, and when it was let out.
type Round = Vec<(MergeKind, Instant)>;

impl Driver {
    pub(super) fn run(mut self, inputs: &Receiver<Input>) {
        let (told, durable) = std::sync::mpsc::channel();
        loop {
            let mut stop = None;
            let mut round = Round::new();
            let mut known = BTreeMap::new();
            match inputs.recv_timeout(LOOK_INTERVAL) {
                Ok(input) => self.take(input, &mut round, &mut known, &mut stop),
                Err(RecvTimeoutError::Timeout) => round.extend(self.closing_without()),
                Err(RecvTimeoutError::Disconnected) => return self.save(),
            }
            while round.len() < ROUND_INPUTS_MAX && stop.is_none() {
                let Ok(input) = inputs.try_recv() else { break };
                self.take(input, &mut round, &mut known, &mut stop);
            }
            self.work(round, (&told, &durable));
            if self.saved.at.elapsed() >= SAVE_INTERVAL {
                self.save();
            }
            if let Some(stopped) = stop {
                self.save();
                // Whoever asked has given up waiting.
                _ = stopped.send(());
                return;
            }
        }
    }

    /// Takes an input; outputs that are in already are left out. `known` is up to where this round goes.
    fn take(
        &self,
        input: Input,
        round: &mut Round,
        known: &mut BTreeMap<ShardId, Position>,
        stop: &mut Option<SyncSender<()>>,
    ) {
        match input {
            Input::Outputs { shard, outputs, since } => {
                for output in outputs {
                    let last = known.get(&shard).copied().max(self.state.position(shard));
                    if Some(output.at) > last {
                        known.insert(shard, output.at);
                        round.push((MergeKind::Output { shard, output }, since));
                    }
                }
            }
            Input::Rules(rules) => round.push((MergeKind::Rules(rules), Instant::now())),
            Input::Stop(stopped) => *stop = Some(stopped),
        }
    }

    /// The shards that a window has waited for too long.
    fn closing_without(&self) -> Option<(MergeKind, Instant)> {
        let (start_us, shards) = self.state.waited_for()?;
        let away_us = i64::try_from(AWAY.as_micros()).expect("half a minute");
        let length_us = i64::try_from(self.length.as_micros()).expect("at most an hour");
        if start_us.saturating_add(length_us).saturating_add(away_us) > wall_us() {
            return None;
        }
        tracing::warn!(?shards, start_us, "a window is closed without shards that stay away");
        Some((MergeKind::Without { start_us, shards }, Instant::now()))
    }

    /// Appends a round, waits until it is durable, and folds it.
    fn work(&mut self, round: Round, (told, durable): (&Sender<Stored>, &Receiver<Stored>)) {
        let mut since = Vec::with_capacity(round.len());
        for (kind, let_out) in round {
            let entry = MergeEntry { appender: self.node, stamp_us: wall_us(), kind }.encode();
            let told = told.clone();
            let callback = Box::new(move |stored| {
                // This thread waits for it.
                drop(told.send(stored));
            });
            match self.log.append(SHARD, entry, callback) {
                Ok(()) => since.push(let_out),
                // Outputs are cut to far less than an entry may hold.
                Err(error) => end_process("append to the merge log", &error),
            }
        }
        let (mut writes, mut changes) = (Vec::new(), Vec::new());
        let (mut closed, mut alerts_changed) = (Vec::new(), false);
        for let_out in since {
            let stored = durable.recv().expect("this thread holds the sending end");
            let (entry, tip) = match read(&stored.entry, stored.offset, stored.identity) {
                Ok(read) => read,
                Err(error) => end_process("fold the merge log", &error),
            };
            self.metrics.entries.inc();
            let shard = match &entry.kind {
                MergeKind::Output { shard, .. } => Some(*shard),
                MergeKind::Without { .. } | MergeKind::Rules(_) => None,
            };
            let mut merging = self.state.fold(entry);
            (self.next, self.tip) = (stored.offset.next(), Some(tip));
            self.saved.is_behind = true;
            writes.append(&mut merging.writes);
            changes.append(&mut merging.changes);
            alerts_changed |= merging.alerts_changed;
            closed.extend(merging.closed.iter().map(|_| let_out));
            if let Some((shard, at)) = shard.and_then(|id| Some((id, self.state.position(id)?))) {
                self.merged.note(shard, at);
            }
        }
        if !writes.is_empty() || !changes.is_empty() {
            self.store(&writes, &changes);
            self.changed.send_modify(|changes| *changes += 1);
        }
        if alerts_changed {
            self.board.show(self.state.alerts());
        }
        self.metrics.windows.inc_by(closed.len() as u64);
        for let_out in closed {
            self.metrics.visible_seconds.observe(let_out.elapsed().as_secs_f64());
        }
    }

    fn store(&mut self, writes: &[super::state::Write], changes: &[AlertChange]) {
        if self.saved.store_failed {
            return;
        }
        if let Err(error) = self.store.apply(writes, changes, self.next) {
            self.fail_store(&error);
        }
    }

    /// Averages that can't be kept stop nothing that is delivered.
    fn fail_store(&mut self, error: &super::store::StoreError) {
        self.saved.store_failed = true;
        let cause = &error.source;
        tracing::error!(%error, %cause, "averages are not kept until the next start makes them anew");
    }

    /// Makes the store durable, then keeps a snapshot that says no more than the store does.
    fn save(&mut self) {
        self.saved.at = Instant::now();
        if !self.saved.is_behind || self.saved.store_failed {
            return;
        }
        let keep_us = i64::try_from(self.keep.as_micros()).unwrap_or(i64::MAX);
        let newest = self.state.closed_us().unwrap_or(i64::MIN);
        // Also what brought no figures is in: the snapshot may go up to here.
        let up_to_here = self.store.apply(&[], &[], self.next);
        if let Err(error) =
            up_to_here.and_then(|()| self.store.sync(newest.saturating_sub(keep_us)))
        {
            return self.fail_store(&error);
        }
        if let Some(tip) = self.tip {
            let ledger = Snapshot::encode(self.log.id(), &tip, &self.state, self.saved.bytes);
            self.saved.bytes = ledger.len();
            let (view, windows) = (Vec::new(), Vec::new());
            self.log.put_snapshot(SHARD, StoredSnapshot { next: self.next, ledger, view, windows });
            self.saved.is_behind = false;
        }
    }
}
