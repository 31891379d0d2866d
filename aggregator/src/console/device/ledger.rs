//! What the ledger says of a device.

use super::super::page::{plain_text, stamp};
use crate::api::ledger_of;
use crate::api::rows::{GapRow, LaneRow, LedgerRow};
use crate::cli::output::units;
use crate::node::{DeviceView, NodeHandle};

/// Gaps and streams that the page lists; the command line lists all.
const GAPS_MAX: usize = 200;
const STREAMS_MAX: usize = 200;
/// Bytes of a path that a cell has room for.
const PATH_BYTES_MAX: usize = 200;

/// The tables of the tab.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) verdict: &'static str,
    pub(super) sentence: String,
    pub(super) lanes: Vec<LaneShown>,
    pub(super) streams: Vec<StreamShown>,
    pub(super) streams_more: usize,
    pub(super) gaps: Vec<GapShown>,
    pub(super) gaps_more: usize,
    /// Why the gaps can't be listed. Empty if they can.
    pub(super) fault: String,
    pub(super) command: String,
}

/// A lane.
#[derive(Clone, Debug)]
pub(super) struct LaneShown {
    pub(super) lane: String,
    pub(super) epoch: String,
    pub(super) read: String,
    pub(super) applied: String,
    pub(super) gaps: String,
    pub(super) receipt: String,
    pub(super) duplicates: String,
    pub(super) adds_up: bool,
}

/// How far a stream was applied.
#[derive(Clone, Debug)]
pub(super) struct StreamShown {
    pub(super) lane: String,
    pub(super) source: String,
    pub(super) run: u64,
    pub(super) position: String,
    pub(super) records: String,
}

/// A gap.
#[derive(Clone, Debug)]
pub(super) struct GapShown {
    pub(super) time: String,
    pub(super) lane: String,
    pub(super) cause: String,
    pub(super) source: String,
    pub(super) range: String,
    pub(super) records: String,
    pub(super) bytes: String,
}

impl Shown {
    /// Asks the ledger; the gaps are read from the log.
    pub(super) async fn of(node: &NodeHandle, device: &DeviceView) -> Self {
        let (row, fault) = match ledger_of(node, device, true).await {
            Ok(row) => (Some(row), String::new()),
            Err(refusal) => (ledger_of(node, device, false).await.ok(), refusal.into_sentence()),
        };
        let empty = || Self {
            verdict: "adds-up",
            sentence: "Nothing was applied yet.".to_owned(),
            lanes: Vec::new(),
            streams: Vec::new(),
            streams_more: 0,
            gaps: Vec::new(),
            gaps_more: 0,
            fault: String::new(),
            command: String::new(),
        };
        row.map_or_else(empty, |row| Self::drawn(&row, fault))
    }

    fn drawn(row: &LedgerRow, fault: String) -> Self {
        let streams =
            row.lanes.iter().flat_map(|lane| lane.streams.iter().map(move |it| (lane, it)));
        let streams_all: usize = row.lanes.iter().map(|lane| lane.streams.len()).sum();
        let totals = &row.totals;
        let sum = format!(
            "{} read = {} applied + {} in declared gaps",
            units::grouped(totals.records_read),
            units::grouped(totals.records_applied),
            units::grouped(totals.gap_records),
        );
        let sentence = match totals.adds_up {
            true => format!("It adds up: {sum}."),
            false => format!(
                "It does not add up: {sum}, and the totals of {} did not follow from those before.",
                units::count(totals.unequal, "batch"),
            ),
        };
        Self {
            verdict: if totals.adds_up { "adds-up" } else { "unequal" },
            sentence,
            lanes: row.lanes.iter().map(lane).collect(),
            streams: streams
                .take(STREAMS_MAX)
                .map(|(lane, stream)| StreamShown {
                    lane: lane.lane.clone(),
                    source: path(stream.source.as_deref().unwrap_or(&stream.source_id)),
                    run: stream.run,
                    position: units::grouped(stream.position),
                    records: units::grouped(stream.records),
                })
                .collect(),
            streams_more: streams_all.saturating_sub(STREAMS_MAX),
            gaps: row.gap_list.iter().rev().take(GAPS_MAX).map(gap).collect(),
            gaps_more: row.gap_list.len().saturating_sub(GAPS_MAX),
            fault,
            command: format!("headwater ledger verify {} --gaps", row.device),
        }
    }
}

fn path(text: &str) -> String {
    plain_text(text.as_bytes(), PATH_BYTES_MAX).0
}

fn lane(row: &LaneRow) -> LaneShown {
    let (totals, receipt) = (&row.totals, &row.receipt);
    let lost = match totals.gap_bytes {
        0 => String::new(),
        bytes => format!(" and {}", units::bytes(bytes)),
    };
    LaneShown {
        lane: row.lane.clone(),
        epoch: row.epoch.get(..8).unwrap_or(&row.epoch).to_owned(),
        read: units::grouped(totals.records_read),
        applied: units::grouped(totals.records_applied),
        gaps: match totals.gaps {
            0 => "0".to_owned(),
            gaps => format!(
                "{}: {}{lost}",
                units::grouped(gaps),
                units::count(totals.gap_records, "record"),
            ),
        },
        receipt: format!(
            "{} / {} / {}",
            receipt.generation,
            receipt.shard,
            units::grouped(receipt.offset)
        ),
        duplicates: format!("{} received, 0 applied", units::grouped(totals.duplicates)),
        adds_up: totals.adds_up,
    }
}

fn gap(row: &GapRow) -> GapShown {
    GapShown {
        time: stamp(row.time.0),
        lane: row.lane.clone(),
        cause: row.cause.clone(),
        source: path(&row.source),
        range: format!(
            "run {} · {} to {}",
            row.run,
            units::grouped(row.start),
            units::grouped(row.end)
        ),
        records: units::grouped(row.records),
        bytes: units::bytes(row.bytes),
    }
}
