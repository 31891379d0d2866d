//! The audit: what it does is the node's, what it found is told here.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::response::Response;
use headwater_protocol::position::{Mark, Stream};
use headwater_protocol::record::Cause;
use serde::Deserialize;

use super::Refusal;
use super::devices::sources;
use super::lines::Lines;
use super::rows::{AuditLaneRow, AuditRow, GapRow, Moment, VerifyRow};
use crate::node::{DeviceView, GapRange, LaneReport, NodeHandle, VerifyProgress, VerifyReport};

/// Of what.
#[derive(Debug, Deserialize)]
pub(super) struct Audited {
    /// Name or id; all devices without.
    device: Option<String>,
}

/// `GET /verify`
pub(super) async fn run(
    State(node): State<NodeHandle>,
    Query(audited): Query<Audited>,
) -> Result<Response, Refusal> {
    let devices = match &audited.device {
        Some(name) => vec![node.device(name).await.ok_or_else(|| Refusal::no_device(name))?],
        None => node.devices().await,
    };
    let only = audited.device.is_some().then(|| devices[0].id);
    let (lines, response) = Lines::open();
    tokio::spawn(async move {
        let progress = lines.clone();
        let told = move |VerifyProgress { entries, entries_total, bytes, .. }| {
            // Progress that a slow reader misses is followed by more.
            progress.offer(&VerifyRow::Progress { entries, entries_total, bytes });
        };
        match node.verify(only, told).await {
            Ok(report) => {
                let devices = devices_of(&node, devices, only.is_some()).await;
                let row = VerifyRow::Report(audit_row(&report, &devices));
                // A reader that has gone wants no report.
                let _ = lines.send(&[row]).await;
            }
            Err(error) => lines.give_up(Refusal::failed("cannot verify the ledger", &error)).await,
        }
    });
    Ok(response)
}

/// The devices once more: some may have joined, and streams may have begun, during the audit.
async fn devices_of(node: &NodeHandle, before: Vec<DeviceView>, one: bool) -> Vec<DeviceView> {
    if !one {
        return node.devices().await;
    }
    match node.device(&before[0].id.to_string()).await {
        Some(device) => vec![device],
        None => before,
    }
}

/// Each gap of a device.
pub(super) async fn gaps_of(
    node: &NodeHandle,
    device: &DeviceView,
) -> Result<Vec<GapRow>, Refusal> {
    let report = node.verify(Some(device.id), |_| ()).await;
    let report = report.map_err(|error| Refusal::failed("cannot read the gaps", &error))?;
    let (names, sources) = (device.name.as_str(), sources(device));
    let mut gaps: Vec<GapRow> =
        report.lanes.iter().flat_map(|lane| gaps_of_lane(lane, names, &sources)).collect();
    gaps.sort_by_key(|gap| gap.offset);
    Ok(gaps)
}

fn gaps_of_lane(
    lane: &LaneReport,
    device: &str,
    sources: &BTreeMap<Stream, String>,
) -> Vec<GapRow> {
    let by_cause = lane.gaps.iter();
    let ranges = by_cause.flat_map(|(cause, sum)| sum.ranges.iter().map(|range| (*cause, *range)));
    let row = |(cause, range): (Cause, GapRange)| GapRow {
        device: device.to_owned(),
        lane: lane.lane.to_string(),
        cause: cause.word().to_owned(),
        source: source_of(range.stream, sources),
        run: range.stream.run.number,
        start: range.start,
        end: range.end,
        records: range.records,
        bytes: range.bytes,
        time: Moment(range.time_us),
        offset: range.offset.0,
    };
    ranges.map(row).collect()
}

fn source_of(stream: Stream, sources: &BTreeMap<Stream, String>) -> String {
    sources.get(&stream).cloned().unwrap_or_else(|| stream.source.to_string())
}

fn audit_row(report: &VerifyReport, devices: &[DeviceView]) -> AuditRow {
    let by_id: BTreeMap<_, _> = devices.iter().map(|device| (device.id, device)).collect();
    let mut row = AuditRow {
        clean: report.is_clean(),
        entries: report.entries,
        bytes: report.bytes,
        devices: devices.len() as u64,
        ..AuditRow::default()
    };
    for lane in &report.lanes {
        let device = by_id.get(&lane.device);
        let name = device.map_or_else(|| lane.device.to_string(), |device| device.name.clone());
        let sources = device.map(|device| sources(device)).unwrap_or_default();
        row.gap_list.extend(gaps_of_lane(lane, &name, &sources));
        let lane = lane_row(lane, name, &sources);
        row.missing += lane.missing;
        row.repeated += lane.repeated;
        row.gaps += lane.gaps;
        row.gap_records = row.gap_records.saturating_add(lane.gap_records);
        row.records = row.records.saturating_add(lane.records);
        row.batches += lane.batches;
        row.lanes.push(lane);
    }
    row.gap_list
        .sort_by(|one, other| (&one.device, one.offset).cmp(&(&other.device, other.offset)));
    row.gap_bytes =
        report.lanes.iter().fold(0, |sum: u64, lane| sum.saturating_add(lane.totals.gap_bytes));
    row
}

fn lane_row(lane: &LaneReport, device: String, sources: &BTreeMap<Stream, String>) -> AuditLaneRow {
    let places = |what: &'static str, ranges: &[(Stream, Mark, Mark)]| -> Vec<String> {
        let place = |(stream, from, to): &(Stream, Mark, Mark)| {
            let source = source_of(*stream, sources);
            let (from, to) = (from.position, to.position);
            format!("{what}: {source} run {} from {from} to {to}", stream.run.number)
        };
        ranges.iter().map(place).collect()
    };
    AuditLaneRow {
        device,
        lane: lane.lane.to_string(),
        clean: lane.is_clean(),
        batches: lane.batches,
        not_applied: lane.not_applied,
        records: lane.totals.records,
        gaps: lane.totals.gaps,
        gap_records: lane.totals.gap_records,
        missing: lane.missing,
        repeated: lane.repeated,
        unequal: lane.unequal,
        chain_breaks: lane.chain_breaks,
        undecodable: lane.dead_batches,
        ledger_agrees: lane.ledger_agrees,
        places: [
            places("missing", &lane.missing_ranges),
            places("repeated", &lane.repeated_ranges),
        ]
        .concat(),
    }
}
