//! What is shown of the devices of a shard: facts, latest samples, names of sources. Derived from the
//! log like the ledger, and kept beside it in every snapshot; nothing that is delivered hangs on it.
//!
//! As bytes: `HWVW`, version, rmp-serde rows, and a BLAKE3 hash of all of it. A version that is not known
//! makes the whole snapshot of no use: the log is replayed.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::body::Body;
use headwater_protocol::header::Header;
use headwater_protocol::identity::{DeviceId, Lane};
use headwater_protocol::position::SourceId;
use headwater_protocol::record::{Content, Fingerprint, Series, SourceInfo};
use serde::{Deserialize, Serialize};

use crate::limits::KNOWN_BYTES_MAX;

const MAGIC: [u8; 4] = *b"HWVW";
/// The version that this build writes, and the only one that it reads.
const VERSION: u8 = 1;

/// What is shown of the devices of a shard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    devices: BTreeMap<DeviceId, DeviceKnown>,
}

/// What is shown of a device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceKnown {
    /// When the entry with its last applied batch was appended, microseconds since 1970 UTC.
    pub seen_us: i64,
    /// Labels and facts that it last sent.
    pub facts: BTreeMap<String, String>,
    /// The latest sample of each series: value and time.
    pub latest: BTreeMap<Arc<Series>, (i64, i64)>,
    /// What its sources are, and when they were last in a batch.
    pub sources: BTreeMap<(Lane, SourceId), (SourceInfo, i64)>,
}

/// Why a view can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// It is cut, or its hash does not fit.
    #[error("read a view: it is damaged")]
    Damaged,
    /// It is of another version.
    #[error("read a view: it has version {found}, this build reads {VERSION}")]
    Version {
        /// Its version.
        found: u8,
    },
    /// Its rows can't be read.
    #[error("read a view")]
    Rows(#[source] rmp_serde::decode::Error),
}

impl View {
    /// The devices.
    #[must_use]
    pub fn devices(&self) -> &BTreeMap<DeviceId, DeviceKnown> {
        &self.devices
    }

    /// Takes an applied batch; `body` is `None` if it can't be opened. Sources of its lane that the ledger knows
    /// no run of are forgotten with it: files are rotated, and their names would be all that is left.
    pub(super) fn apply(
        &mut self,
        header: &Header,
        stamp_us: i64,
        body: Option<&Body>,
        is_known: impl Fn(SourceId) -> bool,
    ) {
        let device = self.devices.entry(header.device).or_default();
        device.seen_us = device.seen_us.max(stamp_us);
        let Some(body) = body else { return };
        let (mut more_sources, mut more_series) = (false, false);
        for (stream, info) in &body.streams {
            if let Some(info) = info {
                let source = (header.lane, stream.source);
                more_sources |= device.sources.insert(source, (info.clone(), stamp_us)).is_none();
            }
        }
        for record in &body.records {
            match &record.content {
                Content::Facts(facts) => device.facts.clone_from(facts),
                Content::Tick(tick) => {
                    for sample in tick.iter() {
                        let latest = (sample.value, record.time_us);
                        let series = Arc::clone(sample.series);
                        more_series |= device.latest.insert(series, latest).is_none();
                    }
                }
                Content::Event(_) | Content::Gap(_) => {}
            }
        }
        if more_series {
            keep_newest(&mut device.latest, |series, (_, time_us)| {
                (*time_us, series_bytes(series))
            });
        }
        if more_sources {
            device.sources.retain(|(lane, source), _| *lane != header.lane || is_known(*source));
            keep_newest(&mut device.sources, |_, (info, seen_us)| (*seen_us, source_bytes(info)));
        }
    }

    /// The view's bytes.
    ///
    /// # Panics
    /// Never: numbers, bytes and text always have an encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let rows: Vec<DeviceRow> = self.devices.iter().map(DeviceRow::of).collect();
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        rmp_serde::encode::write(&mut out, &rows)
            .expect("rows of numbers and text have an encoding");
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out
    }

    /// Reads a view.
    ///
    /// # Errors
    /// For every malformed input, and every other version.
    pub fn decode(bytes: &[u8]) -> Result<Self, ViewError> {
        let (body, hash) = bytes.split_last_chunk::<32>().ok_or(ViewError::Damaged)?;
        let rows = body.strip_prefix(&MAGIC).ok_or(ViewError::Damaged)?;
        let (version, rows) = rows.split_first().ok_or(ViewError::Damaged)?;
        if blake3::hash(body).as_bytes() != hash {
            return Err(ViewError::Damaged);
        }
        if *version != VERSION {
            return Err(ViewError::Version { found: *version });
        }
        let rows: Vec<DeviceRow> = rmp_serde::from_slice(rows).map_err(ViewError::Rows)?;
        Ok(Self { devices: rows.into_iter().map(DeviceRow::into_known).collect() })
    }
}

/// Drops the oldest rows of a map that holds more bytes than its limit, of those the longest: once per
/// batch that brings more, so that a batch full of other names costs one pass. Ten thousand mounts do not
/// push out the processors, whose names are short.
fn keep_newest<K: Clone + Ord, V>(map: &mut BTreeMap<K, V>, row: impl Fn(&K, &V) -> (i64, usize)) {
    let mut bytes: usize = map.iter().map(|(key, value)| row(key, value).1).sum();
    if bytes <= KNOWN_BYTES_MAX {
        return;
    }
    let rows = map.iter().map(|(key, value)| (row(key, value), key.clone()));
    let mut by_age: Vec<((i64, usize), K)> = rows.collect();
    by_age.sort_by(|((time, bytes), key), ((other_time, other_bytes), other_key)| {
        time.cmp(other_time).then_with(|| other_bytes.cmp(bytes)).then_with(|| key.cmp(other_key))
    });
    for ((_, taken), key) in by_age {
        if bytes <= KNOWN_BYTES_MAX {
            return;
        }
        bytes -= taken;
        map.remove(&key);
    }
}

fn series_bytes(series: &Series) -> usize {
    let labels = series.labels.iter().map(|(name, value)| name.len() + value.len() + 48);
    128 + series.metric.len() + labels.sum::<usize>()
}

fn source_bytes(info: &SourceInfo) -> usize {
    128 + match info {
        SourceInfo::Host | SourceInfo::Device => 0,
        SourceInfo::File { path, .. } => path.len(),
    }
}

#[derive(Serialize, Deserialize)]
struct DeviceRow {
    id: DeviceId,
    seen_us: i64,
    facts: BTreeMap<String, String>,
    latest: Vec<SeriesRow>,
    sources: Vec<(Lane, SourceId, SourceRow, i64)>,
}

#[derive(Serialize, Deserialize)]
struct SeriesRow {
    metric: String,
    labels: Vec<(String, String)>,
    scale: u8,
    value: i64,
    time_us: i64,
}

#[derive(Serialize, Deserialize)]
enum SourceRow {
    Host,
    Device,
    File { path: Vec<u8>, length: u16, hash: [u8; 16] },
}

impl DeviceRow {
    fn of((id, known): (&DeviceId, &DeviceKnown)) -> Self {
        let latest = known.latest.iter().map(|(series, (value, time_us))| SeriesRow {
            metric: series.metric.clone(),
            labels: series.labels.clone(),
            scale: series.scale,
            value: *value,
            time_us: *time_us,
        });
        let sources = known.sources.iter();
        let sources = sources
            .map(|((lane, id), (info, seen_us))| (*lane, *id, SourceRow::of(info), *seen_us));
        Self {
            id: *id,
            seen_us: known.seen_us,
            facts: known.facts.clone(),
            latest: latest.collect(),
            sources: sources.collect(),
        }
    }

    fn into_known(self) -> (DeviceId, DeviceKnown) {
        let latest = self.latest.into_iter().map(|row| {
            let series = Series { metric: row.metric, labels: row.labels, scale: row.scale };
            (Arc::new(series), (row.value, row.time_us))
        });
        let sources = self.sources.into_iter();
        let sources =
            sources.map(|(lane, id, row, seen_us)| ((lane, id), (row.into_info(), seen_us)));
        let (seen_us, facts) = (self.seen_us, self.facts);
        let known =
            DeviceKnown { seen_us, facts, latest: latest.collect(), sources: sources.collect() };
        (self.id, known)
    }
}

impl SourceRow {
    fn of(info: &SourceInfo) -> Self {
        match info {
            SourceInfo::Host => Self::Host,
            SourceInfo::Device => Self::Device,
            SourceInfo::File { path, fingerprint } => Self::File {
                path: path.clone(),
                length: fingerprint.length,
                hash: fingerprint.hash,
            },
        }
    }

    fn into_info(self) -> SourceInfo {
        match self {
            Self::Host => SourceInfo::Host,
            Self::Device => SourceInfo::Device,
            Self::File { path, length, hash } => {
                SourceInfo::File { path, fingerprint: Fingerprint { length, hash } }
            }
        }
    }
}
