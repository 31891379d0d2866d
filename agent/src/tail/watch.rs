//! Waiting for changes: one inotify instance that watches folders, and time that passes where it
//! cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::statfs;

use super::identity::{Facts, FileKey};
use super::notice::Notice;
use super::stop::TailStop;
use super::turn::Wake;

/// The folders that are watched.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: io::Result<Inotify>,
    folders: BTreeMap<PathBuf, Watched>,
    /// Folders that could not be watched; they are looked at once a second.
    refused: BTreeSet<PathBuf>,
}

#[derive(Debug)]
struct Watched {
    descriptor: WatchDescriptor,
    /// Which folder it is, in which mount, if every change in it by any program of this host is heard of.
    heard: Option<(FileKey, u64)>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { inotify: Inotify::init(), folders: BTreeMap::new(), refused: BTreeSet::new() }
    }

    /// Why there is nothing but polling; `None` where inotify works.
    pub(super) fn failure(&self) -> Option<Notice> {
        self.inotify.as_ref().err().map(|error| Notice::Polling { reason: error.to_string() })
    }

    /// Watches these folders and no others. Says whether one of them was not watched before: what happened in
    /// it until then nobody has heard of.
    pub(super) fn keep<'a>(&mut self, folders: impl Iterator<Item = &'a Path>) -> bool {
        let Ok(inotify) = &mut self.inotify else {
            return false;
        };
        let mut is_new = false;
        let wanted: BTreeSet<&Path> = folders.collect();
        let mut watches = inotify.watches();
        let gone = self.folders.extract_if(.., |folder, _| !wanted.contains(folder.as_path()));
        for (_, watched) in gone {
            // The kernel has removed it already if the folder was deleted.
            let _ = watches.remove(watched.descriptor);
        }
        self.refused.retain(|folder| wanted.contains(folder.as_path()));
        for folder in wanted {
            if self.folders.contains_key(folder) || self.refused.contains(folder) {
                continue;
            }
            match watches.add(folder, events()) {
                Ok(descriptor) => {
                    let watched = Watched { descriptor, heard: heard_of_whole(folder) };
                    self.folders.insert(folder.to_owned(), watched);
                    is_new = true;
                }
                // Too many watches, mostly: the poll goes on without.
                Err(_) => drop(self.refused.insert(folder.to_owned())),
            }
        }
        is_new
    }

    /// Whether nothing can change in these files and in the folders without a wake. A file that has another name, or
    /// that is mounted over the one in its folder, may be written to elsewhere.
    pub(super) fn hears_of<'a>(
        &mut self,
        mut files: impl Iterator<Item = (&'a Path, &'a Facts)>,
    ) -> bool {
        let Ok(inotify) = &mut self.inotify else {
            return false;
        };
        // Another folder may stand at the path, and is watched anew.
        let is_other = |folder: &PathBuf, watched: &mut Watched| {
            watched.heard.is_some() && watched.heard != standing(folder)
        };
        let mut are_there = true;
        for (_, watched) in self.folders.extract_if(.., is_other) {
            are_there = false;
            // The kernel has removed it already if the folder was deleted.
            let _ = inotify.watches().remove(watched.descriptor);
        }
        let hears_of_file = |(path, facts): (&Path, &Facts)| {
            let folder = path.parent().and_then(|folder| self.folders.get(folder));
            let mount = folder.and_then(|watched| watched.heard).map(|(_, mount)| mount);
            facts.links == 1 && mount.is_some() && facts.mount == mount
        };
        are_there
            && self.refused.is_empty()
            && self.folders.values().all(|watched| watched.heard.is_some())
            && files.all(hears_of_file)
    }

    /// Waits until something changes or the end is ordered, at most for a time.
    pub(super) fn wait(&mut self, pause: Duration, stop: &TailStop) -> Wake {
        let timeout = Timespec::try_from(pause).ok();
        let mut waits = vec![PollFd::new(stop, PollFlags::IN)];
        waits.extend(self.inotify.iter().map(|inotify| PollFd::new(inotify, PollFlags::IN)));
        // An interrupted wait is a short one.
        let ready = poll(&mut waits, timeout.as_ref()).unwrap_or(0);
        if ready == 0 || stop.is_ordered() {
            return Wake::default();
        }
        if !pause.is_zero() {
            std::thread::sleep(GATHER);
        }
        self.gather()
    }

    /// What has happened, but for what comes while it is looked at: somebody may write all the time.
    fn gather(&mut self) -> Wake {
        let mut wake = Wake::default();
        let Ok(inotify) = &mut self.inotify else {
            return wake;
        };
        let mut buffer = [0; 16_384];
        let mut ended = Vec::new();
        for _ in 0..READS_PER_WAKE {
            let Ok(events) = inotify.read_events(&mut buffer) else { break };
            for event in events {
                let folder =
                    self.folders.iter().find(|(_, watched)| watched.descriptor == event.wd);
                if event.mask.contains(EventMask::IGNORED) {
                    ended.extend(folder.map(|(folder, _)| folder.clone()));
                }
                match (event.mask == EventMask::MODIFY, folder, event.name) {
                    (true, Some((folder, _)), Some(name)) => {
                        wake.touched.insert(folder.join(name));
                    }
                    (true, _, _) => wake.everything = true,
                    (false, _, _) => wake.names = true,
                }
                wake.everything |= event.mask.contains(EventMask::Q_OVERFLOW);
            }
        }
        for folder in ended {
            self.folders.remove(&folder);
        }
        wake
    }
}

/// What stands at a folder's path, if its filesystem is one that only this host changes and that tells of every write.
fn heard_of_whole(folder: &Path) -> Option<(FileKey, u64)> {
    let kind = statfs(folder).ok()?.f_type;
    LOCAL_FILESYSTEMS.contains(&kind).then(|| standing(folder)).flatten()
}

/// Which folder stands at a path, and in which mount.
fn standing(folder: &Path) -> Option<(FileKey, u64)> {
    let facts = Facts::at(&folder.join(".")).ok()?;
    Some((facts.key, facts.mount?))
}

fn events() -> WatchMask {
    WatchMask::CREATE
        | WatchMask::MOVED_FROM
        | WatchMask::MOVED_TO
        | WatchMask::DELETE
        | WatchMask::DELETE_SELF
        | WatchMask::MOVE_SELF
        | WatchMask::MODIFY
        | WatchMask::ONLYDIR
}

/// Buffers of events that are taken at once: some 30,000 events.
const READS_PER_WAKE: usize = 64;

/// ext2 to ext4, XFS, Btrfs, F2FS and tmpfs by their numbers (statfs(2)). Network filesystems, and those that stand on
/// others (overlay, FUSE), tell only of what is written through this very mount.
const LOCAL_FILESYSTEMS: [i64; 5] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010, 0x0102_1994];

/// A writer that writes line by line wakes us once for many lines; far below the second after which a
/// batch is sealed.
const GATHER: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn hears(watch: &mut Watch, file: &Path) -> bool {
        let facts = Facts::at(file).expect("it is there");
        watch.hears_of([(file, &facts)].into_iter())
    }

    #[test]
    fn a_file_of_one_name_in_a_watched_folder_of_this_host_changes_with_a_wake_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let (place, file) = (folder.path(), folder.path().join("a.log"));
        std::fs::write(&file, "line\n").expect("it is written");
        if heard_of_whole(place).is_none() {
            eprintln!(
                "not run: the folder of temporary files is on no filesystem of this host alone"
            );
            return;
        }
        let mut watch = Watch::new();
        assert!(!hears(&mut watch, &file), "its folder is not watched");
        assert!(watch.keep([place].into_iter()), "what happened in it before was not heard");
        assert!(!watch.keep([place].into_iter()));
        assert!(hears(&mut watch, &file));

        let link = place.join("link.log");
        std::fs::hard_link(&file, &link).expect("it is linked");
        assert!(!hears(&mut watch, &file), "it may be written to by its other name");
        std::fs::remove_file(&link).expect("it is removed");
        assert!(hears(&mut watch, &file));
    }

    #[test]
    fn another_folder_at_the_same_path_is_watched_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (place, file) = (folder.path().join("logs"), folder.path().join("logs/a.log"));
        let make = || {
            std::fs::create_dir(&place).expect("it is made");
            std::fs::write(&file, "line\n").expect("it is written");
        };
        make();
        if heard_of_whole(&place).is_none() {
            eprintln!(
                "not run: the folder of temporary files is on no filesystem of this host alone"
            );
            return;
        }
        let mut watch = Watch::new();
        watch.keep([place.as_path()].into_iter());
        assert!(hears(&mut watch, &file));
        std::fs::rename(&place, folder.path().join("other")).expect("it is renamed");
        make();
        assert!(!hears(&mut watch, &file), "another one is watched");
        assert!(watch.keep([place.as_path()].into_iter()), "it is watched from now on");
        assert!(hears(&mut watch, &file));
        let stop = TailStop::new().expect("a descriptor");
        let _ = watch.wait(Duration::ZERO, &stop);
        std::fs::write(&file, "more\n").expect("it is written");
        let wake = watch.wait(Duration::from_secs(10), &stop);
        assert!(wake.touched.contains(&file), "{wake:?}");
    }
}
