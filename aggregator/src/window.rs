//! Windows: what was measured in each stretch of event time, added up exactly.
//!
//! Values are integers of a fixed decimal scale, and sums are integers too, so any order and any tree of
//! merges gives the same average. Everything here is pure: no clock, no I/O, no map without an order.

mod clock;
mod device;
mod figures;
mod key;
mod output;
pub mod partial;
mod rollup;
mod row;
mod rules;
mod shard;
mod state;

pub use device::SERIES_PER_DEVICE_MAX;
pub use figures::Figures;
pub use key::{COMBINATION, Combination, DEVICE, Key};
pub use output::{Output, OutputKind, Position};
pub use row::{ClosedWindow, Row};
pub use shard::{DeviceHeld, HeldWindow, ShardWindows};
