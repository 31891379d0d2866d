//! Counters that only grow, and what they grew by between two readings.

use std::time::{Duration, Instant};

use super::ratio;

/// The last reading of the counters of one thing: a disk, an interface, a kind of pressure.
#[derive(Debug)]
pub(in crate::sample) struct Counters<const N: usize>(Option<(Instant, [u64; N])>);

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self(None)
    }
}

impl<const N: usize> Counters<N> {
    /// What was counted since the reading before. `None` for a first reading, if no time has passed,
    /// and if any of the counters went back: they were reset, one was too narrow, or the thing is
    /// another of the same name, so that what the others grew by means nothing either.
    pub(in crate::sample) fn step(&mut self, at: Instant, counts: [u64; N]) -> Option<Growth<N>> {
        let (before_at, before) = self.0.replace((at, counts))?;
        let mut grown = [0; N];
        for (index, grown) in grown.iter_mut().enumerate() {
            *grown = counts[index].checked_sub(before[index])?;
        }
        let elapsed = at.saturating_duration_since(before_at);
        if elapsed.is_zero() {
            // The next step is measured from where this one should have been.
            self.0 = Some((before_at, before));
            return None;
        }
        Some(Growth { elapsed, grown })
    }
}

/// What counters grew by, and in which time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sample) struct Growth<const N: usize> {
    elapsed: Duration,
    grown: [u64; N],
}

impl<const N: usize> Growth<N> {
    /// Units per second times ten to the power of the scale, rounded to the nearest; `unit` is what
    /// one count stands for. `None` for what does not fit into 64 bits.
    pub(in crate::sample) fn per_second(&self, index: usize, unit: u32, scale: u8) -> Option<i64> {
        let nanos = self.elapsed.as_nanos();
        let units = u128::from(self.grown[index]) * u128::from(unit);
        let scaled = units.checked_mul(10_u128.pow(scale.into()) * NANOS_PER_SECOND * 2)?;
        i64::try_from(scaled.checked_add(nanos)? / (nanos * 2)).ok()
    }

    /// The share of the time that was counted, at [`super::RATIO_SCALE`]; `unit` is what one count
    /// stands for. At most 1: a clock of another grain may count a little more than has passed.
    pub(in crate::sample) fn share(&self, index: usize, unit: Duration) -> Option<i64> {
        let whole = u64::try_from(self.elapsed.as_nanos()).ok()?;
        let unit = u64::try_from(unit.as_nanos()).ok()?;
        ratio(self.grown[index].saturating_mul(unit).min(whole), whole)
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn growth_is_over_the_time_between_two_readings_rounded_to_the_nearest() {
        // (counted, milliseconds, unit, scale, expected)
        let cases = [
            (0, 1_000, 512, 0, Some(0)),
            (8, 1_000, 512, 0, Some(4_096)),
            (1, 3_000, 1, 2, Some(33)),
            (2, 3_000, 1, 2, Some(67)),
            (1, 2_000, 1, 0, Some(1)),
            (1, 2_001, 1, 0, Some(0)),
            (1, 3_600_000, 1, 4, Some(3)),
            (u64::MAX, 1_000, 1, 0, None),
            (u64::MAX, 1, u32::MAX, 9, None),
            (i64::MAX.unsigned_abs(), 1_000, 1, 0, Some(i64::MAX)),
        ];
        for (counted, ms, unit, scale, expected) in cases {
            let growth = Growth { elapsed: MS * ms, grown: [counted] };
            assert_eq!(growth.per_second(0, unit, scale), expected, "{counted} in {ms} ms");
        }
    }

    #[test]
    fn a_share_of_time_is_at_most_the_whole() {
        let share = |counted| Growth { elapsed: MS * 200, grown: [counted] }.share(0, MS);
        assert_eq!(share(0), Some(0));
        assert_eq!(share(50), Some(2_500));
        assert_eq!(share(204), Some(10_000));
        assert_eq!(share(u64::MAX), Some(10_000));
    }

    #[test]
    fn a_first_reading_and_one_that_went_back_say_nothing() {
        let start = Instant::now();
        let mut counters = Counters::default();
        assert_eq!(counters.step(start, [5, 5]), None, "the first");
        let grown = counters.step(start + MS, [6, 5]).expect("one has grown");
        assert_eq!(grown, Growth { elapsed: MS, grown: [1, 0] });
        assert_eq!(counters.step(start + MS * 2, [900, 4]), None, "one went back");
        let grown = counters.step(start + MS * 3, [901, 4]).expect("measured from there");
        assert_eq!(grown, Growth { elapsed: MS, grown: [1, 0] });
        assert_eq!(counters.step(start + MS * 3, [902, 4]), None, "no time has passed");
        let grown = counters.step(start + MS * 5, [903, 4]).expect("time has passed");
        assert_eq!(grown, Growth { elapsed: MS * 2, grown: [2, 0] }, "nothing counted is lost");
        assert_eq!(counters.step(start, [904, 4]), None, "a clock that went back");
    }
}
