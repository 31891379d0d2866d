//! One lane of one session: the driver of a `Sender`. It decides nothing.
//!
//! Three loops beside each other, so that none is dropped half-way through a frame: one reads frames,
//! one writes them, one asks the sender what goes out next.

mod silence;
mod streams;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use headwater_protocol::chain::{Acked, Head, Resumed, Row};
use headwater_protocol::identity::Lane;
use headwater_protocol::limits;
use headwater_protocol::sender::{Sender, Transmit};
use headwater_protocol::wire::{Ack, BusyCause, Frame, LaneState, body_version};
use quinn::Connection;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use self::silence::{Silence, Traffic};
use self::streams::{Event, Order, Writer, read};
use super::budget::Account;
use super::fault::SessionFault;
use super::frames;
use super::standing::Standing;
use crate::clock::Clocks;
use crate::killpoint;
use crate::spool::{SpoolClosed, SpoolReader, SpoolView};

/// What a lane needs of its session.
#[derive(Clone, Copy, Debug)]
pub(super) struct LaneContext<'a> {
    pub(super) connection: &'a Connection,
    pub(super) spool: &'a SpoolReader,
    pub(super) clocks: Clocks,
    pub(super) standing: &'a watch::Sender<Standing>,
    /// Batches that may be on their way at once.
    pub(super) window: u16,
    /// The version of the session.
    pub(super) protocol: u16,
    /// The account of the budget; `None` without one.
    pub(super) account: Option<&'a Account>,
}

/// Drives a lane until its session ends, and says why.
pub(super) async fn run(lane: Lane, context: LaneContext<'_>) -> SessionFault {
    let (send, receive) = match context.connection.open_bi().await {
        Ok(streams) => streams,
        Err(error) => return SessionFault::of(error),
    };
    // Bulk is what lies around anyway: it goes when live has nothing to send.
    let priority = match lane {
        Lane::Live => 1,
        Lane::Bulk => 0,
    };
    // A stream that is closed says so when it is written to.
    let _ = send.set_priority(priority);
    let (orders, outgoing) = mpsc::channel(ORDERS_MAX);
    let (events, incoming) = mpsc::channel(EVENTS_MAX);
    let greeting = AtomicU64::new(0);
    let writer = Writer { lane, context, greeting: &greeting, events: events.clone() };
    let driver = Driver::new(lane, context, &greeting);
    tokio::select! {
        fault = writer.run(send, outgoing) => fault,
        fault = read(receive, events) => fault,
        fault = driver.run(orders, incoming) => fault,
    }
}

/// A row that waits for the budget.
#[derive(Debug)]
struct Held {
    row: Row,
    /// What it has.
    bytes: u64,
    /// When to ask again.
    until: Instant,
}

struct Driver<'a> {
    lane: Lane,
    context: LaneContext<'a>,
    sender: Sender,
    started: Instant,
    greeting: &'a AtomicU64,
    /// Hellos that were said and not answered.
    hellos: u32,
    /// Rows below it were sent since the last answer to a hello.
    sent: Option<Row>,
    silence: Silence,
    /// The row that goes out next, once the budget allows it.
    held: Option<Held>,
    /// Refusals since the last progress.
    refusals: u32,
}

impl<'a> Driver<'a> {
    fn new(lane: Lane, context: LaneContext<'a>, greeting: &'a AtomicU64) -> Self {
        Self {
            lane,
            context,
            sender: Sender::new(context.window),
            started: Instant::now(),
            greeting,
            hellos: 0,
            sent: None,
            silence: Silence::default(),
            held: None,
            refusals: 0,
        }
    }

    async fn run(
        mut self,
        orders: mpsc::Sender<Order>,
        mut events: mpsc::Receiver<Event>,
    ) -> SessionFault {
        let mut view = self.context.spool.view();
        loop {
            if let Err(fault) = self.transmit(&mut view, &orders).await {
                return fault;
            }
            let wake = self.wakes_at();
            let handled = tokio::select! {
                changed = view.changed() => changed.map_err(|_| SessionFault::Spool(SpoolClosed)),
                event = events.recv() => match event {
                    Some(event) => self.handle(event, &mut events).await,
                    None => Err(SessionFault::StreamEnded),
                },
                () = until(wake) => self.look(),
            };
            if let Err(fault) = handled {
                return fault;
            }
        }
    }

    /// Orders what the sender wants out.
    async fn transmit(
        &mut self,
        view: &mut watch::Receiver<SpoolView>,
        orders: &mpsc::Sender<Order>,
    ) -> Result<(), SessionFault> {
        let head = view.borrow_and_update().lane(self.lane).head.clone();
        while let Some(transmit) = self.next_transmit(&head).await? {
            let order = match transmit {
                Transmit::Hello(hello) => {
                    self.hellos += 1;
                    Order::Hello(Frame::LaneHello(hello).encode())
                }
                Transmit::Row(row) => {
                    self.sent = Some(row.next());
                    Order::Row(row, self.greeting.load(Ordering::Relaxed))
                }
            };
            self.silence.owe(Instant::now());
            orders.send(order).await.map_err(|_| SessionFault::StreamEnded)?;
        }
        Ok(())
    }

    /// What goes out next. A row that the budget does not allow is held, and nothing after it goes out.
    async fn next_transmit(&mut self, head: &Head) -> Result<Option<Transmit>, SessionFault> {
        let Some(account) = self.context.account else {
            return Ok(self.sender.poll_transmit(head, self.started.elapsed()));
        };
        let (row, bytes) = match self.held.take() {
            Some(held) => (held.row, held.bytes),
            None => match self.sender.poll_transmit(head, self.started.elapsed()) {
                Some(Transmit::Row(row)) => {
                    let bytes = self.context.spool.row_bytes(self.lane, row).await;
                    // A row that is gone costs nothing: its writer finds out.
                    (row, bytes.map_err(SessionFault::Row)?.unwrap_or(0))
                }
                other => return Ok(other),
            },
        };
        match account.ask(self.lane, row, bytes) {
            Ok(()) => Ok(Some(Transmit::Row(row))),
            Err(wait) => {
                self.held = Some(Held { row, bytes, until: Instant::now() + wait });
                Ok(None)
            }
        }
    }

    /// When to look although nothing comes; `None` if never.
    fn wakes_at(&self) -> Option<Instant> {
        let sender = self.sender.poll_timeout().map(|at| self.started + at);
        let silence = self.silence.look_at();
        let held = self.held.as_ref().map(|held| held.until);
        [sender, silence, held].into_iter().flatten().min()
    }

    async fn handle(
        &mut self,
        event: Event,
        events: &mut mpsc::Receiver<Event>,
    ) -> Result<(), SessionFault> {
        match event {
            Event::Frame(Frame::LaneState(state)) => self.handle_state(state).await,
            Event::Frame(Frame::Ack(ack)) => self.handle_acks(ack, events).await,
            Event::Frame(Frame::Refused(refusal)) => {
                debug!(lane = %self.lane, ?refusal, "a batch was refused");
                self.greet_again();
                self.slow_down();
                Ok(())
            }
            Event::Frame(Frame::Busy(cause, wait_ms)) => {
                self.handle_busy(cause, wait_ms);
                Ok(())
            }
            Event::Frame(frame) => Err(SessionFault::Unexpected(frames::name(&frame))),
            Event::RowGone => {
                self.greet_again();
                Ok(())
            }
        }
    }

    async fn handle_state(&mut self, state: LaneState) -> Result<(), SessionFault> {
        if state.lane != self.lane {
            return Err(SessionFault::Unexpected("the state of another lane"));
        }
        self.hellos = self.hellos.saturating_sub(1);
        if self.hellos > 0 || self.sender.is_streaming() || self.sender.poll_timeout().is_some() {
            // Of a hello that was said before a refusal: the answer to the last one counts.
            return Ok(());
        }
        self.silence.answered(Instant::now(), false);
        let body = body_version(self.context.protocol);
        match self.context.spool.handle_state(state, body).await.map_err(SessionFault::Spool)? {
            Ok(resumed) => {
                if let Resumed::Opened { sealed_anew, gap_records, .. } = resumed {
                    info!(lane = %self.lane, sealed_anew, gap_records, "an epoch was opened: the ledger's state was not in the spool's chain");
                }
                self.sender.handle_resumed(resumed);
                self.resume();
            }
            Err(no_room) => {
                warn!(lane = %self.lane, "{no_room}; free some space on it");
                self.pause(NO_ROOM_PAUSE, no_room.to_string());
            }
        }
        Ok(())
    }

    /// Hands an ack to the spool; of several that have come, the last says it all.
    async fn handle_acks(
        &mut self,
        mut ack: Ack,
        events: &mut mpsc::Receiver<Event>,
    ) -> Result<(), SessionFault> {
        let mut next = None;
        while next.is_none()
            && let Ok(event) = events.try_recv()
        {
            match event {
                Event::Frame(Frame::Ack(later)) => ack = later,
                other => next = Some(other),
            }
        }
        if ack.lane != self.lane {
            return Err(SessionFault::Unexpected("an ack of another lane"));
        }
        killpoint::pass("ship.before_ack");
        match self.context.spool.handle_ack(ack).await.map_err(SessionFault::Spool)? {
            Acked::Through(row) => {
                self.refusals = 0;
                self.settle(row);
                self.silence.answered(Instant::now(), self.sent.is_some_and(|sent| row < sent));
            }
            Acked::Known => {
                let acked = self.context.spool.view().borrow().lane(self.lane).head.acked();
                self.settle(acked);
                self.silence.answered(Instant::now(), self.sent.is_some_and(|sent| acked < sent));
            }
            Acked::Foreign => self.greet_again(),
        }
        match next {
            // Acks are handled above, so this goes no deeper.
            Some(event) => Box::pin(self.handle(event, events)).await,
            None => Ok(()),
        }
    }

    fn handle_busy(&mut self, cause: BusyCause, wait_ms: u32) {
        let why = match cause {
            BusyCause::Disk => "the aggregator's disk is nearly full",
            BusyCause::Load => "the aggregator has too much to do",
            BusyCause::Unstable => {
                // It stands for the answer to a hello.
                self.hellos = self.hellos.saturating_sub(1);
                "this device opened too many epochs within a day: is its host restored again and again?"
            }
        };
        let wait = Duration::from_millis(u64::from(wait_ms));
        debug!(lane = %self.lane, why, ?wait, "the aggregator is busy");
        self.pause(wait.clamp(BUSY_LEAST, BUSY_MOST), why.to_owned());
    }

    /// What is on its way counts as dropped.
    fn greet_again(&mut self) {
        self.sender.handle_refused();
        self.forget_sent();
    }

    /// Says nothing for a while, then greets again.
    fn pause(&mut self, wait: Duration, why: String) {
        self.sender.handle_busy(self.started.elapsed() + wait);
        self.forget_sent();
        let why = format!("{}: {why}", self.lane);
        self.context.standing.send_if_modified(|standing| {
            let changed = standing.lane_paused.as_ref() != Some(&why);
            standing.lane_paused = Some(why);
            changed
        });
    }

    fn resume(&mut self) {
        self.context.standing.send_if_modified(|standing| {
            let ours = standing
                .lane_paused
                .as_ref()
                .is_some_and(|why| why.starts_with(&self.lane.to_string()));
            if ours {
                standing.lane_paused = None;
            }
            ours
        });
    }

    /// What is acked costs no more than was counted.
    fn settle(&self, through: Row) {
        if let Some(account) = self.context.account {
            account.acked(self.lane, through);
        }
    }

    fn forget_sent(&mut self) {
        self.held = None;
        if let Some(account) = self.context.account {
            account.dropped(self.lane);
        }
        self.greeting.fetch_add(1, Ordering::Relaxed);
        self.sent = None;
        self.silence.answered(Instant::now(), false);
    }

    /// One refusal is a rewind; several without progress are a dispute that haste does not settle.
    fn slow_down(&mut self) {
        self.refusals += 1;
        if let Some(beyond) = self.refusals.checked_sub(REFUSALS_AT_ONCE) {
            let pause = REFUSED_PAUSE.saturating_mul(1 << beyond.min(10)).min(BUSY_MOST);
            if beyond == 0 {
                warn!(lane = %self.lane, "the aggregator refuses batches again and again: slowing down");
            }
            self.pause(pause, "the aggregator refuses its batches".to_owned());
        }
    }

    /// Whether the connection still lives, as far as this lane is owed something.
    fn look(&mut self) -> Result<(), SessionFault> {
        let stats = self.context.connection.stats();
        let traffic = Traffic { received: stats.udp_rx.datagrams, sent: stats.frame_tx.stream };
        // A node reads its log up to the agent's receipt before it answers a hello.
        let least = if self.hellos > 0 { HELLO_SILENCE } else { BATCH_SILENCE };
        if self.silence.is_dead(Instant::now(), traffic, stats.path.rtt, least) {
            return Err(SessionFault::Silent);
        }
        Ok(())
    }
}

/// Waits for a moment; `None` for ever, without a timer.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// A window of rows, the same again that a refusal made void, and a hello.
const ORDERS_MAX: usize = 2 * limits::IN_FLIGHT_MAX + 2;
/// Frames that were read and not looked at.
const EVENTS_MAX: usize = 16;
/// FAILURES page, F18.
const BATCH_SILENCE: Duration = Duration::from_secs(10);
const HELLO_SILENCE: Duration = Duration::from_secs(60);
const BUSY_LEAST: Duration = Duration::from_millis(50);
const BUSY_MOST: Duration = Duration::from_secs(300);
const NO_ROOM_PAUSE: Duration = Duration::from_secs(10);
const REFUSALS_AT_ONCE: u32 = 3;
const REFUSED_PAUSE: Duration = Duration::from_secs(1);
