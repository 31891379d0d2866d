//! Words and numbers as pages show them. Source: CONSOLE page, section 4 (units) and P2 (states).

use std::time::Duration;

use crate::cli::output::units;
use crate::node::DeviceView;

/// A device that was heard of within this time is online: three intervals of the slowest usual sampler.
const FRESH_US: i64 = 30 * 1_000_000;
/// One that was not heard of for so long is offline.
const LOST_US: i64 = 15 * 60 * 1_000_000;

/// The state of a device.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum State {
    /// Two running hosts use its identity, and nobody has decided yet.
    Cloned,
    /// Is served, but opened too many epochs within a day: its host goes back again and again.
    Unstable,
    /// Has a session, and nothing came for more than 30 s.
    Stale,
    /// Has no session, or nothing came for more than 15 min.
    Offline,
    /// Nothing came of it yet.
    New,
    /// Has a session, and what it sends arrives.
    Online,
    /// Is refused.
    Revoked,
}

impl State {
    /// The state at a moment.
    pub(crate) fn of(device: &DeviceView, now_us: i64) -> Self {
        if device.revoked_at_us.is_some() {
            return Self::Revoked;
        }
        if device.cloned_at_us.is_some() {
            return Self::Cloned;
        }
        let Some(seen_us) = device.last_seen_us else { return Self::New };
        match (&device.session, now_us.saturating_sub(seen_us)) {
            (None, _) => Self::Offline,
            (Some(_), age) if age > LOST_US => Self::Offline,
            (Some(_), age) if age > FRESH_US => Self::Stale,
            (Some(session), _) if session.unstable => Self::Unstable,
            (Some(_), _) => Self::Online,
        }
    }

    /// As searches, classes and scripts write it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Offline => "offline",
            Self::New => "new",
            Self::Online => "online",
            Self::Revoked => "revoked",
            Self::Cloned => "cloned",
            Self::Unstable => "unstable",
        }
    }

    /// As people read it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Stale => "Stale",
            Self::Offline => "Offline",
            Self::New => "New",
            Self::Online => "Online",
            Self::Revoked => "Revoked",
            Self::Cloned => "Cloned",
            Self::Unstable => "Unstable",
        }
    }

    /// Whether figures of it are of the present.
    pub(crate) fn is_fresh(self) -> bool {
        matches!(self, Self::Online | Self::Unstable)
    }
}

/// A ratio in percent with one digit.
pub(crate) fn percent(ratio: f64) -> String {
    format!("{:.1}\u{202f}%", ratio * 100.0)
}

/// A size in binary units.
pub(crate) fn bytes(count: f64) -> String {
    scaled(count, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// Bytes per second in binary units.
pub(crate) fn rate(per_second: f64) -> String {
    format!("{}/s", bytes(per_second))
}

/// Bytes per second as bits, the way links are sold.
pub(crate) fn bits(bytes_per_second: f64) -> String {
    scaled(bytes_per_second * 8.0, 1000.0, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"])
}

/// A number with three digits or so.
pub(crate) fn three(number: f64) -> String {
    let digits = match number.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    format!("{number:.digits$}").replace('-', "\u{2212}")
}

fn scaled(number: f64, step: f64, names: &[&str]) -> String {
    let (mut number, mut unit) = (number, 0);
    while number.abs() >= step * 0.9995 && unit + 1 < names.len() {
        number /= step;
        unit += 1;
    }
    let text = if unit == 0 { format!("{number:.0}") } else { three(number) };
    format!("{text}\u{202f}{}", names[unit])
}

/// `14 s ago`; `in the future` for a clock that runs ahead.
pub(crate) fn ago(then_us: i64, now_us: i64) -> String {
    match u64::try_from(now_us.saturating_sub(then_us)) {
        Ok(age) if age < 1_000_000 => "just now".to_owned(),
        Ok(age) => format!("{} ago", units::duration(Duration::from_secs(age / 1_000_000))),
        Err(_) => "in the future".to_owned(),
    }
}

/// `2026-11-21 12:04:31Z`
pub(crate) fn stamp(micros: i64) -> String {
    units::time_to_second(micros).replacen('T', " ", 1)
}

/// `12:04:31`; a year that no calendar holds has no time of day.
pub(crate) fn clock(micros: i64) -> String {
    let time = jiff::Timestamp::from_second(micros.div_euclid(1_000_000));
    time.map_or_else(|_| "--:--:--".to_owned(), units::clock)
}

/// Bytes of a stranger as a text: controls as their pictures, marks that turn text around as their
/// numbers, what is not UTF-8 as its digits, at most so many bytes, and how many more there are.
pub(crate) fn plain_text(bytes: &[u8], bytes_max: usize) -> (String, usize) {
    let kept = &bytes[..bytes.len().min(bytes_max)];
    let mut text = String::with_capacity(kept.len());
    for chunk in kept.utf8_chunks() {
        chunk.valid().chars().for_each(|letter| push(letter, &mut text));
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    (text, bytes.len() - kept.len())
}

fn push(letter: char, text: &mut String) {
    match letter {
        '\t' => text.push('\t'),
        '\0'..='\u{1f}' => {
            text.push(char::from_u32(0x2400 + u32::from(letter)).expect("controls have pictures"));
        }
        '\u{7f}' => text.push('\u{2421}'),
        _ if letter.is_control() || turns(letter) => {
            text.push_str(&format!("\\u{{{:x}}}", u32::from(letter)));
        }
        _ => text.push(letter),
    }
}

/// As `cli::output::escape` has it: a line may lie with them in a browser just as well.
fn turns(letter: char) -> bool {
    crate::cli::output::escape::turns(letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_their_unit() {
        assert_eq!(percent(0.4567), "45.7\u{202f}%");
        assert_eq!(bytes(1.5 * 1024.0), "1.50\u{202f}KiB");
        assert_eq!(bytes(17.0), "17\u{202f}B");
        assert_eq!(rate(0.0), "0\u{202f}B/s");
        assert_eq!(bits(4_950_000.0), "39.6\u{202f}Mbit/s");
        assert_eq!(three(-1.234), "\u{2212}1.23");
    }

    #[test]
    fn what_commands_a_terminal_or_turns_text_is_shown_as_a_sign() {
        let (text, more) = plain_text(b"a\x1b[31m\0\r\n\tb\x7f\xff", 100);
        assert_eq!((text.as_str(), more), ("a␛[31m␀␍␊\tb␡\\xff", 0));
        let (text, _) = plain_text("exe\u{202e}gpj\u{9b}".as_bytes(), 100);
        assert_eq!(text, "exe\\u{202e}gpj\\u{9b}");
        let (text, more) = plain_text("äää".as_bytes(), 3);
        assert_eq!((text.as_str(), more), ("ä\\xc3", 3));
    }

    #[test]
    fn times_are_in_utc_and_a_year_that_no_calendar_holds_breaks_nothing() {
        assert_eq!(stamp(1_795_262_671_123_456), "2026-11-21 12:04:31Z");
        assert_eq!(clock(1_795_262_671_123_456), "12:04:31");
        assert_eq!(clock(i64::MAX), "--:--:--");
        assert_eq!(ago(0, 125_000_000), "2 min 5 s ago");
        assert_eq!(ago(i64::MAX, 0), "in the future");
    }
}
