//! The order of the rows that one range brought: by time, and those of a stream in its own order whatever their times.

use super::Row;

/// Puts the rows of one range in order.
pub(super) fn put_in_order(rows: &mut Vec<Row>) {
    rows.sort_by_key(|row| (row.device, row.stream, row.start, row.end));
    // A row of a stream comes no earlier than those before it.
    let mut latest = Vec::with_capacity(rows.len());
    let mut before: Option<(&Row, i64)> = None;
    for row in rows.iter() {
        let of_stream =
            before.filter(|(last, _)| (last.device, last.stream) == (row.device, row.stream));
        let time_us = of_stream.map_or(row.time_us, |(_, time_us)| time_us.max(row.time_us));
        before = Some((row, time_us));
        latest.push(time_us);
    }
    let mut keyed: Vec<(i64, Row)> = latest.into_iter().zip(rows.drain(..)).collect();
    // Stable: what is of one time stays by device, stream and position.
    keyed.sort_by_key(|(time_us, _)| *time_us);
    rows.extend(keyed.into_iter().map(|(_, row)| row));
}

#[cfg(test)]
mod tests {
    use headwater_protocol::identity::DeviceId;
    use headwater_protocol::position::{Run, SourceId, Stream};
    use headwater_protocol::record::Part;

    use super::super::RowContent;
    use super::*;

    #[test]
    fn rows_are_in_order_of_time_but_for_a_clock_that_goes_back() {
        let row = |source: u8, start: u64, time_us| {
            let stream =
                Stream { source: SourceId([source; 16]), run: Run { number: 1, nonce: 0 } };
            let content = RowContent::Line { body: Vec::new(), part: Part::Whole };
            let (device, path) = (DeviceId([1; 16]), "x".into());
            Row { device, stream, path, time_us, shift_us: 0, start, end: start + 1, content }
        };
        let mut rows =
            vec![row(2, 0, 15), row(1, 2, 30), row(1, 1, 5), row(1, 0, 10), row(2, 1, 16)];
        put_in_order(&mut rows);
        let order: Vec<_> = rows.iter().map(|row| (row.stream.source.0[0], row.start)).collect();
        assert_eq!(order, [(1, 0), (1, 1), (2, 0), (2, 1), (1, 2)]);
    }
}
