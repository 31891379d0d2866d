//! Rows of what the log holds beyond the cursor: those that the sink will make of the same batches.

use std::sync::Arc;

use headwater_protocol::record::{Content, Record};

use super::{Row, RowContent, Wanted};
use crate::fold::AppliedBatch;
use crate::history::Table;
use crate::window::ClockOffset;

/// The rows that an applied batch brings to a table of events or gaps, as far as they are wanted, in the order in which they were
/// sealed; `path` tells what is known of a stream.
pub fn rows_of(
    batch: &AppliedBatch,
    table: Table,
    wanted: &Wanted,
    path: impl Fn(headwater_protocol::position::Stream) -> Arc<str>,
) -> Vec<Row> {
    let device = batch.header.device;
    if wanted.device.is_some_and(|wanted| wanted != device) {
        return Vec::new();
    }
    let offset = ClockOffset::measure(&batch.header.clock, &batch.sent, batch.stamp_us);
    let row = |record: &Record| {
        let content = match (&record.content, table) {
            (Content::Event(event), Table::Events) if wanted.finds(&event.body) => {
                RowContent::Line { body: event.body.clone(), part: event.part }
            }
            (Content::Gap(gap), Table::Gaps) => {
                let (records, bytes) = (gap.records, gap.bytes);
                RowContent::Gap { cause: gap.cause.word().into(), records, bytes }
            }
            _ => return None,
        };
        let (time_us, stream) = (offset.correct(record.time_us), record.stream);
        if !wanted.times.holds(time_us) || wanted.stream.is_some_and(|wanted| wanted != stream) {
            return None;
        }
        let path = path(stream);
        let (start, end, shift_us) = (record.start, record.end, offset.shift_us());
        let row = Row { device, stream, path, time_us, shift_us, start, end, content };
        wanted.may_be_of(&row.path).then_some(row)
    };
    batch.body.iter().flat_map(|body| &body.records).filter_map(row).collect()
}
