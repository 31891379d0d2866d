//! Numbers as planes: all their lowest bytes, then all of the next ones, so that like stands beside like.
//!
//! How many planes there are (a byte), which of them nothing makes smaller (a byte, the lowest plane the lowest bit; they
//! stand apart from what is compressed), then the planes, one byte per number each.

use super::Packed;
use crate::codec::{DecodeError, Reader};

/// Bits of a byte at which compressing it is not worth the time.
const RAW_BITS: f64 = 7.9;

/// Numbers, and what they would take.
#[derive(Clone, Debug, Default)]
pub(super) struct Planes {
    planes: Vec<Vec<u8>>,
    raw: u8,
    /// About how many bits they take once they are compressed.
    pub(super) bits: f64,
}

impl Planes {
    pub(super) fn of(numbers: &[u64]) -> Self {
        let all = numbers.iter().fold(0, |all, number| all | number);
        let width = (64 - all.leading_zeros()).div_ceil(8);
        let mut planes = Self::default();
        for at in 0..width {
            let byte = |number: &u64| (number >> (8 * at)).to_le_bytes()[0];
            let plane: Vec<u8> = numbers.iter().map(byte).collect();
            let (bits, is_raw) = entropy(&plane);
            planes.bits += bits;
            planes.raw |= u8::from(is_raw) << at;
            planes.planes.push(plane);
        }
        planes
    }

    pub(super) fn put(&self, fields: &mut Vec<u8>, packed: &mut Packed) {
        fields.push(u8::try_from(self.planes.len()).expect("a number has at most 8 bytes"));
        fields.push(self.raw);
        for (at, plane) in self.planes.iter().enumerate() {
            let out = if self.raw & 1 << at == 0 { &mut packed.values } else { &mut packed.raw };
            out.extend_from_slice(plane);
        }
    }
}

/// Bits of a plane, and whether it should stay as it is.
#[expect(clippy::cast_precision_loss, reason = "at most four million bytes")]
fn entropy(plane: &[u8]) -> (f64, bool) {
    let mut counts = [0_u32; 256];
    plane.iter().for_each(|byte| counts[usize::from(*byte)] += 1);
    let all = plane.len() as f64;
    let there = counts.iter().filter(|count| **count > 0);
    let bits: f64 = there.map(|count| f64::from(*count) * (all / f64::from(*count)).log2()).sum();
    if plane.len() >= 1024 {
        return (bits, bits >= RAW_BITS * all);
    }
    // Few bytes tell little: they are taken for random where as many differ as of random ones.
    let differ = counts.iter().filter(|count| **count > 0).count() as f64;
    let expected = 256.0 * (1.0 - (-all / 256.0).exp());
    let is_random = plane.len() >= 12 && differ >= 0.9 * expected;
    (if is_random { 8.0 * all } else { bits }, is_random)
}

/// Planes that are read.
#[derive(Clone, Debug, Default)]
pub(super) struct Read<'a> {
    planes: [&'a [u8]; 8],
    width: usize,
}

/// Where planes are read from.
#[derive(Debug)]
pub(super) struct Streams<'a> {
    pub(super) values: Reader<'a>,
    pub(super) raw: Reader<'a>,
    /// Whether bases of numbers and texts stand among the values.
    pub(super) is_apart: bool,
}

impl<'a> Streams<'a> {
    /// Where bases of numbers and texts stand.
    pub(super) fn varying<'s>(&'s mut self, fields: &'s mut Reader<'a>) -> &'s mut Reader<'a> {
        if self.is_apart { &mut self.values } else { fields }
    }
}

impl<'a> Read<'a> {
    /// Takes the planes of `count` numbers.
    ///
    /// # Errors
    /// For every malformed input.
    pub(super) fn take(
        fields: &mut Reader<'a>,
        streams: &mut Streams<'a>,
        count: usize,
    ) -> Result<Self, DecodeError> {
        let width = fields.length("planes", 8)?;
        let raw = fields.u8("raw planes")?;
        let mut planes = [&[][..]; 8];
        for (at, plane) in planes.iter_mut().enumerate().take(width) {
            let stream = if raw & 1 << at == 0 { &mut streams.values } else { &mut streams.raw };
            *plane = stream.take("plane", count)?;
        }
        Ok(Self { planes, width })
    }

    /// A number by its place, which is below their count.
    pub(super) fn get(&self, at: usize) -> u64 {
        let planes = self.planes[..self.width].iter().rev();
        planes.fold(0, |number, plane| number << 8 | u64::from(plane[at]))
    }
}
