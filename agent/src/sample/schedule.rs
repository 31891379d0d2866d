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

    /// How long to wait at a moment, in microseconds since 1970, for the next tick, when the last one was
    /// so long ago by a clock that nobody sets. `None`: there was none.
    ///
    /// No two ticks are closer than half an interval, however often the clock is set, and whether or not it
    /// moves at all: one that stands still just before a tick would else be a storm of them.
    #[must_use]
    pub fn wait(&self, now_us: i64, since_last: Option<Duration>) -> Duration {
        let wait_us = self.next(now_us).saturating_sub(now_us);
        let wait = Duration::from_micros(u64::try_from(wait_us).unwrap_or(0));
        let interval = Duration::from_micros(self.interval_us.unsigned_abs());
        match since_last {
            Some(since) if since + wait < interval / 2 => wait + interval,
            Some(_) | None => wait,
        }
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
    fn a_clock_that_stands_still_or_is_set_all_the_time_makes_no_storm() {
        let interval = Duration::from_secs(10);
        let schedule = Schedule::aligned(interval, b"edge-01");
        let tick = schedule.next(1_700_000_000 * SECOND);
        // Where the clock stands or is set to, each time that the next tick is asked for.
        type Shown = fn(i64, i64) -> i64;
        let clocks: [(&str, Shown); 4] = [
            ("right", |tick, ago| tick + ago),
            ("just before a tick, for ever", |tick, _| tick - 1),
            ("at a tick, for ever", |tick, _| tick),
            ("set back and forth", |tick, ago| tick - 1 + ago % 3 * 1_000 * SECOND),
        ];
        for (name, clock) in clocks {
            let (mut ago_us, mut waits) = (0_i64, Vec::new());
            for _ in 0..100 {
                let since = waits.last().map(|_| Duration::ZERO);
                let wait = schedule.wait(clock(tick, ago_us), since);
                ago_us += i64::try_from(wait.as_micros()).unwrap();
                waits.push(wait);
            }
            let fits = |wait: &Duration| *wait >= interval / 2 && *wait <= interval * 3 / 2;
            assert!(waits[1..].iter().all(fits), "a clock that is {name}: {waits:?}");
        }
    }

    #[test]
    fn a_wait_that_was_cut_short_by_a_little_is_followed_by_a_whole_one() {
        let schedule = Schedule::aligned(Duration::from_secs(10), b"edge-01");
        let tick = schedule.next(1_700_000_000 * SECOND);
        let wait = schedule.wait(tick - 20, Some(Duration::ZERO));
        assert_eq!(wait, Duration::from_micros(10_000_020), "this tick was taken");
        assert_eq!(schedule.wait(tick - 20, None), Duration::from_micros(20));
        let long_ago = Some(Duration::from_secs(25));
        assert_eq!(schedule.wait(tick - 20, long_ago), Duration::from_micros(20));
    }

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
