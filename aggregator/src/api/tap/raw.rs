//! Batches as they stand in the log, each with what the fold says of it: the view for delivery.
//!
//! The log is read, not the fold's output, since what is not applied is what one wants to see here.
//! The verdict follows from the batch and the tip before it, by rule 3 of the contract.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::Body;
use headwater_protocol::entry::{Entry, EntryKind};
use headwater_protocol::identity::{DeviceId, Lane, Offset, Seq, ShardId, Tip};
use headwater_protocol::ledger::Verdict;

use super::super::Refusal;
use super::super::rows::{BatchRow, Moment, TapRow};
use super::super::selection::Selection;
use super::{Shown, Wanted};
use crate::node::NodeHandle;

/// Shows batches until the reader goes.
pub(super) async fn run(node: NodeHandle, wanted: Wanted, mut shown: Shown) {
    let mut raw = Raw::at_the_end_of(node, wanted).await;
    while !shown.is_closed() {
        if let Err(refusal) = raw.read_on(&mut shown).await {
            return shown.lines.clone().give_up(refusal).await;
        }
        shown.flush().await;
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// How often the log is looked at: below what a person sees as waiting.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// Bytes of entries that are read at once.
const READ_BYTES: u64 = 4 << 20;

struct Raw {
    node: NodeHandle,
    wanted: Wanted,
    selection: Selection,
    labels: BTreeMap<DeviceId, BTreeMap<String, String>>,
    tips: BTreeMap<(DeviceId, Lane), Tip>,
    next: BTreeMap<ShardId, Offset>,
}

impl Raw {
    /// Begins after the last batch that is applied in each shard.
    async fn at_the_end_of(node: NodeHandle, wanted: Wanted) -> Self {
        let mut next: BTreeMap<ShardId, Offset> =
            node.shards().shards().map(|shard| (shard, node.end(shard))).collect();
        let devices = node.devices().await;
        let mut tips = BTreeMap::new();
        let mut labels = BTreeMap::new();
        for device in &devices {
            for lane in &device.lanes {
                tips.insert((device.id, lane.lane), lane.tip);
                // The fold was asked after the log: it may have gone past that end by now.
                if lane.tip != Tip::GENESIS
                    && let Some(next) = next.get_mut(&device.shard)
                {
                    *next = (*next).max(lane.applied_at.1.next());
                }
            }
            labels.insert(device.id, device.facts.clone());
        }
        let selection = Selection::of_all(&devices);
        Self { node, wanted, selection, labels, tips, next }
    }

    async fn read_on(&mut self, shown: &mut Shown) -> Result<(), Refusal> {
        let shards: Vec<(ShardId, Offset)> =
            self.next.iter().map(|(shard, next)| (*shard, *next)).collect();
        for (shard, from) in shards {
            if self.node.end(shard) <= from {
                continue;
            }
            let read = self.node.read(shard, from, READ_BYTES).await;
            let read = read.map_err(|error| Refusal::failed("cannot read the log", &error))?;
            for (offset, entry) in &read {
                self.next.insert(shard, offset.next());
                self.take(shard, *offset, entry, shown).await;
            }
        }
        Ok(())
    }

    async fn take(&mut self, shard: ShardId, offset: Offset, entry: &Entry, shown: &mut Shown) {
        let EntryKind::Batch { batch, .. } = &entry.kind else { return };
        let (device, lane) = (batch.header().device, batch.header().lane);
        let tip = self.tips.entry((device, lane)).or_insert(Tip::GENESIS);
        let verdict = verdict(batch, *tip);
        if verdict == Verdict::Next {
            *tip = batch.tip();
        }
        if !self.labels.contains_key(&device) {
            self.selection.add_names(self.node.names());
            let view = self.node.device(&device.to_string()).await;
            self.labels.insert(device, view.map(|view| view.facts).unwrap_or_default());
        }
        let conditions = &self.wanted.conditions;
        let fits = conditions.fits("device", &self.selection.name(device))
            && conditions.fits("lane", &lane.to_string())
            && self.labels.get(&device).is_some_and(|labels| conditions.labels_fit(labels));
        if fits {
            shown.show(|| {
                TapRow::Batch(BatchRow {
                    time: Moment(entry.stamp_us),
                    device: self.selection.name(device),
                    lane: lane.to_string(),
                    epoch: batch.header().epoch.to_string(),
                    seq: batch.header().seq.number(),
                    shard: shard.0,
                    offset: offset.0,
                    records: batch.header().counts.records,
                    bytes: batch.bytes().len() as u64,
                    packed_bytes: u64::from(batch.header().packing.packed),
                    unpacked_bytes: u64::from(batch.header().packing.unpacked),
                    verdict: word(verdict, batch).to_owned(),
                })
            });
        }
    }
}

/// What the fold says of a batch on a tip.
fn verdict(batch: &Batch, tip: Tip) -> Verdict {
    let header = batch.header();
    let seq = header.seq.number();
    let chained = |before| if batch.follows(before) { Verdict::Next } else { Verdict::Fork };
    if header.epoch == tip.epoch && tip != Tip::GENESIS {
        return match seq {
            _ if seq == tip.seq && batch.digest() != tip.digest => Verdict::Fork,
            _ if seq <= tip.seq => Verdict::Duplicate,
            _ if seq > tip.seq + 1 => Verdict::Ahead,
            _ => chained(tip.digest),
        };
    }
    match header.parent {
        Some(parent) if parent == tip && header.seq == Seq::FIRST => chained(parent.digest),
        _ => Verdict::Stale,
    }
}

fn word(verdict: Verdict, batch: &Batch) -> &'static str {
    match verdict {
        // Applied as a gap.
        Verdict::Next if Body::open(batch).is_err() => "undecodable",
        Verdict::Next => "applied",
        Verdict::Duplicate => "duplicate",
        Verdict::Ahead => "ahead",
        Verdict::Fork => "fork",
        Verdict::Stale => "stale",
    }
}
