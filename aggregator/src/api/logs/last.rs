//! The last lines of all shards, found while they are read in any order.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use headwater_protocol::identity::{Offset, ShardId};

use super::super::Refusal;
use super::super::rows::LineRow;
use crate::fold::AppliedBatch;

/// When a line was appended, and where: its place among all lines.
type Place = (i64, u16, u64, usize);

/// The newest so many lines of what was taken.
#[derive(Debug)]
pub(super) struct LastLines {
    most: usize,
    rows: BTreeMap<Place, LineRow>,
    bytes: usize,
}

impl LastLines {
    pub(super) fn new(most: usize) -> Self {
        Self { most, rows: BTreeMap::new(), bytes: 0 }
    }

    /// Takes the lines of a batch; older ones make room.
    pub(super) fn take(&mut self, batch: &AppliedBatch, rows: Vec<LineRow>) -> Result<(), Refusal> {
        self.take_rows((batch.stamp_us, batch.shard, batch.offset), rows)
    }

    /// Takes lines that came at a time, of an entry; older ones make room.
    pub(super) fn take_rows(
        &mut self,
        (came_us, shard, offset): (i64, ShardId, Offset),
        rows: Vec<LineRow>,
    ) -> Result<(), Refusal> {
        for (index, row) in rows.into_iter().enumerate() {
            self.bytes += weight(&row);
            self.rows.insert((came_us, shard.0, offset.0, index), row);
            if self.rows.len() > self.most
                && let Some((_, oldest)) = self.rows.pop_first()
            {
                self.bytes -= weight(&oldest);
            }
        }
        if self.bytes <= BYTES_MAX {
            return Ok(());
        }
        let what = format!("the last {} lines hold more than 64 MiB", self.most);
        Err(Refusal::new(StatusCode::BAD_REQUEST, what).next("a smaller --last, or none at all"))
    }

    /// Whether it is full of lines that all came after a time.
    pub(super) fn is_newer_than(&self, came_us: i64) -> bool {
        let oldest = self.rows.first_key_value().map(|(place, _)| place.0);
        self.rows.len() >= self.most && oldest.is_none_or(|oldest| oldest > came_us)
    }

    /// The lines, the oldest first.
    pub(super) fn into_rows(self) -> Vec<LineRow> {
        self.rows.into_values().collect()
    }
}

fn weight(row: &LineRow) -> usize {
    let body = row.body.as_ref().or(row.body_base64.as_ref());
    body.map_or(0, String::len) + row.path.len() + row.device.len() + ROW_BYTES
}

/// About what a row takes beside its texts.
const ROW_BYTES: usize = 200;

/// Memory for the lines of one request: 100,000 lines of 600 bytes.
const BYTES_MAX: usize = 64 << 20;
