//! Folders and files of a backup, for their owner alone: private keys are among them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why a file or folder can't be written.
#[derive(Debug, thiserror::Error)]
#[error("write {path:?}")]
pub(crate) struct FolderError {
    /// Which one.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

impl FolderError {
    /// Names the place of what went wrong.
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

/// Makes a folder, and those above it, if they are not there.
pub(super) fn make(folder: &Path) -> Result<(), FolderError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(FolderError::at(folder))
}

/// Makes a file that is not there yet.
pub(super) fn new_file(path: &Path) -> Result<File, FolderError> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path);
    file.map_err(FolderError::at(path))
}

/// Writes a file that is not there yet, and returns once it is safe.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let mut file = new_file(path)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(FolderError::at(path))
}

/// Makes the names in a folder durable.
pub(super) fn sync(folder: &Path) -> Result<(), FolderError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(FolderError::at(folder))
}
