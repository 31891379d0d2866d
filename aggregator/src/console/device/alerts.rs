//! Alerts of a device.

use super::super::page::plain_text;
use crate::api::rows::AlertRow;
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

/// What fires for a device, the worst first, then what did not long ago.
pub(super) fn of(node: &NodeHandle, device: &DeviceView) -> Vec<Shown> {
    let rows = node.alerts().into_iter().chain(node.ended_alerts());
    let its_own = rows.filter(|row| row.device.as_ref() == Some(&device.name));
    its_own.take(SHOWN_MAX).map(|row| shown(&row)).collect()
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
            row.value,
            row.limit
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
