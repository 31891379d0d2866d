//! A file kept aside, so that acks and deletes work on a full disk: redb writes pages anew before it
//! frees the old ones.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Disk;

/// The reserve of a spool.
#[derive(Debug)]
pub(in crate::spool) struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// The reserve in a folder, as it was left.
    pub(in crate::spool) fn new(folder: &Path, bytes: u64) -> Self {
        let path = folder.join(FILE);
        let held = fs::metadata(&path).is_ok_and(|file| file.len() >= bytes);
        Self { path, bytes, held }
    }

    /// Gives the reserve up if the disk is about to be full, and takes it back once there is room.
    /// Says whether something changed.
    ///
    /// # Errors
    /// The file could be neither deleted nor written; the spool works without.
    pub(in crate::spool) fn keep(&mut self, disk: Disk) -> io::Result<bool> {
        if self.held && disk.free < self.bytes {
            fs::remove_file(&self.path)?;
            self.held = false;
            return Ok(true);
        }
        // Twice the room, so that it is not made and deleted in turns.
        if !self.held && disk.free >= disk.keep.saturating_add(self.bytes * 2) {
            self.held = true;
            return self.make().map(|()| true);
        }
        Ok(false)
    }

    /// Bytes that are not kept aside although they should be.
    pub(in crate::spool) fn missing(&self) -> u64 {
        if self.held { 0 } else { self.bytes }
    }

    /// Writes zeros: a hole would keep nothing aside.
    fn make(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        io::copy(&mut io::repeat(0).take(self.bytes), &mut file)?;
        file.sync_data()
    }
}

const FILE: &str = "reserve";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_goes_when_the_disk_is_full_and_comes_back_with_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::new(folder.path(), 100_000);
        let length = || fs::metadata(folder.path().join(FILE)).map(|file| file.len()).ok();
        let [wide, full] = [1 << 30, 99_999].map(|free| Disk { free, keep: 1 << 20 });
        assert!(reserve.keep(wide).unwrap());
        assert_eq!(length(), Some(100_000));
        assert!(!reserve.keep(wide).unwrap(), "it is held already");
        assert!(!Reserve::new(folder.path(), 100_000).keep(wide).unwrap(), "found again");
        assert!(reserve.keep(full).unwrap());
        assert_eq!((length(), reserve.missing()), (None, 100_000));
        assert!(!reserve.keep(full).unwrap());
        assert!(reserve.keep(wide).unwrap());
        assert_eq!(length(), Some(100_000));
    }
}
