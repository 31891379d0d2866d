//! A series as bytes, in the dictionary of a body and wherever else one is stored.

use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::limits;
use crate::record::Series;

/// Decimal digits of a value, at most: 10^18 is the largest power of ten in 64 bits.
const SCALE_MAX: u8 = 18;

impl Series {
    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.metric.as_bytes());
        out.push(self.scale);
        put_varint(out, self.labels.len() as u64);
        for (name, value) in &self.labels {
            put_bytes(out, name.as_bytes());
            put_bytes(out, value.as_bytes());
        }
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// For every malformed input.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let metric = reader.text("metric", limits::TEXT_BYTES_MAX)?;
        let scale = reader.u8("scale")?;
        if scale > SCALE_MAX {
            let (what, value) = ("scale", u64::from(scale));
            return Err(DecodeError::Value { what, value, expected: "0 to 18" });
        }
        let count = reader.length("count of labels", limits::LABELS_MAX)?;
        let mut labels = Vec::with_capacity(count);
        for _ in 0..count {
            let name = reader.text("label", limits::TEXT_BYTES_MAX)?;
            labels.push((name, reader.text("label", limits::TEXT_BYTES_MAX)?));
        }
        Ok(Self { metric, labels, scale })
    }
}
