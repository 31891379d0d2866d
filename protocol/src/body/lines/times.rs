//! Times as people write them, told as numbers of their last digit.

use super::Packed;
use super::numbers::{Numbers, ReadNumbers};
use super::planes::Streams;
use crate::codec::{DecodeError, Reader};

/// The form of a time: `2026-11-21T08:00:00.125Z`, `21/Nov/2026:08:00:00`, `08:00:00`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Form {
    date: Date,
    /// Between date and time of day; 0 without a date.
    between: u8,
    /// Before the fraction; 0 without one.
    point: u8,
    /// Digits of the fraction.
    digits: u8,
    /// Whether `Z` follows.
    is_utc: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Date {
    None = 0,
    /// `2026-11-21`
    Dashed = 1,
    /// `21/Nov/2026`
    Slashed = 2,
}

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAY_SECONDS: i64 = 86_400;
/// Digits of a fraction: with more of them a date would not fit into 64 bits.
const DIGITS_MAX: usize = 6;

/// The form of a text and its number; `None` if it is no time, or would not come back as it is.
pub(super) fn parse(text: &[u8]) -> Option<(Form, i64)> {
    let (date, days, rest) = match text {
        [_, _, b':', ..] => (Date::None, 0, text),
        [_, _, _, _, b'-', ..] => {
            let (year, month) = (number(text.get(..4)?)?, number(text.get(5..7)?)?);
            let day = number(text.get(8..10)?)?;
            if text[7] != b'-' {
                return None;
            }
            (Date::Dashed, days_of(year, month, day)?, text.get(10..)?)
        }
        [_, _, b'/', ..] => {
            let (day, year) = (number(text.get(..2)?)?, number(text.get(7..11)?)?);
            let name = text.get(3..6)?;
            let month = MONTHS.iter().position(|month| month.as_slice() == name)?;
            if text[6] != b'/' {
                return None;
            }
            (Date::Slashed, days_of(year, month as i64 + 1, day)?, text.get(11..)?)
        }
        _ => return None,
    };
    let (between, rest) = match date {
        Date::None => (0, rest),
        Date::Dashed | Date::Slashed => {
            let (between, rest) = rest.split_first()?;
            (*between, rest)
        }
    };
    let of_day = rest.get(..8)?;
    if !matches!(between, 0 | b'T' | b' ' | b':') || of_day[2] != b':' || of_day[5] != b':' {
        return None;
    }
    let (hour, minute) = (number(&of_day[..2])?, number(&of_day[3..5])?);
    let second = number(&of_day[6..])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (rest, is_utc) = match rest[8..].strip_suffix(b"Z") {
        Some(rest) => (rest, true),
        None => (&rest[8..], false),
    };
    let (point, fraction) = match rest {
        [] => (0, 0),
        [point @ (b'.' | b','), digits @ ..] if (1..=DIGITS_MAX).contains(&digits.len()) => {
            (*point, number(digits)?)
        }
        _ => return None,
    };
    let digits = u8::try_from(rest.len().saturating_sub(1)).ok()?;
    let seconds = days * DAY_SECONDS + hour * 3_600 + minute * 60 + second;
    let form = Form { date, between, point, digits, is_utc };
    Some((form, seconds * 10_i64.pow(digits.into()) + fraction))
}

impl Form {
    pub(super) fn put(self, numbers: &Numbers, fields: &mut Vec<u8>, packed: &mut Packed) {
        let utc = u8::from(self.is_utc);
        fields.extend([self.date as u8, self.between, self.point, self.digits, utc]);
        numbers.put(fields, packed);
    }

    pub(super) fn take<'a>(
        fields: &mut Reader<'a>,
        streams: &mut Streams<'a>,
        count: usize,
    ) -> Result<(Self, ReadNumbers<'a>), DecodeError> {
        let [date, between, point, digits, utc] = fields.array("form of times")?;
        let date = match date {
            0 => Date::None,
            1 => Date::Dashed,
            2 => Date::Slashed,
            other => return Err(outside(other.into())),
        };
        if usize::from(digits) > DIGITS_MAX || utc > 1 {
            return Err(outside(digits.into()));
        }
        let form = Self { date, between, point, digits, is_utc: utc == 1 };
        Ok((form, ReadNumbers::take(fields, streams, count)?))
    }

    /// Appends the text of a number.
    ///
    /// # Errors
    /// For a number whose year has not four digits.
    pub(super) fn write(self, number: i64, out: &mut Vec<u8>) -> Result<(), DecodeError> {
        let unit = 10_i64.pow(self.digits.into());
        let (seconds, fraction) = (number.div_euclid(unit), number.rem_euclid(unit));
        let (days, of_day) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
        let mut text = Text::default();
        if self.date != Date::None {
            let (year, month, day) = date_of(days).ok_or(outside(days.cast_unsigned()))?;
            if self.date == Date::Dashed {
                text.digits(year, 4);
                text.put(b'-');
                text.digits(month, 2);
                text.put(b'-');
                text.digits(day, 2);
            } else {
                text.digits(day, 2);
                text.put(b'/');
                let name = MONTHS[usize::try_from(month - 1).unwrap_or_default()];
                name.iter().for_each(|letter| text.put(*letter));
                text.put(b'/');
                text.digits(year, 4);
            }
            text.put(self.between);
        }
        text.digits(of_day / 3_600, 2);
        text.put(b':');
        text.digits(of_day / 60 % 60, 2);
        text.put(b':');
        text.digits(of_day % 60, 2);
        if self.digits > 0 {
            text.put(self.point);
            text.digits(fraction, self.digits.into());
        }
        if self.is_utc {
            text.put(b'Z');
        }
        out.extend_from_slice(&text.bytes[..text.length]);
        Ok(())
    }
}

/// A number of digits alone; `None` for anything else.
fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

/// A text of a time, which has 28 bytes at most.
#[derive(Default)]
struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Text {
    fn put(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// The last `width` digits of a number that is not negative.
    #[expect(clippy::cast_sign_loss, reason = "a digit")]
    fn digits(&mut self, mut number: i64, width: usize) {
        for digit in self.bytes[self.length..][..width].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
        self.length += width;
    }
}

/// Days since 1970-01-01; `None` for a day that is not in the calendar.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin in March, so that the day which leaps is the last one.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Year, month and day; `None` where the year has not four digits.
fn date_of(days: i64) -> Option<(i64, i64, i64)> {
    if !(-719_528..=2_932_896).contains(&days) {
        return None;
    }
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    Some((year + era * 400 + next, month, day))
}

fn outside(value: u64) -> DecodeError {
    DecodeError::Value { what: "form of times", value, expected: "a time of the years 0 to 9999" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_day_of_ten_thousand_years_comes_back() {
        for days in -719_528..=2_932_896 {
            let (year, month, day) = date_of(days).expect("it is in range");
            assert_eq!(days_of(year, month, day), Some(days), "{year}-{month}-{day}");
        }
        assert_eq!(date_of(-719_529), None);
        assert_eq!(date_of(2_932_897), None);
        assert_eq!(date_of(0), Some((1970, 1, 1)));
    }

    #[test]
    fn what_is_a_time_comes_back_and_what_is_none_is_refused() {
        let times = [
            "2026-11-21T08:00:00.125Z",
            "2026-11-21 23:59:59,5",
            "0000-01-01T00:00:00",
            "9999-12-31T23:59:59.999999Z",
            "2024-02-29T00:00:00Z",
            "21/Nov/2026:08:00:00",
            "08:00:00",
            "08:00:00.000001",
        ];
        for text in times {
            let (form, number) = parse(text.as_bytes()).expect(text);
            let mut out = Vec::new();
            form.write(number, &mut out).expect("its year has four digits");
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
        let others = [
            "",
            "08:00",
            "24:00:00",
            "08:60:00",
            "08:00:60",
            "08:00:00.",
            "08:00:00Zx",
            "8:00:00",
            "2026-02-29T00:00:00",
            "2026-13-01T00:00:00",
            "2026-11-21x08:00:00",
            "2026-11-2108:00:00",
            "21/nov/2026:08:00:00",
            "21/Nov/2026 8:00:00",
            "08:00:00.1234567",
            "0a:00:00",
            "2026-11-21",
            "21/Nov/2026",
        ];
        for text in others {
            let parsed = parse(text.as_bytes());
            assert!(parsed.is_none(), "{text}: {parsed:?}");
        }
    }
}
