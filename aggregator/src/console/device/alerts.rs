//! Alerts of a device.

use serde::Serialize;

use super::super::page::plain_text;
use crate::api::rows::{AlertRow, hex};
use crate::cli::output::units;
use crate::node::{DeviceView, NodeHandle};

/// An alert as its table shows it.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) severity: String,
    pub(super) state: String,
    pub(super) what: String,
    pub(super) began: String,
    pub(super) changed: String,
    pub(super) note: String,
}

/// What every part of a device's page says of its alerts.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub(crate) struct Pulse {
    /// What their tab is called.
    pub(super) label: String,
    /// Other alerts or other states have another one.
    pub(super) stamp: String,
}

/// What fires for a device, the worst first, then what did not long ago.
pub(super) fn of(node: &NodeHandle, device: &DeviceView) -> Vec<Shown> {
    node.device_alerts(device.id).iter().take(SHOWN_MAX).map(shown).collect()
}

/// The pulse of a device.
pub(crate) fn pulse(node: &NodeHandle, device: &DeviceView) -> Pulse {
    let (mut firing, mut stamp) = (0, blake3::Hasher::new());
    for row in node.device_alerts(device.id) {
        firing += usize::from(row.state == "firing");
        for text in [&row.id, &row.state, &row.severity] {
            stamp.update(text.as_bytes()).update(b"\n");
        }
    }
    let label = if firing > 0 { format!("Alerts ({firing})") } else { "Alerts".to_owned() };
    Pulse { label, stamp: hex(&stamp.finalize().as_bytes()[..8]) }
}

/// Alerts of one page: a device with 10,000 full mounts has as many.
const SHOWN_MAX: usize = 100;

fn shown(row: &AlertRow) -> Shown {
    let labels = row.labels.iter().map(|(name, value)| plain(&format!("{name}={value}")));
    let labels = labels.collect::<Vec<_>>().join(", ");
    let of = if labels.is_empty() { String::new() } else { format!(" of {labels}") };
    Shown {
        id: row.id.clone(),
        severity: row.severity.clone(),
        state: row.state.clone(),
        what: format!(
            "{}: {}{of} is {}, limit {}",
            plain(&row.threshold),
            plain(&row.metric),
            units::written(&row.metric, &row.value),
            units::written(&row.metric, &row.limit)
        ),
        began: units::time_to_second(row.began.0),
        changed: units::time_to_second(row.changed.0),
        note: plain(row.reason.as_ref().or(row.note.as_ref()).map_or("", String::as_str)),
    }
}

/// Bytes of a text of a stranger that a table shows. A note may be as long.
const TEXT_BYTES_MAX: usize = 1024;

fn plain(text: &str) -> String {
    plain_text(text.as_bytes(), TEXT_BYTES_MAX).0
}
