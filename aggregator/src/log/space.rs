//! Whether the disk has room: asked before something is taken, so that it never fills up.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{ByteCount, FREE_BYTES_MIN};

/// How much of a disk stays free.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MinFree {
    /// Hundredths of a per cent of the disk: 500 is 5 %.
    Share(u16),
    /// So many bytes.
    Bytes(ByteCount),
}

/// The room on the disk of a folder, as it was last looked at.
///
/// Shared by the log's writers, which look after each commit, and by intake and health, which ask for
/// each batch: a number that may be a commit old is worth no message.
#[derive(Debug)]
pub struct Space {
    folder: PathBuf,
    min_free: MinFree,
    free: AtomicU64,
    needed: AtomicU64,
}

impl Space {
    /// Looks at the disk of a folder.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn of(folder: &Path, min_free: MinFree) -> Result<Self, io::Error> {
        let (free, needed) = (AtomicU64::new(0), AtomicU64::new(0));
        let space = Self { folder: folder.to_owned(), min_free, free, needed };
        space.look()?;
        Ok(space)
    }

    /// Looks again.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn look(&self) -> Result<(), io::Error> {
        let disk = rustix::fs::statvfs(&self.folder)?;
        let needed = match self.min_free {
            MinFree::Share(share) => {
                let total = disk.f_blocks.saturating_mul(disk.f_frsize);
                total / 10_000 * u64::from(share)
            }
            MinFree::Bytes(bytes) => bytes.0,
        };
        self.free.store(disk.f_bavail.saturating_mul(disk.f_frsize), Ordering::Relaxed);
        self.needed.store(needed.max(FREE_BYTES_MIN), Ordering::Relaxed);
        Ok(())
    }

    /// Bytes that are free.
    #[must_use]
    pub fn free(&self) -> ByteCount {
        ByteCount(self.free.load(Ordering::Relaxed))
    }

    /// Bytes below which nothing is taken.
    #[must_use]
    pub fn needed(&self) -> ByteCount {
        ByteCount(self.needed.load(Ordering::Relaxed))
    }

    /// Whether there is too little room to take anything.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.free() < self.needed()
    }
}
