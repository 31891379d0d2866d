//! Devices, and what the ledger says of each.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use headwater_protocol::position::Stream;
use serde::Deserialize;

use super::Refusal;
use super::rows::{
    DeviceDetail, DeviceRow, LaneRow, LedgerRow, Moment, ReceiptRow, SampleRow, StreamRow, Totals,
    hex, source_word,
};
use super::verify::gaps_of;
use crate::node::{DeviceView, LaneView, Latest, NodeHandle, StreamView};

/// `GET /devices`
pub(super) async fn list(State(node): State<NodeHandle>) -> Json<Vec<DeviceRow>> {
    Json(node.devices().await.iter().map(row).collect())
}

/// `GET /devices/NAME`
pub(super) async fn show(
    State(node): State<NodeHandle>,
    Path(name): Path<String>,
) -> Result<Json<DeviceDetail>, Refusal> {
    let device = node.device(&name).await.ok_or_else(|| Refusal::no_device(&name))?;
    Ok(Json(DeviceDetail {
        row: row(&device),
        certificate_ends: Moment(device.certificate_ends_at_us),
        online_since: device.session.as_ref().map(|session| Moment(session.since_us)),
        rtt_seconds: device.session.as_ref().map(|session| session.rtt.as_secs_f64()),
        latest: device.latest.iter().map(|latest| sample(&device.name, latest)).collect(),
        host_name: device.host_name,
        group: device.group,
    }))
}

/// `DELETE /devices/NAME`
pub(super) async fn revoke(
    State(node): State<NodeHandle>,
    Path(name): Path<String>,
) -> Result<Json<DeviceRow>, Refusal> {
    let device = node.device(&name).await.ok_or_else(|| Refusal::no_device(&name))?;
    let revoked = node.revoke(device.id, "local socket").await;
    let failed = |error| Refusal::failed(format!("cannot revoke \"{}\"", device.name), &error);
    if !revoked.map_err(failed)? {
        let what = format!("\"{}\" is revoked already", device.name);
        return Err(Refusal::new(StatusCode::CONFLICT, what).next("headwater devices"));
    }
    let device = node.device(&device.id.to_string()).await;
    device.map(|device| Json(row(&device))).ok_or_else(|| Refusal::no_device(&name))
}

/// `POST /devices/NAME/restore`
pub(super) async fn restore(
    State(node): State<NodeHandle>,
    Path(name): Path<String>,
) -> Result<Json<DeviceRow>, Refusal> {
    let device = node.device(&name).await.ok_or_else(|| Refusal::no_device(&name))?;
    let restored = node.restore(device.id, "local socket").await;
    let failed = |error| Refusal::failed(format!("cannot restore \"{}\"", device.name), &error);
    if !restored.map_err(failed)? {
        let what = format!("\"{}\" is not marked as cloned", device.name);
        let refusal = Refusal::new(StatusCode::CONFLICT, what);
        return Err(match device.revoked_at_us {
            Some(_) => {
                refusal.next("headwater tokens create, and headwater-agent enrol on the host")
            }
            None => refusal.next("headwater devices"),
        });
    }
    let device = node.device(&device.id.to_string()).await;
    device.map(|device| Json(row(&device))).ok_or_else(|| Refusal::no_device(&name))
}

/// Whether the gaps are listed one by one, which reads the log.
#[derive(Debug, Deserialize)]
pub(super) struct WithGaps {
    #[serde(default)]
    gaps: bool,
}

/// `GET /ledger`
pub(super) async fn ledgers(
    State(node): State<NodeHandle>,
    Query(with): Query<WithGaps>,
) -> Result<Json<Vec<LedgerRow>>, Refusal> {
    let mut rows = Vec::new();
    for device in node.devices().await {
        rows.push(ledger_of(&node, &device, with.gaps).await?);
    }
    Ok(Json(rows))
}

/// `GET /ledger/NAME`
pub(super) async fn ledger(
    State(node): State<NodeHandle>,
    Path(name): Path<String>,
    Query(with): Query<WithGaps>,
) -> Result<Json<LedgerRow>, Refusal> {
    let device = node.device(&name).await.ok_or_else(|| Refusal::no_device(&name))?;
    ledger_of(&node, &device, with.gaps).await.map(Json)
}

/// What the ledger says of a device, with its gaps one by one if they are wanted.
pub(crate) async fn ledger_of(
    node: &NodeHandle,
    device: &DeviceView,
    with_gaps: bool,
) -> Result<LedgerRow, Refusal> {
    let totals = totals(device);
    let gap_list = match with_gaps && totals.gaps > 0 {
        true => gaps_of(node, device).await?,
        false => Vec::new(),
    };
    Ok(LedgerRow {
        device: device.name.clone(),
        id: device.id.to_string(),
        shard: device.shard.0,
        totals,
        lanes: device.lanes.iter().map(|lane| lane_row(device, lane)).collect(),
        gap_list,
    })
}

fn lane_row(device: &DeviceView, lane: &LaneView) -> LaneRow {
    let (generation, offset) = lane.applied_at;
    LaneRow {
        lane: lane.lane.to_string(),
        epoch: hex(&lane.tip.epoch.0),
        seq: lane.tip.seq,
        digest: hex(&lane.tip.digest.0),
        receipt: ReceiptRow { generation: generation.0, shard: device.shard.0, offset: offset.0 },
        epochs: lane.tallies.epochs,
        totals: Totals::of(lane.totals, lane.dead, lane.tallies),
        streams: stream_rows(lane),
    }
}

/// Streams in order of what they are, and of their runs.
fn stream_rows(lane: &LaneView) -> Vec<StreamRow> {
    let row = |known: &StreamView| StreamRow {
        source: known.source.as_ref().map(source_word),
        source_id: known.stream.source.to_string(),
        run: known.stream.run.number,
        position: known.mark.position,
        records: known.mark.records,
    };
    let mut rows: Vec<StreamRow> = lane.streams.iter().map(row).collect();
    rows.sort_by(|one, other| (&one.source, one.run).cmp(&(&other.source, other.run)));
    rows
}

fn row(device: &DeviceView) -> DeviceRow {
    let state = match device {
        DeviceView { revoked_at_us: Some(_), .. } => "revoked",
        DeviceView { cloned_at_us: Some(_), .. } => "cloned",
        DeviceView { session: Some(session), .. } if session.unstable => "unstable",
        DeviceView { session: Some(_), .. } => "online",
        DeviceView { last_seen_us: None, .. } => "new",
        _ => "offline",
    };
    DeviceRow {
        name: device.name.clone(),
        id: device.id.to_string(),
        state: state.to_owned(),
        seen: device.last_seen_us.map(Moment),
        enrolled: Moment(device.enrolled_at_us),
        address: device.session.as_ref().map(|session| session.address.to_string()),
        build: device.session.as_ref().map(|session| session.build.clone()),
        labels: device.facts.clone(),
        shard: device.shard.0,
        totals: totals(device),
    }
}

fn totals(device: &DeviceView) -> Totals {
    let lanes = device.lanes.iter();
    let lanes = lanes.map(|lane| Totals::of(lane.totals, lane.dead, lane.tallies));
    lanes.fold(Totals::NONE, Totals::and)
}

fn sample(device: &str, latest: &Latest) -> SampleRow {
    SampleRow {
        time: Moment(latest.time_us),
        device: device.to_owned(),
        metric: latest.series.metric.clone(),
        labels: latest.series.labels.iter().cloned().collect(),
        scaled: latest.value,
        scale: latest.series.scale,
    }
}

/// What the sources of a device's streams are, where the agent said it.
pub(super) fn sources(device: &DeviceView) -> BTreeMap<Stream, String> {
    let streams = device.lanes.iter().flat_map(|lane| &lane.streams);
    let known =
        streams.filter_map(|known| Some((known.stream, source_word(known.source.as_ref()?))));
    known.collect()
}
