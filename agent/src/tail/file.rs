//! Reading on in one file: from the position to the last finished line, as long as the bytes before
//! the position are the ones that were read.

use std::fs::File;
use std::io;

use headwater_protocol::position::Check;
use rustix::buffer::spare_capacity;

use super::identity::{bytes_at, window_of};
use super::lines::{Piece, Splitter};
use super::{CHUNK_BYTES_MAX, Line};

/// Where a file is read, and how it is known to be still the same.
#[derive(Debug)]
pub(super) struct Cursor {
    position: u64,
    /// The bytes before the position that a check covers.
    before: Vec<u8>,
    splitter: Splitter,
    /// Bytes of lines that stand at the position and wait for the line after them, as of the last read.
    held: usize,
}

/// What stands at a cursor. The cursor has moved behind it.
#[derive(Debug)]
pub(super) enum Read {
    /// Lines, from a start on.
    Lines { start: u64, bytes: Vec<u8>, lines: Vec<Line> },
    /// Bytes of a line that was cut.
    Cut { start: u64, end: u64 },
    /// Nothing that is finished.
    Nothing,
    /// Other bytes than those that were read: nothing from there on belongs to this run.
    Changed,
}

impl Cursor {
    /// A cursor at a position, with whatever stands before it.
    pub(super) fn at(file: &File, position: u64, splitter: Splitter) -> io::Result<Self> {
        let before = window_of(file, position)?;
        let looks_back = splitter.looks_back() as u64;
        let start = position.saturating_sub(looks_back);
        let count = usize::try_from(position - start).expect("a line is short");
        let splitter = splitter.after(&bytes_at(file, start, count)?);
        Ok(Self { position, before, splitter, held: 0 })
    }

    /// A cursor at a position of content that comes in order, with the bytes before it: as many as the
    /// splitter looks back and as a check covers, where there are as many.
    pub(super) fn after(before: &[u8], position: u64, splitter: Splitter) -> Self {
        let splitter = splitter.after(before);
        let before = before[before.len().saturating_sub(Check::BYTES)..].to_vec();
        Self { position, before, splitter, held: 0 }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Of the bytes before the position.
    pub(super) fn check(&self) -> Check {
        Check::of(&self.before)
    }

    /// Reads on in a file that has a size.
    pub(super) fn read(&mut self, file: &File, size: u64) -> io::Result<Read> {
        self.read_with(file, size, Splitter::next)
    }

    /// Reads on in a file in which nothing has followed its last lines for long.
    pub(super) fn flush(&mut self, file: &File, size: u64) -> io::Result<Read> {
        self.read_with(file, size, Splitter::flush)
    }

    /// The position after the lines that wait for another one; `None` where none do.
    pub(super) fn held(&self) -> Option<u64> {
        (self.held > 0).then(|| self.position + self.held as u64)
    }

    /// Reads on in a file that is closed for good: its last line needs no end.
    pub(super) fn finish(&mut self, file: &File, size: u64) -> io::Result<Read> {
        self.read_with(file, size, Splitter::finish)
    }

    fn read_with(
        &mut self,
        file: &File,
        size: u64,
        split: fn(&mut Splitter, &[u8]) -> Option<Piece>,
    ) -> io::Result<Read> {
        let Some(unread) = size.checked_sub(self.position) else {
            return Ok(Read::Changed);
        };
        let mut bytes = pread(file, self.position, unread)?;
        // The splitter moves only with the cursor: bytes that turn out to be another file's leave no
        // trace in it.
        let mut splitter = self.splitter.clone();
        let piece = split(&mut splitter, &bytes);
        // After the bytes: if these were exchanged while they were read, what stands before them was.
        if !self.still_fits(file, &bytes)? {
            return Ok(Read::Changed);
        }
        self.held = if piece.is_none() { splitter.held(&bytes) } else { 0 };
        bytes.truncate(piece.as_ref().map_or(0, Piece::taken));
        self.splitter = splitter;
        Ok(self.pass(piece, bytes))
    }

    /// Takes the first piece out of the bytes that follow the position. `are_all` says that nothing comes
    /// after them.
    pub(super) fn take(&mut self, bytes: &mut Vec<u8>, are_all: bool) -> Read {
        let split = if are_all { Splitter::finish } else { Splitter::next };
        let piece = split(&mut self.splitter, bytes);
        let rest = bytes.split_off(piece.as_ref().map_or(0, Piece::taken));
        self.pass(piece, std::mem::replace(bytes, rest))
    }

    /// Moves behind a piece, which is of exactly these bytes.
    fn pass(&mut self, piece: Option<Piece>, bytes: Vec<u8>) -> Read {
        let start = self.position;
        self.move_over(&bytes);
        match piece {
            None => Read::Nothing,
            Some(Piece::Lines(lines, _)) => Read::Lines { start, bytes, lines },
            Some(Piece::Cut(_)) => Read::Cut { start, end: self.position },
        }
    }

    /// Whether the bytes before the position stand where they stood. At the start of a file there are
    /// few or none: then the first of those that were just read are looked at again as well.
    fn still_fits(&self, file: &File, bytes: &[u8]) -> io::Result<bool> {
        let wanted = Check::BYTES - self.before.len();
        let again = [&self.before, &bytes[..bytes.len().min(wanted)]].concat();
        let start = self.position - self.before.len() as u64;
        Ok(bytes_at(file, start, again.len())? == again)
    }

    fn move_over(&mut self, bytes: &[u8]) {
        self.position += bytes.len() as u64;
        let kept = Check::BYTES.saturating_sub(bytes.len()).min(self.before.len());
        self.before.drain(..self.before.len() - kept);
        self.before.extend_from_slice(&bytes[bytes.len().saturating_sub(Check::BYTES)..]);
    }
}

/// The next bytes of a file, at most a chunk of them, in memory that is not zeroed first.
fn pread(file: &File, position: u64, unread: u64) -> io::Result<Vec<u8>> {
    let count = usize::try_from(unread).unwrap_or(usize::MAX).min(CHUNK_BYTES_MAX);
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        let at = position + bytes.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut bytes), at) {
            Ok(0) => break,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bytes.truncate(count);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use tempfile::TempDir;

    use super::*;
    use crate::config::{LongLine, Multiline};

    #[test]
    fn a_cursor_reads_finished_lines_and_stays_before_the_others() {
        let log = Log::new(b"one\ntwo\nthr");
        let mut cursor = log.cursor(0);
        assert_eq!(log.read(&mut cursor), (0, b"one\ntwo\n".to_vec()));
        assert_eq!(cursor.check(), Check::of(b"one\ntwo\n"));
        assert!(matches!(cursor.read(&log.open(), log.size()), Ok(Read::Nothing)));
        log.append(b"ee\n");
        assert_eq!(log.read(&mut cursor), (8, b"three\n".to_vec()));
    }

    #[test]
    fn a_check_covers_the_last_bytes_across_reads() {
        let long = [vec![b'x'; 300], b"\n".to_vec()].concat();
        let log = Log::new(&long);
        let mut cursor = log.cursor(0);
        log.read(&mut cursor);
        assert_eq!(cursor.check(), Check::of(&long[45..]));
        log.append(b"abc\n");
        log.read(&mut cursor);
        assert_eq!(cursor.check(), Check::of(&[&long[49..], b"abc\n"].concat()));
        assert_eq!(log.cursor(305).check(), cursor.check(), "as if it had begun there");
    }

    #[test]
    fn other_bytes_before_the_position_are_seen() {
        let log = Log::new(b"one\ntwo\n");
        let mut cursor = log.cursor(0);
        log.read(&mut cursor);
        fs::write(&log.path, b"on").unwrap();
        assert!(matches!(cursor.read(&log.open(), log.size()), Ok(Read::Changed)), "shorter");
        fs::write(&log.path, b"new\nnew\nnew\n").unwrap();
        assert!(matches!(cursor.read(&log.open(), log.size()), Ok(Read::Changed)), "other bytes");
        fs::write(&log.path, b"one\ntwo\nthree\n").unwrap();
        assert_eq!(log.read(&mut cursor), (8, b"three\n".to_vec()), "the same bytes again");
    }

    struct Log {
        _folder: TempDir,
        path: PathBuf,
    }

    impl Log {
        fn new(bytes: &[u8]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.log");
            fs::write(&path, bytes).unwrap();
            Self { _folder: folder, path }
        }

        fn open(&self) -> File {
            File::open(&self.path).unwrap()
        }

        fn size(&self) -> u64 {
            self.open().metadata().unwrap().len()
        }

        fn append(&self, bytes: &[u8]) {
            let old = fs::read(&self.path).unwrap();
            fs::write(&self.path, [&old, bytes].concat()).unwrap();
        }

        fn cursor(&self, position: u64) -> Cursor {
            let splitter = Splitter::new(1024, LongLine::Split, Multiline::None);
            Cursor::at(&self.open(), position, splitter).unwrap()
        }

        fn read(&self, cursor: &mut Cursor) -> (u64, Vec<u8>) {
            match cursor.read(&self.open(), self.size()).unwrap() {
                Read::Lines { start, bytes, .. } => (start, bytes),
                other => panic!("{other:?} instead of lines"),
            }
        }
    }
}
