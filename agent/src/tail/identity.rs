//! What a file is: which inode, since when, and which bytes stand at which place.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use headwater_protocol::position::{Check, SourceId};
use headwater_protocol::record::Fingerprint;
use rustix::fs::{AtFlags, CWD, FileType, OFlags, Statx, StatxFlags, statx};

/// A file of this host until it is deleted; afterwards its inode may be another file's.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct FileKey {
    device: (u32, u32),
    inode: u64,
}

/// What the filesystem says of a file. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Facts {
    pub(super) key: FileKey,
    /// `None` on filesystems that do not keep it.
    pub(super) born: Option<i64>,
    pub(super) size: u64,
    pub(super) modified: i64,
    /// Moves with every change of content, name or rights, and cannot be set by hand.
    pub(super) changed: i64,
    pub(super) links: u32,
    pub(super) kind: FileType,
    pub(super) mode: u16,
    pub(super) owner: u32,
    pub(super) group: u32,
    /// The mount that it was seen in; `None` before Linux 5.8.
    pub(super) mount: Option<u64>,
}

const WANTED: StatxFlags =
    StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

impl Facts {
    /// Of what stands at a path; a symlink is itself.
    pub(super) fn at(path: &Path) -> io::Result<Self> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(Self::new(&statx(CWD, path, flags, WANTED)?))
    }

    /// Of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        let flags = AtFlags::EMPTY_PATH;
        Ok(Self::new(&statx(file, c"", flags, WANTED)?))
    }

    fn new(raw: &Statx) -> Self {
        let nanoseconds = |time: rustix::fs::StatxTimestamp| {
            time.tv_sec.saturating_mul(1_000_000_000).saturating_add(i64::from(time.tv_nsec))
        };
        let told = StatxFlags::from_bits_retain(raw.stx_mask);
        Self {
            key: FileKey { device: (raw.stx_dev_major, raw.stx_dev_minor), inode: raw.stx_ino },
            born: told.contains(StatxFlags::BTIME).then(|| nanoseconds(raw.stx_btime)),
            size: raw.stx_size,
            modified: nanoseconds(raw.stx_mtime),
            changed: nanoseconds(raw.stx_ctime),
            links: raw.stx_nlink,
            kind: FileType::from_raw_mode(raw.stx_mode.into()),
            mode: raw.stx_mode,
            owner: raw.stx_uid,
            group: raw.stx_gid,
            mount: told.contains(StatxFlags::MNT_ID).then_some(raw.stx_mnt_id),
        }
    }

    /// Whether the file came to be after another: by birth where both have one, else by last change
    /// of content, which keeps the order of rotated files.
    pub(super) fn is_younger_than(&self, other: &Self) -> bool {
        match self.born.zip(other.born) {
            Some((own, others)) => own > others,
            None => self.modified > other.modified,
        }
    }

    /// The name under which the ledger knows the file: of inode and birth time, which stay when it is
    /// renamed and differ when the inode is used again. The device's number is left out, since it may
    /// change when the host starts.
    ///
    /// Without a birth time the first line takes its place; `None` until there is one.
    pub(super) fn source(&self, head: &[u8]) -> Option<SourceId> {
        let inode = self.key.inode.to_le_bytes();
        match self.born {
            Some(born) => Some(digest(&[b"headwater file 1", &inode, &born.to_le_bytes()])),
            None => {
                let end = head.iter().position(|byte| *byte == b'\n').map(|lf| lf + 1);
                let first = end.or((head.len() >= Fingerprint::BYTES).then_some(head.len()))?;
                Some(digest(&[b"headwater file without birth 1", &inode, &head[..first]]))
            }
        }
    }
}

fn digest(parts: &[&[u8]]) -> SourceId {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    SourceId(id)
}

/// Opens a file for reading: no symlink is followed, and no pipe is waited for.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    let flags = i32::try_from(flags).expect("the flags of open fit into its argument");
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// The first bytes of a file, as many as a fingerprint covers.
pub(super) fn head_of(file: &File) -> io::Result<Vec<u8>> {
    bytes_at(file, 0, Fingerprint::BYTES)
}

/// The bytes before a position that a check covers; fewer if the file ends before.
pub(super) fn window_of(file: &File, position: u64) -> io::Result<Vec<u8>> {
    let length = position.min(Check::BYTES as u64);
    let count = usize::try_from(length).expect("a check covers few bytes");
    bytes_at(file, position - length, count)
}

/// As many bytes as there are from a place on, up to a count.
pub(super) fn bytes_at(file: &File, start: u64, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    let mut filled = 0;
    while filled < count {
        match file.read_at(&mut bytes[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The bytes before a position that tell whether those that a check covers are line after line the same.
pub(super) fn stretch_of(file: &File, position: u64) -> io::Result<Vec<u8>> {
    let length = position.min(STRETCH_BYTES as u64);
    let count = usize::try_from(length).expect("a stretch is short");
    bytes_at(file, position - length, count)
}

/// Whether the bytes that a check covers, the last ones of a stretch, say nothing about which file they are
/// from: line after line the same. An equal stretch in another file is then no sign of a copy.
///
/// The end of a line says nothing: most logs have lines that end alike and begin with the time.
pub(super) fn is_repetitive(stretch: &[u8]) -> bool {
    let mut lines = stretch.split_inclusive(|byte| *byte == b'\n').rev();
    let Some(last) = lines.next() else {
        return true;
    };
    let (mut covered, mut count) = (last.len(), 0);
    while covered < Check::BYTES
        && let Some(line) = lines.next()
    {
        covered += line.len();
        // What stands first may be the end of a line only.
        let is_first = covered == stretch.len();
        if line == last {
            count += 1;
        } else if !is_first || !last.ends_with(line) {
            return false;
        }
    }
    count > 0
}

/// Bytes of a stretch: several lines of most logs.
pub(super) const STRETCH_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_keeps_its_identity_when_it_is_renamed_and_a_new_one_has_another() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&old, "x\n").unwrap();
        let before = Facts::at(&old).unwrap();
        fs::rename(&old, &new).unwrap();
        fs::write(&old, "x\n").unwrap();
        let after = Facts::at(&new).unwrap();
        assert_eq!(before.source(b"x\n"), after.source(b"x\n"));
        assert_ne!(Facts::at(&old).unwrap().source(b"x\n"), after.source(b"x\n"));
        assert_eq!(Facts::of(&open(&new).unwrap()).unwrap(), after, "path and descriptor agree");
    }

    #[test]
    fn without_a_birth_time_the_first_line_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "").unwrap();
        let facts = Facts { born: None, ..Facts::at(&path).unwrap() };
        assert_eq!(facts.source(b"unfinished"), None, "it may become any line");
        assert!(facts.source(b"line\nmore").is_some());
        assert_eq!(facts.source(b"line\nmore"), facts.source(b"line\n"), "it grows");
        assert_ne!(facts.source(b"line\n"), facts.source(b"other\n"));
        assert!(facts.source(&[b'x'; 1024]).is_some(), "a first line above the limit");
    }

    #[test]
    fn a_symlink_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a"), folder.path().join("b"));
        fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(open(&link).is_err());
        assert_eq!(Facts::at(&link).unwrap().kind, FileType::Symlink);
    }

    #[test]
    fn equal_lines_are_no_sign_of_a_copy() {
        for window in [&b""[..], b"beat\nbeat\n", b"at\nbeat\nbeat\n", b"\n\n\n"] {
            assert!(is_repetitive(window), "{}", window.escape_ascii());
        }
        for window in [&b"beat 1\nbeat 2\n"[..], b"one long line", b"beat\nother\nbeat\n"] {
            assert!(!is_repetitive(window), "{}", window.escape_ascii());
        }
        for length in 2..400 {
            let line = |first| [vec![first], vec![b'x'; length - 2], b"\n".to_vec()].concat();
            let end_of =
                |mut stretch: Vec<u8>| stretch.split_off(stretch.len().saturating_sub(1024));
            let equal = end_of(line(b'1').repeat(1_500 / length));
            assert_eq!(is_repetitive(&equal), length < Check::BYTES, "lines of {length} bytes");
            let ends_alike = end_of((0..10).flat_map(line).collect());
            assert!(!is_repetitive(&ends_alike), "lines of {length} bytes");
        }
    }
}
