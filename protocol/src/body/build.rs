//! Building a body, record by record, without keeping the records.

mod pack;

pub use pack::PackedBody;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sections::put_places;
use super::{COLUMNS, Column, KIND_EVENT, KIND_FACTS, KIND_GAP, KIND_TICK};
use crate::codec::{put_bytes, put_varint, put_zigzag};
use crate::header::{Counts, encode_stream};
use crate::limits;
use crate::position::{Check, Mark, Span, Stream};
use crate::record::{Content, Gap, Line, Part, Record, Series, SourceInfo, Tick};

/// A body in the making, with what its header will say of it.
#[derive(Clone, Debug, Default)]
pub struct BodyBuilder {
    streams: Vec<Covered>,
    columns: [Vec<u8>; COLUMNS],
    /// The column of series as version 2 has it, and the places in it that stand in the last tick.
    places: (Vec<u8>, Vec<usize>),
    dictionary: BTreeMap<Arc<Series>, usize>,
    dictionary_bytes: usize,
    last_values: Vec<i64>,
    last_time_us: i64,
    records: usize,
    samples: usize,
    facts: usize,
    counts: Counts,
}

#[derive(Clone, Debug)]
struct Covered {
    span: Span,
    info: Option<SourceInfo>,
}

impl BodyBuilder {
    /// Whether nothing is in it, not even a stream.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Bytes before compression, to a few per cent.
    #[must_use]
    pub fn weight(&self) -> usize {
        let columns: usize = self.columns.iter().map(Vec::len).sum();
        // One of the two forms of this column will be written.
        let series = self.columns[Column::Series as usize].len();
        let columns = columns - series + series.max(self.places.0.len());
        columns + self.dictionary_bytes + self.streams.len() * 64
    }

    /// Whether something of this weight still fits under the limits of a batch.
    #[must_use]
    pub fn has_room(&self, records: usize, samples: usize, facts: usize, weight: usize) -> bool {
        self.records + records <= limits::RECORDS_PER_BATCH_MAX
            && self.samples + samples <= limits::SAMPLES_PER_BATCH_MAX
            && self.facts + facts <= limits::FACTS_PER_BATCH_MAX
            && self.dictionary.len() + samples <= limits::SERIES_PER_BATCH_MAX.max(samples)
            && self.streams.len() < limits::SPANS_PER_BATCH_MAX
            && self.weight() + weight + 64 <= limits::BODY_BYTES_MAX
    }

    /// What is in it.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Where it ends in a stream, `None` if it does not cover it.
    #[must_use]
    pub fn end(&self, stream: Stream) -> Option<Mark> {
        self.find(stream).map(|index| self.streams[index].span.end)
    }

    /// What it covers, in order of streams.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = self.streams.iter().map(|covered| covered.span).collect();
        spans.sort_by_key(|span| span.stream);
        spans
    }

    /// Covers a stream from `start` on. Does nothing if it is covered.
    pub fn cover(&mut self, stream: Stream, info: Option<&SourceInfo>, start: Mark, check: Check) {
        if self.find(stream).is_none() {
            let span = Span { stream, start, end: start, check };
            self.streams.push(Covered { span, info: info.cloned() });
        }
    }

    /// Sets the check at the end of a covered stream.
    ///
    /// # Panics
    /// If the stream is not covered: a caller's mistake.
    pub fn set_check(&mut self, stream: Stream, check: Check) {
        let index = self.find(stream).expect("a stream is covered before its check is set");
        self.streams[index].span.check = check;
    }

    /// Adds a line.
    ///
    /// # Panics
    /// If the stream is not covered: a caller's mistake.
    pub fn push_line(&mut self, stream: Stream, line: Line<'_>) {
        let start = self.end(stream).expect("a stream is covered before its lines").position;
        self.begin(stream, KIND_EVENT, (start, start + line.taken, line.time_us), 1);
        self.push_event(line.part, line.body);
        self.counts.records += 1;
    }

    /// Adds a record.
    ///
    /// # Panics
    /// If its stream is not covered, or the record does not start where what is covered ends: a
    /// caller's mistake.
    pub fn push(&mut self, record: &Record) {
        let range = (record.start, record.end, record.time_us);
        match &record.content {
            Content::Tick(tick) => {
                self.begin(record.stream, KIND_TICK, range, record.count());
                self.push_tick(tick);
                self.counts.records += record.count();
                self.set_check(record.stream, record.check());
            }
            Content::Event(event) => {
                self.begin(record.stream, KIND_EVENT, range, 1);
                self.push_event(event.part, &event.body);
                self.counts.records += 1;
            }
            Content::Facts(facts) => {
                self.begin(record.stream, KIND_FACTS, range, 1);
                self.push_facts(facts);
                self.counts.records += 1;
                self.set_check(record.stream, record.check());
            }
            Content::Gap(gap) => {
                self.begin(record.stream, KIND_GAP, range, gap.records);
                self.push_gap(gap);
                let (gap_records, gap_bytes) = (gap.records, gap.bytes);
                let gap = Counts { records: 0, gaps: 1, gap_records, gap_bytes };
                self.counts = self.counts.plus(gap);
                if self.has_no_bytes(record.stream) {
                    self.set_check(record.stream, record.check());
                }
            }
        }
    }

    /// The dictionary in order of places.
    fn series(&self) -> Vec<&Arc<Series>> {
        let mut series: Vec<(&Arc<Series>, usize)> =
            self.dictionary.iter().map(|(series, place)| (series, *place)).collect();
        series.sort_by_key(|(_, place)| *place);
        series.into_iter().map(|(series, _)| series).collect()
    }

    fn find(&self, stream: Stream) -> Option<usize> {
        self.streams.iter().rposition(|covered| covered.span.stream == stream)
    }

    /// Whether a stream is a sampler's, or of the agent itself: its checks are of records.
    fn has_no_bytes(&self, stream: Stream) -> bool {
        let info = self.find(stream).and_then(|index| self.streams[index].info.as_ref());
        matches!(info, Some(SourceInfo::Host | SourceInfo::Device))
    }

    fn begin(&mut self, stream: Stream, kind: u8, range: (u64, u64, i64), count: u64) {
        let (start, end, time_us) = range;
        let index = self.find(stream).expect("a stream is covered before its records");
        let span = &mut self.streams[index].span;
        assert!(start == span.end.position && end >= start, "records of a stream are contiguous");
        span.end = Mark { position: end, records: span.end.records + count };
        self.column(Column::Kind).push(kind);
        put_varint(self.column(Column::Stream), index as u64);
        put_varint(self.column(Column::Length), end - start);
        let since = time_us.wrapping_sub(self.last_time_us);
        put_zigzag(self.column(Column::Time), since);
        self.last_time_us = time_us;
        self.records += 1;
    }

    fn push_event(&mut self, part: Part, body: &[u8]) {
        self.column(Column::Part).push(part as u8);
        put_varint(self.column(Column::EventLength), body.len() as u64);
        self.column(Column::EventBytes).extend_from_slice(body);
    }

    fn push_tick(&mut self, tick: &Tick) {
        put_varint(self.column(Column::Series), tick.len() as u64);
        let mut places = Vec::with_capacity(tick.len());
        for sample in tick.iter() {
            let next = self.dictionary.len();
            let place = *self.dictionary.entry(Arc::clone(sample.series)).or_insert(next);
            if place == next {
                self.dictionary_bytes += sample.series.weight();
                self.last_values.push(0);
            }
            places.push(place);
            put_varint(self.column(Column::Series), place as u64);
            let since = sample.value.wrapping_sub(self.last_values[place]);
            put_zigzag(self.column(Column::Value), since);
            self.last_values[place] = sample.value;
        }
        put_places(&mut self.places.0, &places, &self.places.1);
        self.places.1 = places;
        self.samples += tick.len();
    }

    fn push_facts(&mut self, facts: &BTreeMap<String, String>) {
        let column = self.column(Column::Facts);
        put_varint(column, facts.len() as u64);
        for (key, value) in facts {
            put_bytes(column, key.as_bytes());
            put_bytes(column, value.as_bytes());
        }
        self.facts += facts.len();
    }

    fn push_gap(&mut self, gap: &Gap) {
        let column = self.column(Column::Gaps);
        column.push(gap.cause as u8);
        put_varint(column, gap.records);
        put_varint(column, gap.bytes);
        column.push(u8::from(gap.about.is_some()));
        if let Some(stream) = gap.about {
            encode_stream(stream, column);
        }
    }

    fn column(&mut self, column: Column) -> &mut Vec<u8> {
        &mut self.columns[column as usize]
    }
}
