//! Which lines of batches and of files are wanted, and whose they are.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_protocol::identity::DeviceId;
use headwater_protocol::position::Stream;
use headwater_protocol::record::{Event, Record};

use super::devices::sources;
use super::rows::{LineRow, Moment, part_word, source_word, stream_word};
use crate::fold::AppliedBatch;
use crate::history::Table;
use crate::history::read::{Row, RowContent, Wanted, rows_of};
use crate::node::DeviceView;

/// What makes lines of records, for one device or all, one path or all.
#[derive(Debug)]
pub(super) struct Selection {
    wanted: Wanted,
    names: BTreeMap<DeviceId, String>,
    paths: BTreeMap<(DeviceId, Stream), String>,
}

impl Selection {
    /// Lines that are wanted, of devices as they are known.
    pub(super) fn new(wanted: Wanted, devices: &[DeviceView]) -> Self {
        let mut selection = Self { wanted, names: BTreeMap::new(), paths: BTreeMap::new() };
        for device in devices {
            selection.names.insert(device.id, device.name.clone());
            let known = sources(device).into_iter();
            selection.paths.extend(known.map(|(stream, path)| ((device.id, stream), path)));
        }
        selection
    }

    /// All lines, of devices as they are known.
    pub(super) fn of_all(devices: &[DeviceView]) -> Self {
        Self::new(Wanted::default(), devices)
    }

    /// What is wanted.
    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Whether the name of a batch's device is not known yet.
    pub(super) fn is_new(&self, batch: &AppliedBatch) -> bool {
        self.is_unnamed(batch.header.device)
    }

    /// Whether the name of a device is not known yet.
    pub(super) fn is_unnamed(&self, device: DeviceId) -> bool {
        !self.names.contains_key(&device)
    }

    /// Learns names.
    pub(super) fn add_names(&mut self, names: BTreeMap<DeviceId, String>) {
        self.names.extend(names);
    }

    /// The name of a device, its id if it has none.
    pub(super) fn name(&self, device: DeviceId) -> String {
        self.names.get(&device).cloned().unwrap_or_else(|| device.to_string())
    }

    /// What a stream reads, the id of its source if nobody said.
    pub(super) fn path(&self, device: DeviceId, stream: Stream) -> String {
        let known = self.paths.get(&(device, stream)).cloned();
        known.unwrap_or_else(|| stream.source.to_string())
    }

    /// Learns what the batch says of its streams.
    pub(super) fn learn(&mut self, batch: &AppliedBatch) {
        let Some(body) = &batch.body else { return };
        for (stream, info) in &body.streams {
            if let Some(info) = info {
                self.paths.insert((batch.header.device, *stream), source_word(info));
            }
        }
    }

    /// The lines of a batch that are wanted, in the order in which they were sealed.
    pub(super) fn rows(&mut self, batch: &AppliedBatch) -> Vec<LineRow> {
        let device = batch.header.device;
        if self.wanted.device.is_some_and(|wanted| wanted != device) {
            return Vec::new();
        }
        self.learn(batch);
        let path = |stream| self.path(device, stream).into();
        let rows = rows_of(batch, Table::Events, &self.wanted, path);
        rows.into_iter().filter_map(|row| self.line_of(row)).collect()
    }

    /// A row as a line, by the device's own time; one that lies after its arrival is shown as that. `None` if it is not wanted.
    pub(super) fn line_of(&self, row: Row) -> Option<LineRow> {
        let Row { device, stream, path, time_us, shift_us, start, content, .. } = row;
        let RowContent::Line { body, part } = content else { return None };
        let path = if path.is_empty() { self.path(device, stream) } else { path.to_string() };
        if self.wanted.path.as_ref().is_some_and(|wanted| *wanted != path) {
            return None;
        }
        let body = String::from_utf8(body);
        let body_base64 = body.as_ref().err().map(|error| STANDARD.encode(error.as_bytes()));
        Some(LineRow {
            time: Moment(time_us.saturating_sub(shift_us)),
            device: self.name(device),
            path,
            stream: stream_word(stream),
            position: start,
            part: part_word(part).to_owned(),
            body_base64,
            body: body.ok(),
        })
    }

    /// A record as a line.
    pub(super) fn line(&self, device: DeviceId, record: &Record, event: &Event) -> LineRow {
        let text = std::str::from_utf8(&event.body).ok();
        LineRow {
            time: Moment(record.time_us),
            device: self.name(device),
            path: self.path(device, record.stream),
            stream: stream_word(record.stream),
            position: record.start,
            part: part_word(event.part).to_owned(),
            body_base64: text.is_none().then(|| STANDARD.encode(&event.body)),
            body: text.map(str::to_owned),
        }
    }
}
