//! Spool: what was read stays here until the ledger has it.
//!
//! One database file (redb) holds both lanes: batches as they are sealed and sent, the chain's head, and
//! of every stream the highest position. A batch and the positions it ends at are committed together,
//! so a crash reads again from there, and nothing twice. Batches that are ready together share a commit.
//!
//! One thread owns the chains and writes the database ([`SpoolThread`]). Lines reach it through
//! [`SpoolLanding`], samples and facts through [`SpoolWriter`]; the ship stage reads rows and brings the
//! ledger's word through [`SpoolReader`]. All of them are bounded: a full spool stops the reading of
//! files, which are their own buffer, and drops the oldest samples, which it declares.
//!
//! **Never here.** A row is deleted that was not acked, other than samples of a full lane. A file that
//! can't be used is deleted: it is set aside. The process goes on after a failed commit: what reached
//! the disk is unknown then, and a restart finds out.

pub mod audit;
mod carve;
mod damage;
mod database;
mod format;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handles;
mod host;
mod input;
mod keeper;
mod lane;
mod open;
mod recall;
mod room;
mod salvage;
mod text;
mod wait;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::JoinHandle;

use headwater_protocol::body::VERSION_OLDEST;
use headwater_protocol::chain::Sealing;
use headwater_protocol::identity::DeviceId;
use redb::StorageBackend;
use tokio::sync::{Semaphore, mpsc, watch};

pub use database::DatabaseError;
pub use handles::{SpoolClosed, SpoolLanding, SpoolReader, SpoolView, SpoolWriter};
pub use host::{Copied, HostFacts};
pub use input::NoRoom;
pub use lane::LaneView;
pub use open::OpenError;
pub use room::{Disk, Stall};

use crate::clock::Clocks;
use crate::config::SpoolConfig;
use crate::limits::{CHUNK_BYTES_WAITING_MAX, SPOOL_INPUTS_MAX};
use input::Input;
use keeper::{Keeper, State};
use open::Opened;
use room::Reserve;

/// A spool that was opened, and its ends.
#[derive(Debug)]
pub struct Spool {
    /// For the sampler.
    pub writer: SpoolWriter,
    /// For the tail.
    pub landing: SpoolLanding,
    /// For the ship stage and the status.
    pub reader: SpoolReader,
    /// To be started.
    pub thread: SpoolThread,
}

/// The spool's thread before its start.
#[derive(Debug)]
pub struct SpoolThread {
    keeper: Keeper,
    inputs: mpsc::Receiver<Input>,
    sender: mpsc::Sender<Input>,
    memory: Arc<Semaphore>,
}

/// The spool's thread while it runs.
#[derive(Debug)]
pub struct SpoolRunning {
    sender: mpsc::Sender<Input>,
    thread: JoinHandle<Result<(), SpoolError>>,
}

/// Why the spool could not go on. The process ends; its restart opens what the last commit left.
#[derive(Debug, thiserror::Error)]
#[error("spool {}", path.display())]
pub struct SpoolError {
    /// The folder of the spool.
    pub path: PathBuf,
    /// What failed.
    pub source: DatabaseError,
}

/// Opens the spool of a device. `level` is zstd's.
///
/// # Errors
/// If it belongs to another process, is of a newer format, or its disk does not work. What is merely
/// damaged or of another device is set aside.
pub fn open(
    config: &SpoolConfig,
    device: DeviceId,
    clocks: Clocks,
    level: i32,
) -> Result<Spool, OpenError> {
    let sealing = Sealing { clock: clocks.now(), level, body: VERSION_OLDEST };
    let mut opened = open::open(config, device, sealing)?;
    opened.database.closes_in(&config.dir);
    Ok(prepare(opened, config, clocks, level))
}

/// Opens the spool of a device on a storage, instead of on the file of its folder. The folder is still
/// the one whose disk is asked for room.
///
/// # Errors
/// As `open`, and if it is damaged or of another device: nothing is set aside.
pub fn open_on(
    storage: impl StorageBackend,
    config: &SpoolConfig,
    device: DeviceId,
    clocks: Clocks,
    level: i32,
) -> Result<Spool, OpenError> {
    Ok(prepare(open::open_on(storage, config, device)?, config, clocks, level))
}

/// The ends of a spool, and its thread before the start.
fn prepare(opened: Opened, config: &SpoolConfig, clocks: Clocks, level: i32) -> Spool {
    let (sender, inputs) = mpsc::channel(SPOOL_INPUTS_MAX);
    let round = Arc::new(AtomicU64::new(0));
    let memory = Arc::new(Semaphore::new(CHUNK_BYTES_WAITING_MAX));
    let database = Arc::new(opened.database);
    let shown = SpoolView { live: opened.live.view(), bulk: opened.bulk.view(), copied: None };
    let (view, seen) = watch::channel(shown);
    let keeper = Keeper {
        database: Arc::clone(&database),
        folder: config.dir.clone(),
        live: opened.live,
        bulk: opened.bulk,
        clocks,
        level,
        min_free: config.min_free,
        reserve: Reserve::new(&config.dir, config.reserve.0),
        round: Arc::clone(&round),
        view,
        state: State::new(opened.horizon),
    };
    Spool {
        writer: SpoolWriter { inputs: sender.clone() },
        landing: SpoolLanding {
            folder: config.dir.clone(),
            database: Arc::clone(&database),
            inputs: sender.clone(),
            memory: Arc::clone(&memory),
            round,
            seen: 0,
        },
        reader: SpoolReader {
            folder: config.dir.clone(),
            database,
            inputs: sender.clone(),
            view: seen,
        },
        thread: SpoolThread { keeper, inputs, sender, memory },
    }
}

impl Spool {
    /// Compares the host with the one that the spool was filled on. If it is another one, each lane opens an
    /// epoch at its next handshake, and the view says so from then on; nothing waits for that.
    pub fn meet(&mut self, facts: &HostFacts) -> Option<Copied> {
        self.thread.keeper.meet(facts)
    }
}

impl SpoolThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the kernel gives none.
    pub fn start(self) -> Result<SpoolRunning, io::Error> {
        let Self { keeper, inputs, sender, memory } = self;
        let path = keeper.folder.clone();
        let run = move || {
            let watched = damage::watch(&path, || keeper.run(inputs));
            let ended = watched.unwrap_or(Err(DatabaseError::Noted("by redb".into())));
            // Whoever waits for memory learns that nothing is taken any more.
            memory.close();
            ended.map_err(|source| {
                if source.is_damage() {
                    damage::note(&path, &source.to_string());
                }
                SpoolError { path, source }
            })
        };
        let thread = std::thread::Builder::new().name("spool".to_owned()).spawn(run)?;
        Ok(SpoolRunning { sender, thread })
    }
}

impl SpoolRunning {
    /// Waits until the thread has ended, for whatever reason.
    ///
    /// # Errors
    /// Why it could not go on.
    ///
    /// # Panics
    /// If the thread did.
    pub fn join(self) -> Result<(), SpoolError> {
        drop(self.sender);
        match self.thread.join() {
            Ok(ended) => ended,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Has what waits sealed and committed, and ends the thread.
    ///
    /// # Errors
    /// As `join`.
    ///
    /// # Panics
    /// As `join`, and inside an asynchronous task.
    pub fn stop(self) -> Result<(), SpoolError> {
        // It has ended already, if it does not take this.
        let _ = self.sender.blocking_send(Input::Stop);
        self.join()
    }
}
