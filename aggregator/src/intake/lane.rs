//! One lane of a session: hellos and batches in, states, acks and refusals out.
//!
//! After a refusal the lane is deaf until the agent has said hello again and was answered: what was on its
//! way behind the refused batch is of no use, and one refusal is enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headwater_protocol::batch::Batch;
use headwater_protocol::entry::SentClock;
use headwater_protocol::identity::Lane;
use headwater_protocol::wire::{
    Ack, BusyCause, Frame, LaneHello, LastAck, LastBatch, PROTOCOL_ABBREVIATED, PROTOCOL_CODED,
};
use quinn::{RecvStream, SendStream};
use tokio::sync::mpsc;

use super::credit::LaneCredit;
use super::fault::{End, PeerFault};
use super::frames;
use super::openings::Openings;
use super::session::SessionContext;
use crate::fold::{Answer, AnswerSender, Answered, Credit, Hello, Reply};
use crate::killpoint;
use crate::limits::{BUSY_WAIT, EPOCHS_PER_DAY_MAX, LANE_SLOTS};

/// Runs a lane until its stream ends.
pub(super) async fn run(
    session: Arc<SessionContext>,
    send: SendStream,
    mut recv: RecvStream,
) -> Result<(), End> {
    let hello = match frames::read(&mut recv).await? {
        Some((Frame::LaneHello(hello), _)) => hello,
        Some((other, _)) => {
            let (found, expected) = (frames::name(&other), "a lane's hello");
            return Err(PeerFault::Unexpected { found, expected }.into());
        }
        None => return Ok(()),
    };
    let lane = hello.lane;
    let place = session.claim(lane).await?;
    let (answers, answered) = mpsc::channel(LANE_SLOTS);
    let deaf = AtomicBool::new(true);
    let credit = session.credit.lane();
    let reading = Reading { session: &session, lane, deaf: &deaf, credit, answers };
    let writing = Writing { session: &session, deaf: &deaf, send, last: LastAck::default() };
    let ended = tokio::try_join!(reading.run(hello, recv), writing.run(answered));
    drop(place);
    ended.map(|((), ())| ())
}

struct Reading<'a> {
    session: &'a SessionContext,
    lane: Lane,
    deaf: &'a AtomicBool,
    credit: LaneCredit,
    answers: AnswerSender,
}

impl Reading<'_> {
    async fn run(self, hello: LaneHello, mut recv: RecvStream) -> Result<(), End> {
        self.hello(hello).await?;
        let shelf = Arc::clone(&self.session.node.shelf);
        let mut last = LastBatch::shared(self.session.protocol, shelf);
        while let Some((frame, bytes)) = frames::read(&mut recv).await? {
            match frame {
                Frame::LaneHello(hello) => {
                    last.forget();
                    self.hello(hello).await?;
                }
                Frame::Batch { sent, batch } => {
                    last.note(&batch);
                    self.batch(sent, batch, bytes).await?;
                }
                Frame::Next(next) if self.session.protocol >= PROTOCOL_ABBREVIATED => {
                    let (sent, batch) = last.complete(&next).map_err(PeerFault::Malformed)?;
                    drop(next);
                    self.batch(sent, Box::new(batch), bytes).await?;
                }
                other => {
                    let (found, expected) = (frames::name(&other), "a batch");
                    return Err(PeerFault::Unexpected { found, expected }.into());
                }
            }
        }
        Ok(())
    }

    /// Hands a batch to the fold, `bytes` of which came.
    async fn batch(&self, sent: SentClock, batch: Box<Batch>, bytes: usize) -> Result<(), End> {
        let arrived = Instant::now();
        self.check(&batch, bytes)?;
        killpoint::pass("intake.before_append");
        if let Some(credit) = self.admit(arrived, &batch).await {
            let reply = self.reply(arrived, credit);
            let sent = SentClock { boot: self.session.boot, ..sent };
            self.session.node.options.fold.append(batch, sent, reply).await;
        }
        Ok(())
    }

    fn reply(&self, arrived: Instant, credit: Credit) -> Reply {
        Reply::new(self.answers.clone(), arrived, credit)
    }

    async fn hello(&self, hello: LaneHello) -> Result<(), End> {
        let (expected, found) = (self.lane, hello.lane);
        if expected != found {
            return Err(PeerFault::OtherLane { expected, found }.into());
        }
        let arrived = Instant::now();
        let reply = self.reply(arrived, self.credit.slot().await);
        let wait = self.session.node.openings.wait(self.session.device, arrived);
        if !wait.is_zero() {
            self.busy(reply, BusyCause::Unstable, wait);
            return Ok(());
        }
        let (device, receipt) = (self.session.device, hello.receipt);
        let hello = Hello { device, lane: self.lane, receipt, reply };
        self.session.node.options.fold.hello(hello).await;
        Ok(())
    }

    /// Whose batch it is, by the certificate.
    fn check(&self, batch: &Batch, bytes: usize) -> Result<(), PeerFault> {
        let metrics = &self.session.node.options.metrics;
        metrics.batches.inc();
        metrics.bytes.inc_by(bytes as u64);
        let header = batch.header();
        let (certified, claimed) = (self.session.device, header.device);
        if certified != claimed {
            return Err(PeerFault::Identity { certified, claimed });
        }
        let (expected, found) = (self.lane, header.lane);
        if expected != found {
            return Err(PeerFault::OtherLane { expected, found });
        }
        Ok(())
    }

    /// Room for a batch, once there is some; `None` if the batch is not taken.
    async fn admit(&self, arrived: Instant, batch: &Batch) -> Option<Credit> {
        let options = &self.session.node.options;
        if self.deaf.load(Ordering::Relaxed) {
            options.metrics.refuse("deaf");
            return None;
        }
        let credit = self.credit.batch(batch.bytes().len()).await;
        // It may have gone deaf while this batch waited.
        if self.deaf.load(Ordering::Relaxed) {
            options.metrics.refuse("deaf");
            return None;
        }
        if options.space.is_short() {
            self.busy(self.reply(arrived, credit), BusyCause::Disk, BUSY_WAIT);
            return None;
        }
        if Openings::is_one(batch.header()) {
            let wait = self.session.node.openings.wait(self.session.device, arrived);
            if !wait.is_zero() {
                self.busy(self.reply(arrived, credit), BusyCause::Unstable, wait);
                return None;
            }
            if self.session.node.openings.note(self.session.device, arrived) {
                tracing::warn!(
                    epochs = EPOCHS_PER_DAY_MAX + 1,
                    "unstable: its chains began anew this often within a day, so it is slowed down; \
                     is its host restored again and again, or its spool on a disk that is not kept?"
                );
            }
        }
        Some(credit)
    }

    /// Takes nothing of this lane until it has said hello again.
    fn busy(&self, reply: Reply, cause: BusyCause, wait: Duration) {
        let word = match cause {
            BusyCause::Disk => "disk",
            BusyCause::Load => "load",
            BusyCause::Unstable => "unstable",
        };
        self.session.node.options.metrics.refuse(word);
        self.deaf.store(true, Ordering::Relaxed);
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1);
        reply.send(Answer::Busy(cause, wait_ms));
    }
}

struct Writing<'a> {
    session: &'a SessionContext,
    deaf: &'a AtomicBool,
    send: SendStream,
    last: LastAck,
}

impl Writing<'_> {
    /// Writes answers until all questions are answered and no more come.
    async fn run(mut self, mut answered: mpsc::Receiver<Box<Answered>>) -> Result<(), End> {
        while let Some(first) = answered.recv().await {
            let mut batch = vec![first];
            while let Ok(more) = answered.try_recv() {
                batch.push(more);
            }
            let frames = self.encode(&batch);
            frames::write(&mut self.send, &frames).await?;
            let metrics = &self.session.node.options.metrics;
            for answered in batch {
                if matches!(answered.answer, Answer::Ack(_)) {
                    metrics.ack_seconds.observe(answered.arrived.elapsed().as_secs_f64());
                    metrics.ack_latency.observe(answered.arrived.elapsed());
                }
            }
        }
        // The stream is ending anyway.
        drop(self.send.finish());
        Ok(())
    }

    /// Acks are cumulative: of several in a row the last one says it all.
    fn encode(&mut self, batch: &[Box<Answered>]) -> Vec<u8> {
        let mut frames = Vec::new();
        let mut ack: Option<Ack> = None;
        for answered in batch {
            let frame = match &answered.answer {
                Answer::Ack(newer) => {
                    ack = Some(*newer);
                    continue;
                }
                Answer::Refused(_) if self.deaf.load(Ordering::Relaxed) => continue,
                Answer::Refused(refusal) => {
                    self.session.node.options.metrics.refuse("refused");
                    self.deaf.store(true, Ordering::Relaxed);
                    Frame::Refused(*refusal)
                }
                Answer::State(state) => {
                    self.deaf.store(false, Ordering::Relaxed);
                    Frame::LaneState((**state).clone())
                }
                Answer::Busy(cause, wait_ms) => Frame::Busy(*cause, *wait_ms),
            };
            frames.extend(ack.take().into_iter().flat_map(|ack| self.ack(ack)));
            if let Frame::LaneState(_) = frame {
                self.last.forget();
            }
            frames.extend_from_slice(&frame.encode());
        }
        frames.extend(ack.into_iter().flat_map(|ack| self.ack(ack)));
        frames
    }

    fn ack(&mut self, ack: Ack) -> Vec<u8> {
        let is_spoken = self.session.protocol >= PROTOCOL_CODED;
        let next = is_spoken.then(|| self.last.abbreviate(ack)).flatten();
        next.map_or(Frame::Ack(ack), Frame::NextAck).encode()
    }
}
