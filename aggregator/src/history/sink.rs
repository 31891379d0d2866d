//! The sink that writes the history: a range's rows by table and hour, one file for each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use headwater_protocol::body::Body;
use headwater_protocol::header::Header;
use headwater_protocol::identity::{LogId, ShardId};
use headwater_protocol::record::{Content, Record};
use parquet::errors::ParquetError;

use super::events::Events;
use super::file::encode;
use super::folder::{Folder, FolderError, Put};
use super::gaps::{self, Gaps};
use super::merge::{MergeError, Merger};
use super::retention::{Expiry, Retention};
use super::samples::{Origin, Samples};
use super::table::{FileName, Hour, Kind, Spot, Table};
use crate::clock::wall_us;
use crate::fold::AppliedBatch;
use crate::killpoint;
use crate::sink::{
    Deliveries, Destination, Known, Merged, Place, Range, Settled, WriteError, Written,
};
use crate::window::ClockOffset;

/// Hours that one range may have files of. What is of still others lies in the hour in which it came: clocks that are all
/// over the calendar make no folder for each of their hours.
const HOURS_MAX: usize = 1_024;

/// Parquet files in a folder.
#[derive(Debug)]
pub struct Parquet {
    root: PathBuf,
    log: LogId,
    /// `None` until it was opened once: a disk that is not there yet holds up nothing but its sink.
    folder: Option<Folder>,
    merger: Merger,
    expiry: Expiry,
}

impl Parquet {
    /// Files of a log, in a folder, and how much of them is kept.
    #[must_use]
    pub fn new(root: PathBuf, log: LogId, retention: &Retention) -> Self {
        let expiry = Expiry::new(retention, &Table::OF_RECORDS);
        Self { root, log, folder: None, merger: Merger::new(log), expiry }
    }

    fn folder(&mut self) -> Result<Folder, WriteError> {
        if self.folder.is_none() {
            let opened = Folder::open(&self.root);
            let at = self.root.display().to_string();
            self.folder = Some(opened.map_err(|error| WriteError::new("open", at, error))?);
        }
        Ok(self.folder.clone().expect("it was just opened"))
    }

    fn put(
        &mut self,
        (table, hour): (Table, Hour),
        range: &Range,
        encoded: Result<Vec<u8>, ParquetError>,
        written: &mut Written,
    ) -> Result<(), WriteError> {
        let spot = Spot { hour, table, shard: range.shard };
        let (place, name) = (spot.folder(), FileName::of(range));
        let at = || format!("{place}/{name}");
        let bytes = encoded.map_err(|error| WriteError::new("encode", at(), error))?;
        let folder = self.folder()?;
        let is_merged = self.merger.holds(&folder, spot, name);
        if is_merged.map_err(|error| WriteError::new("look for", at(), error))? {
            return Ok(());
        }
        let put = folder.put(&place, name, &bytes);
        let put = put.map_err(|error| WriteError::new("write", at(), error))?;
        if put == Put::Replaced {
            tracing::warn!(file = at(), "another file of this name was there: it is set aside");
        }
        self.merger.note(spot);
        killpoint::pass("history.file_written");
        written.pieces += 1;
        written.bytes += bytes.len() as u64;
        Ok(())
    }
}

impl Destination for Parquet {
    fn write(
        &mut self,
        range: &Range,
        deliveries: &mut Deliveries<'_>,
        known: &mut Known,
    ) -> Result<Written, WriteError> {
        let mut parts = Parts::default();
        let next = |deliveries: &mut Deliveries<'_>| {
            let at = || format!("shard {} from offset {}", range.shard, range.first);
            deliveries.next_applied().map_err(|error| WriteError::new("read", at(), error))
        };
        while let Some(batch) = next(deliveries)? {
            parts.take_batch(range, batch, known);
        }
        let mut written = Written::default();
        let whose = (self.log, range);
        for (hour, samples) in parts.samples {
            written.rows += samples.rows();
            let encoded = encode(Table::Samples, whose, |columns| samples.write(columns));
            self.put((Table::Samples, hour), range, encoded, &mut written)?;
        }
        for (hour, events) in parts.events {
            written.rows += events.rows();
            let encoded = encode(Table::Events, whose, |columns| events.write(columns));
            self.put((Table::Events, hour), range, encoded, &mut written)?;
        }
        for (hour, gaps) in parts.gaps {
            written.rows += gaps.rows();
            let encoded = encode(Table::Gaps, whose, |columns| gaps.write(columns));
            self.put((Table::Gaps, hour), range, encoded, &mut written)?;
        }
        Ok(written)
    }

    fn withdraw(&mut self, places: &BTreeMap<ShardId, Place>) -> Result<u64, WriteError> {
        let folder = self.folder()?;
        let at = || self.root.display().to_string();
        let failed = |error: FolderError| WriteError::new("withdraw files from", at(), error);
        let mut withdrawn = 0;
        for spot in folder.spots().map_err(failed)? {
            let place = places.get(&spot.shard);
            let mut is_left = false;
            for (name, _) in folder.list(spot).map_err(failed)? {
                if is_kept(name, place) {
                    is_left |= name.kind != Kind::Full;
                    continue;
                }
                if name.kind == Kind::Range {
                    folder.withdraw(&spot.folder(), name).map_err(failed)?;
                } else {
                    // What is begun is written again: a merged file is not asked for it.
                    let written = place.map_or(0, |place| place.from.end.0);
                    let cut = self.merger.cut(
                        &folder,
                        (spot, name),
                        |held| held.end <= written,
                        Instant::now(),
                    );
                    let at = || format!("{}/{name}", spot.folder());
                    cut.map_err(|error| WriteError::new("withdraw rows from", at(), error))?;
                }
                withdrawn += 1;
            }
            if is_left {
                self.merger.note(spot);
            }
        }
        Ok(withdrawn)
    }

    fn expire(&mut self) -> Result<u64, WriteError> {
        let folder = self.folder()?;
        let at = || self.root.display().to_string();
        let expired = self.expiry.step(&folder, wall_us(), Instant::now());
        let expired = expired.map_err(|error| WriteError::new("delete hours in", at(), error))?;
        Ok(expired.files)
    }

    fn merge(
        &mut self,
        settled: &BTreeMap<ShardId, Settled>,
    ) -> Result<Option<Merged>, WriteError> {
        let folder = self.folder()?;
        let merged = self.merger.step(&folder, settled, Instant::now());
        merged.map_err(|(spot, error): (Option<Spot>, MergeError)| {
            let at = spot.map_or_else(|| self.root.display().to_string(), Spot::folder);
            WriteError::new("merge", at, error)
        })
    }
}

/// Whether the log has all that a file holds, by where the sink stands in its shard.
fn is_kept(name: FileName, place: Option<&Place>) -> bool {
    let Some(place) = place else { return false };
    let at = place.from.end.0;
    let is_range = name.kind == Kind::Range;
    let is_begun = is_range && name.first == at && place.begun.is_some_and(|it| it.0 == name.end);
    name.end <= at || is_begun
}

/// Rows of a range, by table and hour.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) samples: BTreeMap<Hour, Samples>,
    pub(super) events: BTreeMap<Hour, Events>,
    pub(super) gaps: BTreeMap<Hour, Gaps>,
}

impl Parts {
    pub(super) fn take_batch(&mut self, range: &Range, batch: AppliedBatch, known: &mut Known) {
        let AppliedBatch { header, stamp_us, sent, body, .. } = batch;
        // It was applied as a gap: its bytes are in the dead letters.
        let Some(Body { streams, records }) = body else { return };
        known.note_sources(&header, &streams);
        let offset = ClockOffset::measure(&header.clock, &sent, stamp_us);
        for record in records {
            known.note(header.device, &record.content);
            self.take(range, &header, (record, offset), known);
        }
    }

    fn take(
        &mut self,
        range: &Range,
        header: &Header,
        (record, offset): (Record, ClockOffset),
        known: &Known,
    ) {
        let (device, lane) = (header.device, header.lane);
        let Record { stream, start, end, time_us, content } = record;
        let time_us = offset.correct(time_us);
        let (hour, arrival) = (Hour::of(time_us), Hour::of(range.clock_us));
        let tags = known.tags(device).clone();
        let origin = Origin { tags, stream, shift_us: offset.shift_us() };
        match content {
            Content::Tick(tick) => {
                let samples = of_hour(&mut self.samples, hour, arrival);
                samples.add(device, (time_us, start), &tick, &origin);
            }
            Content::Event(event) => {
                let path = known.path(device, lane, stream.source);
                let events = of_hour(&mut self.events, hour, arrival);
                events.add(device, (time_us, start, end), event, (path, &origin));
            }
            Content::Gap(gap) => {
                let path = known.path(device, lane, stream.source).cloned();
                let row = gaps::Row { device, lane, path, origin, time_us, start, end, gap };
                of_hour(&mut self.gaps, hour, arrival).add(row);
            }
            Content::Facts(_) => {}
        }
    }
}

fn of_hour<T: Default>(parts: &mut BTreeMap<Hour, T>, hour: Hour, arrival: Hour) -> &mut T {
    let has_room = parts.len() < HOURS_MAX || parts.contains_key(&hour);
    parts.entry(if has_room { hour } else { arrival }).or_default()
}
