//! What the fuzzer reaches of tailing: built with `--cfg fuzzing` alone.

pub use super::turn::fuzzing::{cover, unpack};

use super::Line;
use super::lines::{Piece, Splitter};
use crate::config::{LongLine, Multiline};

/// Splits a file that grows by pieces of so many bytes and is closed then: its lines, and the bytes that
/// were cut, in order.
#[must_use]
pub fn split(
    bytes: &[u8],
    grown: usize,
    max_line: usize,
    long_line: LongLine,
    multiline: &Multiline,
) -> Vec<Result<Line, usize>> {
    let mut splitter = Splitter::new(max_line, long_line, multiline.clone());
    let (mut pieces, mut start, mut end) = (Vec::new(), 0, 0);
    while start < bytes.len() {
        let piece = match splitter.next(&bytes[start..end]) {
            None if end < bytes.len() => {
                end = bytes.len().min(end + grown);
                continue;
            }
            None => splitter.finish(&bytes[start..]),
            piece => piece,
        };
        let piece = piece.expect("what is left of a closed file is a piece");
        let taken = piece.taken();
        assert!(taken > 0 && taken <= end - start, "a piece takes bytes that are there");
        match piece {
            Piece::Lines(lines, _) => pieces.extend(lines.into_iter().map(Ok)),
            Piece::Cut(cut) => pieces.push(Err(cut)),
        }
        start += taken;
    }
    pieces
}
