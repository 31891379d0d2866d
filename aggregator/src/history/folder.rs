//! A folder on a local disk: files that are there whole or not at all, and are never changed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use headwater_protocol::identity::ShardId;
use rustix::fs::{CWD, RenameFlags};

use super::table::FileName;

/// Files in the making; queries that name tables do not see them.
const PARTIAL: &str = ".partial";
/// Files that the log does not hold any more, kept for a person to look at.
const WITHDRAWN: &str = ".withdrawn";

/// The folder of a history.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
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
        let folder = Self { root: root.to_owned() };
        let partial = root.join(PARTIAL);
        folder.make(&partial)?;
        for entry in fs::read_dir(&partial).map_err(failed("list", &partial))? {
            let path = entry.map_err(failed("list", &partial))?.path();
            fs::remove_file(&path).map_err(failed("delete", &path))?;
        }
        Ok(folder)
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
        name: FileName,
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
        let partial = self.root.join(PARTIAL).join(name.to_string());
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o640)
                .open(&partial)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        written().map_err(failed("write", &partial))?;
        rename(&partial, &path).map_err(failed("give its name to", &path))?;
        sync(&folder)?;
        Ok(put)
    }

    /// Sets all files aside of which that is said; how many there were is returned.
    pub(super) fn withdraw(
        &self,
        is_withdrawn: impl Fn(ShardId, FileName) -> bool,
    ) -> Result<u64, FolderError> {
        let mut withdrawn = 0;
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let shard = folder.file_name().and_then(|name| name.to_str()?.strip_prefix("shard="));
            let shard = shard.and_then(|number| number.parse().ok()).map(ShardId);
            for entry in fs::read_dir(&folder).map_err(failed("list", &folder))? {
                let entry = entry.map_err(failed("list", &folder))?;
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                match (shard, FileName::parse(name)) {
                    (Some(shard), Some(name)) if is_withdrawn(shard, name) => {
                        self.set_aside(&entry.path())?;
                        withdrawn += 1;
                    }
                    (None, _) if name.contains('=') && entry.path().is_dir() => {
                        folders.push(entry.path());
                    }
                    _ => {}
                }
            }
        }
        Ok(withdrawn)
    }

    /// Moves a file to where no query looks, with its folders; under another name, if one of its name is there.
    fn set_aside(&self, path: &Path) -> Result<(), FolderError> {
        let below = path.strip_prefix(&self.root).expect("every file of ours is below the root");
        let aside = self.root.join(WITHDRAWN).join(below);
        let folder = aside.parent().unwrap_or(&self.root);
        self.make(folder)?;
        for number in 0.. {
            let to = match number {
                0 => aside.clone(),
                _ => aside.with_extension(format!("{number}.parquet")),
            };
            match rename(path, &to) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => {
                    done.map_err(failed("set aside", path))?;
                    break;
                }
            }
        }
        sync(folder)?;
        sync(path.parent().unwrap_or(&self.root))
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
    use super::*;

    const NAME: FileName = FileName { generation: 1, first: 5, end: 9 };
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
        let other = "table=samples/dt=2026-11-28/hour=14/shard=08";
        for (place, first) in [(PLACE, 1), (PLACE, 5), (PLACE, 9), (other, 9)] {
            let name = FileName { generation: 1, first, end: first + 1 };
            folder.put(place, name, b"rows").unwrap();
        }
        fs::write(folder.root().join(PLACE).join("a person's.parquet"), b"").unwrap();
        let beyond = |shard, name: FileName| shard == ShardId(7) && name.first >= 5;
        assert_eq!(folder.withdraw(beyond).unwrap(), 2);
        assert_eq!(folder.withdraw(beyond).unwrap(), 0);
        assert_eq!(fs::read_dir(folder.root().join(PLACE)).unwrap().count(), 2);
        assert_eq!(fs::read_dir(folder.root().join(other)).unwrap().count(), 1);
    }

    #[test]
    fn what_was_left_unfinished_is_deleted() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::open(root.path()).unwrap();
        fs::write(folder.root().join(PARTIAL).join("g1"), b"half").unwrap();
        Folder::open(root.path()).unwrap();
        assert_eq!(fs::read_dir(root.path().join(PARTIAL)).unwrap().count(), 0);
    }
}
