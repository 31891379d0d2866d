//! A device as the list shows it.

use std::collections::BTreeMap;

use headwater_protocol::ledger::Tallies;
use serde::Serialize;

use super::super::page::{State, ago, percent, plain_text, stamp, three};
use crate::cli::client::encoded;
use crate::cli::output::units;
use crate::node::{DeviceView, Latest};

/// Bytes of a mount's name that a cell has room for.
const MOUNT_BYTES_MAX: usize = 64;

/// A device in the list.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) address: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) state: State,
    pub(crate) now_us: i64,
    pub(crate) seen_us: Option<i64>,
    pub(crate) cpu: Option<f64>,
    pub(crate) memory: Option<f64>,
    pub(crate) disk: Option<f64>,
    pub(crate) mount: String,
    pub(crate) load: Option<f64>,
    pub(crate) records: u64,
    pub(crate) gaps: u64,
    pub(crate) adds_up: bool,
}

impl Row {
    /// Draws it up.
    pub(crate) fn of(device: &DeviceView, now_us: i64) -> Self {
        let one = |metric: &str| {
            device.latest.iter().find(|latest| latest.series.metric == metric).map(value)
        };
        let disks = device.latest.iter().filter(|latest| latest.series.metric == "disk.used_ratio");
        let fullest = disks.max_by(|one, other| value(one).total_cmp(&value(other)));
        let mount = fullest.and_then(|latest| label(latest, "mount")).unwrap_or_default();
        let (load, cores) = (one("load.1m"), one("cpu.cores").filter(|cores| *cores > 0.0));
        let (mut records, mut gaps, mut tallies) = (0_u64, 0_u64, Tallies::default());
        for lane in &device.lanes {
            records = records.saturating_add(lane.totals.records);
            gaps = gaps.saturating_add(lane.totals.gaps);
            tallies.unequal += lane.tallies.unequal;
        }
        Self {
            name: device.name.clone(),
            id: device.id.to_string(),
            address: device.session.as_ref().map(|it| it.address.to_string()).unwrap_or_default(),
            labels: device.facts.clone(),
            state: State::of(device, now_us),
            now_us,
            seen_us: device.last_seen_us,
            cpu: one("cpu.busy_ratio"),
            memory: one("memory.used_ratio"),
            disk: fullest.map(value),
            mount: plain_text(mount.as_bytes(), MOUNT_BYTES_MAX).0,
            load: load.zip(cores).map(|(load, cores)| load / cores),
            records,
            gaps,
            adds_up: tallies.unequal == 0,
        }
    }

    /// The fullest or busiest that it has.
    pub(super) fn fullest(&self) -> Option<f64> {
        [self.cpu, self.memory, self.disk].into_iter().flatten().max_by(f64::total_cmp)
    }

    pub(crate) fn href(&self) -> String {
        format!("/devices/{}", encoded(&self.name))
    }

    /// What moves in it.
    pub(crate) fn cells(&self) -> Cells {
        let ratio = |value: Option<f64>| value.map_or_else(|| NONE.to_owned(), percent);
        let seen = self.seen_us.map_or_else(|| "never".to_owned(), |us| ago(us, self.now_us));
        Cells {
            device: self.name.clone(),
            state: self.state.word(),
            label: self.state.label(),
            fresh: self.state.is_fresh(),
            cpu: ratio(self.cpu),
            memory: ratio(self.memory),
            disk: ratio(self.disk),
            mount: self.mount.clone(),
            load: self.load.map_or_else(|| NONE.to_owned(), three),
            seen,
            seen_at: self.seen_us.map(stamp).unwrap_or_default(),
            records: units::grouped(self.records),
            gaps: units::grouped(self.gaps),
            ledger: if self.adds_up { "adds up" } else { "does not add up" },
        }
    }
}

#[cfg(test)]
impl Default for Row {
    fn default() -> Self {
        Self {
            name: String::new(),
            id: String::new(),
            address: String::new(),
            labels: BTreeMap::new(),
            state: State::Online,
            now_us: 0,
            seen_us: None,
            cpu: None,
            memory: None,
            disk: None,
            mount: String::new(),
            load: None,
            records: 0,
            gaps: 0,
            adds_up: true,
        }
    }
}

/// What a cell without a figure holds.
const NONE: &str = "\u{2013}";

/// What moves in a row, as its page and its stream write it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Cells {
    pub(crate) device: String,
    pub(crate) state: &'static str,
    pub(crate) label: &'static str,
    pub(crate) fresh: bool,
    pub(crate) cpu: String,
    pub(crate) memory: String,
    pub(crate) disk: String,
    pub(crate) mount: String,
    pub(crate) load: String,
    pub(crate) seen: String,
    pub(crate) seen_at: String,
    pub(crate) records: String,
    pub(crate) gaps: String,
    pub(crate) ledger: &'static str,
}

/// The value of a sample as a number to look at; sums are made of integers elsewhere.
pub(crate) fn value(latest: &Latest) -> f64 {
    latest.value as f64 / 10_f64.powi(i32::from(latest.series.scale))
}

/// A label of a series.
pub(crate) fn label<'a>(latest: &'a Latest, name: &str) -> Option<&'a str> {
    let labels = &latest.series.labels;
    labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}
