//! Whole numbers, by how far they are from the least of them or from the one before.

use super::Packed;
use super::planes::{Planes, Read, Streams};
use crate::codec::{DecodeError, Reader, put_zigzag};

const FROM_LEAST: u8 = 0;
const FROM_LAST: u8 = 1;

/// Numbers, ready to be written.
#[derive(Clone, Debug)]
pub(super) struct Numbers {
    kind: u8,
    base: i64,
    planes: Planes,
}

impl Numbers {
    /// Of one number at least.
    pub(super) fn of(numbers: &[i64]) -> Self {
        let least = numbers.iter().copied().min().unwrap_or_default();
        let above: Vec<u64> =
            numbers.iter().map(|number| number.wrapping_sub(least).cast_unsigned()).collect();
        let first = numbers.first().copied().unwrap_or_default();
        let mut last = first;
        let since = numbers.iter().map(|number| {
            let since = number.wrapping_sub(last);
            last = *number;
            ((since << 1) ^ (since >> 63)).cast_unsigned()
        });
        let since: Vec<u64> = since.collect();
        let (above, since) = (Planes::of(&above), Planes::of(&since));
        match since.bits < above.bits {
            true => Self { kind: FROM_LAST, base: first, planes: since },
            false => Self { kind: FROM_LEAST, base: least, planes: above },
        }
    }

    /// About how many bits they take.
    pub(super) fn bits(&self) -> f64 {
        self.planes.bits
    }

    pub(super) fn put(&self, fields: &mut Vec<u8>, packed: &mut Packed) {
        fields.push(self.kind);
        put_zigzag(packed.varying(fields), self.base);
        self.planes.put(fields, packed);
    }
}

/// Numbers that are read.
#[derive(Clone, Debug)]
pub(super) struct ReadNumbers<'a> {
    kind: u8,
    /// The first one's base; where each starts from the last one, the cursor holds it.
    base: i64,
    planes: Read<'a>,
}

impl<'a> ReadNumbers<'a> {
    pub(super) fn take(
        fields: &mut Reader<'a>,
        streams: &mut Streams<'a>,
        count: usize,
    ) -> Result<Self, DecodeError> {
        let kind = fields.u8("kind of numbers")?;
        if kind > FROM_LAST {
            let (what, value) = ("kind of numbers", u64::from(kind));
            return Err(DecodeError::Value { what, value, expected: "0 or 1" });
        }
        let base = streams.varying(fields).zigzag("base of numbers")?;
        Ok(Self { kind, base, planes: Read::take(fields, streams, count)? })
    }

    /// The number at a place; `last` is the one before it, and this one afterwards.
    pub(super) fn next(&self, at: usize, last: &mut i64) -> i64 {
        let told = self.planes.get(at);
        let number = if self.kind == FROM_LEAST {
            self.base.wrapping_add(told.cast_signed())
        } else {
            let before = if at == 0 { self.base } else { *last };
            before.wrapping_add((told >> 1).cast_signed() ^ -((told & 1).cast_signed()))
        };
        *last = number;
        number
    }
}
