//! Credit: how much may be between arrival and answer.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::fold::Credit;
use crate::limits::{BATCH_CHARGE_MIN, IN_FLIGHT_BYTES_MAX, LANE_SLOTS, SESSION_BYTES_MAX};

/// A permit stands for so many bytes.
const UNIT: u64 = 1024;

/// The room of all sessions together.
#[derive(Clone, Debug)]
pub(super) struct Pool(Arc<Semaphore>);

impl Default for Pool {
    fn default() -> Self {
        Self(room(IN_FLIGHT_BYTES_MAX))
    }
}

impl Pool {
    /// Bytes that are taken.
    pub(super) fn in_use(&self) -> u64 {
        IN_FLIGHT_BYTES_MAX - self.0.available_permits() as u64 * UNIT
    }

    /// The share of one session.
    pub(super) fn share(&self) -> SessionCredit {
        SessionCredit { all: self.clone(), own: room(SESSION_BYTES_MAX) }
    }
}

/// The room of one session.
#[derive(Clone, Debug)]
pub(super) struct SessionCredit {
    all: Pool,
    own: Arc<Semaphore>,
}

impl SessionCredit {
    /// The share of one lane.
    pub(super) fn lane(&self) -> LaneCredit {
        LaneCredit { session: self.clone(), slots: Arc::new(Semaphore::new(LANE_SLOTS)) }
    }
}

/// The room of one lane: a place for each question that is not answered, and bytes for its batch.
#[derive(Debug)]
pub(super) struct LaneCredit {
    session: SessionCredit,
    slots: Arc<Semaphore>,
}

impl LaneCredit {
    /// Room for a question, once there is some. The slot is given back when the answer is on its way.
    pub(super) async fn slot(&self) -> Credit {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        Credit::of_slot(slot.expect("the slots of a lane are never closed"))
    }

    /// Room for a batch, once there is some. The bytes are given back when the fold is done with it. In
    /// this order, so that whoever waits for its own share takes nothing from others.
    pub(super) async fn batch(&self, bytes: usize) -> Credit {
        let mut credit = self.slot().await;
        let charge = (bytes as u64).max(BATCH_CHARGE_MIN).div_ceil(UNIT);
        let permits = u32::try_from(charge).expect("a batch is far below 4 GiB");
        for room in [&self.session.own, &self.session.all.0] {
            let taken = Arc::clone(room).acquire_many_owned(permits).await;
            credit.hold(taken.expect("the room for batches is never closed"));
        }
        credit
    }
}

fn room(bytes: u64) -> Arc<Semaphore> {
    let permits = usize::try_from(bytes / UNIT).expect("a limit on memory fits into a pointer");
    Arc::new(Semaphore::new(permits))
}
