//! Moments as people write them on a command line.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A moment, microseconds since 1970 UTC: RFC 3339, a date and perhaps a time of UTC, or a time ago such as `2h`.
pub(super) fn moment(text: &str) -> Result<i64, String> {
    moment_at(text, Timestamp::now())
}

fn moment_at(text: &str, now: Timestamp) -> Result<i64, String> {
    let text = text.trim();
    let ago = text.strip_suffix("ago").unwrap_or(text).trim_end();
    if let Ok(span) = super::span(ago) {
        let span = SignedDuration::try_from(span).ok();
        let at = span.and_then(|span| now.checked_sub(span).ok());
        return at.map(Timestamp::as_microsecond).ok_or_else(|| expected(text));
    }
    let of_utc = |at: DateTime| at.to_zoned(TimeZone::UTC).map(|at| at.timestamp());
    let at = text
        .parse::<Timestamp>()
        .or_else(|_| text.parse::<DateTime>().and_then(of_utc))
        .or_else(|_| text.parse::<Date>().and_then(|day| of_utc(day.at(0, 0, 0, 0))));
    at.map(Timestamp::as_microsecond).map_err(|_| expected(text))
}

fn expected(text: &str) -> String {
    format!(
        "expected a time such as 2026-11-28T13:00:00Z, 2026-11-28 13:00, 2026-11-28, 2h or \"3d ago\", not {text:?}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_how_long_ago_it_was() {
        let now: Timestamp = "2026-11-28T13:00:00Z".parse().unwrap();
        let cases = [
            ("2026-11-28T12:30:00Z", "2026-11-28T12:30:00Z"),
            ("2026-11-28T13:30:00.5+01:00", "2026-11-28T12:30:00.5Z"),
            ("2026-11-28T12:30", "2026-11-28T12:30:00Z"),
            ("2026-11-28 12:30:01", "2026-11-28T12:30:01Z"),
            ("2026-11-28", "2026-11-28T00:00:00Z"),
            ("2h", "2026-11-28T11:00:00Z"),
            ("3d ago", "2026-11-25T13:00:00Z"),
            ("90m ago", "2026-11-28T11:30:00Z"),
        ];
        for (text, expected) in cases {
            let expected: Timestamp = expected.parse().unwrap();
            assert_eq!(moment_at(text, now), Ok(expected.as_microsecond()), "{text}");
        }
        for wrong in ["", "ago", "yesterday", "28.11.2026", "2026-13-01", "-2h", "999999999d"] {
            assert!(moment_at(wrong, now).is_err(), "{wrong}");
        }
    }
}
