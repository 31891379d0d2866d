//! Opening the spool: whose it is, whether it is whole, and what becomes of one that is not.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use headwater_protocol::chain::{Chain, Fresh, Sealing};
use headwater_protocol::identity::{DeviceId, Lane};
use redb::StorageBackend;
use redb::backends::FileBackend;
use tracing::{error, warn};

use super::carve;
use super::damage;
use super::database::{Database, DatabaseError, Meta, StoredLane};
use super::format::FORMAT_VERSION;
use super::keeper::{random, random_epoch};
use super::lane::{LaneSettings, LaneSpool};
use super::room::Share;
use super::salvage::{self, Salvaged};
use crate::config::SpoolConfig;

/// Why the spool can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder can't be made.
    #[error("make the folder {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file can't be opened, read or written.
    #[error("open {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error("open {}: another process has it open; stop that agent first, or give this one a spool.dir of its own", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// It is from a newer build.
    #[error(
        "open {}: its format has version {found}, this build knows versions up to {newest}; install the newer agent again, or move the file away to start without what it holds",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version that is known.
        newest: u32,
    },
    /// The database failed although the file is whole.
    #[error("open {}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: DatabaseError,
    },
    /// It belongs to another device, and is not a file that could be set aside.
    #[error("open {}: it belongs to the device {found}", path.display())]
    OtherDevice {
        /// What stands for the file.
        path: PathBuf,
        /// The device.
        found: DeviceId,
    },
    /// What could be read of a damaged file can't be written.
    #[error("write what can be read of a damaged spool to {}", path.display())]
    Salvage {
        /// The new file.
        path: PathBuf,
        /// What failed.
        source: DatabaseError,
    },
    /// A file that can't be used can't be moved away either.
    #[error("set {} aside as {}", path.display(), aside.display())]
    Aside {
        /// The file.
        path: PathBuf,
        /// What it was to be called.
        aside: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A database that is whole and belongs to the device.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) live: LaneSpool,
    pub(super) bulk: LaneSpool,
    pub(super) horizon: u64,
}

/// What a file turned out to be.
enum Found {
    /// The device's own, or one that was just made.
    Usable(Box<Opened>),
    /// Damaged: it is kept, and not used.
    Damaged(DatabaseError),
    /// Of another device: the host was enrolled again.
    OtherDevice(DeviceId),
}

/// Opens the database of a device in a folder. A file that can't be used is set aside, never deleted.
/// Of a damaged one everything that can be read is taken over.
pub(super) fn open(
    config: &SpoolConfig,
    device: DeviceId,
    sealing: Sealing,
) -> Result<Opened, OpenError> {
    let folder = &config.dir;
    let make = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    make.map_err(|source| OpenError::Folder { path: folder.clone(), source })?;
    let path = folder.join(FILE);
    salvage::settle(&path)?;
    for _ in 0..2 {
        make_unless_there(&path, folder)?;
        match find_noted(&path, config, device)? {
            Found::Usable(opened) => return Ok(*opened),
            Found::Damaged(cause) => {
                let salvaged = salvage::salvage(&path, config, device, sealing)?;
                let Salvaged { aside, batches, records, unproven } = salvaged;
                error!(
                    file = %aside.display(), cause = &cause as &dyn std::error::Error,
                    batches, records, unproven,
                    "the spool is damaged: it was set aside, what could be read of it was taken over; what is \
                     missing is read again from its files, or declared"
                );
            }
            Found::OtherDevice(other) => {
                let aside = set_aside(&path, "other-device")?;
                warn!(
                    file = %aside.display(), %other, %device,
                    "the spool belongs to another device, this host was enrolled again: it was set aside"
                );
            }
        }
    }
    let source = io::Error::new(io::ErrorKind::InvalidData, "a fresh file can't be used either");
    Err(OpenError::File { path, source })
}

/// Makes an empty database unless there is a file: it gets its name once it is whole, so that a crash
/// in between leaves none that looks damaged, and the name is durable before anything is told.
fn make_unless_there(path: &Path, folder: &Path) -> Result<(), OpenError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| OpenError::File { path, source }
    };
    let within = File::open(folder).map_err(failed(folder))?;
    if let Err(TryLockError::WouldBlock) = within.try_lock() {
        return Err(OpenError::Locked { path: path.to_owned() });
    }
    if path.exists() {
        return Ok(());
    }
    let partial = folder.join(PARTIAL);
    let file = open_file(&partial)?;
    file.set_len(0).map_err(failed(&partial))?;
    let made = FileBackend::new(file).map_err(DatabaseError::Open).and_then(Database::open);
    drop(made.map_err(|error| refusal(&partial, error))?);
    fs::rename(&partial, path).map_err(failed(path))?;
    within.sync_all().map_err(failed(folder))
}

/// Opens the database of a device on a storage that is no file of its folder: one that can't be used is
/// an error.
pub(super) fn open_on(
    storage: impl StorageBackend,
    config: &SpoolConfig,
    device: DeviceId,
) -> Result<Opened, OpenError> {
    let path = config.dir.join(FILE);
    match find_watched(Ok(storage), &path, config, device)? {
        Found::Usable(opened) => Ok(*opened),
        Found::Damaged(source) => Err(OpenError::Database { path, source }),
        Found::OtherDevice(found) => Err(OpenError::OtherDevice { path, found }),
    }
}

/// Looks for a note that the last process left, then at the file itself.
fn find_noted(path: &Path, config: &SpoolConfig, device: DeviceId) -> Result<Found, OpenError> {
    if let Err(TryLockError::WouldBlock) = open_file(path)?.try_lock() {
        return Err(OpenError::Locked { path: path.to_owned() });
    }
    if let Some(note) = damage::noted(&config.dir) {
        return Ok(Found::Damaged(DatabaseError::Noted(note.into_boxed_str())));
    }
    find_watched(FileBackend::new(open_file(path)?), path, config, device)
}

fn find_watched(
    storage: Result<impl StorageBackend, redb::DatabaseError>,
    path: &Path,
    config: &SpoolConfig,
    device: DeviceId,
) -> Result<Found, OpenError> {
    let found = damage::watch(&config.dir, || find(storage, path, config, device));
    found.unwrap_or_else(|| {
        let note = damage::noted(&config.dir).unwrap_or_default();
        Ok(Found::Damaged(DatabaseError::Noted(note.into_boxed_str())))
    })
}

fn find(
    storage: Result<impl StorageBackend, redb::DatabaseError>,
    path: &Path,
    config: &SpoolConfig,
    device: DeviceId,
) -> Result<Found, OpenError> {
    let database = match storage.map_err(DatabaseError::Open).and_then(Database::open) {
        Ok(database) => database,
        Err(error) => return blame(path, error),
    };
    let found = match database.meta() {
        // A database that says nothing of itself is a new one only if no batch was ever written to it.
        Ok(None) if holds_batches(path, device) => {
            return Ok(Found::Damaged(DatabaseError::Unmarked));
        }
        Ok(None) => {
            let fresh = fresh(database, config, device);
            return fresh
                .map(|opened| Found::Usable(Box::new(opened)))
                .or_else(|error| blame(path, error));
        }
        Ok(Some(meta)) => meta,
        Err(error) => return blame(path, error),
    };
    if found.format != FORMAT_VERSION {
        let (found, newest) = (found.format, FORMAT_VERSION);
        return Err(OpenError::Newer { path: path.to_owned(), found, newest });
    }
    if found.device != device {
        return Ok(Found::OtherDevice(found.device));
    }
    match stored(database, config) {
        Ok(opened) => Ok(Found::Usable(Box::new(opened))),
        Err(error) => blame(path, error),
    }
}

fn holds_batches(path: &Path, device: DeviceId) -> bool {
    let found = File::open(path).and_then(|file| carve::search(&file, device));
    found.is_ok_and(|found| !found.places.is_empty() || found.unproven > 0)
}

pub(super) fn open_file(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|source| OpenError::File { path: path.to_owned(), source })
}

fn fresh(
    database: Database,
    config: &SpoolConfig,
    device: DeviceId,
) -> Result<Opened, DatabaseError> {
    let lane = |lane| {
        let fresh = Fresh { epoch: random_epoch(), seed: random() };
        LaneSpool::fresh(Chain::new(device, lane, fresh), settings(config, lane))
    };
    let (mut live, mut bulk) = (lane(Lane::Live), lane(Lane::Bulk));
    let write = database.begin()?;
    write.found(Meta { format: FORMAT_VERSION, device })?;
    live.store(&write)?;
    bulk.store(&write)?;
    write.commit()?;
    Ok(Opened { database, live, bulk, horizon: 0 })
}

fn stored(database: Database, config: &SpoolConfig) -> Result<Opened, DatabaseError> {
    let lane = |stored: StoredLane, lane| LaneSpool::stored(stored, settings(config, lane));
    let live = lane(database.lane(Lane::Live)?, Lane::Live);
    let bulk = lane(database.lane(Lane::Bulk)?, Lane::Bulk);
    let horizon = database.horizon()?;
    Ok(Opened { database, live, bulk, horizon })
}

pub(super) fn settings(config: &SpoolConfig, lane: Lane) -> LaneSettings {
    LaneSettings {
        share: Share::of(config, lane),
        seal_after: match lane {
            Lane::Live => config.live_seal_after,
            Lane::Bulk => config.bulk_seal_after,
        },
        seal_bytes: config.seal_bytes.0,
    }
}

/// Whether the file is to blame for an error, or what is around it.
fn blame(path: &Path, error: DatabaseError) -> Result<Found, OpenError> {
    if error.is_damage() {
        return Ok(Found::Damaged(error));
    }
    Err(refusal(path, error))
}

/// Why a file can't be opened that is not damaged.
fn refusal(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::Open(redb::DatabaseError::DatabaseAlreadyOpen) => OpenError::Locked { path },
        DatabaseError::Open(redb::DatabaseError::Storage(redb::StorageError::Io(source)))
        | DatabaseError::Page(redb::StorageError::Io(source)) => OpenError::File { path, source },
        source => OpenError::Database { path, source },
    }
}

pub(super) fn set_aside(path: &Path, why: &str) -> Result<PathBuf, OpenError> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let aside = path.with_file_name(format!("{FILE}.{why}-{}", since.as_millis()));
    let moved = fs::rename(path, &aside);
    moved.map_err(|source| OpenError::Aside {
        path: path.to_owned(),
        aside: aside.clone(),
        source,
    })?;
    Ok(aside)
}

/// The database's name in its folder.
pub(super) const FILE: &str = "spool.redb";
/// Its name until it is whole.
const PARTIAL: &str = "spool.redb.partial";
