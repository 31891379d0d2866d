//! Putting together what registry, fold and intake know.

use std::collections::BTreeMap;

use headwater_certs::token::{TRIES_MAX, TokenRecord};
use headwater_protocol::identity::{DeviceId, Lane, ShardCount, ShardId};
use headwater_protocol::ledger::LaneLedger;

use super::view::{DeviceView, LaneView, Latest, SessionView, StreamView, TokenView};
use crate::fold::{DeviceKnown, Standing};
use crate::intake::SessionSeen;
use crate::registry::DeviceRecord;

/// Devices, in order of names.
pub(super) fn devices(
    records: Vec<DeviceRecord>,
    standings: &[Standing],
    sessions: &BTreeMap<DeviceId, SessionSeen>,
    shards: ShardCount,
) -> Vec<DeviceView> {
    let mut folded: BTreeMap<DeviceId, &Standing> = BTreeMap::new();
    for standing in standings {
        folded.extend(standing.lanes.keys().map(|(device, _)| (*device, standing)));
    }
    let show = |record: DeviceRecord| {
        let (standing, session) = (folded.get(&record.id), sessions.get(&record.id));
        let shard = ShardId::of(record.id, shards);
        device(record, shard, standing.copied(), session)
    };
    let mut devices: Vec<DeviceView> = records.into_iter().map(show).collect();
    devices.sort_by(|one, other| one.name.cmp(&other.name));
    devices
}

fn device(
    record: DeviceRecord,
    shard: ShardId,
    standing: Option<&Standing>,
    session: Option<&SessionSeen>,
) -> DeviceView {
    let known = standing.and_then(|standing| standing.devices.get(&record.id));
    let lanes = Lane::ALL.into_iter().filter_map(|lane| {
        let ledger = standing?.lanes.get(&(record.id, lane))?;
        Some(self::lane(lane, ledger, known))
    });
    let latest = known.into_iter().flat_map(|known| &known.latest);
    let latest = latest.map(|(series, (value, time_us))| Latest {
        series: std::sync::Arc::clone(series),
        value: *value,
        time_us: *time_us,
    });
    DeviceView {
        id: record.id,
        shard,
        lanes: lanes.collect(),
        latest: latest.collect(),
        last_seen_us: known.map(|known| known.seen_us),
        facts: known.map(|known| known.facts.clone()).unwrap_or_default(),
        session: session.map(|session| SessionView {
            address: session.address,
            since_us: session.since_us,
            rtt: session.rtt,
            build: session.build.clone(),
            unstable: session.unstable,
        }),
        name: record.name,
        host_name: record.host_name,
        group: record.group,
        enrolled_at_us: record.enrolled_at_us,
        revoked_at_us: record.revoked_at_us,
        cloned_at_us: record.cloned_at_us,
        certificate_ends_at_us: record.certificate_ends_at_us,
    }
}

fn lane(lane: Lane, ledger: &LaneLedger, known: Option<&DeviceKnown>) -> LaneView {
    let source = |id| known.and_then(|known| known.sources.get(&(lane, id)));
    let streams = ledger.streams().iter().map(|(stream, it)| StreamView {
        stream: *stream,
        mark: it.mark,
        source: source(stream.source).map(|(info, _)| info.clone()),
    });
    LaneView {
        lane,
        tip: ledger.tip(),
        applied_at: ledger.applied_at(),
        totals: ledger.totals(),
        dead: ledger.dead(),
        tallies: ledger.tallies(),
        streams: streams.collect(),
    }
}

/// A token without its secret, which its record does not hold.
pub(super) fn token(record: &TokenRecord) -> TokenView {
    let micros = |unix_s: u64| i64::try_from(unix_s.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    TokenView {
        id: record.id.to_string(),
        uses_left: record.uses_left,
        locked: record.wrong_tries >= TRIES_MAX,
        expires_at_us: micros(record.expires_unix_s),
        created_at_us: micros(record.created_unix_s),
        creator: record.creator.clone(),
        group: record.group.clone(),
    }
}
