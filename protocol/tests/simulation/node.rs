//! A node that believes it owns the shard: appends what comes, folds what the log says, answers from
//! the fold. Several of them do so at once.

use std::collections::{BTreeMap, BTreeSet};

use headwater_protocol::batch::Batch;
use headwater_protocol::entry::{Control, Entry, EntryKind};
use headwater_protocol::identity::{DeviceId, Digest, Generation, Lane, NodeId, Offset, Receipt};
use headwater_protocol::ledger::{LogTip, Outcome, Refusal, ShardLedger, Snapshot};
use headwater_protocol::rules::{Rule, Rules};
use headwater_protocol::wire::{Ack, Frame, LaneHello};

use super::log::{LOG, Log, SHARD, Waiting};

/// A frame on its way to an agent.
#[derive(Debug)]
pub struct Reply {
    pub agent: usize,
    pub session: u64,
    pub lane: Lane,
    pub frame: Frame,
}

#[derive(Debug)]
pub struct State {
    pub ledger: ShardLedger,
    tip: Option<LogTip>,
}

#[derive(Debug)]
pub struct Node {
    pub number: usize,
    pub life: u64,
    pub paused: bool,
    /// `None` while the process is down.
    pub state: Option<State>,
    /// Who waits for the entry at an offset.
    waiting: BTreeMap<u64, Waiting>,
    /// Lanes of sessions that were refused and have not said hello again.
    deaf: BTreeSet<(usize, u64, Lane)>,
    rules: Rules,
    pub tips_lost: u64,
    pub regressions: u64,
    /// Batches that this node's fold applied.
    pub applied: Vec<Digest>,
}

impl Node {
    pub fn new(number: usize, rules: Rules) -> Self {
        Self {
            number,
            life: 0,
            paused: false,
            state: None,
            waiting: BTreeMap::new(),
            deaf: BTreeSet::new(),
            rules,
            tips_lost: 0,
            regressions: 0,
            applied: Vec::new(),
        }
    }

    pub fn is_up(&self) -> bool {
        self.state.is_some() && !self.paused
    }

    pub fn start(&mut self, log: &Log) {
        if self.state.is_none() {
            self.life += 1;
            self.recover(log);
        }
    }

    pub fn crash(&mut self) {
        self.state = None;
        self.paused = false;
        self.waiting.clear();
        self.deaf.clear();
    }

    fn recover(&mut self, log: &Log) {
        let (ledger, tip) = log.newest(self.rules.hold(Rule::CheckTip));
        self.state = Some(State { ledger, tip });
    }

    /// Looks its tip up in the log. Not there: drop the state, take an older one, raise the generation.
    pub fn check_tip(&mut self, log: &mut Log) {
        let Some(state) = &self.state else { return };
        if state.ledger.next().0 < log.start {
            // Others trimmed what this node has not read: it goes on from their snapshot.
            self.waiting.clear();
            return self.recover(log);
        }
        if !self.rules.hold(Rule::CheckTip) || log.holds(state.tip) {
            return;
        }
        self.tips_lost += 1;
        let generation = state.ledger.generation();
        self.waiting.clear();
        self.recover(log);
        self.raise(generation, log);
    }

    fn raise(&mut self, above: Generation, log: &mut Log) {
        let kind = EntryKind::Control(Control::Generation(Generation(above.0 + 1)));
        log.pending.push((self.entry(kind).encode(), None));
    }

    fn entry(&self, kind: EntryKind) -> Entry {
        let generation =
            self.state.as_ref().map_or(Generation(0), |state| state.ledger.generation());
        Entry { appender: NodeId([self.number as u8; 16]), stamp_us: 1, generation, kind }
    }

    /// Folds at most `most` entries and answers those who waited for them.
    pub fn fold(&mut self, log: &Log, most: usize) -> Vec<Reply> {
        let mut replies = Vec::new();
        for _ in 0..most {
            let Some(state) = &mut self.state else { break };
            let offset = state.ledger.next();
            let Some(bytes) = log.read(offset.0) else {
                break;
            };
            let entry = Entry::decode(bytes).expect("our own entry");
            let outcome =
                state.ledger.fold(offset, &entry, |_| true, self.rules).expect("known rules");
            state.tip = log.tip(offset.0 + 1);
            if let (Outcome::Applied(_), EntryKind::Batch { batch, .. }) = (&outcome, &entry.kind) {
                self.applied.push(batch.digest());
            }
            if let Some(waiting) = self.waiting.remove(&offset.0)
                && let EntryKind::Batch { batch, .. } = &entry.kind
            {
                replies.extend(self.answer(waiting, batch, outcome));
            }
        }
        replies
    }

    fn answer(&mut self, waiting: Waiting, batch: &Batch, outcome: Outcome) -> Option<Reply> {
        let lane = batch.header().lane;
        let (agent, session) = (waiting.agent, waiting.session);
        let frame = match outcome {
            Outcome::Applied(applied) | Outcome::Duplicate(applied) => Frame::Ack(applied.ack(LOG)),
            Outcome::Refused(refusal) => {
                self.deaf.insert((agent, session, lane));
                Frame::Refused(refusal)
            }
            Outcome::Noted => return None,
        };
        Some(Reply { agent, session, lane, frame })
    }

    /// An append of this node landed.
    pub fn landed(&mut self, offset: u64, waiting: Waiting) {
        if self.state.is_some() && self.life == waiting.life {
            self.waiting.insert(offset, waiting);
        }
    }

    /// Takes a frame from an agent.
    pub fn receive(
        &mut self,
        (agent, session, device): (usize, u64, DeviceId),
        frame: Frame,
        log: &mut Log,
    ) -> Vec<Reply> {
        self.check_tip(log);
        match frame {
            Frame::LaneHello(hello) => self.greet((agent, session, device), &hello, log),
            Frame::Batch { sent, batch } => {
                let lane = batch.header().lane;
                if self.deaf.contains(&(agent, session, lane)) {
                    return Vec::new();
                }
                let mut replies = Vec::new();
                let instant =
                    !self.rules.hold(Rule::AckAfterAppend) || !self.rules.hold(Rule::AckAfterFold);
                if instant {
                    let receipt = Receipt {
                        log: LOG,
                        generation: Generation(0),
                        shard: SHARD,
                        offset: Offset(0),
                    };
                    let frame = Frame::Ack(Ack { lane, tip: batch.tip(), receipt });
                    replies.push(Reply { agent, session, lane, frame });
                }
                let entry = self.entry(EntryKind::Batch { sent, batch }).encode();
                let waiting = Waiting { node: self.number, life: self.life, agent, session };
                log.pending.push((entry, (!instant).then_some(waiting)));
                if !self.rules.hold(Rule::AckAfterFold) {
                    let last = log.pending.len() - 1;
                    log.land(last, false);
                }
                replies
            }
            _ => Vec::new(),
        }
    }

    fn greet(
        &mut self,
        (agent, session, device): (usize, u64, DeviceId),
        hello: &LaneHello,
        log: &mut Log,
    ) -> Vec<Reply> {
        let lane = hello.lane;
        self.deaf.remove(&(agent, session, lane));
        let mut replies = Vec::new();
        if hello.receipt.is_none() {
            // An agent without a receipt can't say how far the ledger must be: to the log's end.
            replies = self.fold(log, usize::MAX);
        }
        let generation =
            self.state.as_ref().map_or(Generation(0), |state| state.ledger.generation());
        if let Some(receipt) = hello.receipt
            && receipt.generation == generation
        {
            let behind = |node: &Self| {
                node.state.as_ref().is_some_and(|state| state.ledger.next() <= receipt.offset)
            };
            if behind(self) {
                replies = self.fold(log, usize::MAX);
            }
            if behind(self) {
                self.regressions += 1;
                self.raise(generation, log);
            }
        }
        if let Some(state) = &self.state {
            let frame = Frame::LaneState(state.ledger.lane_state(device, lane, LOG));
            replies.push(Reply { agent, session, lane, frame });
        }
        replies
    }

    pub fn snapshot(&self, log: &mut Log) {
        if let Some(state) = &self.state {
            let snapshot = Snapshot { log: LOG, tip: state.tip, ledger: state.ledger.clone() };
            log.keep(&snapshot);
        }
    }

    /// A refusal that this node would send: for counting.
    pub fn is_refusal(frame: &Frame, refusal: Refusal) -> bool {
        matches!(frame, Frame::Refused(found) if *found == refusal)
    }
}
