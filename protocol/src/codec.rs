//! Bounded reading and plain writing of bytes: the only code that touches raw integers of a format.
//!
//! Every format of this crate is little endian. Variable integers are LEB128, at most ten bytes, and
//! the shortest form is the only one that is accepted, so that one value has one encoding.

/// Why bytes from a peer or a disk could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end before the value does.
    #[error("read {what}: {needed} bytes needed, {left} left")]
    Short {
        /// The value that was being read.
        what: &'static str,
        /// Bytes that the value takes.
        needed: usize,
        /// Bytes that were there.
        left: usize,
    },
    /// A value lies outside of what the format allows.
    #[error("read {what}: value {value} is outside of {expected}")]
    Value {
        /// The value that was being read.
        what: &'static str,
        /// What stood there.
        value: u64,
        /// What may stand there.
        expected: &'static str,
    },
    /// The format's version is not one that this build reads.
    #[error("read {what}: version {found} is not known here (newest known: {newest})")]
    Version {
        /// The format.
        what: &'static str,
        /// The version that the bytes claim.
        found: u8,
        /// The newest one that this build reads.
        newest: u8,
    },
    /// Bytes are left over after the last value.
    #[error("read {what}: {left} bytes are left over")]
    Trailing {
        /// The format.
        what: &'static str,
        /// How many.
        left: usize,
    },
    /// The bytes do not hash to the digest that stands beside them.
    #[error("read {what}: the digest does not fit the bytes")]
    Digest {
        /// The format.
        what: &'static str,
    },
}

/// A position in bytes that are not trusted.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Bytes that have not been read.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Takes `count` bytes.
    ///
    /// # Errors
    /// `Short` if fewer are left.
    pub fn take(&mut self, what: &'static str, count: usize) -> Result<&'a [u8], DecodeError> {
        let Some((head, tail)) = self.bytes.split_at_checked(count) else {
            return Err(DecodeError::Short { what, needed: count, left: self.bytes.len() });
        };
        self.bytes = tail;
        Ok(head)
    }

    /// Takes an array of known length.
    ///
    /// # Errors
    /// `Short` if fewer bytes are left.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(what, N)?);
        Ok(array)
    }

    /// Takes one byte.
    ///
    /// # Errors
    /// `Short` if none is left.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Takes a 16 bit integer.
    ///
    /// # Errors
    /// `Short` if fewer bytes are left.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }

    /// Takes a 32 bit integer.
    ///
    /// # Errors
    /// `Short` if fewer bytes are left.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    /// Takes a 64 bit integer.
    ///
    /// # Errors
    /// `Short` if fewer bytes are left.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Takes a signed 64 bit integer.
    ///
    /// # Errors
    /// `Short` if fewer bytes are left.
    pub fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_le_bytes(self.array(what)?))
    }

    /// Takes a variable integer in its shortest form.
    ///
    /// # Errors
    /// `Short` if it does not end, `Value` if it is longer than 64 bits or not the shortest form.
    #[inline]
    pub fn varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        // Most of them are small.
        if let [byte @ 0..=0x7f, tail @ ..] = self.bytes {
            self.bytes = tail;
            return Ok(u64::from(*byte));
        }
        self.long_varint(what)
    }

    fn long_varint(&mut self, what: &'static str) -> Result<u64, DecodeError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(what)?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 || shift > 0 && byte == 0 {
                let expected = "the shortest form of at most 64 bits";
                return Err(DecodeError::Value { what, value: u64::from(byte), expected });
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Value { what, value, expected: "at most ten bytes" })
    }

    /// Takes a zigzag variable integer.
    ///
    /// # Errors
    /// As `varint`.
    pub fn zigzag(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        let value = self.varint(what)?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// Takes a length that may not be above `most`, checked before any memory is taken for it.
    ///
    /// # Errors
    /// As `varint`, and `Value` if it is above `most`.
    pub fn length(&mut self, what: &'static str, most: usize) -> Result<usize, DecodeError> {
        let value = self.varint(what)?;
        match usize::try_from(value) {
            Ok(length) if length <= most => Ok(length),
            _ => Err(DecodeError::Value { what, value, expected: "the limit of this length" }),
        }
    }

    /// Takes a length and that many bytes.
    ///
    /// # Errors
    /// As `length` and `take`.
    pub fn bytes(&mut self, what: &'static str, most: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.length(what, most)?;
        self.take(what, length)
    }

    /// Takes a length and that many bytes of UTF-8.
    ///
    /// # Errors
    /// As `bytes`, and `Value` if they are not UTF-8.
    pub fn text(&mut self, what: &'static str, most: usize) -> Result<String, DecodeError> {
        let bytes = self.bytes(what, most)?;
        let text = std::str::from_utf8(bytes).map(str::to_owned);
        let value = bytes.len() as u64;
        text.map_err(|_| DecodeError::Value { what, value, expected: "UTF-8" })
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// `Trailing` if bytes are left.
    pub fn finish(self, what: &'static str) -> Result<(), DecodeError> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        Err(DecodeError::Trailing { what, left: self.bytes.len() })
    }
}

/// Appends a variable integer.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

/// Appends a zigzag variable integer.
pub fn put_zigzag(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

/// Appends a length and the bytes.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_as_they_went_in() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Reader::new(&out).varint("value"), Ok(value));
        }
        for value in [0, -1, 1, -64, 64, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_zigzag(&mut out, value);
            assert_eq!(Reader::new(&out).zigzag("value"), Ok(value));
        }
    }

    #[test]
    fn a_longer_form_of_an_integer_is_refused() {
        assert!(Reader::new(&[0x80, 0x00]).varint("value").is_err(), "0 in two bytes");
        assert!(Reader::new(&[0xff; 11]).varint("value").is_err(), "eleven bytes");
        let over = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert!(Reader::new(&over).varint("value").is_err(), "65 bits");
    }

    #[test]
    fn a_length_is_checked_before_memory_is_taken() {
        let mut out = Vec::new();
        put_varint(&mut out, u64::MAX);
        assert!(Reader::new(&out).bytes("body", 1 << 20).is_err());
    }
}
