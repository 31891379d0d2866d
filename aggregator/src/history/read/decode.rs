//! Rows of a group: the columns that say whether a row is wanted first, bodies only where one is.

use std::ops::Range;
use std::sync::Arc;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::position::{Run, SourceId, Stream};
use headwater_protocol::record::Part;
use parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader};

use super::super::table::Table;
use super::opened::Opened;
use super::{Row, RowContent, Wanted};
use crate::api::rows::part_word;

/// Bodies that are decoded at once.
const CHUNK: usize = 4_096;

/// A row, and the first entry of the range that brought it.
pub(super) type Ranged = (u64, Row);

/// The rows of a group that are wanted and of ranges that are, in the order of the file.
pub(super) fn rows(
    opened: &Opened,
    (table, group): (Table, usize),
    wanted: &Wanted,
    is_range_wanted: impl Fn(u64) -> bool,
) -> Result<Vec<Ranged>, ParquetError> {
    let reader = opened.reader.get_row_group(group)?;
    let all = usize::try_from(reader.metadata().num_rows()).unwrap_or(0);
    let mut group = Group { opened, reader, span: 0..all };
    if let Some(device) = wanted.device {
        group.span = group.of_device(device)?;
    }
    if group.span.is_empty() {
        return Ok(Vec::new());
    }
    let times = group.numbers("time")?;
    let firsts = group.numbers("range_first")?;
    let mut is_kept: Vec<bool> = times
        .iter()
        .zip(&firsts)
        .map(|(time, first)| wanted.times.holds(*time) && is_range_wanted(first.cast_unsigned()))
        .collect();
    if !is_kept.contains(&true) {
        return Ok(Vec::new());
    }
    let places = group.places(wanted, &mut is_kept)?;
    if !is_kept.contains(&true) {
        return Ok(Vec::new());
    }
    let heads = Heads { places, times, firsts, shifts: group.numbers("clock_shift")? };
    match table {
        Table::Gaps => group.gaps(&heads, &is_kept),
        // No other table has rows of this kind.
        _ => group.lines(&heads, &is_kept, wanted),
    }
}

/// What lines and gaps have in common, by row.
struct Heads {
    places: Vec<Place>,
    times: Vec<i64>,
    firsts: Vec<i64>,
    shifts: Vec<i64>,
}

/// Whose a row is, and where it begins.
#[derive(Clone)]
struct Place {
    device: DeviceId,
    stream: Stream,
    path: Arc<str>,
    start: u64,
}

impl Heads {
    fn row(&self, at: usize, end: u64, content: RowContent) -> Ranged {
        let Place { device, stream, path, start } = self.places[at].clone();
        let (time_us, shift_us) = (self.times[at], self.shifts[at]);
        let row = Row { device, stream, path, time_us, shift_us, start, end, content };
        (self.firsts[at].cast_unsigned(), row)
    }
}

/// A group of rows, of which some that lie together are looked at.
struct Group<'a> {
    opened: &'a Opened,
    reader: Box<dyn RowGroupReader + 'a>,
    span: Range<usize>,
}

impl Group<'_> {
    /// Where the rows of a device lie: they are in order of devices.
    fn of_device(&self, device: DeviceId) -> Result<Range<usize>, ParquetError> {
        let (devices, text) = (self.texts("device")?, device.to_string());
        let first = devices.partition_point(|it| it.data() < text.as_bytes());
        let rows = devices[first..].partition_point(|it| it.data() == text.as_bytes());
        Ok(first..first + rows)
    }

    /// Whose each row is; rows of other paths and streams than those that are wanted are kept no more.
    fn places(&self, wanted: &Wanted, is_kept: &mut [bool]) -> Result<Vec<Place>, ParquetError> {
        let (devices, sources) = (self.texts("device")?, self.texts("source")?);
        let (paths, runs) = (self.texts("path")?, self.numbers("run")?);
        let (nonces, starts) = (self.numbers("run_nonce")?, self.numbers("position")?);
        let mut places: Vec<Place> = Vec::with_capacity(is_kept.len());
        for at in 0..is_kept.len() {
            let start = starts[at].cast_unsigned();
            let run = Run { number: runs[at].cast_unsigned(), nonce: nonces[at].cast_unsigned() };
            let is_as_before = at > 0
                && (&devices[at], &sources[at], &paths[at])
                    == (&devices[at - 1], &sources[at - 1], &paths[at - 1]);
            let place = match places.last().filter(|_| is_as_before) {
                Some(before) => {
                    let stream = Stream { source: before.stream.source, run };
                    Place { stream, start, ..before.clone() }
                }
                None => place((&devices[at], &sources[at], &paths[at]), run, start)?,
            };
            is_kept[at] &= wanted.may_be_of(&place.path)
                && wanted.stream.is_none_or(|stream| stream == place.stream);
            places.push(place);
        }
        Ok(places)
    }

    fn lines(
        &self,
        heads: &Heads,
        is_kept: &[bool],
        wanted: &Wanted,
    ) -> Result<Vec<Ranged>, ParquetError> {
        let (parts, ends) = (self.texts("part")?, self.optional_numbers("position_end")?);
        let mut texts = self.column::<ByteArrayType>("body")?;
        let mut others = self.column::<ByteArrayType>("body_bytes")?;
        let mut rows = Vec::new();
        for from in (0..is_kept.len()).step_by(CHUNK) {
            let chunk = from..is_kept.len().min(from + CHUNK);
            if wanted.is_without_bodies {
                let line = |at| Ok(heads.row(at, heads.places[at].start, no_body(&parts[at])?));
                let lines = chunk.filter(|at| is_kept[*at]).map(line);
                rows.extend(lines.collect::<Result<Vec<_>, ParquetError>>()?);
                continue;
            }
            if !is_kept[chunk.clone()].contains(&true) {
                skip(&mut texts, chunk.len())?;
                skip(&mut others, chunk.len())?;
                continue;
            }
            let bodies = optional(&mut texts, chunk.len())?;
            let others = optional(&mut others, chunk.len())?;
            for ((at, text), bytes) in chunk.zip(&bodies).zip(&others) {
                let body = text.as_ref().or(bytes.as_ref()).map_or(&[][..], ByteArray::data);
                if !is_kept[at] || !wanted.finds(body) {
                    continue;
                }
                let part = part_of(parts[at].data())?;
                let start = heads.places[at].start;
                let usual = start.saturating_add(body.len() as u64 + line_end(part).len() as u64);
                let end = ends[at].map_or(usual, i64::cast_unsigned);
                rows.push(heads.row(at, end, RowContent::Line { body: body.to_vec(), part }));
            }
        }
        Ok(rows)
    }

    fn gaps(&self, heads: &Heads, is_kept: &[bool]) -> Result<Vec<Ranged>, ParquetError> {
        let (causes, ends) = (self.texts("cause")?, self.numbers("position_end")?);
        let (records, bytes) = (self.numbers("records")?, self.numbers("bytes")?);
        let row = |at: usize| {
            let cause = text_of(&causes[at])?.into();
            let (records, bytes) = (records[at].unsigned_abs(), bytes[at].unsigned_abs());
            let content = RowContent::Gap { cause, records, bytes };
            Ok(heads.row(at, ends[at].cast_unsigned(), content))
        };
        (0..is_kept.len()).filter(|at| is_kept[*at]).map(row).collect()
    }

    fn texts(&self, name: &str) -> Result<Vec<ByteArray>, ParquetError> {
        required(&mut self.column::<ByteArrayType>(name)?, self.span.len())
    }

    fn numbers(&self, name: &str) -> Result<Vec<i64>, ParquetError> {
        required(&mut self.column::<Int64Type>(name)?, self.span.len())
    }

    fn optional_numbers(&self, name: &str) -> Result<Vec<Option<i64>>, ParquetError> {
        optional(&mut self.column::<Int64Type>(name)?, self.span.len())
    }

    /// A column, from the first row on that is looked at.
    fn column<T: DataType>(&self, name: &str) -> Result<ColumnReaderImpl<T>, ParquetError> {
        let place = self.opened.place(name)?;
        let schema = self.opened.reader.metadata().file_metadata().schema_descr();
        if schema.column(place).physical_type() != T::get_physical_type() {
            return Err(ParquetError::General(format!("its column {name:?} is of another type")));
        }
        let mut column = get_typed_column_reader::<T>(self.reader.get_column_reader(place)?);
        skip(&mut column, self.span.start)?;
        Ok(column)
    }
}

/// The bytes behind the body of a line, in its file.
#[must_use]
pub(crate) fn line_end(part: Part) -> &'static [u8] {
    match part {
        Part::Whole => b"\n",
        Part::WholeCrLf => b"\r\n",
        Part::Continued | Part::Unended => b"",
    }
}

fn place(
    (device, source, path): (&ByteArray, &ByteArray, &ByteArray),
    run: Run,
    start: u64,
) -> Result<Place, ParquetError> {
    let strange = |what: &str| ParquetError::General(format!("a row has a strange {what}"));
    let device = text_of(device)?.parse().map_err(|_| strange("device"))?;
    let id = text_of(source)?;
    let number = u128::from_str_radix(id, 16).ok().filter(|_| id.len() == 32);
    let source = SourceId(number.ok_or_else(|| strange("source"))?.to_be_bytes());
    Ok(Place { device, stream: Stream { source, run }, path: text_of(path)?.into(), start })
}

fn no_body(part: &ByteArray) -> Result<RowContent, ParquetError> {
    Ok(RowContent::Line { body: Vec::new(), part: part_of(part.data())? })
}

fn part_of(word: &[u8]) -> Result<Part, ParquetError> {
    let all = [Part::Whole, Part::WholeCrLf, Part::Continued, Part::Unended];
    let part = all.into_iter().find(|part| part_word(*part).as_bytes() == word);
    part.ok_or_else(|| ParquetError::General("a line has a strange part".to_owned()))
}

fn text_of(value: &ByteArray) -> Result<&str, ParquetError> {
    let text = std::str::from_utf8(value.data());
    text.map_err(|error| ParquetError::External(Box::new(error)))
}

fn skip<T: DataType>(column: &mut ColumnReaderImpl<T>, rows: usize) -> Result<(), ParquetError> {
    match column.skip_records(rows)? {
        skipped if skipped == rows => Ok(()),
        _ => Err(short()),
    }
}

fn required<T: DataType>(
    column: &mut ColumnReaderImpl<T>,
    rows: usize,
) -> Result<Vec<T::T>, ParquetError> {
    let mut values = Vec::with_capacity(rows);
    while values.len() < rows {
        let (read, ..) = column.read_records(rows - values.len(), None, None, &mut values)?;
        if read == 0 {
            return Err(short());
        }
    }
    Ok(values)
}

fn optional<T: DataType>(
    column: &mut ColumnReaderImpl<T>,
    rows: usize,
) -> Result<Vec<Option<T::T>>, ParquetError> {
    let (mut present, mut levels) = (Vec::new(), Vec::with_capacity(rows));
    while levels.len() < rows {
        let left = rows - levels.len();
        let (read, ..) = column.read_records(left, Some(&mut levels), None, &mut present)?;
        if read == 0 {
            return Err(short());
        }
    }
    let mut present = present.into_iter();
    Ok(levels.iter().map(|level| (*level > 0).then(|| present.next()).flatten()).collect())
}

fn short() -> ParquetError {
    ParquetError::General("a column has fewer rows than its group".to_owned())
}
