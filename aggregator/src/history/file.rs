//! A file as bytes: schema, how columns are coded, and what a reader finds in its footer.

use std::fmt::Write as _;
use std::sync::Arc;

use headwater_protocol::identity::LogId;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::Result;
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::columns::Columns;
use super::table::Table;
use crate::sink::Range;

/// Version of the tables. Columns are only added within one.
const FORMAT: u32 = 1;
/// Level of zstd: as fast as the log is written, and most of what higher ones save.
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
}";

/// Columns by which rows are in order, by table.
fn sorted_by(table: Table) -> &'static [&'static str] {
    match table {
        Table::Samples => &["device", "metric", "labels", "time"],
        Table::Events | Table::Gaps => &["device", "source", "run", "position"],
    }
}

/// A file of one table. The same rows of the same range have the same bytes.
pub(super) fn encode(
    table: Table,
    (log, range): (LogId, &Range),
    write: impl FnOnce(&mut Columns<'_, '_, Vec<u8>>) -> Result<()>,
) -> Result<Vec<u8>> {
    let schema = match table {
        Table::Samples => SAMPLES,
        Table::Events => EVENTS,
        Table::Gaps => GAPS,
    };
    let schema = Arc::new(parse_message_type(schema)?);
    let column = |name: &str| ColumnPath::from(name);
    let place = |name: &str| schema.get_fields().iter().position(|field| field.name() == name);
    let sorting = sorted_by(table).iter().filter_map(|name| place(name)).map(|at| SortingColumn {
        column_idx: i32::try_from(at).expect("a table has a few columns"),
        descending: false,
        nulls_first: false,
    });
    let sorting = sorting.collect();
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("headwater version {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_key_value_metadata(Some(says(log, range)))
        .set_sorting_columns(Some(sorting))
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
    for name in ["host", "tags", "source", "run_nonce", "clock_shift", "scale", "scaled"] {
        properties =
            properties.set_column_statistics_enabled(column(name), EnabledStatistics::None);
    }
    for name in ["body", "body_bytes"].into_iter().filter(|name| place(name).is_some()) {
        properties = properties
            .set_column_dictionary_enabled(column(name), false)
            .set_column_statistics_enabled(column(name), EnabledStatistics::None)
            .set_column_data_page_size_limit(column(name), BODY_PAGE_BYTES);
    }
    let properties = Arc::new(properties.build());
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties)?;
    let mut group = file.next_row_group()?;
    write(&mut Columns::new(&mut group))?;
    group.close()?;
    file.into_inner()
}

/// Bytes of bodies that are packed together.
const BODY_PAGE_BYTES: usize = 4 << 20;

/// What the footer says of where the rows come from.
fn says(log: LogId, range: &Range) -> Vec<KeyValue> {
    let hex = |bytes: &[u8]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            _ = write!(text, "{byte:02x}");
            text
        })
    };
    [
        ("headwater.format", FORMAT.to_string()),
        ("headwater.log", hex(&log.0)),
        ("headwater.shard", range.shard.0.to_string()),
        ("headwater.generation", range.generation.0.to_string()),
        ("headwater.first", range.first.0.to_string()),
        ("headwater.end", range.end.0.to_string()),
        ("headwater.tip", hex(&range.tip)),
    ]
    .map(|(key, value)| KeyValue::new(key.to_owned(), value))
    .to_vec()
}
