//! Sizes, durations and shares as people write them: `64MiB`, `250ms`, `5%`.

use std::time::Duration;

use crate::limits::ByteCount;
use crate::log::MinFree;

/// A whole number and what follows it.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// A whole number and its unit; `None` for anything else, and for what exceeds 64 bits.
pub(super) fn bytes(text: &str) -> Option<ByteCount> {
    let (number, unit) = split(text)?;
    let factor: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return None,
    };
    number.checked_mul(factor).map(ByteCount)
}

/// A whole number and its unit; `None` for anything else.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds: u64 = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

/// A percentage from 0 to 50, or bytes; `None` for anything else.
pub(super) fn min_free(text: &str) -> Option<MinFree> {
    match split(text)? {
        (number @ 0..=50, "%") => u16::try_from(number * 100).ok().map(MinFree::Share),
        (_, "%") => None,
        _ => bytes(text).map(MinFree::Bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_with_their_units_and_never_without() {
        assert_eq!(bytes("8MiB"), Some(ByteCount(8 << 20)));
        assert_eq!(bytes("1 kB"), Some(ByteCount(1000)));
        assert_eq!(duration("2ms"), Some(Duration::from_millis(2)));
        assert_eq!(duration("30d"), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(min_free("5%"), Some(MinFree::Share(500)));
        assert_eq!(min_free("1GiB"), Some(MinFree::Bytes(ByteCount(1 << 30))));
        for text in ["", "8", "MiB", "-1s", "8mib", "51%", "99999999999999999999B", "20000000TiB"] {
            assert!(bytes(text).is_none() && duration(text).is_none(), "{text:?}");
            assert!(min_free(text).is_none(), "{text:?}");
        }
    }
}
