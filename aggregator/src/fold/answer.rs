//! The way back from the fold to the session that waits.

use std::time::Instant;

use headwater_protocol::ledger::Refusal;
use headwater_protocol::wire::{Ack, BusyCause, LaneState};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// What is answered to a batch or a hello.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The lane is applied up to here.
    Ack(Ack),
    /// The batch is not applied.
    Refused(Refusal),
    /// What the ledger knows of the lane.
    State(Box<LaneState>),
    /// Nothing is taken for so many milliseconds: the intake's answer, the batch never came here.
    Busy(BusyCause, u32),
}

/// Room that a question takes: a slot until its answer is on its way, and bytes until the fold is done.
#[derive(Debug, Default)]
pub struct Credit {
    slot: Option<OwnedSemaphorePermit>,
    bytes: Vec<OwnedSemaphorePermit>,
}

impl Credit {
    /// Takes a slot along.
    #[must_use]
    pub fn of_slot(slot: OwnedSemaphorePermit) -> Self {
        Self { slot: Some(slot), bytes: Vec::new() }
    }

    /// Takes room for bytes along.
    pub fn hold(&mut self, bytes: OwnedSemaphorePermit) {
        self.bytes.push(bytes);
    }
}

/// An answer with what belongs to the question.
#[derive(Debug)]
pub struct Answered {
    /// The answer.
    pub answer: Answer,
    /// When the question had arrived.
    pub arrived: Instant,
    /// Given back when the answer is on its way.
    pub slot: Option<OwnedSemaphorePermit>,
}

/// Where answers go. A channel keeps room for 32 of its items as long as it lives: on the heap, or each lane of an
/// idle device would take 4 KiB for it.
pub type AnswerSender = mpsc::Sender<Box<Answered>>;

/// Where an answer goes.
#[derive(Debug)]
pub struct Reply {
    to: AnswerSender,
    arrived: Instant,
    credit: Credit,
}

impl Reply {
    /// A way back. The receiver's channel has a place for each question that its credit allows.
    #[must_use]
    pub fn new(to: AnswerSender, arrived: Instant, credit: Credit) -> Self {
        Self { to, arrived, credit }
    }

    /// Answers. If the session is gone there is nobody to tell: the agent asks again in its next one.
    pub(crate) fn send(self, answer: Answer) {
        let answered = Answered { answer, arrived: self.arrived, slot: self.credit.slot };
        drop(self.to.try_send(Box::new(answered)));
    }
}
