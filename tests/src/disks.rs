//! Disks of one file, on which the power can be cut: a real file system on a loop device, whose shutdown
//! drops everything that was not synced.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A kind of file system.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FileSystem {
    /// ext4, with its journal.
    Ext4,
    /// XFS.
    Xfs,
}

/// A disk, mounted until it is dropped.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    place: PathBuf,
    cuts: u32,
    dropped: u32,
}

/// Bytes of a disk: the least that XFS takes, and some. The image is sparse.
const DISK_BYTES: u64 = 400 << 20;

impl Disk {
    /// Makes a file system in a file and mounts it on a folder, which is empty then. `None` without the right
    /// to, which is said.
    ///
    /// # Panics
    /// If there are no tools for it.
    #[must_use]
    pub fn mount(kind: FileSystem, image: &Path, place: &Path) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("needs root: not run, a disk can't be mounted");
            return None;
        }
        std::fs::File::create(image).unwrap().set_len(DISK_BYTES).unwrap();
        let (program, words): (_, &[&str]) = match kind {
            FileSystem::Ext4 => ("mkfs.ext4", &["-q", "-F"]),
            FileSystem::Xfs => ("mkfs.xfs", &["-q", "-f"]),
        };
        run(Command::new(program).args(words).arg(image));
        std::fs::create_dir_all(place).unwrap();
        let disk = Self { image: image.to_owned(), place: place.to_owned(), cuts: 0, dropped: 0 };
        let mounted = disk.mounting().output().unwrap();
        if !mounted.status.success() {
            let why = String::from_utf8_lossy(&mounted.stderr);
            eprintln!("needs root and loop devices: not run, {why}");
            return None;
        }
        // ext4 makes it; a node is made in an empty folder.
        let _ = std::fs::remove_dir(place.join("lost+found"));
        run(Command::new("sync").arg("-f").arg(place));
        Some(disk)
    }

    fn mounting(&self) -> Command {
        let mut command = Command::new("mount");
        command.args(["-o", "loop"]).arg(&self.image).arg(&self.place);
        command
    }

    /// Cuts the power: nothing that was not synced is kept, the journal's memory included. Whoever has
    /// files open on it gets errors from then on.
    pub fn cut(&mut self) {
        self.cuts += 1;
        std::fs::write(self.canary(), "not synced").unwrap();
        run(Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&self.place));
    }

    /// Mounts it again, which recovers its journal. Nobody has files open on it.
    pub fn mount_again(&mut self) {
        run(Command::new("umount").arg(&self.place));
        run(&mut self.mounting());
        self.dropped += u32::from(!self.canary().exists());
    }

    /// How often the power was cut.
    #[must_use]
    pub fn cuts(&self) -> u32 {
        self.cuts
    }

    /// How many of the cuts dropped what was written just before. (A sync of somebody else that was under way
    /// may have kept it.)
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    fn canary(&self) -> PathBuf {
        self.place.join(format!("canary-{}", self.cuts))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: processes that are about to be killed may still use it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.place).status();
    }
}

fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}
