//! Rows of a merged file that lie before a cursor, as a file in memory.

use bytes::Bytes;
use datafusion::arrow::array::{Array, BooleanArray, Int64Array, RecordBatchReader};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::errors::{ParquetError, Result};

/// Of a file, the rows of ranges that begin before a cursor: ranges have all their entries on one side of it.
pub(crate) fn cut(bytes: Bytes, cursor: u64) -> Result<Bytes> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
    let mut writer = ArrowWriter::try_new(Vec::new(), reader.schema(), None)?;
    for batch in reader {
        let batch = batch?;
        let firsts = batch.column_by_name("range_first");
        let firsts = firsts.and_then(|it| it.as_any().downcast_ref::<Int64Array>());
        let firsts = firsts.ok_or_else(|| {
            ParquetError::General("a merged file says of each row which range brought it".into())
        })?;
        let is_before = |first: Option<i64>| first.map(|first| first.cast_unsigned() < cursor);
        let kept: BooleanArray = firsts.iter().map(is_before).collect();
        writer.write(&filter_record_batch(&batch, &kept)?)?;
    }
    Ok(writer.into_inner()?.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::ArrayRef;
    use datafusion::arrow::record_batch::RecordBatch;

    use super::*;

    #[test]
    fn rows_of_ranges_before_the_cursor_stay() {
        let firsts: ArrayRef = Arc::new(Int64Array::from(vec![10, 20, 10, 30]));
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3, 4]));
        let batch = RecordBatch::try_from_iter([("value", values), ("range_first", firsts)]);
        let batch = batch.unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let file: Bytes = writer.into_inner().unwrap().into();
        let kept = |cursor| {
            let cut = cut(file.clone(), cursor).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(cut).unwrap().build().unwrap();
            reader.map(|batch| batch.unwrap().num_rows()).sum::<usize>()
        };
        assert_eq!([10, 20, 25, 31].map(kept), [0, 2, 3, 4]);
    }
}
