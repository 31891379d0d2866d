//! A folder on a local disk: files that are there whole or not at all, and are never changed.

mod exchange;

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};

use super::table::{FileName, Hour, Spot, Table};

pub(super) use exchange::{Change, Retired};

/// Files in the making; queries that name tables do not see them.
const PARTIAL: &str = ".partial";
/// Files that the log does not hold any more, kept for a person to look at.
const WITHDRAWN: &str = ".withdrawn";

/// The folder of a history.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
    /// Where its files are made: whoever writes to the same folder makes them elsewhere.
    partial: &'static str,
}

/// Why a file can't be written or moved.
#[derive(Debug, thiserror::Error)]
#[error("{what} {path:?}")]
pub struct FolderError {
    /// What was attempted.
    pub what: &'static str,
    /// Where.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// How a file came to be there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Put {
    /// It was written.
    Written,
    /// It was there, byte for byte.
    There,
    /// Another one of this name was there: it was set aside, this one is written.
    Replaced,
}

impl Folder {
    /// The folder of a history, made if it is not there. What an earlier process left unfinished is deleted.
    ///
    /// # Errors
    /// If it can't be made or written.
    pub fn open(root: &Path) -> Result<Self, FolderError> {
        Self::open_with(root, PARTIAL)
    }

    /// The same, for another one who writes: `partial` is the name of a folder in it where nobody else makes files.
    ///
    /// # Errors
    /// As `open`.
    pub(super) fn open_with(root: &Path, partial: &'static str) -> Result<Self, FolderError> {
        let folder = Self { root: root.to_owned(), partial };
        folder.make(&folder.partial())?;
        folder.clear()?;
        Ok(folder)
    }

    /// The folder of a history, to be read only: nothing is made or deleted.
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), partial: PARTIAL }
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file below the root, whole or not at all, and returns once it is safe. The one of this name that is there
    /// stays if it is the same.
    pub(super) fn put(
        &self,
        place: &str,
        name: impl fmt::Display,
        bytes: &[u8],
    ) -> Result<Put, FolderError> {
        let folder = self.root.join(place);
        let path = folder.join(name.to_string());
        let mut put = Put::Written;
        match fs::read(&path) {
            Ok(there) if there == bytes => return Ok(Put::There),
            Ok(_) => {
                self.set_aside(&path)?;
                put = Put::Replaced;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", &path)(error)),
        }
        self.make(&folder)?;
        let partial = self.partial().join(name.to_string());
        write(&partial, bytes)?;
        rename(&partial, &path).map_err(failed("give its name to", &path))?;
        sync(&folder)?;
        Ok(put)
    }

    /// Files in the making.
    fn partial(&self) -> PathBuf {
        self.root.join(self.partial)
    }

    /// Folders of files that there are.
    pub(super) fn spots(&self) -> Result<Vec<Spot>, FolderError> {
        let (mut spots, mut folders) = (Vec::new(), vec![self.root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(failed("list", &folder))? {
                let path = entry.map_err(failed("list", &folder))?.path();
                let below = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
                match below.and_then(Spot::parse) {
                    Some(spot) => spots.push(spot),
                    None if below.is_some_and(|it| it.contains('=')) && path.is_dir() => {
                        folders.push(path);
                    }
                    None => {}
                }
            }
        }
        spots.sort();
        Ok(spots)
    }

    /// Hours of which a table has a folder, in order.
    pub(super) fn hours(&self, table: Table) -> Result<Vec<Hour>, FolderError> {
        let mut hours = Vec::new();
        let root = self.root.join(table.place());
        for (day, path) in valued(&root, "dt=")? {
            let Ok(day) = day.parse() else { continue };
            for (of_day, _) in valued(&path, "hour=")? {
                hours.extend(of_day.parse().ok().and_then(|of_day| Hour::at(day, of_day)));
            }
        }
        hours.sort_unstable();
        Ok(hours)
    }

    /// Bytes of the files of an hour.
    pub(super) fn bytes_of(&self, table: Table, hour: Hour) -> Result<u64, FolderError> {
        let mut bytes = 0_u64;
        let folder = self.root.join(table.place()).join(hour.folder());
        for (_, shard) in valued(&folder, "shard=")? {
            for entry in fs::read_dir(&shard).map_err(failed("list", &shard))? {
                let entry = entry.map_err(failed("list", &shard))?;
                // One that has just gone has none.
                bytes = bytes.saturating_add(entry.metadata().map_or(0, |about| about.len()));
            }
        }
        Ok(bytes)
    }

    /// Deletes an hour of a table; how many files it had is returned. A query finds a shard's files all or not at all.
    pub(super) fn delete_hour(&self, table: Table, hour: Hour) -> Result<u64, FolderError> {
        let folder = self.root.join(table.place()).join(hour.folder());
        let going = self.partial().join("expired");
        let mut files = 0;
        for (_, shard) in valued(&folder, "shard=")? {
            files += fs::read_dir(&shard).map_err(failed("list", &shard))?.count() as u64;
            fs::rename(&shard, &going).map_err(failed("delete", &shard))?;
            fs::remove_dir_all(&going).map_err(failed("delete", &going))?;
        }
        // What a person has put there keeps its folders.
        for empty in [Some(folder.as_path()), folder.parent()].into_iter().flatten() {
            _ = fs::remove_dir(empty);
        }
        Ok(files)
    }

    /// Files of ours in a folder, and their bytes. None, if it is not there.
    pub(super) fn list(&self, spot: Spot) -> Result<Vec<(FileName, u64)>, FolderError> {
        self.list_named(&spot.folder(), FileName::parse)
    }

    /// Files in a folder that have a name of some kind, and their bytes. None, if it is not there.
    pub(super) fn list_named<N: Ord>(
        &self,
        place: &str,
        parse: impl Fn(&str) -> Option<N>,
    ) -> Result<Vec<(N, u64)>, FolderError> {
        let folder = self.root.join(place);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed("list", &folder)(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("list", &folder))?;
            if let Some(name) = entry.file_name().to_str().and_then(&parse) {
                let about = entry.metadata().map_err(failed("look at", &entry.path()))?;
                files.push((name, about.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    /// Sets a file aside.
    pub(super) fn withdraw(&self, place: &str, name: impl fmt::Display) -> Result<(), FolderError> {
        self.set_aside(&self.root.join(place).join(name.to_string()))
    }

    /// Moves a file to where no query looks, with its folders; under another name, if one of its name is there.
    fn set_aside(&self, path: &Path) -> Result<(), FolderError> {
        let folder = self.aside(path, rename)?;
        sync(&folder)?;
        sync(path.parent().unwrap_or(&self.root))
    }

    /// Has a file where no query looks as well, under one name or another. Harmless if it is there already.
    fn keep_aside(&self, path: &Path) -> Result<(), FolderError> {
        let is_same = |one: &Path, other: &Path| -> io::Result<bool> {
            let (one, other) = (fs::metadata(one)?, fs::metadata(other)?);
            Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
        };
        let folder = self.aside(path, |path, to| match fs::hard_link(path, to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_same(path, to)? => {
                Ok(())
            }
            done => done,
        })?;
        sync(&folder)
    }

    /// Gives a file a name where no query looks, one that is not taken; the folder of it is returned.
    fn aside(
        &self,
        path: &Path,
        give: impl Fn(&Path, &Path) -> io::Result<()>,
    ) -> Result<PathBuf, FolderError> {
        let below = path.strip_prefix(&self.root).expect("every file of ours is below the root");
        let aside = self.root.join(WITHDRAWN).join(below);
        let folder = aside.parent().unwrap_or(&self.root);
        self.make(folder)?;
        for number in 0.. {
            let to = match number {
                0 => aside.clone(),
                _ => aside.with_extension(format!("{number}.parquet")),
            };
            match give(path, &to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => {
                    done.map_err(failed("set aside", path))?;
                    break;
                }
            }
        }
        Ok(folder.to_owned())
    }

    /// Makes a folder and those above it, durably.
    fn make(&self, folder: &Path) -> Result<(), FolderError> {
        let mut missing = Vec::new();
        let mut at = folder;
        while !at.exists() {
            missing.push(at);
            let Some(above) = at.parent() else { break };
            at = above;
        }
        for folder in missing.into_iter().rev() {
            match DirBuilder::new().mode(0o750).create(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(failed("make the folder", folder)(error));
                }
                Ok(()) | Err(_) => {}
            }
            if let Some(above) = folder.parent() {
                sync(above)?;
            }
        }
        Ok(())
    }
}

/// Folders in a folder whose names begin with a key, with what follows it. None, if it is not there.
fn valued(folder: &Path, key: &str) -> Result<Vec<(String, PathBuf)>, FolderError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("list", folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("list", folder))?;
        let name = entry.file_name();
        if let Some(value) = name.to_str().and_then(|name| name.strip_prefix(key)) {
            found.push((value.to_owned(), entry.path()));
        }
    }
    Ok(found)
}

/// Writes a file that has no name that anyone looks for, and returns once it is safe.
fn write(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let written = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(failed("write", path))
}

/// Gives a file another name, unless that name is taken.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can; nobody else writes here.
        Err(rustix::io::Errno::INVAL) if !to.exists() => fs::rename(from, to),
        done => Ok(done?),
    }
}

fn sync(folder: &Path) -> Result<(), FolderError> {
    File::open(folder).and_then(|it| it.sync_all()).map_err(failed("make durable", folder))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError { what, path, source }
}

#[cfg(test)]
mod tests {
    use headwater_protocol::identity::ShardId;

    use super::super::table::Kind;
    use super::*;

    const NAME: FileName =
        FileName { kind: Kind::Range, generation: 1, first: 5, end: 9, ranges: 1 };
    const PLACE: &str = "table=events/dt=2026-11-28/hour=13/shard=07";

    #[test]
    fn a_file_is_written_once_and_another_one_of_its_name_is_set_aside() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(&root.path().join("history")).unwrap();
        assert_eq!(folder.put(PLACE, NAME, b"one").unwrap(), Put::Written);
        assert_eq!(folder.put(PLACE, NAME, b"one").unwrap(), Put::There);
        assert_eq!(folder.put(PLACE, NAME, b"two").unwrap(), Put::Replaced);
        assert_eq!(folder.put(PLACE, NAME, b"three").unwrap(), Put::Replaced);
        let path = folder.root().join(PLACE).join(NAME.to_string());
        assert_eq!(fs::read(&path).unwrap(), b"three");
        let aside = folder.root().join(WITHDRAWN).join(PLACE);
        assert_eq!(fs::read(aside.join(NAME.to_string())).unwrap(), b"one");
        assert_eq!(fs::read_dir(aside).unwrap().count(), 2);
        assert_eq!(fs::read_dir(folder.root().join(PARTIAL)).unwrap().count(), 0);
    }

    #[test]
    fn what_is_withdrawn_is_what_was_said_and_no_file_of_a_person() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        let spot = Spot { hour: Hour(498_853), table: Table::Events, shard: ShardId(7) };
        let other = Spot { table: Table::Samples, ..spot };
        let put = |spot: Spot, first| {
            let name = FileName { first, end: first + 1, ..NAME };
            folder.put(&spot.folder(), name, b"rows").unwrap();
            name
        };
        let files = [1, 5, 9].map(|first| put(spot, first));
        put(other, 9);
        fs::write(folder.root().join(spot.folder()).join("a person's.parquet"), b"").unwrap();
        folder.withdraw(&spot.folder(), files[1]).unwrap();
        assert_eq!(folder.spots().unwrap(), [other, spot], "nothing that is set aside is found");
        assert_eq!(folder.list(spot).unwrap(), [(files[0], 4), (files[2], 4)]);
        assert_eq!(folder.list(Spot { hour: Hour(0), ..spot }).unwrap(), []);
    }

    #[test]
    fn what_was_left_unfinished_is_deleted() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        fs::write(folder.partial().join("g1"), b"half").unwrap();
        fs::create_dir(folder.partial().join("next")).unwrap();
        fs::write(folder.partial().join("next").join(NAME.to_string()), b"half").unwrap();
        Folder::open(root.path()).unwrap();
        assert_eq!(fs::read_dir(root.path().join(PARTIAL)).unwrap().count(), 0);
    }
}
