//! What a file of the log says of itself, and whether it belongs here.

use std::path::PathBuf;

use headwater_protocol::identity::{LogId, ShardCount};
use redb::Table;

use super::tables::META;
use crate::limits::LOG_FILES_MAX;

/// The version of the tables that this build writes.
const FORMAT: u32 = 1;

/// What a file says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Meta {
    pub(super) log: LogId,
    pub(super) shards: ShardCount,
    pub(super) file: u16,
}

impl Meta {
    /// Writes it into a fresh file of a log of so many.
    pub(super) fn write(
        self,
        files: u16,
        table: &mut Table<'_, &'static str, &'static [u8]>,
    ) -> Result<(), redb::StorageError> {
        table.insert("format", FORMAT.to_le_bytes().as_slice())?;
        table.insert("log", self.log.0.as_slice())?;
        table.insert("shards", self.shards.number().to_le_bytes().as_slice())?;
        table.insert("file", self.file.to_le_bytes().as_slice())?;
        table.insert("files", files.to_le_bytes().as_slice())?;
        Ok(())
    }

    /// Compares a file with what it should be. Gives how many files the log was made with.
    pub(super) fn check(
        self,
        database: &impl redb::ReadableDatabase,
        path: &std::path::Path,
    ) -> Result<u16, MetaError> {
        let path = || path.to_owned();
        let unreadable = |source| MetaError::Read { path: path(), source };
        let transaction = database.begin_read().map_err(|error| unreadable(error.into()))?;
        let table = transaction.open_table(META).map_err(|error| unreadable(error.into()))?;
        let read = |key: &str| -> Result<Vec<u8>, MetaError> {
            let value = table.get(key).map_err(|error| unreadable(error.into()))?;
            Ok(value.map(|value| value.value().to_vec()).unwrap_or_default())
        };
        let format = read("format")?;
        if format != FORMAT.to_le_bytes() {
            let found = format.first().copied().unwrap_or_default();
            return Err(MetaError::Format { path: path(), found, known: FORMAT });
        }
        let shards = read("shards")?;
        if shards != self.shards.number().to_le_bytes() {
            let found = shards.try_into().map_or(0, u16::from_le_bytes);
            return Err(MetaError::Shards { path: path(), found, expected: self.shards.number() });
        }
        if read("log")? != self.log.0 {
            return Err(MetaError::OtherLog { path: path() });
        }
        let files = read("files")?.try_into().map_or(0, u16::from_le_bytes);
        let is_one = (1..=LOG_FILES_MAX.min(self.shards.number())).contains(&files);
        if !is_one || read("file")? != self.file.to_le_bytes() {
            return Err(MetaError::OtherFile { path: path() });
        }
        Ok(files)
    }
}

/// Why a file does not belong to this log.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// The file can't be read.
    #[error("read the head of {path:?}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What redb says.
        source: redb::Error,
    },
    /// Another build wrote it.
    #[error(
        "open {path:?}: it has format {found}, this build knows {known}; start the build that wrote it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u8,
        /// Ours.
        known: u32,
    },
    /// It was cut into another number of shards.
    #[error(
        "open {path:?}: it was created with {found} shards and the configuration says {expected}; the number is fixed at creation: set log.shards = {found}"
    )]
    Shards {
        /// The file.
        path: PathBuf,
        /// As created.
        found: u16,
        /// As configured.
        expected: u16,
    },
    /// It belongs to another log.
    #[error(
        "open {path:?}: it belongs to another log than control.redb beside it; were files of two backups mixed?"
    )]
    OtherLog {
        /// The file.
        path: PathBuf,
    },
    /// It is another file of the log.
    #[error("open {path:?}: it is another file of the log; was it renamed?")]
    OtherFile {
        /// The file.
        path: PathBuf,
    },
}
