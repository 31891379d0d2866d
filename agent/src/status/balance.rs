//! read = applied + in the spool + declared gaps: looked at all the time, and told as a metric.

use std::sync::Arc;

use headwater_protocol::identity::Lane;
use headwater_protocol::record::{Sample, Series};
use serde::{Deserialize, Serialize};

use crate::spool::{LaneView, SpoolView};

/// By how many records the two sides of a lane's equation differ. Anything but 0 is a defect of this
/// program or of its disk, and an alert.
pub const DIFFERENCE: &str = "ledger.difference_records";

/// read = applied + in the spool + declared gaps.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Balance {
    /// Records that were read, by the spool's own count.
    pub read: u64,
    /// Records that the ledger applied: its count at the last handshake, and what was acked since.
    pub applied: u64,
    /// Records in the spool.
    pub in_spool: u64,
    /// Records that gaps stand for, by the ledger's count at the last handshake.
    pub gaps: u64,
}

impl Balance {
    /// The sum of a lane; `None` before the ledger's first word since the start.
    #[must_use]
    pub fn of(view: &LaneView) -> Option<Self> {
        let (head, stock) = (&view.head, view.head.stock());
        view.ledger.map(|ledger| Self {
            read: head.totals().read() + view.pending_records,
            applied: ledger.records + view.acked_records,
            in_spool: stock.unsent.records + view.pending_records + view.dropped_records,
            gaps: ledger.gap_records,
        })
    }

    /// By how many records the two sides differ.
    #[must_use]
    pub fn difference(self) -> u64 {
        let other = self.applied.saturating_add(self.in_spool).saturating_add(self.gaps);
        self.read.abs_diff(other)
    }

    /// Whether both sides are equal.
    #[must_use]
    pub fn holds(self) -> bool {
        self.difference() == 0
    }
}

/// The differences of both lanes as samples: of those of which the ledger has spoken.
#[must_use]
pub fn differences(view: &SpoolView) -> Vec<Sample> {
    let sample = |lane: Lane| {
        let difference = Balance::of(view.lane(lane))?.difference();
        let labels = vec![("lane".to_owned(), lane.to_string())];
        let series = Series { metric: DIFFERENCE.to_owned(), labels, scale: 0 };
        let value = i64::try_from(difference).unwrap_or(i64::MAX);
        Some(Sample { series: Arc::new(series), value })
    };
    Lane::ALL.into_iter().filter_map(sample).collect()
}
