//! A binary range coder with adaptive probabilities: what is likely costs a fraction of a bit.
//!
//! Both directions run the same code: a [`Coder`] is handed each bit, which one that reads ignores, and gives
//! the bit that stands there.

/// How likely a bit is 0, in 4,096ths, and how much was seen of it: it learns fast at first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Chance(u16);

const ONE: u16 = 1 << 12;
/// By which part of the way, as a power of two, a chance moves once much was seen.
const SLOWEST: u16 = 4;

impl Default for Chance {
    fn default() -> Self {
        Self((ONE / 2) << 4)
    }
}

impl Chance {
    fn of_zero(self) -> u32 {
        u32::from(self.0 >> 4)
    }

    fn learn(&mut self, bit: bool) {
        let (chance, seen) = (self.0 >> 4, self.0 & 15);
        let part = (seen + 1).min(SLOWEST);
        // Neither end is ever reached: the last steps are smaller than one.
        let chance =
            if bit { chance - (chance >> part) } else { chance + ((ONE - 1 - chance) >> part) };
        self.0 = chance << 4 | (seen + 1).min(SLOWEST);
    }
}

/// Writes bits or reads them.
pub(super) trait Coder {
    /// One bit, by its chance, which learns.
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> bool;

    /// One bit that is as likely as not.
    fn even(&mut self, bit: bool) -> bool;

    /// The lowest bits of a number, the highest first.
    fn number(&mut self, bits: u32, number: u64) -> u64 {
        (0..bits).rev().fold(0, |read, at| read << 1 | u64::from(self.even(number >> at & 1 == 1)))
    }

    /// A number below 64, by chances of which the first is not used.
    fn small(&mut self, chances: &mut [Chance; 64], number: u32) -> u32 {
        let mut node = 1;
        for at in (0..6).rev() {
            let bit = self.bit(&mut chances[node], number >> at & 1 == 1);
            node = node << 1 | usize::from(bit);
        }
        u32::try_from(node - 64).expect("six bits make a number below 64")
    }
}

/// Below it the range is widened by a byte.
const NARROW: u32 = 1 << 24;

/// Writes.
#[derive(Debug)]
pub(super) struct Encoder {
    low: u64,
    range: u32,
    /// Bytes that a carry may still change.
    held: u8,
    held_more: usize,
    out: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self { low: 0, range: u32::MAX, held: 0, held_more: 0, out: Vec::new() }
    }
}

impl Encoder {
    /// The bytes. Zeros at their end are left out: who reads beyond the end reads zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let high = self.low + u64::from(self.range) - 1;
        let rounded = |zeros: u32| (self.low + ((1 << zeros) - 1)) >> zeros << zeros;
        let shortest = (0..=32).rev().map(rounded).find(|low| *low <= high);
        self.low = shortest.unwrap_or(self.low);
        for _ in 0..5 {
            self.shift();
        }
        let end = self.out.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.out.truncate(end);
        // The first byte is what is before the point: always 0.
        self.out.drain(..end.min(1));
        self.out
    }

    fn widen(&mut self) {
        while self.range < NARROW {
            self.range <<= 8;
            self.shift();
        }
    }

    fn shift(&mut self) {
        let [_, _, _, byte, carry, ..] = self.low.to_le_bytes();
        if carry == 0 && byte == u8::MAX {
            self.held_more += 1;
        } else {
            self.out.push(self.held.wrapping_add(carry));
            let more = u8::MAX.wrapping_add(carry);
            self.out.extend(std::iter::repeat_n(more, self.held_more));
            (self.held, self.held_more) = (byte, 0);
        }
        self.low = (self.low & u64::from(NARROW - 1)) << 8;
    }
}

impl Coder for Encoder {
    fn bit(&mut self, chance: &mut Chance, bit: bool) -> bool {
        let bound = (self.range >> 12) * chance.of_zero();
        if bit {
            self.low += u64::from(bound);
            self.range -= bound;
        } else {
            self.range = bound;
        }
        chance.learn(bit);
        self.widen();
        bit
    }

    fn even(&mut self, bit: bool) -> bool {
        self.range >>= 1;
        if bit {
            self.low += u64::from(self.range);
        }
        self.widen();
        bit
    }
}

/// Reads. It never fails: beyond the end there are zeros.
#[derive(Debug)]
pub(super) struct Decoder<'a> {
    code: u32,
    range: u32,
    bytes: &'a [u8],
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { code: 0, range: u32::MAX, bytes };
        for _ in 0..4 {
            decoder.next();
        }
        decoder
    }

    fn next(&mut self) {
        let (byte, rest) = self.bytes.split_first().unwrap_or((&0, &[]));
        self.bytes = rest;
        self.code = self.code << 8 | u32::from(*byte);
    }

    fn widen(&mut self) {
        while self.range < NARROW {
            self.range <<= 8;
            self.next();
        }
    }
}

impl Coder for Decoder<'_> {
    fn bit(&mut self, chance: &mut Chance, _: bool) -> bool {
        let bound = (self.range >> 12) * chance.of_zero();
        let bit = self.code >= bound;
        if bit {
            self.code -= bound;
            self.range -= bound;
        } else {
            self.range = bound;
        }
        chance.learn(bit);
        self.widen();
        bit
    }

    fn even(&mut self, _: bool) -> bool {
        self.range >>= 1;
        let bit = self.code >= self.range;
        if bit {
            self.code -= self.range;
        }
        self.widen();
        bit
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_come_back_as_they_were_written(
            bits in proptest::collection::vec((0_usize..4, any::<bool>()), 0..600),
            likely in any::<bool>(),
        ) {
            let mut chances = [Chance::default(); 3];
            let mut encoder = Encoder::default();
            let bit = |place: usize, bit: bool| bit ^ (likely && place == 0);
            for (place, it) in &bits {
                match chances.get_mut(*place) {
                    Some(chance) => encoder.bit(chance, bit(*place, *it)),
                    None => encoder.even(*it),
                };
            }
            let bytes = encoder.finish();
            let mut chances = [Chance::default(); 3];
            let mut decoder = Decoder::new(&bytes);
            for (place, it) in &bits {
                let read = match chances.get_mut(*place) {
                    Some(chance) => decoder.bit(chance, false),
                    None => decoder.even(false),
                };
                prop_assert_eq!(read, if *place < 3 { bit(*place, *it) } else { *it });
            }
        }

        #[test]
        fn any_bytes_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut decoder = Decoder::new(&bytes);
            let mut chances = [Chance::default(); 64];
            for _ in 0..100 {
                prop_assert!(decoder.small(&mut chances, 0) < 64);
                decoder.number(64, 0);
            }
        }
    }

    #[test]
    fn what_always_holds_costs_nearly_nothing() {
        let (mut chance, mut encoder) = (Chance::default(), Encoder::default());
        for _ in 0..10_000 {
            encoder.bit(&mut chance, false);
        }
        assert!(encoder.finish().len() < 10, "10,000 bits that are all alike");
    }
}
