//! The batch body: records in columns, then zstd.
//!
//! Each field of all records stands in a column of its own, so that equal things stand side by side:
//! positions and times as differences, values as differences to the last value of their series,
//! texts once in a dictionary. `docs/wire.md` has the tables. A body needs nothing but its header to be
//! opened. Version 2 names what the header and every build know by number; version 3 takes lines apart ([`lines`]);
//! version 4 keeps what is the same in many bodies in pieces that need not travel twice ([`definitions`]).

mod build;
mod decode;
pub(crate) mod definitions;
#[cfg(fuzzing)]
pub mod fuzzing;
mod lines;
mod sections;
mod series;
mod vocabulary;

pub use build::{BodyBuilder, PackedBody};
pub(crate) use decode::series_in;
pub use decode::{Body, BodyError};
pub use lines::Shapes;
pub(crate) use sections::{SECTIONS, SECTIONS_NUMBERED, Section, Sections, places};

pub use crate::header::{
    VERSION_DEFINED, VERSION_FIELDS, VERSION_NEWEST, VERSION_NUMBERED, VERSION_OLDEST,
};

/// The columns of a body, in the order in which they stand in it.
const COLUMNS: usize = 11;

/// A column by its place.
#[derive(Clone, Copy)]
pub(crate) enum Column {
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
    /// Which series a tick has values of: places in the dictionary.
    Series = 7,
    /// Values, as differences to the last value of the series in this batch.
    Value = 8,
    /// Facts.
    Facts = 9,
    /// Gaps.
    Gaps = 10,
}

impl Column {
    /// Every column, in order.
    const ALL: [Self; COLUMNS] = [
        Self::Kind,
        Self::Stream,
        Self::Length,
        Self::Time,
        Self::Part,
        Self::EventLength,
        Self::EventBytes,
        Self::Series,
        Self::Value,
        Self::Facts,
        Self::Gaps,
    ];
}

/// Bytes of a line's end, by what part of a line it is.
fn end_bytes(part: u8) -> u64 {
    match part {
        0 => 1,
        1 => 2,
        _ => 0,
    }
}

pub(crate) const KIND_TICK: u8 = 0;
const KIND_EVENT: u8 = 1;
const KIND_FACTS: u8 = 2;
const KIND_GAP: u8 = 3;

const INFO_NONE: u8 = 0;
const INFO_HOST: u8 = 1;
const INFO_DEVICE: u8 = 2;
const INFO_FILE: u8 = 3;
