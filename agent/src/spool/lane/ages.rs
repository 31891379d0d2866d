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
            if self.waits.len() == WAITS {
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
        let (mut longest, mut second) = (None, None);
        for wait in self.waits.iter().copied().map(Some) {
            if wait > longest {
                (longest, second) = (wait, longest);
            } else {
                second = second.max(wait);
            }
        }
        if self.waits.len() < WAITS { longest } else { second }
    }
}

/// Batches whose wait is kept: one in a hundred may have waited longer than what is told.
const WAITS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_waits_the_second_longest_is_told_and_of_fewer_the_longest() {
        let mut ages = Ages::default();
        assert_eq!(ages.p99(), None);
        let millis = |wait| Duration::from_millis(wait);
        ages.waits.extend([7, 9, 9, 3].map(millis));
        assert_eq!(ages.p99(), Some(millis(9)));
        ages.waits.extend((0..96).map(|_| millis(1)));
        assert_eq!((ages.waits.len(), ages.p99()), (100, Some(millis(9))), "two waited as long");
        ages.waits[1] = millis(1_000);
        assert_eq!(ages.p99(), Some(millis(9)));
        ages.waits[2] = millis(2);
        assert_eq!(ages.p99(), Some(millis(7)));
    }
}
