//! Opening a body: every length is checked before memory is taken, every record must lie where the
//! header says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::definitions;
use super::lines::Lines;
use super::sections::{Section, Sections, places};
use super::{COLUMNS, Column, KIND_EVENT, KIND_FACTS, KIND_GAP, KIND_TICK};
use super::{
    INFO_DEVICE, INFO_FILE, INFO_HOST, INFO_NONE, VERSION_DEFINED, VERSION_FIELDS, VERSION_OLDEST,
    end_bytes,
};
use crate::batch::Batch;
use crate::codec::{DecodeError, Reader};
use crate::header::{Codec, Counts, Header, decode_stream};
use crate::limits;
use crate::position::{Mark, Stream};
use crate::record::{
    Cause, Content, Event, Fingerprint, Gap, Part, Record, Series, SourceInfo, Tick, Ticks,
};

/// An opened body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Body {
    /// What the batch covers and, where the agent said it, what that is.
    pub streams: Vec<(Stream, Option<SourceInfo>)>,
    /// The records, in the order in which they were sealed: per stream in order of position.
    pub records: Vec<Record>,
}

/// Why a body could not be opened. The fold applies such a batch as a gap.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BodyError {
    /// The zstd frame is damaged, or larger than the header says.
    #[error("unpack the body: it is damaged or larger than the {0} bytes that the header names")]
    Unpack(u32),
    /// The columns are damaged.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The records are not those that the header speaks of.
    #[error("compare the body with its header: {0} differ")]
    Header(&'static str),
}

impl Body {
    /// Opens a batch's body and compares it with the header.
    ///
    /// # Errors
    /// For every malformed input; memory stays below the limits of `limits`.
    pub fn open(batch: &Batch) -> Result<Self, BodyError> {
        let (definitions, body) = defined(batch)?;
        let plain = unpack(batch.header(), body)?;
        let body = decode(&plain, &definitions, batch.header())?;
        body.compare(batch.header())?;
        Ok(body)
    }

    fn compare(&self, header: &Header) -> Result<(), BodyError> {
        // Few streams, in order; records of one mostly follow one another.
        let spans = &header.spans;
        let mut ends: Vec<Mark> = spans.iter().map(|span| span.start).collect();
        let mut counts = Counts::default();
        let mut place = 0;
        for record in &self.records {
            if spans.get(place).is_none_or(|span| span.stream != record.stream) {
                let found = spans.binary_search_by_key(&record.stream, |span| span.stream);
                place = found.map_err(|_| BodyError::Header("streams"))?;
            }
            let end = &mut ends[place];
            // A stream that stands twice in the body's table would begin twice.
            if record.start != end.position {
                return Err(BodyError::Header("positions"));
            }
            let records = end.records.checked_add(record.count());
            let records = records.ok_or(BodyError::Header("counts"))?;
            *end = Mark { position: record.end, records };
            counts = counts.plus(match &record.content {
                Content::Gap(gap) => {
                    Counts { records: 0, gaps: 1, gap_records: gap.records, gap_bytes: gap.bytes }
                }
                Content::Tick(_) | Content::Event(_) | Content::Facts(_) => {
                    Counts { records: record.count(), ..Counts::default() }
                }
            });
        }
        if spans.iter().zip(&ends).any(|(span, end)| *end != span.end) {
            return Err(BodyError::Header("spans"));
        }
        if counts != header.counts {
            return Err(BodyError::Header("counts"));
        }
        Ok(())
    }
}

/// The definitions of a body, and what is packed behind them.
fn defined(batch: &Batch) -> Result<(Vec<Vec<u8>>, &[u8]), DecodeError> {
    if batch.header().packing.version < VERSION_DEFINED {
        return Ok((Vec::new(), batch.body()));
    }
    let mut reader = Reader::new(batch.body());
    let unpacked = definitions::unpack(&definitions::take(&mut reader)?)?;
    Ok((unpacked, reader.take("body", reader.left())?))
}

fn unpack<'a>(header: &Header, packed: &'a [u8]) -> Result<Cow<'a, [u8]>, BodyError> {
    let unpacked = header.packing.unpacked;
    match header.packing.codec {
        Codec::Plain if packed.len() == unpacked as usize => Ok(Cow::Borrowed(packed)),
        Codec::Plain => Err(BodyError::Unpack(unpacked)),
        Codec::Zstd => {
            let (frame, last) = match header.packing.version {
                VERSION_FIELDS.. => apart(packed)?,
                _ => (packed, &[][..]),
            };
            let damaged = |_| BodyError::Unpack(unpacked);
            let mut zstd = zstd::bulk::Decompressor::new().map_err(damaged)?;
            zstd.window_log_max(limits::ZSTD_WINDOW_LOG_MAX).map_err(damaged)?;
            let mut plain = zstd.decompress(frame, unpacked as usize).map_err(damaged)?;
            plain.extend_from_slice(last);
            if plain.len() != unpacked as usize {
                return Err(BodyError::Unpack(unpacked));
            }
            Ok(Cow::Owned(plain))
        }
    }
}

/// The zstd frame of a body of version 3, and what stands after it.
fn apart(packed: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    let mut reader = Reader::new(packed);
    let last = reader.length("last section", limits::BODY_BYTES_MAX)?;
    let frame = reader.left().checked_sub(last);
    let frame = frame.ok_or(outside("last section", last as u64, "what is there"))?;
    Ok((reader.take("zstd frame", frame)?, reader.take("last section", last)?))
}

fn decode(plain: &[u8], definitions: &[Vec<u8>], header: &Header) -> Result<Body, DecodeError> {
    if header.packing.version == VERSION_OLDEST {
        return decode_oldest(plain, header);
    }
    let sections = Sections::split(plain, header.packing.version)?;
    let mut reader = Reader::new(sections.of(Section::Streams));
    let mut streams = Vec::new();
    while reader.left() > 0 {
        if streams.len() == header.spans.len() {
            return Err(outside("count of streams", streams.len() as u64 + 1, "the header's"));
        }
        let place = reader.length("stream", header.spans.len())?;
        let span = header.spans.get(place);
        let span = span.ok_or(outside("stream", place as u64, "a span of the header"))?;
        let info = match header.packing.version {
            VERSION_DEFINED.. => defined_info(&mut reader, definitions)?,
            _ => decode_info(&mut reader)?,
        };
        streams.push((span.stream, info));
    }
    let series = decode_series(sections.of(Section::Series), limits::SERIES_PER_BATCH_MAX)?;
    let records = sections.of(Section::Column(Column::Kind)).len();
    if records > limits::RECORDS_PER_BATCH_MAX {
        return Err(outside("count of records", records as u64, "at most 65,536"));
    }
    let columns = Columns::of(&sections, header.packing.version, definitions)?;
    columns.records(Tables { streams, series, records }, header)
}

fn decode_series(section: &[u8], most: usize) -> Result<Vec<Arc<Series>>, DecodeError> {
    let mut reader = Reader::new(section);
    let mut series: Vec<Arc<Series>> = Vec::new();
    // Labels that are told by those before cost memory, and no bytes.
    let mut text = 0;
    while reader.left() > 0 {
        if series.len() == most {
            return Err(outside("count of series", most as u64 + 1, "the limit of this count"));
        }
        let before = series.last().map(Arc::as_ref);
        let next = Series::decode_after(before, &mut reader)?;
        text += next.weight();
        if text > limits::BODY_BYTES_MAX {
            return Err(outside("bytes of series", text as u64, "at most 4 MiB"));
        }
        series.push(Arc::new(next));
    }
    Ok(series)
}

/// How many series a table of version 2 has, which may be `most`.
///
/// # Errors
/// For every malformed input.
pub(crate) fn series_in(section: &[u8], most: usize) -> Result<usize, DecodeError> {
    decode_series(section, most).map(|series| series.len())
}

fn decode_oldest(plain: &[u8], header: &Header) -> Result<Body, DecodeError> {
    let mut reader = Reader::new(plain);
    let version = reader.u8("body version")?;
    if version != VERSION_OLDEST {
        return Err(outside("body version", u64::from(version), "the version of its batch"));
    }
    let streams = decode_streams(&mut reader)?;
    let count = reader.length("count of series", limits::SERIES_PER_BATCH_MAX)?;
    let mut series = Vec::with_capacity(count);
    for _ in 0..count {
        series.push(Arc::new(Series::decode(&mut reader)?));
    }
    let records = reader.length("count of records", limits::RECORDS_PER_BATCH_MAX)?;
    let columns = Columns::split(&mut reader)?;
    reader.finish("body")?;
    columns.records(Tables { streams, series, records }, header)
}

struct Running {
    /// All ticks, and how many of them were met.
    ticks: (Arc<Ticks>, usize),
    time_us: i64,
    facts: usize,
}

/// What the columns refer to, and how many records are in them.
struct Tables {
    streams: Vec<(Stream, Option<SourceInfo>)>,
    series: Vec<Arc<Series>>,
    records: usize,
}

struct Columns<'a> {
    readers: [Reader<'a>; COLUMNS],
    /// Lines that were taken apart, and bytes that they may still have; `None` where they are as they were.
    lines: Option<(Lines<'a>, usize)>,
    /// The last of those.
    line: Vec<u8>,
}

type Streams = [(Stream, Option<SourceInfo>)];

impl<'a> Columns<'a> {
    fn split(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let mut lengths = [0; COLUMNS];
        for length in &mut lengths {
            *length = reader.length("column length", limits::BODY_BYTES_MAX)?;
        }
        let mut readers = std::array::from_fn(|_| Reader::new(&[]));
        for (column, length) in readers.iter_mut().zip(lengths) {
            *column = Reader::new(reader.take("column", length)?);
        }
        Ok(Self { readers, lines: None, line: Vec::new() })
    }

    fn of(
        sections: &Sections<'a>,
        version: u8,
        definitions: &'a [Vec<u8>],
    ) -> Result<Self, DecodeError> {
        let readers = Column::ALL.map(|it| Reader::new(sections.of(Section::Column(it))));
        let [fields, values, raw] =
            [Section::Fields, Section::Values, Section::Raw].map(|section| sections.of(section));
        let lines = match version {
            VERSION_FIELDS.. => {
                let definitions = (version >= VERSION_DEFINED).then_some(definitions);
                let lines = Lines::new(fields, values, raw, definitions)?;
                Some((lines, limits::BODY_BYTES_MAX))
            }
            _ => None,
        };
        Ok(Self { readers, lines, line: Vec::new() })
    }

    fn records(
        mut self,
        Tables { streams, series, records }: Tables,
        header: &Header,
    ) -> Result<Body, DecodeError> {
        let start = |(stream, _): &(Stream, _)| start_of(header, *stream);
        let mut ends: Vec<u64> = streams.iter().map(start).collect();
        let mut opened = Vec::with_capacity(records);
        let ticks = self.ticks(header.packing.version, series)?;
        let mut state = Running { ticks: (Arc::new(ticks), 0), time_us: 0, facts: 0 };
        for _ in 0..records {
            opened.push(self.record(&streams, &mut ends, &mut state)?);
        }
        self.finish()?;
        Ok(Body { streams, records: opened })
    }

    fn column(&mut self, column: Column) -> &mut Reader<'a> {
        &mut self.readers[column as usize]
    }

    fn finish(self) -> Result<(), DecodeError> {
        self.lines.map_or(Ok(()), |(lines, _)| lines.finish())?;
        self.readers.into_iter().try_for_each(|reader| reader.finish("column"))
    }

    /// `ends` holds, per stream, where its next record starts.
    fn record(
        &mut self,
        streams: &Streams,
        ends: &mut [u64],
        state: &mut Running,
    ) -> Result<Record, DecodeError> {
        let kind = self.column(Column::Kind).u8("kind")?;
        let place =
            self.column(Column::Stream).length("stream", streams.len().saturating_sub(1))?;
        let Some((stream, _)) = streams.get(place) else {
            return Err(outside("stream", place as u64, "a stream of the table"));
        };
        let told = self.column(Column::Length).varint("length")?;
        let since = self.column(Column::Time).zigzag("time")?;
        state.time_us = state.time_us.wrapping_add(since);
        let content = match kind {
            KIND_TICK => {
                let (ticks, next) = &mut state.ticks;
                *next += 1;
                Content::Tick(Tick::of(ticks, *next - 1))
            }
            KIND_EVENT => Content::Event(self.event()?),
            KIND_FACTS => Content::Facts(self.facts(state)?),
            KIND_GAP => Content::Gap(self.gap()?),
            kind => return Err(outside("kind", u64::from(kind), "0 to 3")),
        };
        let length = match &content {
            Content::Event(event) if self.lines.is_some() => taken(event, told),
            _ => told,
        };
        let start = ends[place];
        let end = start.checked_add(length).ok_or(outside("length", length, "a sum below 2^64"))?;
        ends[place] = end;
        Ok(Record { stream: *stream, start, end, time_us: state.time_us, content })
    }

    /// All ticks: their columns have nothing of other records.
    fn ticks(&mut self, version: u8, series: Vec<Arc<Series>>) -> Result<Ticks, DecodeError> {
        let mut kinds = self.column(Column::Kind).clone();
        let kinds = kinds.take("kinds", kinds.left())?;
        let count = kinds.iter().filter(|kind| **kind == KIND_TICK).count();
        let mut ticks = Ticks::with_room(series, count.min(limits::RECORDS_PER_BATCH_MAX));
        let mut last_values = vec![0_i64; ticks.known()];
        let mut places = Vec::new();
        for _ in 0..count {
            // Each sample has a value, of a byte at least.
            let most = limits::SAMPLES_PER_BATCH_MAX - ticks.samples();
            let most = most.min(self.column(Column::Value).left());
            if self.list(version, &mut places, ticks.known(), most)? {
                ticks.begin(places.iter().map(|place| {
                    u32::try_from(*place).expect("series of a batch are counted in 32 bits")
                }));
            } else {
                ticks.begin_alike();
            }
            let column = self.column(Column::Value);
            ticks.fill(|place| {
                let last = last_values.get_mut(*place as usize);
                let last = last.ok_or(outside("series", u64::from(*place), "a known series"))?;
                *last = last.wrapping_add(column.zigzag("value")?);
                Ok(*last)
            })?;
        }
        Ok(ticks)
    }

    /// Reads which series a tick has values of, and whether they are others than those of the tick before.
    fn list(
        &mut self,
        version: u8,
        list: &mut Vec<usize>,
        known: usize,
        most: usize,
    ) -> Result<bool, DecodeError> {
        let column = self.column(Column::Series);
        if version != VERSION_OLDEST {
            return places(column, list, known, most);
        }
        let mut told = Vec::with_capacity(list.len());
        for _ in 0..column.length("count of samples", most)? {
            told.push(column.length("series", known.saturating_sub(1))?);
        }
        let is_other = told != *list;
        *list = told;
        Ok(is_other)
    }

    fn event(&mut self) -> Result<Event, DecodeError> {
        let part = self.column(Column::Part).u8("part of a line")?;
        let part = match part {
            0 => Part::Whole,
            1 => Part::WholeCrLf,
            2 => Part::Continued,
            3 => Part::Unended,
            part => return Err(outside("part of a line", u64::from(part), "0 to 3")),
        };
        if let Some((lines, left)) = &mut self.lines {
            self.line.clear();
            lines.next(&mut self.line, limits::EVENT_BYTES_MAX.min(*left))?;
            *left -= self.line.len();
            return Ok(Event { part, body: self.line.clone() });
        }
        let length = self.column(Column::EventLength).length("event", limits::EVENT_BYTES_MAX)?;
        Ok(Event { part, body: self.column(Column::EventBytes).take("event", length)?.to_vec() })
    }

    fn facts(&mut self, state: &mut Running) -> Result<BTreeMap<String, String>, DecodeError> {
        let column = self.column(Column::Facts);
        let most = limits::LABELS_MAX.min(limits::FACTS_PER_BATCH_MAX - state.facts);
        let count = column.length("count of facts", most)?;
        state.facts += count;
        let mut facts = BTreeMap::new();
        for _ in 0..count {
            let name = text(column)?;
            facts.insert(name, text(column)?);
        }
        Ok(facts)
    }

    fn gap(&mut self) -> Result<Gap, DecodeError> {
        let column = self.column(Column::Gaps);
        let code = column.u8("cause")?;
        let cause = Cause::from_code(code).ok_or(outside("cause", u64::from(code), "1 to 10"))?;
        let (records, bytes) = (column.varint("gap records")?, column.varint("gap bytes")?);
        let about = match column.u8("gap about")? {
            0 => None,
            1 => Some(decode_stream(column)?),
            flag => return Err(outside("gap about", u64::from(flag), "0 or 1")),
        };
        Ok(Gap { cause, records, bytes, about })
    }
}

/// How much a line takes of its stream, of what is told beyond itself and its end.
fn taken(event: &Event, told: u64) -> u64 {
    let beyond = (told >> 1) ^ (told & 1).wrapping_neg();
    (event.body.len() as u64 + end_bytes(event.part as u8)).wrapping_add(beyond)
}

/// Where a batch starts in a stream; 0 for one that it does not cover, which `compare` refuses.
fn start_of(header: &Header, stream: Stream) -> u64 {
    let spans = &header.spans;
    let place = spans.binary_search_by_key(&stream, |span| span.stream);
    place.map_or(0, |place| spans[place].start.position)
}

fn outside(what: &'static str, value: u64, expected: &'static str) -> DecodeError {
    DecodeError::Value { what, value, expected }
}

fn text(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    reader.text("text", limits::TEXT_BYTES_MAX)
}

fn decode_streams(
    reader: &mut Reader<'_>,
) -> Result<Vec<(Stream, Option<SourceInfo>)>, DecodeError> {
    let count = reader.length("count of streams", limits::SPANS_PER_BATCH_MAX)?;
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = decode_stream(reader)?;
        streams.push((stream, decode_info(reader)?));
    }
    Ok(streams)
}

/// What a source is, which a definition says: 0 where nothing is said, else one more than its place.
fn defined_info(
    reader: &mut Reader<'_>,
    definitions: &[Vec<u8>],
) -> Result<Option<SourceInfo>, DecodeError> {
    let place = reader.length("definition of a source", definitions.len())?;
    let Some(place) = place.checked_sub(1) else { return Ok(None) };
    let mut reader = Reader::new(&definitions[place]);
    let info = decode_info(&mut reader)?;
    reader.finish("definition of a source")?;
    Ok(info)
}

fn decode_info(reader: &mut Reader<'_>) -> Result<Option<SourceInfo>, DecodeError> {
    Ok(match reader.u8("source kind")? {
        INFO_NONE => None,
        INFO_HOST => Some(SourceInfo::Host),
        INFO_DEVICE => Some(SourceInfo::Device),
        INFO_FILE => Some(SourceInfo::File {
            path: reader.bytes("path", limits::PATH_BYTES_MAX)?.to_vec(),
            fingerprint: Fingerprint {
                length: reader.u16("fingerprint length")?,
                hash: reader.array("fingerprint")?,
            },
        }),
        kind => return Err(outside("source kind", u64::from(kind), "0 to 3")),
    })
}
