//! How long to wait before the next try. Pure: randomness is an argument.

use std::time::Duration;

/// The pause doubles from try to try up to a cap; the jitter is applied after the cap, so that a fleet
/// that lost its aggregator at one moment does not come back at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    cap: Duration,
    tries: u32,
}

/// How hopeful the next try is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Patience {
    /// What failed may work at once, or soon.
    Usual,
    /// Somebody has to do something first.
    Long,
}

impl Backoff {
    pub(super) fn new(cap: Duration) -> Self {
        Self { cap, tries: 0 }
    }

    /// A session came about: the next pause is short again.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// The pause before the next try. `random` is any number.
    pub(super) fn next(&mut self, patience: Patience, random: u64) -> Duration {
        let pause = match patience {
            Patience::Usual => {
                let doubled = FIRST.saturating_mul(1 << self.tries.min(30));
                share(doubled.min(self.cap), random)
            }
            // At least the cap: nobody waits for this try.
            Patience::Long => self.cap + share(self.cap * LONG_FACTOR, random),
        };
        self.tries = self.tries.saturating_add(1);
        pause
    }
}

/// A part of a duration, even over all of it.
fn share(whole: Duration, random: u64) -> Duration {
    let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random % micros.saturating_add(1))
}

/// The first pause is 250 ms on average: a node that restarts is missed for no longer than it takes.
const FIRST: Duration = Duration::from_millis(500);
const LONG_FACTOR: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_are_spread_over_all_of_it() {
        let cap = Duration::from_secs(60);
        let longest = |tries: u32, random: u64| {
            let mut backoff = Backoff::new(cap);
            for _ in 0..tries {
                let _ = backoff.next(Patience::Usual, 0);
            }
            backoff.next(Patience::Usual, random)
        };
        assert_eq!(longest(0, 500_000), Duration::from_millis(500));
        assert_eq!(longest(0, 500_001), Duration::ZERO, "any part of the pause, also none");
        assert_eq!(longest(3, 4_000_000), Duration::from_secs(4));
        assert_eq!(longest(50, 60_000_000), cap);
        assert_eq!(
            longest(50, 30_000_000),
            Duration::from_secs(30),
            "the jitter comes after the cap"
        );
    }

    #[test]
    fn what_needs_a_person_is_tried_seldom() {
        let mut backoff = Backoff::new(Duration::from_secs(60));
        assert!(backoff.next(Patience::Long, 0) >= Duration::from_secs(60));
        backoff.reset();
        assert!(backoff.next(Patience::Usual, 499_999) < Duration::from_millis(500));
    }
}
