//! Gaps on their way into a file: what could not be kept stands beside what was.

use std::sync::Arc;

use headwater_protocol::identity::{DeviceId, Lane};
use headwater_protocol::record::Gap;
use parquet::errors::Result;

use super::columns::{Columns, text};
use super::samples::{Origin, Said};

/// Gaps of one file.
#[derive(Debug, Default)]
pub(super) struct Gaps {
    rows: Vec<Row>,
}

#[derive(Debug)]
pub(super) struct Row {
    pub(super) device: DeviceId,
    pub(super) lane: Lane,
    pub(super) path: Option<Arc<str>>,
    pub(super) origin: Origin,
    pub(super) time_us: i64,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) gap: Gap,
}

impl Gaps {
    pub(super) fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Writes all columns, in the order of the schema.
    pub(super) fn write(mut self, columns: &mut Columns<'_, '_, Vec<u8>>) -> Result<()> {
        // Stable: gaps that move no position stay in their order.
        self.rows.sort_by_key(|row| (row.device, row.origin.stream, row.start));
        let rows = || self.rows.iter();
        let said: Vec<Said> = rows().map(|row| Said::of(&row.origin)).collect();
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        columns.int64(rows().map(|row| row.time_us))?;
        columns.text(rows().map(|row| text(&row.device.to_string())))?;
        columns.text(said.iter().map(|said| said.host.clone()))?;
        columns.text(rows().map(|row| text(&row.lane.to_string())))?;
        columns.text(rows().map(|row| text(row.path.as_ref().map_or("", |path| path))))?;
        columns.text(rows().map(|row| text(row.gap.cause.word())))?;
        columns.int64(rows().map(|row| number(row.gap.records)))?;
        columns.int64(rows().map(|row| number(row.gap.bytes)))?;
        columns.text(said.iter().map(|said| said.tags.clone()))?;
        columns.int64(said.iter().map(|said| said.shift_us))?;
        columns.text(said.iter().map(|said| said.source.clone()))?;
        columns.int64(said.iter().map(|said| said.run))?;
        columns.int64(said.iter().map(|said| said.nonce))?;
        columns.int64(rows().map(|row| row.start.cast_signed()))?;
        columns.int64(rows().map(|row| row.end.cast_signed()))
    }
}
