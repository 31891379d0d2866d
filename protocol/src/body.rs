//! The batch body: records in columns, then zstd.
//!
//! Each field of all records stands in a column of its own, so that equal things stand side by side:
//! positions and times as differences, values as differences to the last value of their series,
//! texts once in a dictionary. `docs/wire.md` has the table. A body of version 1 needs no lane state.

mod build;
mod decode;
mod series;

pub use build::BodyBuilder;
pub use decode::{Body, BodyError};

/// The newest body version, the one that is written.
pub const VERSION: u8 = 1;

/// The columns of a body, in the order in which they stand in it.
const COLUMNS: usize = 11;

/// A column by its place.
#[derive(Clone, Copy)]
enum Column {
    /// What each record is.
    Kind = 0,
    /// Which stream it belongs to: place in the body's table of streams.
    Stream = 1,
    /// How much of its stream it takes; it starts where the record before it in its stream ends.
    Length = 2,
    /// Time, as difference to the record before it.
    Time = 3,
    /// Part of a line, per event.
    Part = 4,
    /// Bytes of the body, per event.
    EventLength = 5,
    /// Bodies, one after the other.
    EventBytes = 6,
    /// Number of samples, per tick; then the place of each series in the dictionary.
    Series = 7,
    /// Values, as differences to the last value of the series in this batch.
    Value = 8,
    /// Facts.
    Facts = 9,
    /// Gaps.
    Gaps = 10,
}

const KIND_TICK: u8 = 0;
const KIND_EVENT: u8 = 1;
const KIND_FACTS: u8 = 2;
const KIND_GAP: u8 = 3;

const INFO_NONE: u8 = 0;
const INFO_HOST: u8 = 1;
const INFO_DEVICE: u8 = 2;
const INFO_FILE: u8 = 3;
