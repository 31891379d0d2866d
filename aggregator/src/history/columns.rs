//! Writing a table column by column.

use std::io::Write;

use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray,
    FixedLenByteArrayType, Int32Type, Int64Type,
};
use parquet::errors::Result;
use parquet::file::writer::SerializedRowGroupWriter;
use serde::Serializer;

/// Values that are handed over at once.
const CHUNK: usize = 4_096;

/// A row group that is being written, column after column in the order of its schema.
pub(super) struct Columns<'a, 'b, W: Write + Send> {
    group: &'a mut SerializedRowGroupWriter<'b, W>,
    /// Of the column that was written last.
    rows: usize,
}

impl<'a, 'b, W: Write + Send> Columns<'a, 'b, W> {
    pub(super) fn new(group: &'a mut SerializedRowGroupWriter<'b, W>) -> Self {
        Self { group, rows: 0 }
    }

    /// Rows of the column that was written last; those of all, once it is complete.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn int32(&mut self, values: impl Iterator<Item = i32>) -> Result<()> {
        self.required::<Int32Type>(values)
    }

    pub(super) fn int64(&mut self, values: impl Iterator<Item = i64>) -> Result<()> {
        self.required::<Int64Type>(values)
    }

    pub(super) fn double(&mut self, values: impl Iterator<Item = f64>) -> Result<()> {
        self.required::<DoubleType>(values)
    }

    pub(super) fn text(&mut self, values: impl Iterator<Item = ByteArray>) -> Result<()> {
        self.required::<ByteArrayType>(values)
    }

    pub(super) fn boolean(&mut self, values: impl Iterator<Item = bool>) -> Result<()> {
        self.required::<BoolType>(values)
    }

    pub(super) fn fixed(&mut self, values: impl Iterator<Item = FixedLenByteArray>) -> Result<()> {
        self.required::<FixedLenByteArrayType>(values)
    }

    pub(super) fn optional_double(
        &mut self,
        values: impl Iterator<Item = Option<f64>>,
    ) -> Result<()> {
        self.optional::<DoubleType>(values)
    }

    pub(super) fn optional_int64(
        &mut self,
        values: impl Iterator<Item = Option<i64>>,
    ) -> Result<()> {
        self.optional::<Int64Type>(values)
    }

    pub(super) fn optional_bytes(
        &mut self,
        values: impl Iterator<Item = Option<ByteArray>>,
    ) -> Result<()> {
        self.optional::<ByteArrayType>(values)
    }

    fn required<T: DataType>(&mut self, mut values: impl Iterator<Item = T::T>) -> Result<()> {
        self.column::<T>(|column| {
            let (mut chunk, mut rows) = (Vec::with_capacity(CHUNK), 0);
            loop {
                chunk.extend(values.by_ref().take(CHUNK));
                if chunk.is_empty() {
                    return Ok(rows);
                }
                rows += chunk.len();
                column.write_batch(&chunk, None, None)?;
                chunk.clear();
            }
        })
    }

    fn optional<T: DataType>(
        &mut self,
        mut values: impl Iterator<Item = Option<T::T>>,
    ) -> Result<()> {
        self.column::<T>(|column| {
            let (mut chunk, mut levels) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
            let mut rows = 0;
            loop {
                for value in values.by_ref().take(CHUNK) {
                    levels.push(i16::from(value.is_some()));
                    chunk.extend(value);
                }
                if levels.is_empty() {
                    return Ok(rows);
                }
                rows += levels.len();
                column.write_batch(&chunk, Some(&levels), None)?;
                chunk.clear();
                levels.clear();
            }
        })
    }

    fn column<T: DataType>(
        &mut self,
        write: impl FnOnce(&mut ColumnWriterImpl<'_, T>) -> Result<usize>,
    ) -> Result<()> {
        let mut column = self.group.next_column()?.expect("the schema has a column for each call");
        self.rows = write(column.typed::<T>())?;
        column.close()
    }
}

/// Text as a value; clones share it.
pub(super) fn text(text: &str) -> ByteArray {
    ByteArray::from(text)
}

/// Labels as a JSON object, in their order.
pub(super) fn object(labels: &[(String, String)]) -> ByteArray {
    let mut json = Vec::new();
    let pairs = labels.iter().map(|(name, value)| (name, value));
    let written = serde_json::Serializer::new(&mut json).collect_map(pairs);
    written.expect("texts have a JSON form");
    ByteArray::from(json)
}

/// A value as people read it: the double that is nearest to it.
pub(super) fn decimal(scaled: i64, scale: u8) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "where it loses digits, the column `scaled` has them"
    )]
    let scaled = scaled as f64;
    scaled / 10_f64.powi(i32::from(scale))
}

/// Whether the double that is nearest to a value tells it exactly: rounded to its scale again, it is the same.
pub(super) fn is_exact(scaled: i64) -> bool {
    scaled.unsigned_abs() < 1 << 51
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Who has the double and the scale has the value, wherever `scaled` is left out.
        #[test]
        fn doubles_tell_exact_values(scaled in -(1_i64 << 51) + 1..1 << 51, scale in 0_u8..=18) {
            prop_assert!(is_exact(scaled));
            let back = (decimal(scaled, scale) * 10_f64.powi(i32::from(scale))).round();
            #[expect(clippy::cast_precision_loss, reason = "below 2^51 it loses none")]
            let expected = scaled as f64;
            prop_assert!((back - expected).abs() < 0.5, "{scaled} {scale} {back}");
        }
    }
}
