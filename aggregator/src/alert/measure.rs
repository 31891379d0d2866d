//! One number out of the figures of a window, as an exact fraction.

use std::cmp::Ordering;

use super::decimal::{DIGITS, Decimal, ONE};
use super::threshold::Stat;
use crate::window::Figures;

/// An exact fraction: its denominator is above zero.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Measure {
    numerator: i128,
    denominator: i128,
}

impl Measure {
    /// The number that a statistic makes of the figures of a series of this scale.
    pub(super) fn of(stat: Stat, figures: Figures, scale: u8) -> Self {
        let unit = 10_i128.checked_pow(u32::from(scale)).unwrap_or(i128::MAX);
        let count = i128::from(figures.count);
        let (numerator, denominator) = match stat {
            Stat::Mean => (figures.sum, unit.saturating_mul(count.max(1))),
            Stat::Sum => (figures.sum, unit),
            Stat::Min => (i128::from(figures.min), unit),
            Stat::Max => (i128::from(figures.max), unit),
            Stat::Count => (count, 1),
        };
        Self { numerator, denominator }
    }

    /// How it stands to a limit, exactly.
    pub(super) fn compare(self, limit: Decimal) -> Ordering {
        let one = i128::try_from(ONE).unwrap_or(i128::MAX);
        fractions((self.numerator, self.denominator), (limit.parts(), one))
    }

    /// The nearest decimal, halves away from zero. Only for people: nothing is decided by it.
    pub(super) fn rounded(self) -> Decimal {
        let most = i128::MAX.unsigned_abs();
        let (number, divisor) = (self.numerator.unsigned_abs(), self.denominator.unsigned_abs());
        let (mut parts, mut rest) = ((number / divisor).saturating_mul(ONE), number % divisor);
        let mut place = ONE;
        for _ in 0..DIGITS {
            place /= 10;
            // Ten times the rest fits: a divisor is below 10^37.
            rest = rest.saturating_mul(10);
            parts = parts.saturating_add(rest / divisor * place);
            rest %= divisor;
        }
        parts = parts.saturating_add(u128::from(rest >= divisor - rest)).min(most);
        let parts = i128::try_from(parts).unwrap_or(i128::MAX);
        Decimal::from_parts(if self.numerator < 0 { -parts } else { parts })
    }
}

/// Compares two fractions by their whole parts, then by what is left turned over: no product, so
/// nothing overflows. Ends as Euclid's algorithm does.
fn fractions(mut left: (i128, i128), mut right: (i128, i128)) -> Ordering {
    let mut turned = false;
    loop {
        let wholes = left.0.div_euclid(left.1).cmp(&right.0.div_euclid(right.1));
        let rests = (left.0.rem_euclid(left.1), right.0.rem_euclid(right.1));
        let order = match (wholes, rests) {
            (Ordering::Equal, (0, 0)) => Ordering::Equal,
            (Ordering::Equal, (0, _)) => Ordering::Less,
            (Ordering::Equal, (_, 0)) => Ordering::Greater,
            (Ordering::Equal, (one, other)) => {
                (left, right) = ((left.1, one), (right.1, other));
                turned = !turned;
                continue;
            }
            (order, _) => order,
        };
        return if turned { order.reverse() } else { order };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn fractions_compare_as_their_cross_products(
            a in -(1_i128 << 60)..1 << 60, b in 1_i128..1 << 60,
            c in -(1_i128 << 60)..1 << 60, d in 1_i128..1 << 60,
        ) {
            prop_assert_eq!(fractions((a, b), (c, d)), (a * d).cmp(&(c * b)));
        }
    }

    #[test]
    fn a_mean_is_compared_exactly_where_floats_would_not_tell() {
        let figures = |sum: i128, count| Figures { sum, count, min: 0, max: 0 };
        let limit: Decimal = "0.7".parse().unwrap();
        let mean = |sum, count| Measure::of(Stat::Mean, figures(sum, count), 4).compare(limit);
        assert_eq!(mean(21_000, 3), Ordering::Equal);
        assert_eq!(mean(21_001, 3), Ordering::Greater);
        let many = 1_u64 << 62;
        let sum = i128::from(many) * 7_000;
        assert_eq!(mean(sum, many), Ordering::Equal);
        assert_eq!(mean(sum - 1, many), Ordering::Less);
        assert_eq!(mean(i128::MAX, u64::MAX), Ordering::Greater);
        assert_eq!(mean(i128::MIN, u64::MAX), Ordering::Less);
    }

    #[test]
    fn a_statistic_is_rounded_for_people() {
        let figures = Figures { sum: -20_000, count: 3, min: -9_000, max: 7 };
        let shown = |stat| Measure::of(stat, figures, 4).rounded().to_string();
        assert_eq!(shown(Stat::Mean), "-0.666666667");
        assert_eq!(shown(Stat::Min), "-0.9");
        assert_eq!(shown(Stat::Max), "0.0007");
        assert_eq!(shown(Stat::Sum), "-2");
        assert_eq!(shown(Stat::Count), "3");
        let most = Figures { sum: i128::MAX, count: u64::MAX, ..figures };
        assert_eq!(Measure::of(Stat::Mean, most, 18).rounded().to_string(), "9.223372037");
    }
}
