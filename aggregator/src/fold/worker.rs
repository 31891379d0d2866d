//! A fold worker: the thread that owns some of the shards.
//!
//! It takes what comes as it comes, so that appends are on their way to the disk while it folds, and folds
//! one entry at a time in between.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use headwater_protocol::batch::Batch;
use headwater_protocol::entry::{Control, Entry, EntryKind, SentClock};
use headwater_protocol::identity::{DeviceId, Generation, Offset, ShardId};
use headwater_protocol::ledger::{Outcome, Refusal};
use tokio::sync::{mpsc, oneshot};

use super::answer::{Answer, Reply};
use super::handle::{FoldOptions, Standing};
use super::live::{AppliedBatch, Place};
use super::owned::{Hello, OwnedShard, ReceiptSays};
use super::state::{FoldError, Folded};
use crate::clock::wall_us;
use crate::killpoint;
use crate::limits::{READ_BYTES, SNAPSHOT_BATCHES};
use crate::log::{DeadLetter, Stored, end_process};
use crate::metrics::{VerdictLabel, VerdictWord};
use crate::node::LedgerView;
use crate::window::{DeviceHeld, Output};

/// How long after the end of a window, and its lateness, a shard that hears nothing is helped on. Whoever
/// sends each second has closed the window by then.
const TICK_AFTER_US: i64 = 250_000;
/// How long a stop waits for the merge fold: several rounds on the slowest disk.
const MERGE_WAIT: Duration = Duration::from_secs(5);

/// What a worker is handed.
pub(super) enum Input {
    Batch {
        shard: ShardId,
        batch: Box<Batch>,
        sent: SentClock,
        reply: Reply,
    },
    Hello {
        shard: ShardId,
        hello: Hello,
    },
    Durable(Due),
    /// Copies of the ledgers and views, of all shards or one, of all devices or one.
    Ask {
        shard: Option<ShardId>,
        device: Option<DeviceId>,
        answer: oneshot::Sender<Vec<Standing>>,
    },
    Sum(oneshot::Sender<LedgerView>),
    /// The windows of a device.
    Windows {
        shard: ShardId,
        device: DeviceId,
        answer: oneshot::Sender<DeviceHeld>,
    },
    /// Time may stand still somewhere.
    Tick,
    Snapshot,
    Stop(oneshot::Sender<()>),
}

/// An own entry that is durable and waits to be folded.
pub(super) struct Due {
    shard: ShardId,
    stored: Stored,
    reply: Option<Reply>,
}

pub(super) struct Worker {
    pub(super) options: FoldOptions,
    pub(super) shards: BTreeMap<ShardId, OwnedShard>,
    pub(super) inputs: mpsc::Receiver<Input>,
    pub(super) own: mpsc::Sender<Input>,
    /// Since when there is something that no snapshot holds; 0 if there is nothing. Read by health.
    pub(super) unsaved_since_us: Arc<AtomicI64>,
    due: VecDeque<Due>,
    /// What the entry that is being folded let out. Handed over once its sender is answered.
    let_out: Vec<Output>,
    stopping: Option<oneshot::Sender<()>>,
}

impl Worker {
    pub(super) fn new(
        options: FoldOptions,
        shards: BTreeMap<ShardId, OwnedShard>,
        (own, inputs): (mpsc::Sender<Input>, mpsc::Receiver<Input>),
        unsaved_since_us: Arc<AtomicI64>,
    ) -> Self {
        let (due, let_out) = (VecDeque::new(), Vec::new());
        Self { options, shards, inputs, own, unsaved_since_us, due, let_out, stopping: None }
    }

    pub(super) fn run(mut self) {
        loop {
            if self.due.is_empty() {
                let Some(input) = self.inputs.blocking_recv() else { return };
                self.take(input);
            }
            while let Ok(input) = self.inputs.try_recv() {
                self.take(input);
            }
            if let Some(due) = self.due.pop_front() {
                self.settle(due);
            }
            let idle = self.due.is_empty() && !self.shards.values().any(OwnedShard::is_waiting);
            if let Some(stopped) = self.stopping.take_if(|_| idle) {
                self.wait_for_merge();
                self.save();
                // Whoever asked has given up waiting.
                _ = stopped.send(());
                return;
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            // What comes after the stop is not acked: its agent sends it again.
            Input::Batch { .. } | Input::Hello { .. } if self.stopping.is_some() => {}
            Input::Batch { shard, batch, sent, reply } => {
                self.append(shard, EntryKind::Batch { sent, batch }, Some(reply));
            }
            Input::Hello { shard, hello } => {
                self.owned(shard).park(hello);
                self.greet(shard);
            }
            Input::Durable(due) => self.due.push_back(due),
            Input::Ask { shard, device, answer } => {
                drop(answer.send(self.standings(shard, device)))
            }
            Input::Sum(answer) => drop(answer.send(self.sum())),
            Input::Windows { shard, device, answer } => {
                drop(answer.send(self.owned(shard).state.windows().held(device)));
            }
            Input::Tick => self.tick(),
            Input::Snapshot => self.save(),
            Input::Stop(stopped) => self.stopping = Some(stopped),
        }
    }

    fn owned(&mut self, shard: ShardId) -> &mut OwnedShard {
        self.shards.get_mut(&shard).expect("inputs go to the worker that owns their shard")
    }

    fn append(&mut self, shard: ShardId, kind: EntryKind, reply: Option<Reply>) {
        let appender = self.options.node;
        let owned = self.owned(shard);
        owned.dispatched += 1;
        let generation = owned.state.generation();
        let entry = Entry { appender, stamp_us: wall_us(), generation, kind }.encode();
        let own = self.own.clone();
        let durable = move |stored| {
            // The worker is gone only after it was stopped.
            drop(own.blocking_send(Input::Durable(Due { shard, stored, reply })));
        };
        self.options.metrics.lag_entries.inc();
        let appended = self.options.log.append(shard, entry, Box::new(durable));
        appended.expect("a batch within its limit fits into an entry");
    }

    /// Folds an own entry that came back, or finds the answer that it got when the log was read.
    fn settle(&mut self, due: Due) {
        let Due { shard, stored, reply } = due;
        let offset = stored.offset;
        self.options.metrics.lag_entries.dec();
        let next = self.owned(shard).state.next();
        let answer = if offset < next {
            self.owned(shard).recall(offset)
        } else {
            if offset > next {
                self.read_on(shard, Some(offset));
            }
            self.fold(shard, &stored)
        };
        self.owned(shard).note_returned();
        if let (Some(reply), Some(answer)) = (reply, answer) {
            killpoint::pass("fold.before_ack");
            reply.send(answer);
        }
        self.hand_over(shard);
        self.greet(shard);
        if self.owned(shard).unsaved >= SNAPSHOT_BATCHES {
            self.save_shard(shard);
        }
    }

    /// Hands what was let out to the merge fold; waits while that has too much to do.
    fn hand_over(&mut self, shard: ShardId) {
        self.options.outbox.send(shard, std::mem::take(&mut self.let_out));
    }

    /// Appends the versions of the window rules that a shard does not have.
    pub(super) fn bring_rules(&mut self) {
        let shards: Vec<ShardId> = self.shards.keys().copied().collect();
        for shard in shards {
            let present = self.owned(shard).state.windows().rules().map(|rules| rules.version);
            let lacking = self.options.windows.iter().filter(|it| Some(it.version) > present);
            for rules in lacking.cloned().collect::<Vec<_>>() {
                self.append(shard, EntryKind::Control(Control::Windows(rules)), None);
            }
        }
    }

    /// Appends a tick where something waits for time to go on, and nothing else is on its way.
    fn tick(&mut self) {
        // A disk that is short takes nothing, not even time.
        if self.stopping.is_some() || self.options.space.is_short() {
            return;
        }
        let now_us = wall_us();
        let beat_us = self.options.beat_us;
        let stands = |owned: &&OwnedShard| {
            let due_us = owned.state.windows().due_us();
            let ago_us = now_us.saturating_sub(TICK_AFTER_US);
            let is_due = due_us.is_some_and(|due_us| due_us <= ago_us);
            // Whoever sends now and then tells the time as well.
            let is_late = |beat_us| owned.lacks_beat(beat_us, ago_us.saturating_sub(beat_us / 4));
            !owned.is_waiting() && (is_due || beat_us.is_some_and(is_late))
        };
        let shards: Vec<ShardId> =
            self.shards.values().filter(stands).map(OwnedShard::shard).collect();
        for shard in shards {
            self.append(shard, EntryKind::Tick, None);
        }
    }

    /// Folds what the log holds beyond the fold, up to an offset or to its end.
    fn read_on(&mut self, shard: ShardId, until: Option<Offset>) {
        let log = Arc::clone(&self.options.log);
        loop {
            let next = self.owned(shard).state.next();
            if until.is_some_and(|until| next >= until) {
                return;
            }
            let entries = match log.read(shard, next, READ_BYTES) {
                Ok(entries) => entries,
                Err(error) => end_process("read the log", &error),
            };
            if entries.is_empty() {
                return;
            }
            for stored in entries {
                if until.is_some_and(|until| stored.offset >= until) {
                    return;
                }
                let answer = self.fold(shard, &stored);
                self.hand_over(shard);
                self.owned(shard).remember(stored.offset, answer);
            }
        }
    }

    /// Answers the hellos that have waited long enough.
    fn greet(&mut self, shard: ShardId) {
        while let Some(hello) = self.owned(shard).unpark() {
            let log = self.options.log.id();
            let receipt = hello.receipt.filter(|it| it.log == log && it.shard == shard);
            let mut says = receipt.map(|receipt| self.owned(shard).compare(&receipt, false));
            if says == Some(ReceiptSays::ReadOn) {
                self.read_on(shard, None);
                says = receipt.map(|receipt| self.owned(shard).compare(&receipt, true));
            }
            match says {
                Some(ReceiptSays::TailLost(generation)) => {
                    self.raise(shard, generation);
                    self.owned(shard).note_raised();
                    self.owned(shard).park(hello);
                    return;
                }
                Some(ReceiptSays::Impossible) => {
                    self.options.intake.fault("receipt");
                    tracing::warn!(device = %hello.device, "a receipt names what no node can have said");
                }
                Some(ReceiptSays::Known | ReceiptSays::ReadOn) | None => {}
            }
            let ledger = self.owned(shard).state.ledger();
            let state = ledger.lane_state(hello.device, hello.lane, log);
            hello.reply.send(Answer::State(Box::new(state)));
        }
    }

    /// The log lost a tail: says so in the log, so that sinks and agents can tell before from after.
    pub(super) fn raise(&mut self, shard: ShardId, lost_in: Generation) {
        let ours = self.owned(shard).state.generation();
        let generation = Generation(lost_in.max(ours).0 + 1);
        tracing::warn!(
            %shard, generation = generation.0,
            "the log holds less than was acked: a tail was lost (a restored backup?); \
             agents fill it from their spools, what they no longer hold becomes a declared gap"
        );
        self.options.metrics.regressions.inc();
        self.append(shard, EntryKind::Control(Control::Generation(generation)), None);
    }

    /// A node that was restored from a backup has lost what came after it: its shards say so before they are told anything.
    pub(super) fn raise_restored(&mut self) {
        let restored = Arc::clone(&self.options.restored);
        let wanted = |shard: &ShardId| restored.get(usize::from(shard.0)).copied();
        let behind = |(shard, owned): (&ShardId, &OwnedShard)| {
            let wanted = wanted(shard).filter(|wanted| owned.state.generation() < *wanted)?;
            Some((*shard, wanted))
        };
        let behind: Vec<(ShardId, Generation)> = self.shards.iter().filter_map(behind).collect();
        if behind.is_empty() {
            return;
        }
        tracing::warn!(
            shards = behind.len(),
            "the log was restored from a backup: its generation is raised; agents fill what it lost from their spools, \
             what they no longer hold becomes a declared gap"
        );
        for (shard, generation) in behind {
            self.options.metrics.regressions.inc();
            self.append(shard, EntryKind::Control(Control::Generation(generation)), None);
        }
    }

    /// Folds one entry and gives the answer to whoever sent it.
    fn fold(&mut self, shard: ShardId, stored: &Stored) -> Option<Answer> {
        let offset = stored.offset;
        let owned = self.owned(shard);
        let folded = match owned.state.fold(stored) {
            Ok(folded) => folded,
            Err(error) => stop(&error),
        };
        owned.unsaved += 1;
        let generation = owned.state.generation();
        if self.unsaved_since_us.load(Ordering::Relaxed) == 0 {
            self.unsaved_since_us.store(wall_us(), Ordering::Relaxed);
        }
        let Folded { outcome, entry, opened, unequal, outputs } = folded;
        self.let_out.extend(outputs);
        let EntryKind::Batch { sent, batch } = entry.kind else { return None };
        self.count(&outcome);
        if let Some(opened) = opened {
            let owned = self.owned(shard);
            owned.applied_us = owned.state.ledger().stamp_us();
            let metrics = &self.options.metrics;
            let counts = batch.header().counts;
            metrics.records.inc_by(counts.records);
            metrics.gap_records.inc_by(counts.gap_records);
            metrics.bytes.inc_by(batch.bytes().len() as u64);
            metrics.unequal.inc_by(u64::from(unequal));
            let place = Place { shard, offset, generation, stamp_us: entry.stamp_us, sent };
            if let Err(reason) = &opened {
                self.bury(place, &batch, reason.to_string());
            }
            if self.options.live.is_heard() {
                let published = AppliedBatch::new(place, &batch, opened.ok());
                let shown = self.options.live.publish(published);
                self.options.metrics.live_skipped.inc_by(u64::from(!shown));
            }
        }
        Some(match outcome {
            Outcome::Applied(applied) | Outcome::Duplicate(applied) => {
                Answer::Ack(applied.ack(self.options.log.id()))
            }
            Outcome::Refused(refusal) => Answer::Refused(refusal),
            Outcome::Noted => return None,
        })
    }

    fn count(&self, outcome: &Outcome) {
        let verdict = match outcome {
            Outcome::Applied(_) => VerdictWord::applied,
            Outcome::Duplicate(_) => VerdictWord::duplicate,
            Outcome::Refused(Refusal::Ahead) => VerdictWord::ahead,
            Outcome::Refused(Refusal::Fork) => VerdictWord::fork,
            Outcome::Refused(Refusal::Stale) => VerdictWord::stale,
            Outcome::Noted => return,
        };
        self.options.metrics.batches.get_or_create(&VerdictLabel { verdict }).inc();
    }

    /// Keeps a batch that can't be opened where a person finds it.
    fn bury(&self, place: Place, batch: &Batch, reason: String) {
        let header = batch.header();
        tracing::warn!(
            device = %header.device, lane = %header.lane, seq = %header.seq,
            shard = %place.shard, offset = %place.offset, reason,
            "a batch can't be decoded: it is applied as a gap, its bytes are in the dead letters"
        );
        self.options.metrics.dead_letters.inc();
        let letter = DeadLetter { offset: place.offset, reason, batch: batch.bytes().to_vec() };
        self.options.log.put_dead_letter(place.shard, letter);
    }

    /// Waits until what was let out is safe, so that snapshots of the end can be saved.
    fn wait_for_merge(&self) {
        let deadline = Instant::now() + MERGE_WAIT;
        for owned in self.shards.values() {
            if let Some(emitted) = owned.state.windows().emitted() {
                let left = deadline.saturating_duration_since(Instant::now());
                if !self.options.outbox.merged().wait(owned.shard(), emitted, left) {
                    // Its snapshot is not saved then, and the next start replays a little more.
                    tracing::debug!(shard = %owned.shard(), "the merge fold has not caught up");
                }
            }
        }
    }

    /// Hands a snapshot of every shard that changed to the log.
    fn save(&mut self) {
        let shards: Vec<ShardId> = self.shards.keys().copied().collect();
        shards.into_iter().for_each(|shard| self.save_shard(shard));
        let left = self.shards.values().any(|owned| owned.unsaved > 0);
        if !left {
            self.unsaved_since_us.store(0, Ordering::Relaxed);
        }
    }

    fn save_shard(&mut self, shard: ShardId) {
        let log = Arc::clone(&self.options.log);
        // A snapshot is a cache: a disk that is short has better uses for its room.
        let short = self.options.space.is_short();
        let merged = self.options.outbox.merged().of(shard);
        let owned = self.owned(shard);
        // What a snapshot has let out is let out by no replay: it has to be safe first.
        let is_safe = owned.state.windows().emitted() <= merged;
        if owned.unsaved > 0 && !short && is_safe {
            killpoint::pass("fold.before_snapshot");
            log.put_snapshot(shard, owned.state.snapshot(log.id()));
            owned.unsaved = 0;
        }
    }

    fn standings(&self, shard: Option<ShardId>, device: Option<DeviceId>) -> Vec<Standing> {
        let wanted =
            self.shards.values().filter(|owned| shard.is_none_or(|it| it == owned.shard()));
        wanted.map(|owned| Standing::of(&owned.state, device)).collect()
    }

    fn sum(&self) -> LedgerView {
        let mut sum = LedgerView::default();
        let lanes = self.shards.values().flat_map(|owned| owned.state.ledger().lanes().values());
        lanes.for_each(|lane| sum.add(lane));
        sum
    }
}

/// A shard that can't go on takes the node with it: the embedded log has no other owner for it.
fn stop(error: &FoldError) -> ! {
    end_process("fold the log", error)
}
