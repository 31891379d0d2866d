//! What the spool's thread is told and asked.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use headwater_protocol::chain::{Acked, Resumed};
use headwater_protocol::position::{Check, SourceId, Stream};
use headwater_protocol::record::{Record, Sample, SourceInfo};
use headwater_protocol::wire::{Ack, LaneState};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::lane::Lines;
use crate::tail::{Known, Start};

/// One message to the spool's thread. Answers are dropped if nobody waits for them any more.
#[derive(Debug)]
pub(super) enum Input {
    /// Lines that were read from a file.
    Lines {
        lines: Lines,
        /// Room in memory, held until they are sealed.
        permit: OwnedSemaphorePermit,
    },
    /// A gap in a file.
    Gap { record: Record, check: Check },
    /// Samples of the host, all of one moment, and for how long no other ones come.
    Tick { time_us: i64, samples: Vec<Sample>, lull: Duration },
    /// Labels and facts of the device, whole.
    Facts(BTreeMap<String, String>),
    /// Begins a run of a file.
    Begin { source: SourceId, info: SourceInfo, start: Start, reply: SyncSender<Stream> },
    /// Files that nobody knew were looked at, and declared.
    Settled,
    /// What waits of files may not be there to be read again.
    Hurry,
    /// Lets runs go whose files are gone; the answer is which went.
    LetGo { ended: Vec<Stream>, reply: SyncSender<Vec<Stream>> },
    /// Asks how far every file was taken.
    Known { reply: SyncSender<Taken> },
    /// What the ledger knows of a lane, and the newest version of a body that its node reads.
    State { state: Box<LaneState>, body: u8, reply: oneshot::Sender<Result<Resumed, NoRoom>> },
    /// What the ledger applied of a lane.
    Ack { ack: Ack, reply: oneshot::Sender<Acked> },
    /// Seals what waits and commits.
    Seal { reply: oneshot::Sender<()> },
    /// Seals what waits, commits and ends.
    Stop,
}

/// How far the files were taken, and in which round: positions of an older round are void.
#[derive(Debug)]
pub(super) struct Taken {
    /// Raised each time that somebody has to ask again.
    pub(super) round: u64,
    /// `None` until the ledger has spoken to a fresh spool: it may know the files.
    pub(super) known: Option<Known>,
}

/// An epoch can't be opened: it writes anew what was not acked, and the disk has no room for that.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("open an epoch: {needed} bytes are needed on the spool's disk, {free} are free")]
pub struct NoRoom {
    /// Bytes that are needed, at most.
    pub needed: u64,
    /// Bytes that are free.
    pub free: u64,
}
