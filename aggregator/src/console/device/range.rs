//! How far back charts go, and how long a point of them is.

use serde::Deserialize;

use super::chart::WINDOWS_MAX;

/// How far back charts go.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(in super::super) enum Range {
    /// A quarter of an hour.
    #[default]
    #[serde(rename = "15m")]
    Quarter,
    /// An hour.
    #[serde(rename = "1h")]
    Hour,
    /// Six hours.
    #[serde(rename = "6h")]
    SixHours,
    /// As long as averages are kept by default.
    #[serde(rename = "24h")]
    Day,
}

impl Range {
    pub(super) const ALL: [Self; 4] = [Self::Quarter, Self::Hour, Self::SixHours, Self::Day];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Quarter => "15m",
            Self::Hour => "1h",
            Self::SixHours => "6h",
            Self::Day => "24h",
        }
    }

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Quarter => "Last 15 min",
            Self::Hour => "Last 1 h",
            Self::SixHours => "Last 6 h",
            Self::Day => "Last 24 h",
        }
    }

    /// All of it, in microseconds.
    pub(super) fn span_us(self) -> i64 {
        let minutes = match self {
            Self::Quarter => 15,
            Self::Hour => 60,
            Self::SixHours => 6 * 60,
            Self::Day => 24 * 60,
        };
        minutes * MINUTE_US
    }

    /// How long a point is where windows are so long, in microseconds: a whole number of windows, so that a point is made of
    /// their figures and never of averages.
    pub(super) fn step_us(self, window_us: i64) -> i64 {
        let (span_us, window_us) = (self.span_us(), window_us.max(1));
        let fits = |step_us: &i64| {
            *step_us >= window_us && step_us % window_us == 0 && span_us / step_us <= WINDOWS_MAX
        };
        let steps = [window_us].into_iter().chain(STEPS.map(|minutes| minutes * MINUTE_US));
        let least = (span_us / window_us / WINDOWS_MAX).saturating_add(1);
        steps.into_iter().find(fits).unwrap_or(window_us.saturating_mul(least))
    }
}

const MINUTE_US: i64 = 60 * 1_000_000;
/// Minutes of a point, where a point for each window would be too many.
const STEPS: [i64; 5] = [1, 5, 15, 30, 60];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_whole_windows_and_no_more_than_a_chart_has() {
        let seconds = |range: Range, window: i64| range.step_us(window * 1_000_000) / 1_000_000;
        let by_default = Range::ALL.map(|range| seconds(range, 10));
        assert_eq!(by_default, [10, 10, 60, 300]);
        for window in [1, 2, 7, 10, 60, 450, 3_600] {
            for range in Range::ALL {
                let step = seconds(range, window);
                assert_eq!(step % window, 0, "{range:?} of windows of {window} s");
                assert!(range.span_us() / 1_000_000 / step <= WINDOWS_MAX, "{range:?}, {window} s");
            }
        }
    }
}
