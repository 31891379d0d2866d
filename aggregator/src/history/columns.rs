//! Writing a table column by column.

use std::io::Write;

use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::SerializedRowGroupWriter;

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
