//! Alerts of a device.

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

/// What fires for a device, and what did. This build has no thresholds, so nothing ever does.
pub(super) fn of(_node: &NodeHandle, _device: &DeviceView) -> Vec<Shown> {
    Vec::new()
}
