//! A run of a file, put together: lines with their ends in order of position, and in their places what is not there.

use std::collections::VecDeque;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::api::rows::{ExportRow, HoleRow};
use crate::history::read::{Row, RowContent, line_end};

/// A run that is put together.
#[derive(Debug)]
pub(super) struct Assembly {
    /// Where the next line begins. `None` before the first one of a run whose beginning is not asked for.
    position: Option<u64>,
    gaps: VecDeque<Row>,
    bytes: Vec<u8>,
    rows: Vec<ExportRow>,
}

/// Lines of a run that do not follow one another: no such file can be written.
#[derive(Debug, thiserror::Error)]
#[error("a line begins at byte {start}, where all up to {position} was written already")]
pub(super) struct Overlap {
    start: u64,
    position: u64,
}

impl Assembly {
    /// Begins a run. `from` is where it begins, if that is asked for; `gaps` are those of the run.
    pub(super) fn new(from: Option<u64>, mut gaps: Vec<Row>) -> Self {
        gaps.sort_by_key(|gap| (gap.start, gap.end));
        Self { position: from, gaps: gaps.into(), bytes: Vec::new(), rows: Vec::new() }
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, row: &Row) -> Result<(), Overlap> {
        let RowContent::Line { body, part } = &row.content else { return Ok(()) };
        self.pass(row.start);
        let position = self.position.unwrap_or(row.start);
        if row.start < position {
            return Err(Overlap { start: row.start, position });
        }
        let end = line_end(*part);
        self.bytes.extend_from_slice(body);
        self.bytes.extend_from_slice(end);
        self.position = Some(row.start + (body.len() + end.len()) as u64);
        // A line that takes more of the file than it has.
        self.pass(row.end);
        self.position = Some(row.end);
        if self.bytes.len() >= CHUNK_BYTES {
            self.flush();
        }
        Ok(())
    }

    /// Ends the run: at a position, if one is known that it reached.
    pub(super) fn finish(&mut self, end: Option<u64>) {
        let of_gaps = self.gaps.iter().map(|gap| gap.end).max();
        let end = [of_gaps, end, self.position].into_iter().flatten().max();
        self.pass(end.unwrap_or(0));
        self.flush();
    }

    /// What is complete.
    pub(super) fn take_rows(&mut self) -> Vec<ExportRow> {
        std::mem::take(&mut self.rows)
    }

    /// Names what is not there up to a position.
    fn pass(&mut self, to: u64) {
        let mut at = match (self.position, self.gaps.front()) {
            (Some(position), _) => position,
            (None, Some(gap)) if gap.start < to => gap.start,
            (None, _) => to,
        };
        while let Some(gap) = self.gaps.front() {
            let is_point = gap.start == gap.end;
            if gap.start > to || (gap.start == to && !is_point) {
                break;
            }
            let (start, end) = (gap.start.max(at), gap.end.min(to).max(at));
            if start > at {
                self.hole(at, start, None);
            }
            let gap = self.gaps.pop_front();
            if is_point || end > start {
                self.hole(start, end, gap.as_ref());
            }
            at = end.max(at);
        }
        if at < to {
            self.hole(at, to, None);
        }
        if self.position.is_some_and(|position| position < to) {
            self.position = Some(to);
        }
    }

    fn hole(&mut self, start: u64, end: u64, gap: Option<&Row>) {
        self.flush();
        let declared = gap.map(|gap| &gap.content);
        let hole = match declared {
            Some(RowContent::Gap { cause, records, bytes }) => {
                HoleRow { start, end, cause: cause.to_string(), records: *records, bytes: *bytes }
            }
            _ => HoleRow { start, end, cause: NOT_STORED.to_owned(), records: 0, bytes: 0 },
        };
        self.rows.push(ExportRow::Hole(hole));
    }

    fn flush(&mut self) {
        for chunk in self.bytes.chunks(CHUNK_BYTES) {
            self.rows.push(ExportRow::Bytes(STANDARD.encode(chunk)));
        }
        self.bytes.clear();
    }
}

/// The cause of a hole that no row declares.
const NOT_STORED: &str = "not-stored";

/// Bytes of a file that are sent at once.
const CHUNK_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use headwater_protocol::identity::DeviceId;
    use headwater_protocol::position::{Run, SourceId, Stream};
    use headwater_protocol::record::Part;

    use super::*;

    fn row(start: u64, end: u64, content: RowContent) -> Row {
        let stream = Stream { source: SourceId([1; 16]), run: Run { number: 1, nonce: 0 } };
        let (device, path) = (DeviceId([1; 16]), "x".into());
        Row { device, stream, path, time_us: 0, shift_us: 0, start, end, content }
    }

    fn line(start: u64, body: &[u8], part: Part) -> Row {
        let end = start + (body.len() + line_end(part).len()) as u64;
        row(start, end, RowContent::Line { body: body.to_vec(), part })
    }

    fn gap(start: u64, end: u64, cause: &str) -> Row {
        row(start, end, RowContent::Gap { cause: cause.into(), records: 1, bytes: 0 })
    }

    /// Text for bytes, `[start..end cause]` for holes.
    fn put_together(from: Option<u64>, gaps: Vec<Row>, lines: &[Row], end: Option<u64>) -> String {
        let mut assembly = Assembly::new(from, gaps);
        lines.iter().for_each(|line| assembly.take(line).unwrap());
        assembly.finish(end);
        let rows = assembly.take_rows().into_iter().map(|row| match row {
            ExportRow::Bytes(text) => {
                String::from_utf8_lossy(&STANDARD.decode(text).unwrap()).into_owned()
            }
            ExportRow::Hole(HoleRow { start, end, cause, .. }) => {
                format!("[{start}..{end} {cause}]")
            }
            ExportRow::Run(_) => String::new(),
        });
        rows.collect()
    }

    #[test]
    fn lines_follow_one_another_with_their_ends() {
        let lines = [
            line(0, b"one", Part::Whole),
            line(4, b"two", Part::WholeCrLf),
            line(9, b"thr", Part::Continued),
            line(12, b"ee", Part::Unended),
        ];
        assert_eq!(put_together(Some(0), Vec::new(), &lines, Some(14)), "one\ntwo\r\nthree");
    }

    #[test]
    fn what_is_not_there_is_named_in_its_place_and_why() {
        let lines = [line(10, b"a", Part::Whole), line(30, b"b", Part::Whole)];
        let gaps = || vec![gap(15, 20, "truncated"), gap(12, 12, "suspected")];
        let whole = put_together(Some(0), gaps(), &lines, Some(40));
        assert_eq!(
            whole,
            "[0..10 not-stored]a\n[12..12 suspected][12..15 not-stored][15..20 truncated]\
             [20..30 not-stored]b\n[32..40 not-stored]"
        );
        let part = put_together(None, gaps(), &lines[..1], None);
        assert_eq!(part, "a\n[12..12 suspected][12..15 not-stored][15..20 truncated]");
        let first = put_together(None, vec![gap(5, 10, "lost")], &lines[..1], None);
        assert_eq!(first, "[5..10 lost]a\n");
        assert_eq!(put_together(Some(0), Vec::new(), &[], None), "");
    }

    #[test]
    fn a_line_that_takes_more_of_the_file_than_it_has_leaves_a_hole() {
        let cut = Row { end: 10, ..line(0, b"abc", Part::Whole) };
        let lines = [cut, line(10, b"d", Part::Whole)];
        let gaps = vec![gap(4, 10, "line-cut")];
        assert_eq!(put_together(Some(0), gaps, &lines, None), "abc\n[4..10 line-cut]d\n");
    }

    #[test]
    fn lines_that_stand_twice_are_refused() {
        let mut assembly = Assembly::new(Some(0), Vec::new());
        assembly.take(&line(0, b"one", Part::Whole)).unwrap();
        assert!(assembly.take(&line(0, b"one", Part::Whole)).is_err());
    }
}
