//! What the spool still holds of a file: its batches, those in the grace buffer and the archive included,
//! read back.

use std::ops::ControlFlow;

use headwater_protocol::body::Body;
use headwater_protocol::identity::Lane;
use headwater_protocol::position::{SourceId, Stream};
use headwater_protocol::record::{Content, Part, Record};

use super::database::{Database, DatabaseError};
use crate::tail::{Held, HeldLine};

/// Shows what is held of a source, the newest first, until `take` has seen enough.
pub(super) fn recall(
    database: &Database,
    source: SourceId,
    take: &mut dyn FnMut(&Held) -> ControlFlow<()>,
) -> Result<(), DatabaseError> {
    database.newest_first(Lane::Bulk, |batch| {
        let spans = &batch.header().spans;
        if spans.iter().all(|span| span.stream.source != source) {
            return ControlFlow::Continue(());
        }
        // One that cannot be opened shows none of its lines, and so fits no file.
        let records = Body::open(batch).map(|body| body.records).unwrap_or_default();
        // Runs stand in order of their numbers.
        let own = spans.iter().rev().filter(|span| span.stream.source == source);
        own.map(|span| Held {
            stream: span.stream,
            start: span.start.position,
            end: span.end.position,
            lines: lines_of(&records, span.stream),
        })
        .try_for_each(|held| take(&held))
    })
}

fn lines_of(records: &[Record], stream: Stream) -> Vec<HeldLine> {
    let own = records.iter().filter(|record| record.stream == stream);
    let line = |record: &Record| {
        let Content::Event(event) = &record.content else { return None };
        let mut bytes = event.body.clone();
        bytes.extend_from_slice(match event.part {
            Part::Whole => b"\n",
            Part::WholeCrLf => b"\r\n",
            Part::Continued | Part::Unended => b"",
        });
        // Of a line that was cut at its limit the end is not known.
        let taken = usize::try_from(record.end - record.start).unwrap_or(usize::MAX);
        bytes.truncate(taken);
        Some(HeldLine { start: record.start, bytes })
    };
    own.filter_map(line).collect()
}
