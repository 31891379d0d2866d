//! When to sample. Pure: the time is an argument, nothing sleeps here.

use std::time::Duration;

/// Ticks at equal distances. With `align` they stand on the wall clock, each host at an offset of its
/// own inside the interval, so that a fleet does not sample, seal and send at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Schedule {
    interval_us: i64,
    /// Where the ticks lie, modulo the interval, in microseconds since 1970.
    offset_us: i64,
}

impl Schedule {
    /// Ticks at multiples of the interval on the wall clock, shifted by an offset that a host's name or
    /// id decides: the same for ever.
    ///
    /// # Panics
    /// If the interval is zero or longer than 292,000 years: a caller's mistake.
    #[must_use]
    pub fn aligned(interval: Duration, host: &[u8]) -> Self {
        let interval_us = microseconds(interval);
        let mut head = [0; 8];
        head.copy_from_slice(&blake3::derive_key("headwater sample offset 1", host)[..8]);
        let offset = u64::from_le_bytes(head) % interval_us.unsigned_abs();
        let offset_us = i64::try_from(offset).expect("a remainder is less than the interval");
        Self { interval_us, offset_us }
    }

    /// Ticks counted from a start, in microseconds since 1970.
    ///
    /// # Panics
    /// As [`Schedule::aligned`].
    #[must_use]
    pub fn starting(interval: Duration, start_us: i64) -> Self {
        let interval_us = microseconds(interval);
        Self { interval_us, offset_us: start_us.rem_euclid(interval_us) }
    }

    /// The first tick after a moment, both in microseconds since 1970. Ticks that were missed are not
    /// made up for; a clock that was set is simply followed.
    #[must_use]
    pub fn next(&self, now_us: i64) -> i64 {
        let since = now_us.saturating_sub(self.offset_us).rem_euclid(self.interval_us);
        now_us.saturating_add(self.interval_us - since)
    }
}

fn microseconds(interval: Duration) -> i64 {
    let interval = i64::try_from(interval.as_micros()).expect("an interval fits into 64 bits");
    assert!(interval > 0, "an interval is longer than nothing");
    interval
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn aligned_ticks_keep_their_place_on_the_wall_clock() {
        let schedule = Schedule::aligned(Duration::from_secs(10), b"edge-01");
        let first = schedule.next(1_700_000_000 * SECOND);
        assert!(first > 1_700_000_000 * SECOND && first <= 1_700_000_010 * SECOND);
        assert_eq!(schedule.next(first), first + 10 * SECOND, "a tick is not its own successor");
        assert_eq!(schedule.next(first - 1), first);
        assert_eq!(
            schedule.next(first + 25 * SECOND),
            first + 30 * SECOND,
            "missed ones are skipped"
        );
        assert_eq!(
            schedule.next(first - 3600 * SECOND),
            first - 3590 * SECOND,
            "the clock went back"
        );
        assert_eq!(Schedule::aligned(Duration::from_secs(10), b"edge-01"), schedule);
    }

    #[test]
    fn hosts_spread_over_the_interval() {
        let offset = |host: u32| {
            Schedule::aligned(Duration::from_secs(10), &host.to_le_bytes()).next(0) / SECOND
        };
        let mut seconds: Vec<i64> = (0..200).map(offset).collect();
        seconds.sort_unstable();
        seconds.dedup();
        assert_eq!(seconds.len(), 10, "200 hosts sample in each of the ten seconds");
    }

    #[test]
    fn ticks_from_a_start_are_counted_from_it_even_before_1970() {
        let schedule = Schedule::starting(Duration::from_secs(1), -1_500_000);
        assert_eq!(schedule.next(-1_500_000), -500_000);
        assert_eq!(schedule.next(0), 500_000);
    }
}
