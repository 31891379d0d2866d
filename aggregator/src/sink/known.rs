//! What earlier records said of devices and sources: rows repeat it, so that each one can be read by itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::body::Body;
use headwater_protocol::header::Header;
use headwater_protocol::identity::{DeviceId, Lane};
use headwater_protocol::ledger::ShardLedger;
use headwater_protocol::position::{SourceId, Stream};
use headwater_protocol::record::{Content, SourceInfo};

use crate::fold::View;

/// What is known of the devices of a shard where a range begins.
#[derive(Clone, Debug, Default)]
pub struct Known {
    devices: BTreeMap<DeviceId, Arc<Tags>>,
    sources: BTreeMap<(DeviceId, Lane, SourceId), Arc<str>>,
    none: Arc<Tags>,
    has_more_sources: bool,
}

/// Labels and facts of a device.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tags {
    /// What it calls itself; empty if it never said.
    pub host: String,
    /// All of them, as a JSON object whose names are in order.
    pub json: String,
}

impl Default for Tags {
    fn default() -> Self {
        Self::of(&BTreeMap::new())
    }
}

impl Tags {
    fn of(facts: &BTreeMap<String, String>) -> Self {
        let json = serde_json::to_string(facts).expect("a map of texts has a JSON form");
        Self { host: facts.get("host.name").cloned().unwrap_or_default(), json }
    }
}

impl Known {
    /// What a snapshot says.
    pub(super) fn of(view: &View) -> Self {
        let mut known = Self::default();
        for (device, of_device) in view.devices() {
            if !of_device.facts.is_empty() {
                known.devices.insert(*device, Arc::new(Tags::of(&of_device.facts)));
            }
            for ((lane, source), (info, _)) in &of_device.sources {
                known.insert_source((*device, *lane, *source), info);
            }
        }
        known
    }

    /// Takes what a body says of its sources. To be called before its records are looked at.
    pub fn note_sources(&mut self, header: &Header, streams: &[(Stream, Option<SourceInfo>)]) {
        for (stream, info) in streams {
            if let Some(info) = info {
                self.insert_source((header.device, header.lane, stream.source), info);
            }
        }
    }

    /// Takes what a record says of its device.
    pub fn note(&mut self, device: DeviceId, content: &Content) {
        if let Content::Facts(facts) = content {
            self.devices.insert(device, Arc::new(Tags::of(facts)));
        }
    }

    /// Takes all that an applied batch says.
    pub(super) fn note_batch(&mut self, header: &Header, body: &Body) {
        self.note_sources(header, &body.streams);
        body.records.iter().for_each(|record| self.note(header.device, &record.content));
    }

    /// Labels and facts of a device, as of the last record that was noted.
    #[must_use]
    pub fn tags(&self, device: DeviceId) -> &Arc<Tags> {
        self.devices.get(&device).unwrap_or(&self.none)
    }

    /// Path of a source's file. `None` if it has none, or its agent never said.
    #[must_use]
    pub fn path(&self, device: DeviceId, lane: Lane, source: SourceId) -> Option<&Arc<str>> {
        self.sources.get(&(device, lane, source))
    }

    /// Forgets sources that the ledger knows no run of any more: files are rotated, and their names would be all that is
    /// left. Only where there are new ones.
    pub(super) fn forget_ended(&mut self, ledger: &ShardLedger) {
        if std::mem::take(&mut self.has_more_sources) {
            let lanes = ledger.lanes();
            self.sources.retain(|(device, lane, source), _| {
                lanes.get(&(*device, *lane)).is_some_and(|lane| lane.knows(*source))
            });
        }
    }

    fn insert_source(&mut self, key: (DeviceId, Lane, SourceId), info: &SourceInfo) {
        if let SourceInfo::File { path, .. } = info {
            let path = String::from_utf8_lossy(path);
            if self.sources.get(&key).is_none_or(|known| **known != *path) {
                self.has_more_sources |= self.sources.insert(key, path.into()).is_none();
            }
        }
    }
}
