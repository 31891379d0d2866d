//! Alerts of a device.

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
    let labels = row.labels.iter().map(|(name, value)| format!("{name}={value}"));
    let labels = labels.collect::<Vec<_>>().join(", ");
    let of = if labels.is_empty() { String::new() } else { format!(" of {labels}") };
    Shown {
        id: row.id.clone(),
        severity: row.severity.clone(),
        state: row.state.clone(),
        what: format!(
            "{}: {}{of} is {}, limit {}",
            row.threshold, row.metric, row.value, row.limit
        ),
        began: units::time_to_second(row.began.0),
        changed: units::time_to_second(row.changed.0),
        note: row.reason.clone().or_else(|| row.note.clone()).unwrap_or_default(),
    }
}
