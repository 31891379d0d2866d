//! The sender of one lane in one session: what goes out next, and when nothing may.
//!
//! It holds no delivery state: that is the chain's. A session that ends takes its senders with it.

use std::time::Duration;

use crate::chain::{Head, Resumed, Row};
use crate::limits;
use crate::wire::LaneHello;

/// What a lane's stream carries next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Transmit {
    /// Say hello for the lane; nothing else goes out until the node has answered.
    Hello(LaneHello),
    /// The batch of this row.
    Row(Row),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// Hello is due.
    Greeting,
    /// Hello was said.
    Waiting,
    /// Rows from this one on are due.
    Streaming(Row),
}

/// The sender of one lane in one session.
#[derive(Clone, Debug)]
pub struct Sender {
    phase: Phase,
    window: u64,
    quiet_until: Option<Duration>,
}

impl Sender {
    /// A sender that says hello first and then keeps at most `window` batches on their way; at most
    /// `limits::IN_FLIGHT_MAX`.
    #[must_use]
    pub fn new(window: u16) -> Self {
        let window = u64::from(window).clamp(1, limits::IN_FLIGHT_MAX as u64);
        Self { phase: Phase::Greeting, window, quiet_until: None }
    }

    /// The chain goes on from a row: the node answered and the chain took the answer.
    pub fn handle_resumed(&mut self, resumed: Resumed) {
        self.phase = Phase::Streaming(match resumed {
            Resumed::InChain(row) | Resumed::Opened { from: row, .. } => row,
        });
    }

    /// The node did not apply a batch, and hears nothing until the next hello; or it acked a state that
    /// is not in the chain. Either way the lane is greeted again.
    pub fn handle_refused(&mut self) {
        self.phase = Phase::Greeting;
    }

    /// The node takes nothing until `until`, on the driver's monotonic clock. What is on its way may
    /// have been dropped, so the lane is greeted again.
    pub fn handle_busy(&mut self, until: Duration) {
        self.phase = Phase::Greeting;
        self.quiet_until = Some(until);
    }

    /// What goes out next; `None` if there is nothing, or nothing may.
    pub fn poll_transmit(&mut self, head: &Head, now: Duration) -> Option<Transmit> {
        if self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        self.quiet_until = None;
        match self.phase {
            Phase::Greeting => {
                self.phase = Phase::Waiting;
                let (lane, receipt) = (head.lane(), head.receipt());
                Some(Transmit::Hello(LaneHello { lane, receipt }))
            }
            Phase::Waiting => None,
            Phase::Streaming(row) => {
                let row = row.max(head.acked());
                if row >= head.next() || row.0 - head.acked().0 >= self.window {
                    return None;
                }
                self.phase = Phase::Streaming(row.next());
                Some(Transmit::Row(row))
            }
        }
    }

    /// When `poll_transmit` should be asked again although nothing happened; `None` if never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.quiet_until
    }

    /// Whether the node has answered the hello.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        matches!(self.phase, Phase::Streaming(_))
    }
}
