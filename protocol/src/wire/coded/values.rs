//! Values of a series, one after the other, by what is likely after those before.
//!
//! What is coded is how a value differs from the one before it or, where that was the better guess, from where
//! it would stand had it grown as before: whether at all, which way, the power of two that all differences are
//! multiples of (bytes are counted in pages), the length in bits, the highest two bits after the first by how
//! likely they are, the rest as they are. Measured on a host's samples of each second: half a byte a value.

use super::range::{Chance, Coder};

/// What is remembered of a series: some 170 bytes.
#[derive(Clone, Debug)]
pub(super) struct Model {
    last: i64,
    grown: i64,
    /// How far off each guess was lately: the value before, and growth as before. In 16ths of bits, over the
    /// last eight values.
    misses: [u32; 2],
    /// How far off the last guess was: not at all, a little, much.
    class: usize,
    /// All differences so far are multiples of two to this power.
    power: u32,
    is_other: [Chance; 3],
    is_less: Chance,
    is_finer: Chance,
    length: [Chance; 64],
}

/// The highest bits after the first, by the length: those of all series of a table are alike.
#[derive(Clone, Debug)]
pub(super) struct HighBits([Chance; 64]);

impl Default for HighBits {
    fn default() -> Self {
        Self([Chance::default(); 64])
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            last: 0,
            grown: 0,
            misses: [0; 2],
            class: 0,
            power: 63,
            is_other: [Chance::default(); 3],
            is_less: Chance::default(),
            is_finer: Chance::default(),
            length: [Chance::default(); 64],
        }
    }
}

/// Differences of at most so many bits are little ones.
const LITTLE_BITS: u32 = 6;

impl Model {
    /// Codes the next value, which a coder that reads does not need.
    pub(super) fn code(&mut self, coder: &mut impl Coder, high: &mut HighBits, value: i64) -> i64 {
        // A guess has to be better by a fifth before it is followed.
        let grows = u64::from(self.misses[1]) * 5 < u64::from(self.misses[0]) * 4;
        let expected = if grows { self.last.wrapping_add(self.grown) } else { self.last };
        let off = self.difference(coder, high, value.wrapping_sub(expected));
        let value = expected.wrapping_add(off);
        let grown = value.wrapping_sub(self.last);
        for (misses, off) in self.misses.iter_mut().zip([grown, grown.wrapping_sub(self.grown)]) {
            *misses = *misses - *misses / 8 + 16 * bits_of(off.unsigned_abs());
        }
        (self.last, self.grown) = (value, grown);
        value
    }

    fn difference(&mut self, coder: &mut impl Coder, high: &mut HighBits, by: i64) -> i64 {
        if !coder.bit(&mut self.is_other[self.class], by != 0) {
            self.class = 0;
            return 0;
        }
        let is_less = coder.bit(&mut self.is_less, by < 0);
        let zeros = by.unsigned_abs().trailing_zeros().min(63);
        if coder.bit(&mut self.is_finer, zeros < self.power) {
            self.power = u32::try_from(coder.number(6, u64::from(zeros))).unwrap_or(63);
        }
        let size = by.unsigned_abs() >> self.power;
        let length = 1 + coder.small(&mut self.length, bits_of(size).saturating_sub(1));
        self.class = if length <= LITTLE_BITS { 1 } else { 2 };
        let size = high.size(coder, length, size);
        // Bytes that nobody wrote may say more than fits: what comes of them fits no digest.
        let by = size.wrapping_shl(self.power).cast_signed();
        if is_less { by.wrapping_neg() } else { by }
    }
}

impl HighBits {
    /// A number of so many bits, 64 at most, of which the first is 1.
    fn size(&mut self, coder: &mut impl Coder, length: u32, size: u64) -> u64 {
        let mut read = 1;
        let mut left = length - 1;
        let row = 4 * length.min(15) as usize;
        let mut node = 1;
        for _ in 0..left.min(2) {
            left -= 1;
            let bit = coder.bit(&mut self.0[row + node], size >> left & 1 == 1);
            read = read << 1 | u64::from(bit);
            node = node << 1 | usize::from(bit);
        }
        if left == 0 { read } else { read << left | coder.number(left, size) }
    }
}

fn bits_of(number: u64) -> u32 {
    64 - number.leading_zeros()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::range::{Decoder, Encoder};
    use super::*;

    fn coded(values: &[i64]) -> Vec<u8> {
        let (mut model, mut high) = (Model::default(), HighBits::default());
        let mut encoder = Encoder::default();
        for value in values {
            assert_eq!(model.code(&mut encoder, &mut high, *value), *value);
        }
        encoder.finish()
    }

    fn read(bytes: &[u8], count: usize) -> Vec<i64> {
        let (mut model, mut high) = (Model::default(), HighBits::default());
        let mut decoder = Decoder::new(bytes);
        (0..count).map(|_| model.code(&mut decoder, &mut high, 0)).collect()
    }

    proptest! {
        #[test]
        fn values_come_back_as_they_were(
            values in proptest::collection::vec(prop_oneof![
                any::<i64>(), -100_i64..100, (-50_i64..50).prop_map(|it| it << 12), Just(i64::MIN)
            ], 0..200),
        ) {
            prop_assert_eq!(read(&coded(&values), values.len()), values);
        }

        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(read(&bytes, 300).len(), 300);
        }
    }

    #[test]
    fn a_clock_costs_nearly_nothing() {
        let values: Vec<i64> = (0..10_000).map(|at| 5_000 + 100 * at).collect();
        assert!(coded(&values).len() < 60, "{} bytes", coded(&values).len());
    }

    #[test]
    fn pages_cost_as_much_as_their_number() {
        let steps = (0..1000_i64).map(|at| at * 7919 % 61 - 30);
        let pages: Vec<i64> = steps.clone().map(|it| it << 12).collect();
        let (pages, plain) = (coded(&pages).len(), coded(&steps.collect::<Vec<_>>()).len());
        assert!(pages <= plain + 8, "{pages} and {plain} bytes");
    }
}
