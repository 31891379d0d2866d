//! Waiting for changes: one inotify instance that watches folders, and time that passes where it
//! cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::notice::Notice;
use super::turn::Wake;

/// The folders that are watched.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: io::Result<Inotify>,
    folders: BTreeMap<PathBuf, WatchDescriptor>,
    /// Folders that could not be watched; they are looked at once a second.
    refused: BTreeSet<PathBuf>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { inotify: Inotify::init(), folders: BTreeMap::new(), refused: BTreeSet::new() }
    }

    /// Why there is nothing but polling; `None` where inotify works.
    pub(super) fn failure(&self) -> Option<Notice> {
        self.inotify.as_ref().err().map(|error| Notice::Polling { reason: error.to_string() })
    }

    /// Watches these folders and no others.
    pub(super) fn keep<'a>(&mut self, folders: impl Iterator<Item = &'a Path>) {
        let Ok(inotify) = &mut self.inotify else {
            return;
        };
        let wanted: BTreeSet<&Path> = folders.collect();
        let mut watches = inotify.watches();
        let gone = self.folders.extract_if(.., |folder, _| !wanted.contains(folder.as_path()));
        for (_, descriptor) in gone {
            // The kernel has removed it already if the folder was deleted.
            let _ = watches.remove(descriptor);
        }
        self.refused.retain(|folder| wanted.contains(folder.as_path()));
        for folder in wanted {
            if self.folders.contains_key(folder) || self.refused.contains(folder) {
                continue;
            }
            match watches.add(folder, events()) {
                Ok(descriptor) => self.folders.insert(folder.to_owned(), descriptor).map(|_| ()),
                // Too many watches, mostly: the poll goes on without.
                Err(_) => self.refused.insert(folder.to_owned()).then_some(()),
            };
        }
    }

    /// Waits until something changes, at most for a time.
    pub(super) fn wait(&mut self, pause: Duration) -> Wake {
        let Ok(inotify) = &mut self.inotify else {
            std::thread::sleep(pause);
            return Wake::default();
        };
        let timeout = Timespec::try_from(pause).ok();
        let mut descriptors = [PollFd::new(inotify, PollFlags::IN)];
        // An interrupted wait is a short one.
        let ready = poll(&mut descriptors, timeout.as_ref()).unwrap_or(0);
        if ready == 0 {
            return Wake::default();
        }
        if !pause.is_zero() {
            std::thread::sleep(GATHER);
        }
        self.gather()
    }

    /// Everything that has happened.
    fn gather(&mut self) -> Wake {
        let mut wake = Wake::default();
        let Ok(inotify) = &mut self.inotify else {
            return wake;
        };
        let mut buffer = [0; 16_384];
        let mut ended = Vec::new();
        while let Ok(events) = inotify.read_events(&mut buffer) {
            for event in events {
                let folder = self.folders.iter().find(|(_, descriptor)| **descriptor == event.wd);
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

/// A writer that writes line by line wakes us once for many lines; far below the second after which a
/// batch is sealed.
const GATHER: Duration = Duration::from_millis(10);
