//! A folder is exchanged for another one at once: who lists it sees the files of before or those of after, and never some of
//! each.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::{Folder, FolderError, failed, rename, sync, write};
use crate::killpoint;

/// Where the next content of a folder is made.
const NEXT: &str = "next";

/// What of a folder becomes something else.
#[derive(Clone, Copy, Debug)]
pub(in crate::history) struct Change<'a> {
    /// Which, below the root.
    pub(in crate::history) place: &'a str,
    /// Files that go.
    pub(in crate::history) gone: &'a [String],
    /// Files that come.
    pub(in crate::history) made: &'a [(String, Vec<u8>)],
    /// Whether those that go are kept where no query looks.
    pub(in crate::history) keeps_aside: bool,
}

/// A folder of before, which whoever had opened it may still be listing.
#[derive(Debug)]
pub(in crate::history) struct Retired(PathBuf);

impl Folder {
    /// Whether folders can be exchanged here. Not every file system can.
    pub(in crate::history) fn can_exchange(&self) -> Result<bool, FolderError> {
        let (one, other) = (self.partial().join("one"), self.partial().join("other"));
        for folder in [&one, &other] {
            make_empty(folder)?;
        }
        let can = match exchange(&one, &other) {
            Ok(()) => true,
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => false,
            Err(error) => return Err(failed("exchange", &one)(error.into())),
        };
        for folder in [&one, &other] {
            remove(folder)?;
        }
        Ok(can)
    }

    /// Changes a folder at once and durably. What was there before is not deleted yet, and nobody finds it any more.
    ///
    /// # Errors
    /// If it can't be made; but for the last steps, which make it durable, nothing has changed then.
    pub(in crate::history) fn change(&self, change: &Change<'_>) -> Result<Retired, FolderError> {
        let folder = self.root.join(change.place);
        let next = self.partial().join(NEXT);
        make_empty(&next)?;
        let before = self.fill(&next, &folder, change).inspect_err(|_| {
            // It takes room, which may be what is lacking. What is left of it goes at the next attempt.
            _ = remove(&next);
        })?;
        killpoint::pass("history.next_folder_complete");
        exchange(&next, &folder).map_err(|error| failed("exchange", &folder)(error.into()))?;
        killpoint::pass("history.folder_exchanged");
        sync(folder.parent().unwrap_or(&self.root))?;
        sync(&self.partial())?;
        // What a person has put there in this very moment.
        for missed in names(&next)?.difference(&before) {
            let (from, to) = (next.join(missed), folder.join(missed));
            rename(&from, &to).map_err(failed("put back", &from))?;
        }
        // The next change needs its name.
        let retired = (0_u64..).map(|number| self.partial().join(format!("retired-{number}")));
        let retired = retired.into_iter().find(|path| !path.exists());
        let retired = retired.expect("there are more numbers than folders");
        fs::rename(&next, &retired).map_err(failed("set aside", &next))?;
        Ok(Retired(retired))
    }

    /// Fills a folder with what another one is to hold; what that one holds is returned.
    fn fill(
        &self,
        next: &Path,
        folder: &Path,
        change: &Change<'_>,
    ) -> Result<BTreeSet<OsString>, FolderError> {
        for (name, bytes) in change.made {
            write(&next.join(name), bytes)?;
            killpoint::pass("history.merged_file_written");
        }
        if change.keeps_aside {
            let gone = change.gone.iter().map(|name| folder.join(name));
            gone.into_iter().try_for_each(|path| self.keep_aside(&path))?;
        }
        let before = names(folder)?;
        let gone: BTreeSet<OsString> = change.gone.iter().map(OsString::from).collect();
        for kept in before.difference(&gone) {
            let (from, to) = (folder.join(kept), next.join(kept));
            fs::hard_link(&from, &to).map_err(failed("have in its next folder", &from))?;
        }
        sync(next)?;
        Ok(before)
    }

    /// Deletes what was there before a change.
    pub(in crate::history) fn delete(&self, retired: &Retired) -> Result<(), FolderError> {
        remove(&retired.0)
    }

    /// Deletes what an earlier process left where files are made.
    pub(super) fn clear(&self) -> Result<(), FolderError> {
        let partial = self.partial();
        let mut is_durable = false;
        for entry in fs::read_dir(&partial).map_err(failed("list", &partial))? {
            let path = entry.map_err(failed("list", &partial))?.path();
            if !std::mem::replace(&mut is_durable, true) {
                sync_all(&partial)?;
            }
            if path.is_dir() {
                fs::remove_dir_all(&path).map_err(failed("delete", &path))?;
            } else {
                fs::remove_file(&path).map_err(failed("delete", &path))?;
            }
        }
        Ok(())
    }
}

fn exchange(one: &Path, other: &Path) -> Result<(), Errno> {
    rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)
}

/// An empty folder, whatever an attempt that failed has left there.
fn make_empty(folder: &Path) -> Result<(), FolderError> {
    match DirBuilder::new().mode(0o750).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            sync_all(folder)?;
            remove(folder)?;
            make_empty(folder)
        }
        made => made.map_err(failed("make the folder", folder)),
    }
}

/// Makes all durable, before something is deleted of which it is not known that it was exchanged durably: after a loss of power it
/// would be what is there.
fn sync_all(folder: &Path) -> Result<(), FolderError> {
    let all = File::open(folder).and_then(|it| Ok(rustix::fs::syncfs(it)?));
    all.map_err(failed("make durable", folder))
}

fn names(folder: &Path) -> Result<BTreeSet<OsString>, FolderError> {
    let names = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>());
    names.map_err(failed("list", folder))
}

/// Deletes a folder of files.
fn remove(folder: &Path) -> Result<(), FolderError> {
    for entry in fs::read_dir(folder).map_err(failed("list", folder))? {
        let path = entry.map_err(failed("list", folder))?.path();
        fs::remove_file(&path).map_err(failed("delete", &path))?;
        killpoint::pass("history.old_file_deleted");
    }
    fs::remove_dir(folder).map_err(failed("delete", folder))
}
