//! How values are spread: counts by buckets whose width is a share of their values, so that any quantile is within
//! 0.8 %. Sums of counts: neither order nor grouping of merges changes a bit.
//!
//! Buckets are cut by the value's leading bits alone (64 to each power of two, after HdrHistogram; every whole number up to
//! 127 has its own), so no logarithm is taken and every machine cuts alike.

use std::ops::RangeInclusive;

use headwater_protocol::codec::{DecodeError, Reader, put_varint};

/// Counts by buckets, in order of values. At most `BUCKETS_MAX` of 8 bytes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sketch {
    /// The bucket in the upper 16 bits, from `BIAS` on, and its count in the lower 48.
    words: Vec<u64>,
}

/// The number of a bucket: negative for negative values.
pub(super) type Bucket = i16;

/// Leading bits of a value behind its first, by which its bucket is known.
const BITS: u32 = 6;
/// Buckets of one power of two.
const PER_POWER: u64 = 1 << BITS;
/// Those of the largest magnitude, 2^63, on either side of 0: 58 KiB of memory.
pub(super) const BUCKETS_MAX: usize = 2 * 3_712 + 1;
/// The sign of a bucket's number is turned, so that words are in order of values.
const BIAS: u64 = 1 << 15;
const COUNT_BITS: u32 = 48;
/// The largest count of a bucket: a million samples a second for nine years.
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

/// The bucket that a value belongs to.
pub(super) fn bucket(value: i64) -> Bucket {
    let size = value.unsigned_abs();
    let number = if size < PER_POWER {
        size
    } else {
        let shift = size.ilog2() - BITS;
        u64::from(shift) * PER_POWER + (size >> shift)
    };
    let number = Bucket::try_from(number).expect("the largest magnitude has bucket 3,712");
    if value < 0 { -number } else { number }
}

/// The values of a bucket, the nearest to 0 first.
fn sizes(bucket: Bucket) -> RangeInclusive<u64> {
    let number = u64::from(bucket.unsigned_abs());
    if number < 2 * PER_POWER {
        return number..=number;
    }
    let shift = number / PER_POWER - 1;
    let least = (PER_POWER + number % PER_POWER) << shift;
    least..=least + ((1 << shift) - 1)
}

/// The value in the middle of a bucket.
fn middle(bucket: Bucket) -> i64 {
    let (least, most) = sizes(bucket).into_inner();
    let size = least + (most - least) / 2;
    if bucket < 0 {
        0_i64.saturating_sub_unsigned(size)
    } else {
        i64::try_from(size).unwrap_or(i64::MAX)
    }
}

impl Sketch {
    /// Buckets that have a count.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there is no count in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Counts more values of a bucket.
    pub(super) fn add(&mut self, bucket: Bucket, count: u64) {
        let at = match self.words.last() {
            Some(last) if bucket_of(*last) < bucket => Err(self.words.len()),
            _ => self.words.binary_search_by_key(&bucket, |word| bucket_of(*word)),
        };
        match at {
            Ok(at) => self.words[at] = word(bucket, count_of(self.words[at]).saturating_add(count)),
            Err(at) => self.words.insert(at, word(bucket, count)),
        }
    }

    /// Counts what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        if other.len() * 8 < self.len() {
            other.iter().for_each(|(bucket, count)| self.add(bucket, count));
            return;
        }
        let mut merged = Vec::with_capacity(self.words.len() + other.words.len());
        let (mut ours, mut theirs) = (self.words.as_slice(), other.words.as_slice());
        while let ([our, ours_after @ ..], [their, theirs_after @ ..]) = (ours, theirs) {
            let (one, other) = (bucket_of(*our), bucket_of(*their));
            merged.push(match one.cmp(&other) {
                std::cmp::Ordering::Less => *our,
                std::cmp::Ordering::Greater => *their,
                std::cmp::Ordering::Equal => word(one, count_of(*our) + count_of(*their)),
            });
            if one <= other {
                ours = ours_after;
            }
            if other <= one {
                theirs = theirs_after;
            }
        }
        merged.extend_from_slice(ours);
        merged.extend_from_slice(theirs);
        merged.shrink_to_fit();
        self.words = merged;
    }

    /// Values that were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.iter().fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// The value of a rank, the smallest being of rank 1: the middle of its bucket. 0 if there is none.
    #[must_use]
    pub fn of_rank(&self, rank: u64) -> i64 {
        let mut below = 0_u64;
        let found = self.iter().find(|(_, count)| {
            below = below.saturating_add(*count);
            below >= rank
        });
        found.or(self.iter().next_back()).map_or(0, |(bucket, _)| middle(bucket))
    }

    /// The first bucket and the last. `None` if there is no count in it.
    pub(super) fn ends(&self) -> Option<(Bucket, Bucket)> {
        Some((bucket_of(*self.words.first()?), bucket_of(*self.words.last()?)))
    }

    /// Appends the bytes: number of buckets, the first one, then of each its distance to the one before it and its count.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.words.len() as u64);
        let mut before = None;
        for (bucket, count) in self.iter() {
            let biased = biased(bucket);
            put_varint(out, before.map_or(biased, |before| biased - before));
            put_varint(out, count);
            before = Some(biased);
        }
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// For every malformed input.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut words = Vec::new();
        let mut biased = 0_u64;
        for at in 0..reader.length("buckets of a sketch", BUCKETS_MAX)? {
            let (step, count) =
                (reader.varint("bucket of a sketch")?, reader.varint("count of a bucket")?);
            let (what, expected) = ("bucket of a sketch", "buckets that have counts, in order");
            biased = biased.saturating_add(step);
            let is_known = biased.abs_diff(BIAS) <= (BUCKETS_MAX / 2) as u64;
            if !is_known || count == 0 || count > COUNT_MAX || at > 0 && step == 0 {
                return Err(DecodeError::Value { what, value: biased, expected });
            }
            words.push(biased << COUNT_BITS | count);
        }
        Ok(Self { words })
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = (Bucket, u64)> {
        self.words.iter().map(|word| (bucket_of(*word), count_of(*word)))
    }
}

fn word(bucket: Bucket, count: u64) -> u64 {
    biased(bucket) << COUNT_BITS | count.min(COUNT_MAX)
}

fn biased(bucket: Bucket) -> u64 {
    u64::from(bucket.cast_unsigned()) ^ BIAS
}

fn bucket_of(word: u64) -> Bucket {
    let biased = u16::try_from((word >> COUNT_BITS) ^ BIAS).expect("16 bits are left");
    biased.cast_signed()
}

fn count_of(word: u64) -> u64 {
    word & COUNT_MAX
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(values: &[i64]) -> Sketch {
        let mut sketch = Sketch::default();
        values.iter().for_each(|value| sketch.add(bucket(*value), 1));
        sketch
    }

    /// Values of all sizes, most of them small.
    fn values() -> impl Strategy<Value = Vec<i64>> {
        let value = (any::<i64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift);
        prop::collection::vec(value, 0..200)
    }

    proptest! {
        #[test]
        fn any_tree_of_merges_gives_the_same_bytes(values in values(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
            let mut whole = Vec::new();
            sketch(&values).encode(&mut whole);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(values.len() + 1)).collect();
            cuts.extend([0, values.len()]);
            cuts.sort_unstable();
            let parts: Vec<Sketch> = cuts.windows(2).map(|cut| sketch(&values[cut[0]..cut[1]])).collect();
            let (mut forth, mut back) = (Sketch::default(), Sketch::default());
            parts.iter().for_each(|part| forth.merge(part));
            parts.iter().rev().for_each(|part| back.merge(part));
            for merged in [forth, back] {
                let mut bytes = Vec::new();
                merged.encode(&mut bytes);
                prop_assert_eq!(&bytes, &whole);
            }
        }

        #[test]
        fn the_value_of_every_rank_is_within_a_hundred_and_twentieth(mut values in values()) {
            let sketch = sketch(&values);
            values.sort_unstable();
            for (rank, value) in (1..).zip(&values) {
                let found = sketch.of_rank(rank);
                let off = found.abs_diff(*value);
                prop_assert!(off <= value.unsigned_abs() / 127, "{found} for {value}");
            }
            prop_assert_eq!(sketch.count(), values.len() as u64);
        }

        #[test]
        fn a_sketch_comes_back_and_a_cut_one_is_refused(values in values()) {
            let sketch = sketch(&values);
            let mut bytes = Vec::new();
            sketch.encode(&mut bytes);
            prop_assert_eq!(Sketch::decode(&mut Reader::new(&bytes)), Ok(sketch));
            for cut in 0..bytes.len() {
                prop_assert!(Sketch::decode(&mut Reader::new(&bytes[..cut])).is_err());
            }
        }
    }

    #[test]
    fn buckets_cover_every_value_once_and_in_order() {
        let mut edges = vec![0_i64, i64::MAX, i64::MIN, i64::MIN + 1];
        for power in 0..63 {
            edges.extend([-1, 0, 1].map(|off| (1_i64 << power) + off));
        }
        edges.extend(edges.clone().iter().map(|edge| edge.saturating_neg()));
        edges.sort_unstable();
        for pair in edges.windows(2) {
            assert!(bucket(pair[0]) <= bucket(pair[1]), "{pair:?}");
        }
        for edge in edges {
            assert!(sizes(bucket(edge)).contains(&edge.unsigned_abs()), "{edge}");
        }
        let most = BUCKETS_MAX as i64 / 2;
        assert_eq!((i64::from(bucket(i64::MIN)), i64::from(bucket(i64::MAX))), (-most, most - 1));
        for number in 0..Bucket::try_from(most).unwrap() {
            assert_eq!(*sizes(number).end() + 1, *sizes(number + 1).start(), "bucket {number}");
        }
    }

    #[test]
    fn malformed_sketches_are_refused() {
        let refused = |bytes: &[u8]| Sketch::decode(&mut Reader::new(bytes)).is_err();
        let mut far = vec![1];
        put_varint(&mut far, BIAS + 3_713);
        far.push(1);
        assert!(refused(&far), "a bucket that there is not");
        let mut twice = vec![2];
        put_varint(&mut twice, BIAS);
        twice.extend([1, 0, 1]);
        assert!(refused(&twice), "one bucket twice");
        twice[4] = 0;
        assert!(refused(&twice), "a bucket without a count");
    }
}
