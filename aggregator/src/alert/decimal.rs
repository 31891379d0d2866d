//! Decimal numbers as people write them, kept exactly.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A decimal number of at most nine digits after the point. As bytes it is its text.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Decimal(i128);

/// Why a text is no decimal number.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecimalError {
    /// It is not one, or not a finite one.
    #[error("a decimal number")]
    NotANumber,
    /// It has more digits after the point.
    #[error("at most {DIGITS} digits after the point")]
    TooFine,
    /// It has more digits before the point.
    #[error("at most {WHOLE_DIGITS_MAX} digits before the point")]
    TooLarge,
}

impl Decimal {
    /// The number of so many parts in 10^9.
    #[must_use]
    pub(crate) fn from_parts(parts: i128) -> Self {
        Self(parts)
    }

    /// How many parts in 10^9 it has.
    #[must_use]
    pub(crate) fn parts(self) -> i128 {
        self.0
    }
}

impl FromStr for Decimal {
    type Err = DecimalError;

    fn from_str(text: &str) -> Result<Self, DecimalError> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                (mantissa, exponent.parse::<i32>().map_err(|_| DecimalError::NotANumber)?)
            }
            None => (text, 0),
        };
        let (sign, digits) = match mantissa.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, mantissa.strip_prefix('+').unwrap_or(mantissa)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || digits.ends_with('.') || !plain(whole) || !plain(fraction) {
            return Err(DecimalError::NotANumber);
        }
        let fraction = fraction.trim_end_matches('0');
        let all = format!("{whole}{fraction}");
        let all = all.trim_start_matches('0');
        if all.is_empty() {
            return Ok(Self(0));
        }
        let length = |part: &str| i32::try_from(part.len()).map_err(|_| DecimalError::TooLarge);
        let shift = exponent.saturating_sub(length(fraction)?);
        // A zero at the end needs no place after the point.
        let significant = all.trim_end_matches('0');
        let zeros = length(all)? - length(significant)?;
        if shift.saturating_add(zeros) < -i32::from(DIGITS) {
            return Err(DecimalError::TooFine);
        }
        if length(all)?.saturating_add(shift) > WHOLE_DIGITS_MAX {
            return Err(DecimalError::TooLarge);
        }
        let power = u32::try_from(shift + zeros + i32::from(DIGITS)).unwrap_or_default();
        let number: i128 = significant.parse().map_err(|_| DecimalError::TooLarge)?;
        let parts = 10_i128.checked_pow(power).and_then(|unit| number.checked_mul(unit));
        parts.map(|parts| Self(sign * parts)).ok_or(DecimalError::TooLarge)
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, fraction) = (self.0.unsigned_abs() / ONE, self.0.unsigned_abs() % ONE);
        if fraction == 0 {
            return write!(out, "{sign}{whole}");
        }
        let fraction = format!("{fraction:09}");
        write!(out, "{sign}{whole}.{}", fraction.trim_end_matches('0'))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // What was computed may be longer than what may be written.
        let (text, sign) = text.strip_prefix('-').map_or((text.as_str(), 1), |text| (text, -1));
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let parts = format!("{whole}{fraction:0<9}").parse::<i128>().ok();
        let fits = fraction.len() <= usize::from(DIGITS);
        parts
            .filter(|_| fits)
            .map(|parts| Self(sign * parts))
            .ok_or_else(|| serde::de::Error::custom(DecimalError::NotANumber))
    }
}

/// Digits after the point: a part in 10^9 is finer than any sample's scale in use.
pub(crate) const DIGITS: u8 = 9;
/// Digits before the point that a limit may have: 10^24 bytes are a million times the largest disk array, and
/// with nine digits more it leaves room in 128 bits.
const WHOLE_DIGITS_MAX: i32 = 24;
/// Parts of 1.
pub(crate) const ONE: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_as_they_are_written() {
        let cases = [
            ("0.70", "0.7", 700_000_000),
            ("-0.000000001", "-0.000000001", -1),
            ("1e9", "1000000000", 1_000_000_000_000_000_000),
            ("85", "85", 85_000_000_000),
            ("+1.5E-3", "0.0015", 1_500_000),
            ("0.10000000000", "0.1", 100_000_000),
            ("10e-10", "0.000000001", 1),
            ("-0", "0", 0),
        ];
        for (text, shown, parts) in cases {
            let number: Decimal = text.parse().unwrap();
            assert_eq!((number.parts(), number.to_string().as_str()), (parts, shown), "{text}");
            let bytes = rmp_serde::to_vec(&number).unwrap();
            assert_eq!(rmp_serde::from_slice::<Decimal>(&bytes).unwrap(), number);
        }
    }

    #[test]
    fn what_is_no_number_or_too_long_is_refused() {
        use DecimalError::{NotANumber, TooFine, TooLarge};
        let cases = [
            ("", NotANumber),
            ("nan", NotANumber),
            ("-inf", NotANumber),
            ("0x10", NotANumber),
            ("1.", NotANumber),
            (".5", NotANumber),
            ("1e", NotANumber),
            ("1_0", NotANumber),
            ("0.0000000001", TooFine),
            ("1e-2147483648", TooFine),
            ("1e24", TooLarge),
            ("1e2147483647", TooLarge),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Decimal>(), Err(error), "{text}");
        }
    }

    #[test]
    fn the_largest_computed_number_comes_back() {
        for parts in [i128::MAX, i128::MIN + 1, 0, -5] {
            let bytes = rmp_serde::to_vec(&Decimal(parts)).unwrap();
            assert_eq!(rmp_serde::from_slice::<Decimal>(&bytes).unwrap(), Decimal(parts));
        }
    }
}
