//! Which lines of a batch are wanted, and whose they are.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_protocol::identity::DeviceId;
use headwater_protocol::position::Stream;
use headwater_protocol::record::{Content, Event, Record};

use super::devices::sources;
use super::rows::{LineRow, Moment, part_word, source_word, stream_word};
use crate::fold::AppliedBatch;
use crate::node::DeviceView;

/// What makes lines of records, for one device or all, one path or all.
#[derive(Debug)]
pub(super) struct Selection {
    device: Option<DeviceId>,
    path: Option<String>,
    names: BTreeMap<DeviceId, String>,
    paths: BTreeMap<(DeviceId, Stream), String>,
}

impl Selection {
    /// `None` wants all.
    pub(super) fn new(
        device: Option<DeviceId>,
        path: Option<String>,
        devices: &[DeviceView],
    ) -> Self {
        let mut selection = Self { device, path, names: BTreeMap::new(), paths: BTreeMap::new() };
        for device in devices {
            selection.names.insert(device.id, device.name.clone());
            let known = sources(device).into_iter();
            selection.paths.extend(known.map(|(stream, path)| ((device.id, stream), path)));
        }
        selection
    }

    /// Whether the name of a batch's device is not known yet.
    pub(super) fn is_new(&self, batch: &AppliedBatch) -> bool {
        !self.names.contains_key(&batch.header.device)
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
        if self.device.is_some_and(|wanted| wanted != device) {
            return Vec::new();
        }
        self.learn(batch);
        let records = batch.body.iter().flat_map(|body| &body.records);
        records.filter_map(|record| self.row(device, record)).collect()
    }

    fn row(&self, device: DeviceId, record: &Record) -> Option<LineRow> {
        let Content::Event(event) = &record.content else { return None };
        let path = self.path(device, record.stream);
        if self.path.as_ref().is_some_and(|wanted| *wanted != path) {
            return None;
        }
        Some(self.line(device, record, event))
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
