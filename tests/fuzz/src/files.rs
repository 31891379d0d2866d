//! What other programs write and the agent reads: compressed logs, and lines.

use std::fs::{File, OpenOptions};
use std::io::{Seek, Write};
use std::sync::OnceLock;

use headwater_agent::config::{LongLine, Multiline, Pattern};
use headwater_agent::tail::fuzzing::{cover, split, unpack};

use crate::memory::bounded;

/// Content that is unpacked of one input.
const CONTENT_BYTES_MAX: usize = 1 << 20;
/// The unpacker's window and buffers, beside what is asked for.
const UNPACKER_BYTES_MAX: usize = 256 << 10;

/// A compressed file: its content does not depend on the steps in which it is read.
pub(crate) fn gz(bytes: &[u8]) {
    let Some((step, packed)) = bytes.split_first() else { return };
    let step = usize::from(*step) + 1;
    let most = UNPACKER_BYTES_MAX + 3 * CONTENT_BYTES_MAX;
    let whole = bounded(most, || unpack(file(packed), CONTENT_BYTES_MAX, CONTENT_BYTES_MAX));
    let (content, end) = whole.expect("a file in memory can be read");
    let small = unpack(file(packed), step, CONTENT_BYTES_MAX).expect("a file can be read");
    let shared = content.len().min(small.0.len());
    assert_eq!(content[..shared], small.0[..shared], "steps do not change the content");
    if end.is_some() && small.1.is_some() {
        assert_eq!(small, (content.clone(), end), "steps do not change the end");
    }
    if let Some(head) = cover(file(packed), step).expect("a file can be read") {
        assert!(content.starts_with(&head), "a cover shows how the content begins");
    }
}

fn file(content: &[u8]) -> File {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("make a folder"));
    let path = folder.path().join("packed");
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(true).open(path);
    let mut file = file.expect("make a file");
    file.write_all(content).and_then(|()| file.rewind()).expect("write a file");
    file
}

/// A file of lines: how it grows does not change its lines, which take every byte of it once.
pub(crate) fn lines(bytes: &[u8]) {
    let Some(([kind, max_line, grown], bytes)) = bytes.split_first_chunk() else { return };
    let long_line = if kind & 1 == 0 { LongLine::Split } else { LongLine::Cut };
    let multiline = match (kind >> 1) % 3 {
        0 => Multiline::None,
        1 => Multiline::Indent,
        _ => Multiline::Begins(Pattern::new("^[0-9A-Z]").expect("a pattern")),
    };
    let (max_line, grown) = (usize::from(*max_line) + 1, usize::from(*grown) + 1);
    let whole = split(bytes, bytes.len().max(1), max_line, long_line, &multiline);
    let mut taken = 0;
    for piece in &whole {
        taken += match piece {
            Ok(line) => {
                assert!(line.body as usize <= max_line, "a line has a limit");
                assert!(line.body <= line.taken, "a body is a part of its bytes");
                line.taken as usize
            }
            Err(cut) => *cut,
        };
    }
    assert_eq!(taken, bytes.len(), "every byte is taken once");
    let grown = split(bytes, grown, max_line, long_line, &multiline);
    assert_eq!(joined(grown), joined(whole), "how a file grows does not change its lines");
}

/// Cuts of one line that came in several pieces are one.
fn joined(
    pieces: Vec<Result<headwater_agent::tail::Line, usize>>,
) -> Vec<Result<headwater_agent::tail::Line, usize>> {
    let mut joined: Vec<Result<headwater_agent::tail::Line, usize>> = Vec::new();
    for piece in pieces {
        match (joined.last_mut(), piece) {
            (Some(Err(before)), Err(cut)) => *before += cut,
            (_, piece) => joined.push(piece),
        }
    }
    joined
}
