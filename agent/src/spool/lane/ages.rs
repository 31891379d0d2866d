//! When batches were sealed, and how long the last ones waited for their acks. For people only.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use headwater_protocol::chain::Row;

/// When batches were sealed, and how long the last ones waited for their acks. For people only.
#[derive(Debug, Default)]
pub(super) struct Ages {
    sealed: VecDeque<(Row, Instant)>,
    waits: VecDeque<Duration>,
}

impl Ages {
    pub(super) fn sealed(&mut self, row: Row) {
        // Beyond this the newest are not timed: the oldest is what people ask for.
        if self.sealed.len() < 4096 {
            self.sealed.push_back((row, Instant::now()));
        }
    }

    pub(super) fn acked(&mut self, through: Row) {
        while let Some((_, sealed)) = self.sealed.pop_front_if(|(row, _)| *row < through) {
            if self.waits.len() == 100 {
                self.waits.pop_front();
            }
            self.waits.push_back(sealed.elapsed());
        }
    }

    pub(super) fn clear(&mut self) {
        self.sealed.clear();
    }

    pub(super) fn oldest(&self) -> Option<Instant> {
        self.sealed.front().map(|(_, sealed)| *sealed)
    }

    pub(super) fn p99(&self) -> Option<Duration> {
        let mut waits: Vec<Duration> = self.waits.iter().copied().collect();
        waits.sort_unstable();
        let place = (waits.len() * 99).div_ceil(100).checked_sub(1)?;
        waits.get(place).copied()
    }
}
