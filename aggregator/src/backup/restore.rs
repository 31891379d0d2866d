//! Putting a backup in the place of a data folder.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::folder::{self, FolderError};
use super::manifest::{FileEntry, Manifest};
use super::{CONFIGURATION, REGISTRY};
use crate::clock::wall_us;
use crate::registry::{self, Actor, Registry, RegistryError, RestoredRecord};

/// Where files lie until all of them are safe.
const PARTIAL: &str = ".restore";
/// What may lie in the data folder: files of a history that were kept, and what a file system makes by itself.
const KEPT: [&str; 3] = ["history", "lost+found", PARTIAL];
const COPY_BYTES: usize = 1 << 20;

/// Why nothing was restored. A data folder that had data has it still.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The data folder holds something.
    #[error("{folder:?} holds data already: {found:?}")]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
        /// What was found.
        found: String,
    },
    /// A file or folder can't be read or written.
    #[error("restore {path:?}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file changed between two looks at it.
    #[error("restore {path:?}: it has changed since it was checked")]
    Changed {
        /// The file, in the backup.
        path: PathBuf,
    },
    /// The restored registry can't be opened.
    #[error("restore")]
    Open(#[source] registry::OpenError),
    /// The restored registry can't be written.
    #[error("restore")]
    Registry(#[source] RegistryError),
}

/// Puts the files of a backup that was checked into a data folder that holds no data. Either all of them are there, or none
/// that a start would take for a node.
///
/// # Errors
/// If the data folder holds data, or a file can't be copied as the manifest has it.
pub(crate) fn restore(
    backup: &Path,
    manifest: &Manifest,
    data_dir: &Path,
    mut tell: impl FnMut(u64),
) -> Result<(), RestoreError> {
    folder::make(data_dir).map_err(failed_folder)?;
    refuse_data(data_dir)?;
    let partial = data_dir.join(PARTIAL);
    match fs::remove_dir_all(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed(&partial)(error));
        }
        Ok(()) | Err(_) => {}
    }
    folder::make(&partial).map_err(failed_folder)?;
    let files = || manifest.files.iter().filter(|file| file.name != CONFIGURATION);
    for file in files() {
        copy(backup, file, &partial, &mut tell)?;
    }
    note(&partial.join(REGISTRY), manifest)?;
    for folder in files().filter_map(|file| Path::new(&file.name).parent()) {
        folder::sync(&partial.join(folder)).map_err(failed_folder)?;
    }
    // By the registry a folder is known as a node: it comes last.
    let mut names: Vec<&str> = files().filter_map(|file| file.name.split('/').next()).collect();
    names.sort_by_key(|name| (*name == REGISTRY, *name));
    names.dedup();
    for name in names {
        let (from, to) = (partial.join(name), data_dir.join(name));
        if name == REGISTRY {
            folder::sync(data_dir).map_err(failed_folder)?;
        }
        fs::rename(from, &to).map_err(failed(&to))?;
    }
    fs::remove_dir(&partial).map_err(failed(&partial))?;
    folder::sync(data_dir).map_err(failed_folder)
}

/// Refuses a folder that holds anything but what may stay.
fn refuse_data(data_dir: &Path) -> Result<(), RestoreError> {
    for entry in fs::read_dir(data_dir).map_err(failed(data_dir))? {
        let found = entry.map_err(failed(data_dir))?.file_name().to_string_lossy().into_owned();
        if !KEPT.contains(&found.as_str()) {
            return Err(RestoreError::NotEmpty { folder: data_dir.to_owned(), found });
        }
    }
    Ok(())
}

/// Copies a file, and compares what was copied with what the manifest says.
fn copy(
    backup: &Path,
    file: &FileEntry,
    to: &Path,
    tell: &mut impl FnMut(u64),
) -> Result<(), RestoreError> {
    let (from, to) = (backup.join(&file.name), to.join(&file.name));
    folder::make(to.parent().unwrap_or(&to)).map_err(failed_folder)?;
    let mut source = File::open(&from).map_err(failed(&from))?;
    let mut target = folder::new_file(&to).map_err(failed_folder)?;
    let (mut hasher, mut buffer) = (blake3::Hasher::new(), vec![0; COPY_BYTES]);
    loop {
        let read = source.read(&mut buffer).map_err(failed(&from))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        target.write_all(&buffer[..read]).map_err(failed(&to))?;
        tell(read as u64);
    }
    target.sync_all().map_err(failed(&to))?;
    if hasher.finalize().to_hex().as_str() != file.blake3 {
        return Err(RestoreError::Changed { path: from });
    }
    Ok(())
}

/// Notes in the registry that the log lost what came after the backup: by receipts of that, agents and sinks of the node before
/// are known.
fn note(registry: &Path, manifest: &Manifest) -> Result<(), RestoreError> {
    let mut generations = vec![1; usize::from(manifest.shards)];
    for shard in &manifest.offsets {
        if let Some(generation) = generations.get_mut(usize::from(shard.shard)) {
            *generation = shard.generation + 1;
        }
    }
    let at_us = wall_us();
    let record = RestoredRecord { at_us, backup_us: manifest.made.0, generations };
    let registry = Registry::open(registry).map_err(RestoreError::Open)?;
    let actor = Actor { name: "restore".to_owned(), source: String::new(), at_us };
    registry.set_restored(&record, &actor).map_err(RestoreError::Registry)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |source| RestoreError::File { path, source }
}

fn failed_folder(error: FolderError) -> RestoreError {
    let FolderError { path, source } = error;
    RestoreError::File { path, source }
}
