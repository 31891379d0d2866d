//! The ends that the other stages hold of the spool.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use headwater_protocol::chain::{Acked, Resumed, Row};
use headwater_protocol::identity::Lane;
use headwater_protocol::position::{SourceId, Stream};
use headwater_protocol::record::{Content, Record, Sample, SourceInfo};
use headwater_protocol::wire::{Ack, LaneState};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::damage;
use super::database::{Database, DatabaseError};
use super::host::Copied;
use super::input::{Input, NoRoom};
use super::lane::{LaneView, Lines};
use super::recall::recall;
use super::wait::wait;
use crate::limits::{CHUNK_BYTES_LEAST, CHUNK_BYTES_WAITING_MAX};
use crate::tail::{Chunk, Held, Known, Landed, Landing, LandingClosed, Start};

/// The spool as it is seen from outside.
#[derive(Clone, Debug)]
pub struct SpoolView {
    /// The live lane.
    pub live: LaneView,
    /// The bulk lane.
    pub bulk: LaneView,
    /// Since when the host is another one than the spool was filled on; `None` if it is the same.
    pub copied: Option<Copied>,
}

impl SpoolView {
    /// One lane.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> &LaneView {
        match lane {
            Lane::Live => &self.live,
            Lane::Bulk => &self.bulk,
        }
    }
}

/// The spool has ended, or is about to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the spool has ended")]
pub struct SpoolClosed;

/// Where samples and facts go. For threads: it blocks while the spool is busy.
#[derive(Clone, Debug)]
pub struct SpoolWriter {
    pub(super) inputs: mpsc::Sender<Input>,
}

impl SpoolWriter {
    /// Hands over samples of one moment, in microseconds since 1970 UTC.
    ///
    /// # Errors
    /// When the spool takes nothing more.
    ///
    /// # Panics
    /// Inside an asynchronous task.
    pub fn tick(&self, time_us: i64, samples: Vec<Sample>) -> Result<(), SpoolClosed> {
        self.tick_before(Duration::ZERO, time_us, samples)
    }

    /// As [`tick`](Self::tick), where no other samples come for the time of a lull: no batch waits for any then.
    ///
    /// # Errors
    /// When the spool takes nothing more.
    ///
    /// # Panics
    /// Inside an asynchronous task.
    pub fn tick_before(
        &self,
        lull: Duration,
        time_us: i64,
        samples: Vec<Sample>,
    ) -> Result<(), SpoolClosed> {
        self.send(Input::Tick { time_us, samples, lull })
    }

    /// Says what holds of the device from here on, whole. Told to the ledger at the start, in each
    /// epoch, and when it changes.
    ///
    /// # Errors
    /// When the spool takes nothing more.
    ///
    /// # Panics
    /// Inside an asynchronous task.
    pub fn facts(&self, facts: BTreeMap<String, String>) -> Result<(), SpoolClosed> {
        self.send(Input::Facts(facts))
    }

    fn send(&self, input: Input) -> Result<(), SpoolClosed> {
        self.inputs.blocking_send(input).map_err(|_| SpoolClosed)
    }
}

/// Where lines of files go. For the tail's thread: it blocks while there is no room.
#[derive(Debug)]
pub struct SpoolLanding {
    pub(super) folder: PathBuf,
    pub(super) database: Arc<Database>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) memory: Arc<Semaphore>,
    /// Raised by the spool's thread alone each time that positions moved.
    pub(super) round: Arc<AtomicU64>,
    pub(super) seen: u64,
}

impl SpoolLanding {
    fn send(&self, input: Input) -> Result<(), LandingClosed> {
        self.inputs.blocking_send(input).map_err(|_| LandingClosed)
    }

    /// Waits until there is memory for so many bytes.
    fn permit(&self, bytes: usize) -> Result<OwnedSemaphorePermit, LandingClosed> {
        let bytes = bytes.clamp(CHUNK_BYTES_LEAST, CHUNK_BYTES_WAITING_MAX);
        let bytes = u32::try_from(bytes).expect("the limit is far below 4 GiB");
        let permit = Arc::clone(&self.memory).acquire_many_owned(bytes);
        wait(permit).map_err(|_| LandingClosed)
    }
}

impl Landing for SpoolLanding {
    fn known(&mut self) -> Option<Known> {
        let (reply, answer) = sync_channel(1);
        self.send(Input::Known { reply }).ok()?;
        let taken = answer.recv().ok()?;
        self.seen = taken.round;
        taken.known
    }

    fn begin(
        &mut self,
        source: SourceId,
        info: SourceInfo,
        start: Start,
    ) -> Result<Stream, LandingClosed> {
        let (reply, answer) = sync_channel(1);
        self.send(Input::Begin { source, info, start, reply })?;
        answer.recv().map_err(|_| LandingClosed)
    }

    fn append(&mut self, chunk: Chunk) -> Result<Landed, LandingClosed> {
        let input = match chunk {
            Chunk::Lines { stream, start, bytes, lines, check, time_us } => {
                let permit = self.permit(bytes.len() + size_of_val(lines.as_slice()))?;
                Input::Lines {
                    lines: Lines { stream, start, bytes, lines, check, time_us },
                    permit,
                }
            }
            Chunk::Gap { stream, start, end, gap, check, time_us } => {
                let content = Content::Gap(gap);
                Input::Gap { record: Record { stream, start, end, time_us, content }, check }
            }
        };
        // Asked after the wait for memory: an epoch may have been opened meanwhile. What is sent in an
        // older round all the same is taken only if it starts where its stream ends.
        if self.round.load(Ordering::Acquire) != self.seen {
            return Ok(Landed::Resync);
        }
        self.send(input)?;
        Ok(Landed::Taken)
    }

    fn hurry(&mut self) -> Result<(), LandingClosed> {
        self.send(Input::Hurry)
    }

    fn let_go(&mut self, ended: Vec<Stream>) -> Result<Vec<Stream>, LandingClosed> {
        let (reply, answer) = sync_channel(1);
        self.send(Input::LetGo { ended, reply })?;
        answer.recv().map_err(|_| LandingClosed)
    }

    fn settled(&mut self) -> Result<(), LandingClosed> {
        self.send(Input::Settled)
    }

    fn recall(
        &mut self,
        source: SourceId,
        take: &mut dyn FnMut(&Held) -> ControlFlow<()>,
    ) -> Result<(), LandingClosed> {
        let (reply, answer) = oneshot::channel();
        self.send(Input::Seal { reply })?;
        answer.blocking_recv().map_err(|_| LandingClosed)?;
        let recalled = || recall(&self.database, source, take);
        // What a damaged spool does not show, it does not hold; its next start sets it aside.
        if let Some(Err(error)) = damage::watch(&self.folder, recalled)
            && error.is_damage()
        {
            damage::note(&self.folder, &error.to_string());
        }
        Ok(())
    }
}

/// What the ship stage and the status read of the spool, and where they bring the ledger's word.
#[derive(Clone, Debug)]
pub struct SpoolReader {
    pub(super) folder: PathBuf,
    pub(super) database: Arc<Database>,
    pub(super) inputs: mpsc::Sender<Input>,
    pub(super) view: watch::Receiver<SpoolView>,
}

impl SpoolReader {
    /// The spool as it is, and a signal each time that it changes. What it shows is durable.
    #[must_use]
    pub fn view(&self) -> watch::Receiver<SpoolView> {
        self.view.clone()
    }

    /// The bytes of a batch; `None` if the row was deleted meanwhile.
    ///
    /// # Errors
    /// If they can't be read: the spool is damaged, or its disk.
    ///
    /// # Panics
    /// If the reading panicked.
    pub async fn read(&self, lane: Lane, row: Row) -> Result<Option<Vec<u8>>, DatabaseError> {
        if let Some(bytes) = self.view.borrow().lane(lane).newest_at(row) {
            return Ok(Some(bytes.to_vec()));
        }
        self.ask(move |database| database.read(lane, row)).await
    }

    /// How many bytes the batch of a row has; `None` if the row was deleted meanwhile.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    ///
    /// # Panics
    /// If the reading panicked.
    pub async fn row_bytes(&self, lane: Lane, row: Row) -> Result<Option<u64>, DatabaseError> {
        if let Some(bytes) = self.view.borrow().lane(lane).newest_at(row) {
            return Ok(Some(bytes.len() as u64));
        }
        self.ask(move |database| database.bytes(lane, row)).await
    }

    /// Asks the database on a thread that may wait for the disk. Damage is noted for the next start.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Database) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let (database, folder) = (Arc::clone(&self.database), self.folder.clone());
        let read = tokio::task::spawn_blocking(move || {
            let read = damage::watch(&folder, || question(&database));
            let read = read.unwrap_or(Err(DatabaseError::Noted("by redb".into())));
            if let Err(error) = &read
                && error.is_damage()
            {
                damage::note(&folder, &error.to_string());
            }
            read
        });
        read.await.expect("reading a row does not panic, or ends the process")
    }

    /// Goes on from what the ledger knows of a lane. What waits is sealed before; the answer is durable. `body` is
    /// the newest version of a body that the node reads: batches are sealed so from here on.
    ///
    /// # Errors
    /// When the spool has ended.
    pub async fn handle_state(
        &self,
        state: LaneState,
        body: u8,
    ) -> Result<Result<Resumed, NoRoom>, SpoolClosed> {
        let (reply, answer) = oneshot::channel();
        self.send(Input::State { state: Box::new(state), body, reply }).await?;
        answer.await.map_err(|_| SpoolClosed)
    }

    /// Hands over an ack. It holds at once and is durable a little later.
    ///
    /// # Errors
    /// When the spool has ended.
    pub async fn handle_ack(&self, ack: Ack) -> Result<Acked, SpoolClosed> {
        let (reply, answer) = oneshot::channel();
        self.send(Input::Ack { ack, reply }).await?;
        answer.await.map_err(|_| SpoolClosed)
    }

    /// Has what waits sealed and committed.
    ///
    /// # Errors
    /// When the spool has ended.
    pub async fn seal(&self) -> Result<(), SpoolClosed> {
        let (reply, answer) = oneshot::channel();
        self.send(Input::Seal { reply }).await?;
        answer.await.map_err(|_| SpoolClosed)
    }

    async fn send(&self, input: Input) -> Result<(), SpoolClosed> {
        self.inputs.send(input).await.map_err(|_| SpoolClosed)
    }
}
