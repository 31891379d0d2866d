//! A series as bytes, in the dictionary of a body and wherever else one is stored.

use super::vocabulary;
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
        let scale = scale(reader)?;
        let count = reader.length("count of labels", limits::LABELS_MAX)?;
        let mut labels = Vec::with_capacity(count);
        for _ in 0..count {
            let name = reader.text("label", limits::TEXT_BYTES_MAX)?;
            labels.push((name, reader.text("label", limits::TEXT_BYTES_MAX)?));
        }
        Ok(Self { metric, labels, scale })
    }

    /// Appends the bytes that tell it in a dictionary of version 2, after the series before it there: what every
    /// build knows by its number, labels that are the same not at all.
    pub(super) fn encode_after(&self, before: Option<&Self>, out: &mut Vec<u8>) {
        match vocabulary::metric_number(&self.metric, self.scale) {
            Some(number) => put_varint(out, number as u64 + 1),
            None => {
                out.push(0);
                put_bytes(out, self.metric.as_bytes());
                out.push(self.scale);
            }
        }
        if self.labels == before.map_or(&[][..], |before| &before.labels) {
            out.push(0);
            return;
        }
        put_varint(out, self.labels.len() as u64 + 1);
        for (name, value) in &self.labels {
            match vocabulary::label_number(name) {
                Some(number) => put_varint(out, number as u64 + 1),
                None => {
                    out.push(0);
                    put_bytes(out, name.as_bytes());
                }
            }
            put_bytes(out, value.as_bytes());
        }
    }

    /// Reads what `encode_after` wrote.
    ///
    /// # Errors
    /// For every malformed input.
    pub(super) fn decode_after(
        before: Option<&Self>,
        reader: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let (metric, scale) = match reader.varint("metric")?.checked_sub(1) {
            None => (reader.text("metric", limits::TEXT_BYTES_MAX)?, scale(reader)?),
            Some(number) => {
                let known = usize::try_from(number).ok().and_then(vocabulary::metric);
                let (metric, scale) = known.ok_or(unknown("metric", number))?;
                (metric.to_owned(), scale)
            }
        };
        let count = reader.length("count of labels", limits::LABELS_MAX + 1)?;
        let Some(count) = count.checked_sub(1) else {
            let labels = before.map(|before| before.labels.clone()).unwrap_or_default();
            return Ok(Self { metric, labels, scale });
        };
        let mut labels = Vec::with_capacity(count);
        for _ in 0..count {
            let name = match reader.varint("label")?.checked_sub(1) {
                None => reader.text("label", limits::TEXT_BYTES_MAX)?,
                Some(number) => {
                    let known = usize::try_from(number).ok().and_then(vocabulary::label);
                    known.ok_or(unknown("label", number))?.to_owned()
                }
            };
            labels.push((name, reader.text("label", limits::TEXT_BYTES_MAX)?));
        }
        Ok(Self { metric, labels, scale })
    }
}

fn scale(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    let scale = reader.u8("scale")?;
    if scale > SCALE_MAX {
        let (what, value) = ("scale", u64::from(scale));
        return Err(DecodeError::Value { what, value, expected: "0 to 18" });
    }
    Ok(scale)
}

fn unknown(what: &'static str, value: u64) -> DecodeError {
    DecodeError::Value { what, value, expected: "a number of the vocabulary" }
}
