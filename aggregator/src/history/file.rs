//! A file as bytes: schema, how columns are coded, and what a reader finds in its footer.

mod footer;

use std::sync::Arc;

use headwater_protocol::identity::LogId;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::Result;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, Type, TypePtr};

use super::columns::Columns;
use super::table::Table;
use crate::sink::Range;

pub(super) use footer::{Footer, Held, Said, Seal, check_seal, said_of_span};

/// Level of zstd of a range's file: as fast as the log is written, and most of what higher ones save.
const ZSTD_LEVEL: i32 = 3;
/// Devices of a shard that a bloom filter has room for without being wrong more often.
const DEVICES_LIKELY: u64 = 256;

const SAMPLES: &str = "message samples {
  required int64 time (TIMESTAMP(MICROS,true));
  required binary device (STRING);
  required binary host (STRING);
  required binary metric (STRING);
  required binary labels (STRING);
  required double value;
  required int32 scale;
  optional int64 scaled;
  required binary tags (STRING);
  required int64 clock_shift;
  required binary source (STRING);
  required int64 run;
  required int64 run_nonce;
  required int64 position;
  required int64 range_first;
}";

const EVENTS: &str = "message events {
  required int64 time (TIMESTAMP(MICROS,true));
  required binary device (STRING);
  required binary host (STRING);
  required binary path (STRING);
  optional binary body (STRING);
  optional binary body_bytes;
  required binary part (STRING);
  required binary tags (STRING);
  required int64 clock_shift;
  required binary source (STRING);
  required int64 run;
  required int64 run_nonce;
  required int64 position;
  optional int64 position_end;
  required int64 range_first;
}";

const GAPS: &str = "message gaps {
  required int64 time (TIMESTAMP(MICROS,true));
  required binary device (STRING);
  required binary host (STRING);
  required binary lane (STRING);
  required binary path (STRING);
  required binary cause (STRING);
  required int64 records;
  required int64 bytes;
  required binary tags (STRING);
  required int64 clock_shift;
  required binary source (STRING);
  required int64 run;
  required int64 run_nonce;
  required int64 position;
  required int64 position_end;
  required int64 range_first;
}";

const AVERAGES: &str = "message averages {
  required int64 time (TIMESTAMP(MICROS,true));
  required binary combination (STRING);
  optional binary key (STRING);
  required binary metric (STRING);
  required binary labels (STRING);
  required int64 count;
  required double average;
  required double min;
  required double max;
  optional double p50;
  optional double p95;
  optional double p99;
  required int32 scale;
  required fixed_len_byte_array(16) sum_scaled (DECIMAL(38,0));
  optional int64 min_scaled;
  optional int64 max_scaled;
  required int32 devices;
  required int32 known;
  required int32 revision;
  required boolean late;
}";

const ALERTS: &str = "message alerts {
  required int64 time (TIMESTAMP(MICROS,true));
  required binary alert (STRING);
  required int32 number;
  required binary change (STRING);
  required binary severity (STRING);
  required binary threshold (STRING);
  required binary owner (STRING);
  required binary key (STRING);
  required binary metric (STRING);
  required binary labels (STRING);
  required double value;
  required double limit_value;
  required int64 began (TIMESTAMP(MICROS,true));
  optional binary ended (STRING);
  optional binary note (STRING);
  optional binary runbook (STRING);
  required int64 revision;
  required int64 seq;
}";

/// The columns of a table.
pub(super) fn schema(table: Table) -> Result<Type> {
    parse_message_type(match table {
        Table::Samples => SAMPLES,
        Table::Events => EVENTS,
        Table::Gaps => GAPS,
        Table::Averages => AVERAGES,
        Table::Alerts => ALERTS,
    })
}

/// Columns by which rows are in order, by table.
fn sorted_by(table: Table) -> &'static [&'static str] {
    match table {
        Table::Samples => &["device", "metric", "labels", "time"],
        Table::Events | Table::Gaps => &["device", "source", "run", "position"],
        Table::Averages => &["combination", "key", "metric", "labels", "time"],
        Table::Alerts => &["time", "seq"],
    }
}

/// The file of a range. The same rows of the same range have the same bytes.
pub(super) fn encode(
    table: Table,
    (log, range): (LogId, &Range),
    write: impl FnOnce(&mut Columns<'_, '_, Vec<u8>>) -> Result<()>,
) -> Result<Vec<u8>> {
    encode_at(ZSTD_LEVEL, table, |columns| {
        write(columns)?;
        let rows = columns.rows();
        columns.int64(std::iter::repeat_n(range.first.0.cast_signed(), rows))?;
        Ok(Footer::of(log, range, rows as u64).says())
    })
}

/// A file whose rows are of no range.
pub(super) fn encode_said(
    table: Table,
    write: impl FnOnce(&mut Columns<'_, '_, Vec<u8>>) -> Result<Said>,
) -> Result<Vec<u8>> {
    encode_at(ZSTD_LEVEL, table, write)
}

/// A file of one table, packed at a level of zstd; what its footer says is known once its rows are written.
pub(super) fn encode_at(
    level: i32,
    table: Table,
    write: impl FnOnce(&mut Columns<'_, '_, Vec<u8>>) -> Result<Said>,
) -> Result<Vec<u8>> {
    let schema = Arc::new(schema(table)?);
    let properties = Arc::new(properties(level, table, &schema)?);
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    let mut group = file.next_row_group()?;
    let said = write(&mut Columns::new(&mut group))?;
    group.close()?;
    said.into_iter().for_each(|said| file.append_key_value_metadata(said));
    Ok(footer::seal(file.into_inner()?))
}

/// How a table's columns are coded.
fn properties(level: i32, table: Table, schema: &TypePtr) -> Result<WriterProperties> {
    let column = |name: &str| ColumnPath::from(name);
    let place = |name: &str| schema.get_fields().iter().position(|field| field.name() == name);
    let sorting = sorted_by(table).iter().filter_map(|name| place(name)).map(|at| SortingColumn {
        column_idx: i32::try_from(at).expect("a table has a few columns"),
        descending: false,
        nulls_first: false,
    });
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("headwater version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        .set_sorting_columns(Some(sorting.collect()))
        .set_max_row_group_row_count(None)
        .set_column_bloom_filter_enabled(column("device"), true)
        .set_column_bloom_filter_max_ndv(column("device"), DEVICES_LIKELY);
    let numbers = ["time", "position", "position_end"];
    for name in numbers.into_iter().filter(|name| place(name).is_some()) {
        properties = properties
            .set_column_dictionary_enabled(column(name), false)
            .set_column_encoding(column(name), Encoding::DELTA_BINARY_PACKED);
    }
    // The same in many rows, and nobody's bounds.
    let unbounded =
        ["host", "tags", "source", "run_nonce", "clock_shift", "scale", "scaled", "range_first"];
    for name in unbounded {
        properties =
            properties.set_column_statistics_enabled(column(name), EnabledStatistics::None);
    }
    for name in ["body", "body_bytes"].into_iter().filter(|name| place(name).is_some()) {
        properties = properties
            .set_column_dictionary_enabled(column(name), false)
            .set_column_statistics_enabled(column(name), EnabledStatistics::None)
            .set_column_data_page_size_limit(column(name), BODY_PAGE_BYTES);
    }
    Ok(properties.build())
}

/// Bytes of bodies that are packed together.
const BODY_PAGE_BYTES: usize = 4 << 20;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A sealed file whose groups of rows are those of others of its table, which have one each.
    pub(in crate::history) fn joined(
        table: Table,
        footer: &Footer,
        files: Vec<Vec<u8>>,
    ) -> Vec<u8> {
        use parquet::file::reader::{FileReader, SerializedFileReader};

        let schema = Arc::new(schema(table).unwrap());
        let properties = Arc::new(properties(ZSTD_LEVEL, table, &schema).unwrap());
        let mut joined = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
        for bytes in files {
            let bytes = bytes::Bytes::from(bytes);
            let reader = SerializedFileReader::new(bytes.clone()).unwrap();
            let mut group = joined.next_row_group().unwrap();
            for column in reader.metadata().row_group(0).columns() {
                let close = parquet::column::writer::ColumnCloseResult {
                    bytes_written: column.compressed_size().unsigned_abs(),
                    rows_written: reader.metadata().row_group(0).num_rows().unsigned_abs(),
                    metadata: column.clone(),
                    bloom_filter: None,
                    column_index: None,
                    offset_index: None,
                };
                group.append_column(&bytes, close).unwrap();
            }
            group.close().unwrap();
        }
        footer.says().into_iter().for_each(|said| joined.append_key_value_metadata(said));
        footer::seal(joined.into_inner().unwrap())
    }

    #[test]
    fn a_file_with_any_byte_altered_or_cut_off_is_not_whole() {
        let range = Range {
            shard: headwater_protocol::identity::ShardId(7),
            generation: headwater_protocol::identity::Generation(1),
            first: headwater_protocol::identity::Offset(3),
            end: headwater_protocol::identity::Offset(9),
            tip: [4; 32],
            clock_us: 0,
        };
        let gaps = crate::history::gaps::Gaps::default();
        let file = encode(Table::Gaps, (LogId([5; 16]), &range), |to| gaps.write(to)).unwrap();
        assert_eq!(check_seal(&file), Seal::Whole);
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 1 << (at % 8);
            assert_ne!(check_seal(&altered), Seal::Whole, "byte {at}");
            assert_ne!(check_seal(&file[..at]), Seal::Whole, "cut at {at}");
        }
    }
}
