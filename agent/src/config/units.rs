//! Sizes, durations and shares as people write them: `64MiB`, `250ms`, `5%`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ByteCount(pub u64);

impl ByteCount {
    /// So many KiB.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many MiB.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// So many GiB.
    #[must_use]
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// The plain number, the largest there is where this machine cannot address so many.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// A whole number and its unit; `None` for anything else, and for what exceeds 64 bits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let mut units = BINARY_UNITS.iter().chain(&DECIMAL_UNITS);
        let (_, factor) = units.find(|(name, _)| *name == unit)?;
        number.checked_mul(*factor).map(Self)
    }
}

impl fmt::Display for ByteCount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_largest(self.0, &BINARY_UNITS, out)
    }
}

/// Room that is to stay free on a filesystem.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Room {
    /// A share of its size, in percent.
    Percent(u8),
    /// So many bytes.
    Bytes(ByteCount),
}

impl Room {
    /// A percentage from 0 to 50, or bytes; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match split(text)? {
            (number, "%") => {
                u8::try_from(number).ok().filter(|percent| *percent <= 50).map(Self::Percent)
            }
            _ => ByteCount::parse(text).map(Self::Bytes),
        }
    }

    /// The bytes it comes to on a filesystem of a size.
    #[must_use]
    pub fn of(self, filesystem: ByteCount) -> ByteCount {
        match self {
            Self::Percent(percent) => ByteCount(filesystem.0 / 100 * u64::from(percent)),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// How many bytes may travel in a period.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    /// Bytes of each period.
    pub bytes: ByteCount,
    /// When they begin anew.
    pub period: Period,
}

/// A period of a budget. It begins with the hour or the day of UTC.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of the calendar")]
pub enum Period {
    Hour,
    Day,
}

impl Budget {
    /// Bytes, a slash and the period; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (bytes, period) = text.split_once('/')?;
        let (_, period) = PERIODS.iter().find(|(word, _)| *word == period.trim_start())?;
        Some(Self { bytes: ByteCount::parse(bytes.trim_end())?, period: *period })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As links are sold, where it comes out even.
        let is_decimal = self.bytes.0.is_multiple_of(1000);
        let units: &[Unit] = if is_decimal { &DECIMAL_UNITS } else { &BINARY_UNITS };
        write_largest(self.bytes.0, units, out)?;
        write!(out, "/{}", self.period.word())
    }
}

impl Period {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        PERIODS.iter().find(|(_, period)| *period == self).map_or("day", |(word, _)| word)
    }

    /// How long it is.
    #[must_use]
    pub fn length(self) -> Duration {
        match self {
            Self::Hour => Duration::from_secs(3_600),
            Self::Day => Duration::from_secs(86_400),
        }
    }
}

/// A duration as it is written: a whole number and `ms`, `s`, `m`, `h` or `d`; `None` for anything else.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let (_, factor) = TIME_UNITS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor).map(Duration::from_millis)
}

/// The duration in the largest unit that needs no fraction.
pub(super) struct Written(pub(super) Duration);

impl fmt::Display for Written {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        write_largest(millis, &TIME_UNITS, out)
    }
}

/// The words for the periods of a budget.
const PERIODS: [(&str, Period); 2] = [("hour", Period::Hour), ("day", Period::Day)];
/// A name and its factor.
type Unit = (&'static str, u64);

/// Largest first, so that the first one that divides a number is the one to print it in.
const BINARY_UNITS: [Unit; 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const DECIMAL_UNITS: [Unit; 4] =
    [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
const TIME_UNITS: [Unit; 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A whole number and what follows it, which may be parted by spaces.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start_matches(' ')))
}

fn write_largest(number: u64, units: &[Unit], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fits = |(_, factor): &&Unit| number != 0 && number.is_multiple_of(*factor);
    let (unit, factor) = units.iter().find(fits).or(units.last()).copied().unwrap_or(("", 1));
    write!(out, "{}{unit}", number / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_binary_and_decimal_units_and_nothing_else() {
        let cases = [
            ("64MiB", Some(64 << 20)),
            ("64 MiB", Some(64 << 20)),
            ("2GB", Some(2_000_000_000)),
            ("0B", Some(0)),
            ("12", None),
            ("", None),
            ("MiB", None),
            ("-1MiB", None),
            ("1.5GiB", None),
            ("64mib", None),
            ("64MiBs", None),
            ("10s", None),
            ("99999999999TiB", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(ByteCount::parse(text), bytes.map(ByteCount), "{text}");
        }
    }

    #[test]
    fn durations_are_read_with_their_unit() {
        let cases = [
            ("250ms", Some(250)),
            ("10s", Some(10_000)),
            ("10m", Some(600_000)),
            ("1h", Some(3_600_000)),
            ("2d", Some(172_800_000)),
            ("10", None),
            ("10sec", None),
            ("s", None),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_budget_is_bytes_of_a_period() {
        let day = |bytes| Some(Budget { bytes: ByteCount(bytes), period: Period::Day });
        let hour = |bytes| Some(Budget { bytes: ByteCount(bytes), period: Period::Hour });
        let cases = [
            ("50MB/day", day(50_000_000)),
            ("2MB/hour", hour(2_000_000)),
            ("1 GiB / day", day(1 << 30)),
            ("50MB", None),
            ("50/day", None),
            ("50MB/month", None),
            ("50MB/day/day", None),
            ("/day", None),
        ];
        for (text, budget) in cases {
            assert_eq!(Budget::parse(text), budget, "{text}");
            let printed = budget.map(|budget| budget.to_string());
            assert_eq!(printed.as_deref().and_then(Budget::parse), budget, "{printed:?}");
        }
        assert_eq!(day(50_000_000).unwrap().to_string(), "50MB/day");
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for bytes in [1, 1023, 1024, 511 << 10, 64 << 20, 3_000_000, 1 << 40] {
            let text = ByteCount(bytes).to_string();
            assert_eq!(ByteCount::parse(&text), Some(ByteCount(bytes)), "{text}");
        }
        for millis in [1, 250, 1_000, 1_500, 90_000, 86_400_000] {
            let text = Written(Duration::from_millis(millis)).to_string();
            assert_eq!(parse_duration(&text), Some(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(ByteCount(0).to_string(), "0B");
    }

    #[test]
    fn room_is_a_share_or_a_size() {
        assert_eq!(Room::parse("5%"), Some(Room::Percent(5)));
        assert_eq!(Room::parse("51%"), None);
        assert_eq!(Room::parse("1GiB"), Some(Room::Bytes(ByteCount::gib(1))));
        assert_eq!(Room::Percent(5).of(ByteCount(1_000)), ByteCount(50));
    }
}
