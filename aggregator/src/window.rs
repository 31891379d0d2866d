//! Windows: what was measured in each stretch of event time, added up exactly.
//!
//! Values are integers of a fixed decimal scale, and sums are integers too, so any order and any tree of
//! merges gives the same average. Everything here is pure: no clock, no I/O, no map without an order.

mod batch;
mod cells;
mod clock;
mod columns;
mod device;
mod figures;
mod held;
mod index;
mod key;
mod keys;
mod output;
pub mod partial;
#[cfg(test)]
mod reference;
mod rollup;
mod row;
mod rules;
mod series;
mod shard;
mod sketch;
mod spread;
mod state;
mod sums;
mod tally;
#[cfg(test)]
mod tests;

pub(crate) use clock::ClockOffset;
pub use device::SERIES_PER_DEVICE_MAX;
pub use figures::Figures;
pub use held::{DeviceHeld, HeldWindow};
pub use key::{COMBINATION, Combination, DEVICE, Key};
pub use output::{Output, OutputKind, Position};
pub use row::{ClosedWindow, Row};
pub use shard::ShardWindows;
pub use sketch::Sketch;
pub use spread::{NoQuantile, Quantile, Spread};
