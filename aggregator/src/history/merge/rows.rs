//! Rows of several files as those of one: which of them, in which order, column by column.

use std::collections::BTreeMap;

use headwater_protocol::identity::LogId;
use parquet::basic::{Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::errors::ParquetError;

use super::super::columns::Columns;
use super::super::file::{Footer, Held, encode_at, schema};
use super::super::table::{FileName, Kind, Table};
use super::opened::{OpenError, Opened};

/// Level of zstd of a merged file, which is written once and read as long as it is kept.
pub(super) const ZSTD_LEVEL: i32 = 9;

/// Columns by which rows are in order, of a table: texts, then numbers. Those that are equal stay in the order of their files.
fn ordered_by(table: Table) -> (&'static [&'static str], &'static [&'static str]) {
    match table {
        Table::Samples => (&["device", "metric", "labels"], &["time"]),
        Table::Events | Table::Gaps => (&["device", "source"], &["run", "run_nonce", "position"]),
        // Of no range: whoever writes them puts them together.
        Table::Averages | Table::Alerts => (&[], &[]),
    }
}

/// Why rows can't be put together.
#[derive(Debug, thiserror::Error)]
pub(in crate::history) enum RowsError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("two files hold rows of the entry at offset {offset}; move one of them away")]
    Overlap { offset: u64 },
    #[error("encode rows of several files")]
    Encode(#[from] ParquetError),
}

/// A file, made of others.
pub(super) struct Made {
    pub(super) name: FileName,
    pub(super) bytes: Vec<u8>,
}

/// The rows of files, as far as they are of ranges that are kept, as one file in the order of its table. At least one range is
/// kept. Memory: 44 bytes a row while the order is found, then one column of all files.
pub(super) fn made_of(
    table: Table,
    log: LogId,
    files: &[Opened],
    is_kept: impl Fn(&Held) -> bool,
) -> Result<Made, RowsError> {
    let footer = footer(log, files, &is_kept);
    if let Some(pair) = footer.held.windows(2).find(|pair| pair[0].end > pair[1].first) {
        return Err(RowsError::Overlap { offset: pair[1].first });
    }
    let order = order(table, files, &is_kept)?;
    let (first, end, generation) = footer.span();
    let unpacked: u64 = files.iter().map(|file| file.unpacked_bytes).sum();
    let is_full = Weight { rows: footer.rows(), unpacked, ranges: footer.held.len() }.is_full();
    let kind = if is_full { Kind::Full } else { Kind::Merged };
    let ranges = footer.held.len() as u64;
    let name = FileName { kind, generation, first, end, ranges };
    let mut failed = None;
    let bytes = encode_at(ZSTD_LEVEL, table, |columns| {
        write(table, files, &order, columns).map_err(|error| match error {
            RowsError::Encode(error) => error,
            other => {
                failed = Some(other);
                ParquetError::General("a file can't be read".to_owned())
            }
        })?;
        Ok(footer.says())
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(Made { name, bytes: bytes? }),
    }
}

/// What files weigh that become one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Weight {
    pub(super) rows: u64,
    pub(super) unpacked: u64,
    pub(super) ranges: usize,
}

/// Rows of a merged file, at most: of a host that samples each second, those of two hours.
const ROWS_MAX: u64 = 1 << 20;
/// Bytes of its columns before they are packed, at most; four times what a range has.
const UNPACKED_MAX: u64 = 64 << 20;
/// Ranges that it holds rows of, at most; its footer names each.
const RANGES_MAX: usize = 4_096;

impl Weight {
    pub(super) fn of(file: &Opened) -> Self {
        let (rows, ranges) = (file.footer.rows(), file.footer.held.len());
        Self { rows, unpacked: file.unpacked_bytes, ranges }
    }

    pub(super) fn plus(self, more: Self) -> Self {
        let (rows, unpacked) = (self.rows + more.rows, self.unpacked + more.unpacked);
        Self { rows, unpacked, ranges: self.ranges + more.ranges }
    }

    pub(super) fn fits(self) -> bool {
        self.rows <= ROWS_MAX && self.unpacked <= UNPACKED_MAX && self.ranges <= RANGES_MAX
    }

    /// Whether it is better left alone: two such files are more than one may be.
    fn is_full(self) -> bool {
        let Self { rows, unpacked, ranges } = self;
        rows > ROWS_MAX / 2 || unpacked > UNPACKED_MAX / 2 || ranges > RANGES_MAX / 2
    }
}

fn footer(log: LogId, files: &[Opened], is_kept: impl Fn(&Held) -> bool) -> Footer {
    let mut held: Vec<Held> = files
        .iter()
        .flat_map(|file| &file.footer.held)
        .filter(|held| is_kept(held))
        .copied()
        .collect();
    held.sort();
    let last = held.iter().max_by_key(|held| held.end);
    // Of the file that ends there; a range in the middle of a file has left no tip.
    let ends_last = |file: &&Opened| last.is_some_and(|last| file.footer.span().1 == last.end);
    let tip = files.iter().find(ends_last).map(|file| file.footer.tip.clone());
    let shard = files.first().map_or(0, |file| file.footer.shard);
    Footer { log, shard, held, tip: tip.unwrap_or_default(), is_merged: true }
}

/// Places of the rows that are kept, as if the files stood one behind the other, in the order of the table.
fn order(
    table: Table,
    files: &[Opened],
    is_kept: impl Fn(&Held) -> bool,
) -> Result<Vec<u32>, RowsError> {
    let mut order: Vec<u32> = Vec::new();
    let mut at = 0;
    for file in files {
        let firsts = file.ranges(place(table, "range_first")?)?;
        let kept = file.footer.held.iter().filter(|held| is_kept(held));
        let kept: Vec<i64> = kept.map(|held| held.first.cast_signed()).collect();
        let places = (at..).zip(firsts).filter(|(_, first)| kept.binary_search(first).is_ok());
        let before = at;
        order.extend(places.map(|(place, _)| place));
        at = before + u32::try_from(file.footer.rows()).expect("a file has fewer rows");
    }
    let mut keys = vec![[0_i64; KEY_COLUMNS]; at as usize];
    let (texts, numbers) = ordered_by(table);
    for (part, name) in texts.iter().enumerate() {
        let column = place(table, name)?;
        let values = required::<ByteArrayType>(files, column)?;
        let ranks = ranks(&values);
        keys.iter_mut().zip(ranks).for_each(|(key, rank)| key[part] = rank);
    }
    for (part, name) in (texts.len()..).zip(numbers) {
        let column = place(table, name)?;
        let values = required::<Int64Type>(files, column)?;
        keys.iter_mut().zip(values).for_each(|(key, value)| key[part] = value);
    }
    order.sort_by_key(|place| keys[*place as usize]);
    Ok(order)
}

/// The most columns that a table is in order of.
const KEY_COLUMNS: usize = 5;

fn place(table: Table, column: &str) -> Result<usize, ParquetError> {
    let schema = schema(table)?;
    let place = schema.get_fields().iter().position(|field| field.name() == column);
    Ok(place.expect("each table has the columns that it is in order of"))
}

/// Of each text, how many others come before it.
fn ranks(texts: &[ByteArray]) -> Vec<i64> {
    let mut known: BTreeMap<&[u8], i64> = BTreeMap::new();
    let runs = || texts.chunk_by(|one, other| one == other);
    known.extend(runs().map(|run| (run[0].data(), 0)));
    (0..).zip(known.values_mut()).for_each(|(rank, known)| *known = rank);
    let mut ranks = Vec::with_capacity(texts.len());
    for run in runs() {
        ranks.extend(std::iter::repeat_n(known[run[0].data()], run.len()));
    }
    ranks
}

/// Writes all columns, one after the other.
fn write(
    table: Table,
    files: &[Opened],
    order: &[u32],
    columns: &mut Columns<'_, '_, Vec<u8>>,
) -> Result<(), RowsError> {
    let schema = schema(table)?;
    for (at, field) in schema.get_fields().iter().enumerate() {
        let is_optional = field.get_basic_info().repetition() == Repetition::OPTIONAL;
        let places = || order.iter().map(|place| *place as usize);
        match (field.get_physical_type(), is_optional) {
            (Physical::INT64, false) => {
                let values = required::<Int64Type>(files, at)?;
                columns.int64(places().map(|place| values[place]))?;
            }
            (Physical::INT64, true) => {
                let values = optional::<Int64Type>(files, at)?;
                columns.optional_int64(places().map(|place| values[place]))?;
            }
            (Physical::INT32, _) => {
                let values = required::<Int32Type>(files, at)?;
                columns.int32(places().map(|place| values[place]))?;
            }
            (Physical::DOUBLE, _) => {
                let values = required::<DoubleType>(files, at)?;
                columns.double(places().map(|place| values[place]))?;
            }
            (Physical::BYTE_ARRAY, false) => {
                let values = required::<ByteArrayType>(files, at)?;
                columns.text(places().map(|place| values[place].clone()))?;
            }
            (Physical::BYTE_ARRAY, true) => {
                let values = optional::<ByteArrayType>(files, at)?;
                columns.optional_bytes(places().map(|place| values[place].clone()))?;
            }
            (Physical::BOOLEAN | Physical::INT96 | Physical::FLOAT, _)
            | (Physical::FIXED_LEN_BYTE_ARRAY, _) => {
                unreachable!("no table has such a column");
            }
        }
    }
    Ok(())
}

fn required<T: DataType>(files: &[Opened], column: usize) -> Result<Vec<T::T>, OpenError> {
    let mut values = Vec::new();
    files.iter().try_for_each(|file| file.values::<T>(column, &mut values))?;
    Ok(values)
}

fn optional<T: DataType>(files: &[Opened], column: usize) -> Result<Vec<Option<T::T>>, OpenError> {
    let mut values = Vec::new();
    files.iter().try_for_each(|file| file.optional_values::<T>(column, &mut values))?;
    Ok(values)
}
