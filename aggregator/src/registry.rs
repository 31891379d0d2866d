//! The registry: which devices there are, by which tokens they joined, and who changed what.
//!
//! One small database, `control.redb`. Every change is one commit together with its audit entry; the
//! entries are chained by hash, so that none can be taken out unseen. The registry decides who is
//! served; what was delivered is the log's business alone.

mod audit;
mod devices;
mod enrolment;
mod identity;
mod notices;
mod restored;
mod sessions;
mod tables;
mod thresholds;
mod tokens;
mod windows;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, DatabaseError, Durability, ReadableTable, WriteTransaction};

use crate::log::end_process;

pub use audit::AuditEntry;
pub use devices::{DeviceRecord, ServeError, Served};
pub use enrolment::{Applicant, Enrolled, Refused};
pub use identity::{NodeRecord, ResetKey};
pub use notices::NoticeCursor;
pub use restored::RestoredRecord;
pub use sessions::SessionRecord;
pub(crate) use tables::{NOTICES_TABLE, copied_tables};
pub use tokens::{TokenError, TokenOffer};

/// Page cache of the registry: the devices that were asked for last, where 10,000 take a few MiB.
const CACHE_BYTES: usize = 2 << 20;

/// The registry. Clones share one database.
#[derive(Clone, Debug)]
pub struct Registry {
    database: Arc<Database>,
}

/// Why the registry can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("open {path:?}: another process has it open; is this node running already?")]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It is damaged, or may not be read.
    #[error("open {path:?}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// Another build wrote it.
    #[error(
        "open {path:?}: it has format {found}, this build knows {known}; start the build that wrote it"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
}

/// Why the registry can't be read or written. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[error("{what} in the registry")]
pub struct RegistryError {
    /// What was attempted.
    pub what: &'static str,
    /// What redb said.
    pub source: Box<redb::Error>,
}

/// Who makes a change, from where, and when.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The user, or the part of this program.
    pub name: String,
    /// The address that the change comes from. Empty if it comes from this host.
    pub source: String,
    /// Microseconds since 1970 UTC.
    pub at_us: i64,
}

/// Makes an empty database, whole or not at all, for its owner only. Does nothing if there is one.
fn create(path: &Path) -> Result<(), DatabaseError> {
    if path.exists() {
        return Ok(());
    }
    let io = |error| DatabaseError::Storage(redb::StorageError::Io(error));
    let partial = path.with_extension("redb.partial");
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .map_err(io)?;
    drop(Database::builder().set_cache_size(CACHE_BYTES).create_file(file)?);
    std::fs::rename(&partial, path).map_err(io)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

impl Registry {
    /// Opens a registry, making it if it is not there.
    ///
    /// # Errors
    /// If it is in use, damaged, or of another build.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let database =
            create(path).and_then(|()| Database::builder().set_cache_size(CACHE_BYTES).open(path));
        let database = database.map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.to_owned() },
            error => OpenError::Database { path: path.to_owned(), source: Box::new(error.into()) },
        })?;
        let registry = Self { database: Arc::new(database) };
        let format = registry
            .prepare()
            .map_err(|error| OpenError::Database { path: path.to_owned(), source: error.source })?;
        if format != tables::FORMAT {
            let (found, known) = (format, tables::FORMAT);
            return Err(OpenError::Format { path: path.to_owned(), found, known });
        }
        Ok(registry)
    }

    /// Its database: whoever reads it sees what was committed when he began.
    pub(crate) fn database(&self) -> Arc<Database> {
        Arc::clone(&self.database)
    }

    /// Makes the tables that are not there, and gives the format of those that are.
    fn prepare(&self) -> Result<u32, RegistryError> {
        self.write("make tables", |transaction| {
            for table in [tables::DEVICES, tables::TOKENS, tables::SERIALS, tables::SESSIONS] {
                transaction.open_table(table)?;
            }
            transaction.open_table(tables::NAMES)?;
            transaction.open_table(tables::AUDIT)?;
            transaction.open_table(tables::RULE_SETS)?;
            transaction.open_table(tables::NOTICES)?;
            let mut meta = transaction.open_table(tables::META)?;
            let format = meta.get("format")?.map(|format| format.value().to_vec());
            if let Some(format) = format {
                return Ok(format.try_into().map_or(0, u32::from_le_bytes));
            }
            meta.insert("format", tables::FORMAT.to_le_bytes().as_slice())?;
            Ok(tables::FORMAT)
        })
    }

    /// One change as one commit. An error of `change` leaves everything as it was.
    fn write<T>(
        &self,
        what: &'static str,
        change: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, RegistryError> {
        let failed = |source| RegistryError { what, source: Box::new(source) };
        let mut transaction = self.database.begin_write().map_err(|error| failed(error.into()))?;
        transaction.set_durability(Durability::Immediate).map_err(|error| failed(error.into()))?;
        transaction.set_quick_repair(true);
        let changed = change(&transaction).map_err(failed)?;
        if let Err(error) = transaction.commit() {
            end_process("commit to the registry", &error);
        }
        Ok(changed)
    }

    fn read<T>(
        &self,
        what: &'static str,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, RegistryError> {
        let failed = |source| RegistryError { what, source: Box::new(source) };
        let transaction = redb::ReadableDatabase::begin_read(&*self.database);
        let transaction = transaction.map_err(|error| failed(error.into()))?;
        read(&transaction).map_err(failed)
    }
}
