//! A window that a shard holds, and what is told of it.

use std::sync::Arc;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::record::Series;

use super::cells::Cells;
use super::shard::signed;
use super::{Figures, ShardWindows};

/// What a shard holds of one device.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DeviceHeld {
    /// How long a window is, in microseconds; 0 while there are no rules.
    pub length_us: i64,
    /// What is added to the device's times, in microseconds: positive for a clock that is behind.
    pub shift_us: i64,
    /// Whether it has as many series as are kept: those beyond are in no average.
    pub is_full: bool,
    /// Its windows, in order.
    pub windows: Vec<HeldWindow>,
}

/// One device's figures in one window.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HeldWindow {
    /// Where it begins, microseconds since 1970 UTC.
    pub start_us: i64,
    /// Whether nothing of it was told yet.
    pub is_open: bool,
    /// Whether there may be more of it than what is held.
    pub is_addition: bool,
    /// The figures by series, in no particular order.
    pub figures: Vec<(Arc<Series>, Figures)>,
}

/// One window.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    /// The last revision that went out; 0 for none.
    pub(super) revision: u32,
    /// Whether there are figures that did not go out yet.
    pub(super) dirty: bool,
    /// Whether an earlier part of it may have gone out and been dropped.
    pub(super) addition: bool,
    pub(super) cells: Cells,
}

impl ShardWindows {
    /// What is held of a device: its windows in order, those that closed not long ago included.
    #[must_use]
    pub fn held(&self, id: DeviceId) -> DeviceHeld {
        let Some(slot) = self.devices.slot(id) else { return DeviceHeld::default() };
        let device = self.devices.get(slot);
        let length_us = self.versions.newest().map_or(0, |rules| rules.length_us);
        let windows = self.windows.iter().filter(|(_, window)| window.cells.contains(slot));
        let windows = windows.map(|(start_us, window)| {
            let figures = device.list.series().iter().zip(window.cells.figures(slot));
            let figures = figures.filter_map(|(series, it)| Some((Arc::clone(series), it?)));
            HeldWindow {
                start_us: *start_us,
                is_open: window.revision == 0,
                is_addition: window.addition,
                figures: figures.collect(),
            }
        });
        let windows = windows.collect();
        DeviceHeld {
            length_us: signed(length_us),
            shift_us: device.shift_us,
            is_full: self.devices.is_full(slot),
            windows,
        }
    }
}
