//! The head of a device's page, and its tiles of latest values.

use serde::Serialize;

use super::super::devices::Row;
use super::super::page::{State, ago, plain_text, stamp};
use super::chart::written;
use super::plan::Unit;
use crate::cli::output::units;
use crate::limits::EPOCHS_PER_DAY_MAX;
use crate::node::{DeviceView, Latest};

/// Labels that the head shows; a device may send more.
const LABELS_MAX: usize = 24;
/// Bytes of a label's value that the head shows.
const LABEL_BYTES_MAX: usize = 120;
/// A clock that differs by less is good enough. Source: CONSOLE page, section 4.
const SKEW_US: i64 = 2_000_000;

/// What stands above the tabs.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) head: Head,
    pub(crate) id: String,
    pub(crate) enrolled: String,
    /// Labels and facts: name and value.
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) labels_more: usize,
    /// What its session says. `None` without one.
    pub(crate) session: Option<String>,
    pub(crate) certificate_ends: String,
}

/// What of it moves.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Head {
    pub(crate) name: String,
    pub(crate) state: &'static str,
    pub(crate) label: &'static str,
    pub(crate) fresh: bool,
    /// Since when, in words.
    pub(crate) since: String,
    pub(crate) seen_at: String,
    /// What its clock differs from ours by. Empty if that does not matter.
    pub(crate) skew: String,
}

impl Facts {
    pub(super) fn of(device: &DeviceView, now_us: i64) -> Self {
        let label = |(name, value): (&String, &String)| {
            let (name, _) = plain_text(name.as_bytes(), LABEL_BYTES_MAX);
            let (value, more) = plain_text(value.as_bytes(), LABEL_BYTES_MAX);
            (name, if more > 0 { format!("{value}\u{2026}") } else { value })
        };
        let session = device.session.as_ref().map(|session| {
            format!(
                "{} · round trip {} · agent {}",
                session.address,
                units::duration(session.rtt),
                plain_text(session.build.as_bytes(), LABEL_BYTES_MAX).0,
            )
        });
        Self {
            head: head(device, now_us),
            id: device.id.to_string(),
            enrolled: stamp(device.enrolled_at_us),
            labels: device.facts.iter().take(LABELS_MAX).map(label).collect(),
            labels_more: device.facts.len().saturating_sub(LABELS_MAX),
            session,
            certificate_ends: stamp(device.certificate_ends_at_us),
        }
    }
}

/// What of the head moves.
pub(crate) fn head(device: &DeviceView, now_us: i64) -> Head {
    let state = State::of(device, now_us);
    let seen = device.last_seen_us;
    let since = match (state, seen, &device.session) {
        (State::Revoked, _, _) => {
            format!("revoked {}", device.revoked_at_us.map(stamp).unwrap_or_default())
        }
        (State::Cloned, _, _) => {
            let found = device.cloned_at_us.map(stamp).unwrap_or_default();
            format!("two running hosts use its identity, found {found}; neither is served")
        }
        (State::Unstable, _, _) => format!(
            "opened more than {EPOCHS_PER_DAY_MAX} epochs within a day, so it is slowed down: \
             is its host restored again and again?"
        ),
        (State::New, _, _) => "nothing has come of it yet".to_owned(),
        (State::Online, Some(seen), Some(session)) => {
            format!("since {} · last batch {}", stamp(session.since_us), ago(seen, now_us))
        }
        (_, Some(seen), _) => format!("last data {} ({})", ago(seen, now_us), stamp(seen)),
        (_, None, _) => String::new(),
    };
    Head {
        name: device.name.clone(),
        state: state.word(),
        label: state.label(),
        fresh: state.is_fresh(),
        since,
        seen_at: seen.map(stamp).unwrap_or_default(),
        skew: skew(device, state),
    }
}

/// How far the newest sample's clock is from the moment at which it came. Only of a device that sends as
/// it samples: what comes out of a spool is late, not wrong.
fn skew(device: &DeviceView, state: State) -> String {
    let newest = device.latest.iter().map(|latest| latest.time_us).max();
    let (Some(newest), Some(seen)) = (newest, device.last_seen_us) else { return String::new() };
    let by = newest.saturating_sub(seen);
    let size = by.unsigned_abs();
    if !state.is_fresh() || size < SKEW_US.unsigned_abs() {
        return String::new();
    }
    let span = units::duration(std::time::Duration::from_micros(size));
    match by > 0 {
        true => format!("newest sample {span} ahead of this node's clock"),
        false => format!("newest sample {span} behind this node's clock"),
    }
}

/// The latest value of a metric.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Tile {
    pub(crate) metric: &'static str,
    #[serde(skip)]
    pub(crate) title: &'static str,
    pub(crate) text: String,
    pub(crate) note: String,
    pub(crate) fresh: bool,
}

/// The tiles of a device.
pub(crate) fn tiles(device: &DeviceView, now_us: i64) -> Vec<Tile> {
    let (row, state) = (Row::of(device, now_us), State::of(device, now_us));
    let one = |metric: &str| {
        let found = device.latest.iter().find(|latest| latest.series.metric == metric);
        found.map(super::super::devices::value)
    };
    let of = |metric, title, value: Option<f64>, unit, note: String| {
        let text = written(value?, unit);
        Some(Tile { metric, title, text, note, fresh: state.is_fresh() })
    };
    let of_all = |bytes: Option<f64>| bytes.map(|it| format!("of {}", written(it, Unit::Bytes)));
    let cores = one("cpu.cores").map(|cores| format!("of {cores} cores")).unwrap_or_default();
    let memory = of_all(one("memory.total_bytes")).unwrap_or_default();
    let mount = row.mount.clone();
    let [one_minute, five, fifteen] = ["load.1m", "load.5m", "load.15m"].map(one);
    let loads = five.zip(fifteen).map(|(five, fifteen)| {
        let [five, fifteen] = [five, fifteen].map(|it| written(it, Unit::Number));
        format!("{five} and {fifteen} over 5 and 15 min")
    });
    let up = one("uptime.seconds").map(uptime);
    let tiles = [
        of("cpu.busy_ratio", "CPU busy", row.cpu, Unit::Ratio, cores),
        of("memory.used_ratio", "Memory used", row.memory, Unit::Ratio, memory),
        of("disk.used_ratio", "Fullest disk", row.disk, Unit::Ratio, mount),
        of("load.1m", "Load, 1 min", one_minute, Unit::Number, loads.unwrap_or_default()),
    ];
    let mut tiles: Vec<Tile> = tiles.into_iter().flatten().collect();
    tiles.extend(up.map(|text| Tile {
        metric: "uptime.seconds",
        title: "Up",
        text,
        note: newest(&device.latest, now_us),
        fresh: state.is_fresh(),
    }));
    tiles
}

fn newest(latest: &[Latest], now_us: i64) -> String {
    let newest = latest.iter().map(|latest| latest.time_us).max();
    newest.map(|at| format!("newest sample {}", ago(at, now_us))).unwrap_or_default()
}

fn uptime(seconds: f64) -> String {
    units::duration(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
