//! The chain's durable head.

use serde::{Deserialize, Serialize};

use super::rows::Row;
use super::stock::Stock;
use crate::header::Counts;
use crate::identity::{DeviceId, Epoch, Lane, Receipt, Tip};

/// The chain's durable head: everything but its rows and streams.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Head {
    pub(super) device: DeviceId,
    pub(super) lane: Lane,
    pub(super) epoch: Epoch,
    /// The ledger's state that the epoch was opened on.
    pub(super) parent: Tip,
    /// The state just before the row `first`.
    pub(super) base: Tip,
    /// The state after the last row.
    pub(super) tip: Tip,
    /// Batches sealed in this epoch.
    pub(super) sealed: u64,
    pub(super) archive_first: Row,
    pub(super) first: Row,
    pub(super) acked: Row,
    pub(super) next: Row,
    pub(super) stock: Stock,
    pub(super) totals: Counts,
    pub(super) runs: u64,
    /// Whether the ledger has ever spoken to this spool.
    pub(super) anchored: bool,
    /// Whether the spool was lost or went back, and the ledger may have forgotten files that were read.
    pub(super) files_undecided: bool,
    pub(super) receipt: Option<Receipt>,
    pub(super) epochs_opened: u64,
    /// Rows from here on were sealed by processes that have not heard from the ledger; `None` once one has.
    #[serde(default)]
    pub(super) unheard_from: Option<Row>,
    /// The highest number of a run that was let go; 0 if none was.
    #[serde(default)]
    pub(super) let_go_through: u64,
    /// Records that were read of runs that were let go.
    #[serde(default)]
    pub(super) let_go_records: u64,
}

impl Head {
    /// The device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The lane.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// The epoch that batches are sealed in.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The state after the last row.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.tip
    }

    /// Seq of the last batch sealed in this epoch; 0 if there is none.
    #[must_use]
    pub fn sealed(&self) -> u64 {
        self.sealed
    }

    /// Rows below it are acked.
    #[must_use]
    pub fn acked(&self) -> Row {
        self.acked
    }

    /// The first row of the archive or, if that is empty, of the chain.
    #[must_use]
    pub fn archive_first(&self) -> Row {
        self.archive_first
    }

    /// The first row of the chain's present epoch, or the row of the next batch.
    #[must_use]
    pub fn first(&self) -> Row {
        self.first
    }

    /// The row of the next batch.
    #[must_use]
    pub fn next(&self) -> Row {
        self.next
    }

    /// How much is held.
    #[must_use]
    pub fn stock(&self) -> Stock {
        self.stock
    }

    /// Everything up to the tip.
    #[must_use]
    pub fn totals(&self) -> Counts {
        self.totals
    }

    /// Whether the ledger has ever spoken to this spool. Until then files are not read: the ledger
    /// may know them.
    #[must_use]
    pub fn anchored(&self) -> bool {
        self.anchored
    }

    /// Whether files that are there and that neither spool nor ledger know may have been read before
    /// the spool was lost or went back: what they hold so far is declared undecided, and they are read from their
    /// end on.
    #[must_use]
    pub fn files_undecided(&self) -> bool {
        self.files_undecided
    }

    /// The last receipt.
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt> {
        self.receipt
    }

    /// Epochs opened because the ledger's state was not in the chain.
    #[must_use]
    pub fn epochs_opened(&self) -> u64 {
        self.epochs_opened
    }
}
