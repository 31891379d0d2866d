//! How often a session may be tried, so that an aggregator that is not there costs no more than a small
//! part of the budget. Pure: time and traffic are arguments.

use std::time::Duration;

use crate::config::Budget;

/// A vessel that tries fill and time empties, at the pace of a share of the budget. While more is in it
/// than a few tries, the next one waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tries {
    budget: Budget,
    /// What is in it: bytes, times the microseconds of a period.
    level: u128,
}

impl Tries {
    pub(super) fn new(budget: Budget) -> Self {
        Self { budget, level: 0 }
    }

    /// So long has passed since the last call.
    pub(super) fn handle_time(&mut self, since_last: Duration) {
        self.level = self.level.saturating_sub(self.pace() * since_last.as_micros());
    }

    /// A try took so many bytes, up to the welcome or to its failure.
    pub(super) fn handle_try(&mut self, bytes: u64) {
        self.level = self.level.saturating_add(u128::from(bytes) * self.period());
    }

    /// How long the next try waits.
    pub(super) fn wait(&self) -> Duration {
        let free = u128::from(FREE_BYTES.max(self.budget.bytes.0 / FREE_SHARE)) * self.period();
        let micros = self.level.saturating_sub(free) / self.pace().max(1);
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)).min(WAIT_MAX)
    }

    /// Bytes of a period that tries may take.
    fn pace(&self) -> u128 {
        u128::from(self.budget.bytes.0 / SHARE)
    }

    fn period(&self) -> u128 {
        self.budget.period.length().as_micros()
    }
}

/// A tenth of the budget is for tries.
const SHARE: u64 = 10;
/// What goes without a wait: a fiftieth of the budget, ten tries that nobody answers at least; each takes
/// some 4,900 bytes.
const FREE_SHARE: u64 = 50;
const FREE_BYTES: u64 = 48 << 10;
/// The longest wait: a node that is back is found within the hour by any agent.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ByteCount, Period};

    /// Bytes that tries take in a day without an aggregator, and how many tries that are.
    fn day_without_node(budget: Budget, try_bytes: u64) -> (u64, u64) {
        let (mut tries, mut count) = (Tries::new(budget), 0);
        let mut left = Duration::from_secs(86_400);
        while let Some(rest) = left.checked_sub(tries.wait().max(Duration::from_secs(5))) {
            tries.handle_time(left - rest);
            left = rest;
            tries.handle_try(try_bytes);
            count += 1;
        }
        (count * try_bytes, count)
    }

    #[test]
    fn a_node_that_is_away_for_a_day_costs_a_small_part_of_the_budget() {
        for (bytes, period) in [(50_000_000, Period::Day), (2_000_000, Period::Hour)] {
            let budget = Budget { bytes: ByteCount(bytes), period };
            let a_day = bytes * if period == Period::Hour { 24 } else { 1 };
            let (cost, count) = day_without_node(budget, 6_000);
            assert!(cost <= a_day / 8, "{cost} of {a_day}");
            assert!(count > 500, "{count} tries in a day");
        }
        let small = Budget { bytes: ByteCount(1_000_000), period: Period::Day };
        let (_, count) = day_without_node(small, 6_000);
        assert!((20..60).contains(&count), "{count} tries in a day");
    }

    #[test]
    fn the_first_tries_wait_for_nothing() {
        let budget = Budget { bytes: ByteCount(1_000_000), period: Period::Day };
        let mut tries = Tries::new(budget);
        for _ in 0..10 {
            assert_eq!(tries.wait(), Duration::ZERO);
            tries.handle_try(4_900);
        }
        tries.handle_try(4_900);
        assert!(tries.wait() > Duration::from_secs(300), "then they do");
    }
}
