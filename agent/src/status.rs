//! Status: how the agent stands, for people and programs, over a local socket.
//!
//! A connection gets one JSON document and is closed. Nothing is read from it.

mod balance;
mod own;
mod page;
mod server;

use std::time::Duration;

use headwater_protocol::identity::Lane;
use serde::{Deserialize, Serialize};

pub use self::balance::{Balance, DIFFERENCE, differences};
pub use self::page::page;
pub use self::server::{StatusError, StatusSource, ask, serve};
use crate::ship::{Link, Standing};
use crate::spool::{Copied, LaneView, SpoolView, Stall};

/// How the agent stands.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Status {
    /// The agent's version.
    pub version: String,
    /// What the device calls itself.
    pub name: String,
    /// The device's id.
    pub device: String,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// When this was written: microseconds since 1970 UTC.
    pub time_us: i64,
    /// The connection.
    pub ship: Standing,
    /// Since when this is another host than the spool was filled on; `None` if it is the same.
    #[serde(default)]
    pub copied: Option<Copied>,
    /// The spool.
    pub spool: SpoolStatus,
    /// The live lane.
    pub live: LaneStatus,
    /// The bulk lane.
    pub bulk: LaneStatus,
    /// The files that are read.
    pub sources: Vec<SourceStatus>,
    /// What the agent itself takes.
    pub own: OwnStatus,
}

/// The spool as a whole.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SpoolStatus {
    /// Bytes of its file that are in use.
    pub bytes: u64,
    /// Bytes that may be.
    pub max_bytes: u64,
    /// Bytes sealed per second since the start.
    pub sealed_bytes_per_s: u64,
    /// For how long it has room at this rate, if nothing is acked, in seconds; `None` at a rate of 0.
    pub room_s: Option<u64>,
    /// Acked batches that are kept, in bytes.
    pub kept_bytes: u64,
    /// Bytes of such batches that may be kept.
    pub grace_bytes: u64,
}

/// One lane.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct LaneStatus {
    /// The epoch, in full.
    pub epoch: String,
    /// Epochs that were opened because the ledger's state was not in the chain.
    pub epochs_opened: u64,
    /// Seq of the last batch.
    pub seq: u64,
    /// Seq of the last batch that is acked.
    pub acked: u64,
    /// Batches that are not acked.
    pub unsent_batches: u64,
    /// Records in them.
    pub unsent_records: u64,
    /// Records that wait to be sealed.
    pub pending_records: u64,
    /// Gaps declared in this lane.
    pub gaps: u64,
    /// Records that they stand for.
    pub gap_records: u64,
    /// Bytes that were gone before they could be read.
    pub gap_bytes: u64,
    /// Records dropped because the spool was full, and declared at the next handshake.
    pub dropped_records: u64,
    /// The sum; `None` before the ledger's first word since the start.
    pub balance: Option<Balance>,
    /// Age of the oldest batch that is not acked, in milliseconds; `None` if there is none, or it is
    /// older than the process.
    pub oldest_unsent_ms: Option<u64>,
    /// From seal to ack, in 99 of the last 100 batches, in milliseconds.
    pub ack_p99_ms: Option<u64>,
    /// Why nothing is taken; `None` while something is.
    pub stall: Option<Stall>,
    /// Whether the ledger has ever spoken to this spool; files wait for that.
    pub anchored: bool,
}

/// A file.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SourceStatus {
    /// Where it is.
    pub path: String,
    /// Up to where it is read.
    pub position: u64,
    /// Its size when it was last looked at.
    pub size: u64,
    /// Why it is not read any further; `None` for a file that is.
    pub stalled: Option<String>,
}

/// What the agent itself takes. Zero where the kernel does not tell.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct OwnStatus {
    /// Processor time since the start, in milliseconds.
    pub cpu_ms: u64,
    /// Memory.
    pub rss_bytes: u64,
    /// Open files.
    pub fds: u64,
}

impl LaneStatus {
    fn of(view: &LaneView) -> Self {
        let (head, stock) = (&view.head, view.head.stock());
        let unsent = head.next().0 - head.acked().0;
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            epoch: head.epoch().0.iter().map(|byte| format!("{byte:02x}")).collect(),
            epochs_opened: head.epochs_opened(),
            seq: head.sealed(),
            acked: head.sealed().saturating_sub(unsent),
            unsent_batches: stock.unsent.batches,
            unsent_records: stock.unsent.records,
            pending_records: view.pending_records,
            gaps: head.totals().gaps,
            gap_records: head.totals().gap_records,
            gap_bytes: head.totals().gap_bytes,
            dropped_records: view.dropped_records,
            balance: Balance::of(view),
            oldest_unsent_ms: view.oldest_unsent.map(|sealed| millis(sealed.elapsed())),
            ack_p99_ms: view.ack_p99.map(millis),
            stall: view.stall,
            anchored: head.anchored(),
        }
    }
}

impl SpoolStatus {
    fn of(view: &SpoolView, uptime: Duration) -> Self {
        let sum = |part: fn(&LaneView) -> u64| part(&view.live) + part(&view.bulk);
        let (bytes, max_bytes) = (sum(|lane| lane.footprint), sum(|lane| lane.share_bytes));
        let rate = sum(|lane| lane.sealed_bytes) / uptime.as_secs().max(1);
        Self {
            bytes,
            max_bytes,
            sealed_bytes_per_s: rate,
            room_s: max_bytes.saturating_sub(bytes).checked_div(rate),
            kept_bytes: sum(|lane| lane.head.stock().kept_bytes()),
            grace_bytes: sum(|lane| lane.grace_bytes),
        }
    }
}

impl Status {
    /// One lane.
    #[must_use]
    pub fn lane(&self, lane: Lane) -> &LaneStatus {
        match lane {
            Lane::Live => &self.live,
            Lane::Bulk => &self.bulk,
        }
    }

    /// Whether a person has to do something: nothing is taken, or nobody is reached.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        for lane in Lane::ALL {
            if let Some(stall) = self.lane(lane).stall {
                return Some(format!("{lane}: {stall}"));
            }
        }
        match (&self.ship.link, &self.ship.fault) {
            (Link::Connected(_), _) => self.ship.lane_paused.clone(),
            (Link::Connecting | Link::Waiting { .. }, Some(fault)) => Some(fault.clone()),
            (Link::Connecting | Link::Waiting { .. }, None) => Some("not connected yet".to_owned()),
        }
    }
}
