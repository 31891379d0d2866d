//! How the values behind some figures are spread, as far as it is kept: what quantiles are read from.

use headwater_protocol::codec::{DecodeError, Reader};

use super::Figures;
use super::sketch::{Sketch, bucket};

/// How values are spread.
///
/// Most rows need no sketch of their own: of up to three values, and of values of one bucket, the figures tell it all.
/// Which of the two it is follows from the figures alone, so equal values have equal bytes however they were merged.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Spread {
    /// Not kept: the combination is none of those that quantiles are kept of.
    #[default]
    Unknown,
    /// The figures tell it.
    Told,
    /// Counted in buckets.
    Sketched(Box<Sketch>),
}

/// A share of the values that a quantile does not exceed, in millionths: 950,000 is p95.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Quantile(u32);

/// Millionths in a whole.
const WHOLE: u32 = 1_000_000;

/// Whether figures say how their values are spread.
fn are_telling(figures: Figures) -> bool {
    figures.count <= 3 || bucket(figures.min) == bucket(figures.max)
}

/// The values of telling figures, in order, each with how often it is there.
fn told(figures: Figures) -> impl Iterator<Item = (i64, u64)> {
    let Figures { sum, count, min, max } = figures;
    let between = sum.saturating_sub(i128::from(min)).saturating_sub(i128::from(max));
    let between = i64::try_from(between).unwrap_or(min).clamp(min, max);
    let values = match count {
        0 | 1 => [(min, count), (min, 0), (max, 0)],
        2 => [(min, 1), (min, 0), (max, 1)],
        3 => [(min, 1), (between, 1), (max, 1)],
        // Of one bucket: halfway between its ends is half as far off as either.
        _ => [(min, 1), (min + max.saturating_sub(min) / 2, count - 2), (max, 1)],
    };
    values.into_iter().filter(|(_, count)| *count > 0)
}

impl Spread {
    /// Whether it is kept.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown)
    }

    /// As it is read: figures that tell it do so whether it is kept or not.
    #[must_use]
    pub fn or_told_by(self, of: Figures) -> Self {
        if are_telling(of) { Self::Told } else { self }
    }

    /// Adds the values behind other figures; `of` are the figures so far.
    pub fn add(&mut self, of: Figures, other: &Self, of_other: Figures) {
        match other {
            Self::Unknown => *self = Self::Unknown,
            Self::Told => self.count(of, None, of_other),
            Self::Sketched(sketch) => self.count(of, Some(sketch), of_other),
        }
    }

    /// Adds the values behind other figures, those of their sketch where they don't tell them.
    pub(super) fn count(&mut self, of: Figures, other: Option<&Sketch>, of_other: Figures) {
        if matches!(self, Self::Told) {
            if are_telling(of.plus(of_other)) {
                return;
            }
            *self = Self::Sketched(Box::new(sketch_of(of)));
        }
        let Self::Sketched(sum) = self else { return };
        match other {
            Some(sketch) => sum.merge(sketch),
            None => told(of_other).for_each(|(value, count)| sum.add(bucket(value), count)),
        }
    }

    /// Of values whose figures don't tell them there is a sketch.
    pub(super) fn of(sketch: Option<&Sketch>) -> Self {
        sketch.map_or(Self::Told, |sketch| Self::Sketched(Box::new(sketch.clone())))
    }

    /// Buckets that are held.
    #[must_use]
    pub fn buckets(&self) -> usize {
        match self {
            Self::Unknown | Self::Told => 0,
            Self::Sketched(sketch) => sketch.len(),
        }
    }

    /// A quantile of the values behind the figures: exact for up to three of them and at both ends, else within 0.8 %.
    /// `None` if it is not kept.
    #[must_use]
    pub fn quantile(&self, of: Figures, quantile: Quantile) -> Option<i64> {
        // The nearest rank: the smallest value that is not exceeded by that share of all.
        let share = u128::from(of.count) * u128::from(quantile.0);
        let rank = u64::try_from(share.div_ceil(u128::from(WHOLE))).ok()?.max(1);
        match self {
            Self::Unknown => None,
            Self::Told => {
                let mut below = 0;
                let found = told(of).find(|(_, count)| {
                    below += count;
                    below >= rank
                });
                found.map(|(value, _)| value)
            }
            Self::Sketched(_) if rank == 1 => Some(of.min),
            Self::Sketched(_) if rank >= of.count => Some(of.max),
            Self::Sketched(sketch) => Some(sketch.of_rank(rank).clamp(of.min, of.max)),
        }
    }

    /// Appends the bytes of one that is known: nothing where figures tell it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        if let Self::Sketched(sketch) = self {
            sketch.encode(out);
        }
    }

    /// Reads one that is known, of these figures.
    ///
    /// # Errors
    /// For every malformed input, and a sketch of other values.
    pub fn decode(of: Figures, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if are_telling(of) {
            return Ok(Self::Told);
        }
        let sketch = Sketch::decode(reader)?;
        let ends = Some((bucket(of.min), bucket(of.max)));
        if sketch.count() != of.count || sketch.ends() != ends {
            let (what, expected) = ("sketch", "one of the values of its figures");
            return Err(DecodeError::Value { what, value: sketch.count(), expected });
        }
        Ok(Self::Sketched(Box::new(sketch)))
    }
}

fn sketch_of(of: Figures) -> Sketch {
    let mut sketch = Sketch::default();
    told(of).for_each(|(value, count)| sketch.add(bucket(value), count));
    sketch
}

impl std::fmt::Display for Quantile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        let rest = format!("{rest:04}");
        match rest.trim_end_matches('0') {
            "" => write!(f, "p{whole}"),
            rest => write!(f, "p{whole}.{rest}"),
        }
    }
}

impl std::str::FromStr for Quantile {
    type Err = NoQuantile;

    /// Of `p50`, `p99.9`, with at most four digits after the point.
    fn from_str(text: &str) -> Result<Self, NoQuantile> {
        let digits = text.strip_prefix('p').ok_or(NoQuantile)?;
        let (whole, rest) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit());
        if !is_number(whole) || !is_number(rest) || whole.len() > 3 || rest.len() > 4 {
            return Err(NoQuantile);
        }
        let whole: u32 = whole.parse().map_err(|_| NoQuantile)?;
        let rest: u32 = format!("{rest:0<4}").parse().map_err(|_| NoQuantile)?;
        Some(Self(whole * 10_000 + rest)).filter(|it| it.0 <= WHOLE).ok_or(NoQuantile)
    }
}

/// What was written is no quantile.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected p0 to p100, as in p50 or p99.9")]
pub struct NoQuantile;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(values: &[i64]) -> (Figures, Spread) {
        let one = |value: &i64| (Figures::of(*value), Spread::Told);
        values.iter().map(one).reduce(plus).unwrap()
    }

    fn plus(mut one: (Figures, Spread), other: (Figures, Spread)) -> (Figures, Spread) {
        one.1.add(one.0, &other.1, other.0);
        (one.0.plus(other.0), one.1)
    }

    proptest! {
        #[test]
        fn any_tree_gives_the_same_spread_and_it_comes_back(
            values in prop::collection::vec(prop_oneof![0_i64..300, any::<i64>()], 1..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = row(&values);
            let cut = cut.index(values.len());
            if cut > 0 {
                let (head, tail) = values.split_at(cut);
                prop_assert_eq!(&plus(row(tail), row(head)), &whole);
            }
            let mut bytes = Vec::new();
            whole.1.encode(&mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(Spread::decode(whole.0, &mut reader), Ok(whole.1));
            prop_assert_eq!(reader.left(), 0);
        }

        #[test]
        fn a_quantile_is_the_value_of_the_nearest_rank(
            mut values in prop_oneof![
                prop::collection::vec(-50_000_i64..50_000, 1..60),
                prop::collection::vec(250_i64..270, 1..60),
                prop::collection::vec(-270_i64..-256, 1..60),
            ],
            millionths in 0..=WHOLE,
        ) {
            let (figures, spread) = row(&values);
            values.sort_unstable();
            let share = values.len() as u64 * u64::from(millionths);
            let rank = usize::try_from(share.div_ceil(u64::from(WHOLE))).unwrap().max(1);
            let expected = values[rank - 1];
            let found = spread.quantile(figures, Quantile(millionths)).unwrap();
            prop_assert!(found.abs_diff(expected) <= expected.unsigned_abs() / 127, "{found} for {expected}");
            if values.len() <= 3 {
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn values_of_one_bucket_are_told_by_what_lies_halfway() {
        let values = [260, 260, 260, 262, 262, 263, 263];
        let (figures, spread) = row(&values);
        assert_eq!(spread, Spread::Told);
        let quantiles = ["p0", "p50", "p80", "p100"].map(|text| text.parse().unwrap());
        let told = quantiles.map(|quantile| spread.quantile(figures, quantile));
        assert_eq!(told, [260, 261, 261, 263].map(Some));
    }

    #[test]
    fn what_is_not_kept_of_one_part_is_not_known_of_the_sum() {
        let known = row(&[1, 5, 900, 17]);
        let unknown = (Figures::of(3), Spread::Unknown);
        for sum in [plus(known.clone(), unknown.clone()), plus(unknown, known)] {
            assert_eq!((sum.0.count, &sum.1), (5, &Spread::Unknown));
            assert_eq!(sum.1.quantile(sum.0, Quantile(500_000)), None);
        }
    }

    #[test]
    fn a_sketch_of_other_values_is_refused() {
        let (figures, spread) = row(&[1, 5, 900, 17]);
        let mut bytes = Vec::new();
        spread.encode(&mut bytes);
        for other in [
            Figures { count: 5, ..figures },
            Figures { min: 0, ..figures },
            Figures { max: 1_000, ..figures },
        ] {
            assert!(Spread::decode(other, &mut Reader::new(&bytes)).is_err(), "{other:?}");
        }
    }

    #[test]
    fn quantiles_are_written_as_people_do() {
        for (text, millionths) in
            [("p0", 0), ("p50", 500_000), ("p99.9", 999_000), ("p99.999", 999_990), ("p100", WHOLE)]
        {
            assert_eq!(text.parse(), Ok(Quantile(millionths)));
            assert_eq!(Quantile(millionths).to_string(), text);
        }
        for text in ["", "p", "95", "p101", "p1e1", "p5.", "p.5", "p-1", "p99.99999", "p0095"] {
            assert_eq!(text.parse::<Quantile>(), Err(NoQuantile), "{text}");
        }
    }
}
