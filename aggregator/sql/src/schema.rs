//! Columns of tables: those that docs/history.md tells, and whatever else is in the files.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::parquet::arrow::parquet_to_arrow_schema;
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::ParquetMetaData;

/// Tables that every history has, also where it has no file of them: their names and columns.
const KNOWN: [(&str, &str); 5] = [
    (
        "samples",
        "time device host metric labels value:double scale:int scaled:bigint tags \
         clock_shift:bigint source run:bigint run_nonce:bigint position:bigint range_first:bigint",
    ),
    (
        "events",
        "time device host path body body_bytes:bytes part tags clock_shift:bigint source run:bigint \
         run_nonce:bigint position:bigint position_end:bigint range_first:bigint",
    ),
    (
        "gaps",
        "time device host lane path cause records:bigint bytes:bigint tags clock_shift:bigint source \
         run:bigint run_nonce:bigint position:bigint position_end:bigint range_first:bigint",
    ),
    (
        "averages",
        "time combination key metric labels count:bigint average:double min:double max:double p50:double \
         p95:double p99:double scale:int sum_scaled:decimal min_scaled:bigint max_scaled:bigint devices:int \
         known:int revision:int late:bool",
    ),
    (
        "alerts",
        "time alert number:int change severity threshold owner key metric labels value:double \
         limit_value:double began:time ended note runbook revision:bigint seq:bigint",
    ),
];

/// Names of tables that every history has.
pub(crate) fn known() -> impl Iterator<Item = &'static str> {
    KNOWN.iter().map(|(name, _)| *name)
}

/// Whether a table's rows are records: some are in no file yet, and a running aggregator tells them.
pub(crate) fn is_of_records(table: &str) -> bool {
    ["samples", "events", "gaps"].contains(&table)
}

/// Columns of a table as far as they are known without its files.
pub(crate) fn known_columns(table: &str) -> Vec<FieldRef> {
    let columns = KNOWN.iter().find(|(name, _)| *name == table).map_or("", |(_, columns)| columns);
    columns.split_whitespace().map(|column| Arc::new(known_column(column))).collect()
}

fn known_column(column: &str) -> Field {
    let (name, of) = column.split_once(':').unwrap_or((column, "text"));
    let kind = match of {
        _ if name == "time" || of == "time" => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        "double" => DataType::Float64,
        "int" => DataType::Int32,
        "bigint" => DataType::Int64,
        "bytes" => DataType::BinaryView,
        "decimal" => DataType::Decimal128(38, 0),
        "bool" => DataType::Boolean,
        _ => DataType::Utf8View,
    };
    Field::new(name, kind, true)
}

/// Adds what a file has beyond that: columns are only added, so the newest file has most.
///
/// # Errors
/// If the file has a column that is no column of a table.
pub(crate) fn add(columns: &mut Vec<FieldRef>, about: &ParquetMetaData) -> Result<()> {
    let about = about.file_metadata();
    let schema = parquet_to_arrow_schema(about.schema_descr(), about.key_value_metadata())?;
    for field in schema.fields() {
        if columns.iter().any(|column| column.name() == field.name()) {
            continue;
        }
        let kind = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
            DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
            other => other.clone(),
        };
        columns.push(Arc::new(Field::new(field.name(), kind, true)));
    }
    Ok(())
}

/// Columns of a table, and behind them those that its folders tell.
pub(crate) fn table_schema(columns: Vec<FieldRef>, keys: &[String]) -> TableSchema {
    let file: SchemaRef = Arc::new(Schema::new(columns));
    let keys: Vec<FieldRef> = keys.iter().map(|key| Arc::new(key_column(key))).collect();
    TableSchema::builder(file).with_table_partition_cols(keys).build()
}

/// The column of a key of a path.
pub(crate) fn key_column(key: &str) -> Field {
    let kind = match key {
        "dt" => DataType::Date32,
        "hour" | "shard" => DataType::Int32,
        _ => DataType::Utf8,
    };
    Field::new(key, kind, false)
}

/// Keys of the folders of every table that is known.
pub(crate) fn known_keys() -> Vec<String> {
    ["dt", "hour", "shard"].map(str::to_owned).into()
}
