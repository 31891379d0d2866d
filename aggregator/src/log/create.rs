//! Making the files of a log: each appears whole or not at all.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use headwater_protocol::identity::{LogId, ShardCount};
use redb::Database;

use super::meta::Meta;
use super::tables::{BOUNDS, CHUNKS, DEAD, ENTRIES, META, SNAPSHOTS};
use crate::limits::{LOG_CACHE_BYTES, LOG_FILES};

/// The path of a file of the log.
pub(super) fn path(folder: &Path, file: u16) -> PathBuf {
    folder.join(format!("log-{file}.redb"))
}

/// How many files a log of so many shards is made with.
fn files_of(shards: ShardCount) -> u16 {
    LOG_FILES.min(shards.number())
}

/// Makes the files that are not there yet. The folder exists.
pub(super) fn create(folder: &Path, log: LogId, shards: ShardCount) -> Result<(), CreateError> {
    create_files(folder, log, shards, files_of(shards))
}

/// Makes a log of a number of files.
pub(super) fn create_files(
    folder: &Path,
    log: LogId,
    shards: ShardCount,
    files: u16,
) -> Result<(), CreateError> {
    for file in 0..files {
        let target = path(folder, file);
        if target.exists() {
            continue;
        }
        let partial = target.with_extension("redb.partial");
        let failed = |source| CreateError::File { path: partial.clone(), source };
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        write(&partial, Meta { log, shards, file }, files)
            .map_err(|source| CreateError::Database { path: partial.clone(), source })?;
        std::fs::rename(&partial, &target).map_err(failed)?;
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| CreateError::File { path: folder.to_owned(), source })
}

fn write(path: &Path, meta: Meta, files: u16) -> Result<(), redb::Error> {
    let database = Database::builder().set_cache_size(LOG_CACHE_BYTES).create(path)?;
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    meta.write(files, &mut transaction.open_table(META)?)?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(BOUNDS)?;
    transaction.open_table(SNAPSHOTS)?;
    transaction.open_table(CHUNKS)?;
    transaction.open_table(DEAD)?;
    transaction.commit()?;
    Ok(())
}

/// Why a log could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A file or its folder.
    #[error("create the log: {path:?}")]
    File {
        /// Which one.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A database.
    #[error("create the log: {path:?}")]
    Database {
        /// Which one.
        path: PathBuf,
        /// What redb said.
        source: redb::Error,
    },
}
