//! When something really happened, by the measured offset of the device's clock.

use headwater_protocol::entry::SentClock;
use headwater_protocol::header::Clock;
use headwater_protocol::identity::BootId;

/// Offsets up to this are taken for the way of the frame and not for a wrong clock: half the lateness that
/// a window grants by default. Beyond it a device on time would be late in every window.
const OFFSET_TOLERATED_US: i64 = 500_000;

/// What a device's clock is off by, measured at one batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct ClockOffset {
    shift_us: i64,
    stamp_us: i64,
}

impl ClockOffset {
    /// Measures by the clocks at sealing and at sending, and the stamp of the entry (all of them
    /// microseconds). The batch was sealed as long before the stamp as the device's own clock says that it
    /// waited: a backlog is no offset. How long it waited is told by the monotonic clock, if both readings
    /// are of one boot: the wall clock may have been set in between.
    #[must_use]
    pub(crate) fn measure(sealed: &Clock, sent: &SentClock, stamp_us: i64) -> Self {
        let one_boot = sealed.boot == sent.boot && sealed.boot != BootId::default();
        let waited_us = match sent.mono_us.checked_sub(sealed.mono_us) {
            Some(waited) if one_boot => i64::try_from(waited).unwrap_or(i64::MAX),
            _ => sent.wall_us.saturating_sub(sealed.wall_us),
        };
        let sealed_us = stamp_us.saturating_sub(waited_us);
        let shift_us = sealed_us.saturating_sub(sealed.wall_us);
        let tolerated = shift_us.unsigned_abs() <= OFFSET_TOLERATED_US.unsigned_abs();
        Self { shift_us: if tolerated { 0 } else { shift_us }, stamp_us }
    }

    /// A time of the batch, corrected: never later than the stamp, so that no clock closes windows for
    /// others.
    #[must_use]
    pub(crate) fn correct(self, time_us: i64) -> i64 {
        time_us.saturating_add(self.shift_us).min(self.stamp_us)
    }

    /// What is added to the device's times, in microseconds: positive for a clock that is behind. 0 for
    /// one that is right.
    #[must_use]
    pub(crate) fn shift_us(self) -> i64 {
        self.shift_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const NOW: i64 = 1_700_000_000 * SECOND;
    const BOOT: BootId = BootId([1; 16]);

    fn clock(wall_us: i64, mono_s: u64) -> Clock {
        Clock { wall_us, boot: BOOT, mono_us: mono_s * 1_000_000 }
    }

    fn sent(wall_us: i64, mono_s: u64, boot: BootId) -> SentClock {
        SentClock { wall_us, mono_us: mono_s * 1_000_000, boot }
    }

    #[test]
    fn a_backlog_of_three_days_is_no_offset() {
        let days = 3 * 86_400;
        let sealed = NOW - days * SECOND;
        let offset = ClockOffset::measure(
            &clock(sealed, 10),
            &sent(NOW, 10 + 3 * 86_400, BOOT),
            NOW + 40_000,
        );
        assert_eq!(offset.correct(sealed - 5), sealed - 5);
        let rebooted = sent(NOW, 7, BootId([2; 16]));
        let offset = ClockOffset::measure(&clock(sealed, 10), &rebooted, NOW + 40_000);
        assert_eq!(offset.correct(sealed - 5), sealed - 5, "also over a boot");
    }

    #[test]
    fn a_clock_that_is_wrong_is_corrected_and_never_beyond_the_stamp() {
        let cases = [
            ("behind", -3 * SECOND),
            ("ahead", 3_600 * SECOND),
            ("of 1970", -NOW),
            ("of 2100", 2_400_000_000 * SECOND),
        ];
        for (name, skew) in cases {
            let offset =
                ClockOffset::measure(&clock(NOW + skew, 10), &sent(NOW + skew, 10, BOOT), NOW);
            assert_eq!(offset.correct(NOW + skew - 7), NOW - 7, "{name}");
            assert_eq!(offset.correct(NOW + skew + SECOND), NOW, "{name}");
            assert_eq!(offset.shift_us(), -skew, "{name}");
        }
    }

    #[test]
    fn a_clock_that_was_set_between_sealing_and_sending_is_told_by_the_monotonic_one() {
        // Sealed in 1970, ten seconds after the boot; sent a minute later, when the clock was right.
        let sealed = clock(10 * SECOND, 10);
        let offset = ClockOffset::measure(&sealed, &sent(NOW, 70, BOOT), NOW + 30_000);
        assert_eq!(offset.correct(10 * SECOND), NOW + 30_000 - 60 * SECOND);
    }

    #[test]
    fn hostile_clocks_overflow_nothing() {
        for wall in [i64::MIN, -1, 0, i64::MAX] {
            for stamp in [i64::MIN, 0, i64::MAX] {
                let sealed = Clock { wall_us: wall, boot: BOOT, mono_us: 0 };
                for mono_us in [0, u64::MAX] {
                    let sent = SentClock { wall_us: -wall.max(-i64::MAX), mono_us, boot: BOOT };
                    let offset = ClockOffset::measure(&sealed, &sent, stamp);
                    assert!(offset.correct(i64::MAX) <= stamp && offset.correct(i64::MIN) <= stamp);
                }
            }
        }
    }
}
