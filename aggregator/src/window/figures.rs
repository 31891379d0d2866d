//! Exact figures of a number of samples of one series.

use headwater_protocol::codec::{DecodeError, Reader, put_varint};

/// Sum, count, smallest and largest of some values, each times ten to the power of the series' scale.
///
/// A sum holds 2^64 values of 64 bits: it cannot overflow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Figures {
    /// The sum of all values.
    pub sum: i128,
    /// How many there are: at least 1.
    pub count: u64,
    /// The smallest.
    pub min: i64,
    /// The largest.
    pub max: i64,
}

impl Figures {
    /// The figures of one value.
    #[must_use]
    pub fn of(value: i64) -> Self {
        Self { sum: i128::from(value), count: 1, min: value, max: value }
    }

    /// Both together. Neither order nor grouping changes the result.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            sum: self.sum.saturating_add(other.sum),
            count: self.count.saturating_add(other.count),
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }

    /// The average times ten to the power of `digits`, where the values have `scale` digits after the
    /// point: rounded to the nearest, halves away from zero. `None` if it does not fit.
    #[must_use]
    pub fn mean(self, scale: u8, digits: u8) -> Option<i128> {
        let count = i128::from(self.count);
        let (sum, count) = match digits.checked_sub(scale) {
            Some(more) => (self.sum.checked_mul(10_i128.checked_pow(u32::from(more))?)?, count),
            None => (self.sum, count.checked_mul(10_i128.checked_pow(u32::from(scale - digits))?)?),
        };
        if count == 0 {
            return None;
        }
        let (whole, rest) = (sum / count, sum % count);
        let half = rest.unsigned_abs() >= count.unsigned_abs().div_ceil(2);
        Some(if half { whole + sum.signum() } else { whole })
    }

    /// Appends the bytes.
    pub fn encode(self, out: &mut Vec<u8>) {
        put_varint(out, self.count);
        put_wide(out, self.sum);
        put_wide(out, i128::from(self.min));
        put_wide(out, i128::from(self.max) - i128::from(self.min));
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// For every malformed input.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let outside = |what| DecodeError::Value { what, value: 0, expected: "figures of samples" };
        let count = reader.varint("count")?;
        let sum = wide(reader, "sum")?;
        let min = i64::try_from(wide(reader, "min")?).map_err(|_| outside("min"))?;
        let spread = wide(reader, "max")?;
        let max = i128::from(min).checked_add(spread).and_then(|max| i64::try_from(max).ok());
        let max = max.filter(|max| *max >= min && count > 0).ok_or(outside("max"))?;
        Ok(Self { sum, count, min, max })
    }
}

/// A zigzag integer of 128 bits: most sums fit into the first seven bits of few bytes.
fn put_wide(out: &mut Vec<u8>, value: i128) {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 127).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

fn wide(reader: &mut Reader<'_>, what: &'static str) -> Result<i128, DecodeError> {
    let mut value = 0_u128;
    for shift in (0..128).step_by(7) {
        let byte = reader.u8(what)?;
        let part = u128::from(byte & 0x7f);
        if shift == 126 && part > 3 || shift > 0 && byte == 0 {
            let expected = "the shortest form of at most 128 bits";
            return Err(DecodeError::Value { what, value: u64::from(byte), expected });
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()));
        }
    }
    Err(DecodeError::Value { what, value: 0, expected: "at most 19 bytes" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(values: &[i64]) -> Figures {
        values.iter().map(|value| Figures::of(*value)).reduce(Figures::plus).unwrap()
    }

    #[test]
    fn an_average_is_rounded_to_the_nearest_digit_that_is_asked_for() {
        let cases = [
            (&[1, 2][..], 0, 0, 2),
            (&[1, 2], 0, 1, 15),
            (&[-1, -2], 0, 0, -2),
            (&[1, 1, 2], 0, 2, 133),
            (&[3_333, 3_334], 4, 2, 33),
            (&[i64::MAX, i64::MAX], 0, 0, i128::from(i64::MAX)),
            (&[i64::MIN, i64::MAX], 0, 0, -1),
        ];
        for (values, scale, digits, expected) in cases {
            assert_eq!(figures(values).mean(scale, digits), Some(expected), "{values:?}");
        }
    }

    #[test]
    fn any_grouping_gives_the_same_figures() {
        let values = [7, -3, i64::MAX, 0, i64::MIN, 12];
        let whole = figures(&values);
        for cut in 1..values.len() {
            let (head, tail) = values.split_at(cut);
            assert_eq!(figures(tail).plus(figures(head)), whole);
        }
    }

    #[test]
    fn figures_come_back_as_they_went_in_and_malformed_ones_are_refused() {
        let most = Figures { sum: i128::MAX, count: u64::MAX, min: i64::MIN, max: i64::MAX };
        let least = Figures { sum: i128::MIN, ..most };
        for figures in [most, least, Figures::of(0), Figures::of(-1), figures(&[1, 5, 900])] {
            let mut bytes = Vec::new();
            figures.encode(&mut bytes);
            assert_eq!(Figures::decode(&mut Reader::new(&bytes)), Ok(figures));
            for cut in 0..bytes.len() {
                assert!(Figures::decode(&mut Reader::new(&bytes[..cut])).is_err());
            }
        }
        assert!(Figures::decode(&mut Reader::new(&[0, 0, 0, 0])).is_err(), "of no sample");
        assert!(Figures::decode(&mut Reader::new(&[1, 0, 0, 1])).is_err(), "max below min");
    }
}
