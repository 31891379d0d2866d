//! The merge fold's state as bytes, kept as the snapshot of the merge log. `docs/averages.md` has the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_protocol::codec::{DecodeError, Reader, put_bytes, put_varint};
use headwater_protocol::identity::{DeviceId, Generation, LogId, Offset, ShardId};
use headwater_protocol::ledger::LogTip;

use super::part::Part;
use super::state::{Keys, MergeState, Shard};
use super::window::MergeWindow;
use crate::alert::Alerts;
use crate::window::partial::{
    Group, Partial, decode_facts, decode_texts, encode_facts, encode_texts, narrow,
};
use crate::window::{Combination, Key, Position};

const MAGIC: [u8; 4] = *b"HWMG";
/// The version that this build writes. Version 1 knew no quantiles; any other makes the snapshot of no use, and the log is
/// replayed.
const VERSION: u8 = 2;
/// Bound for a reader of a damaged file whose hash fits by chance.
const ENTRIES_MAX: usize = 1 << 22;
/// Bytes of the alerts' state, for a reader: far above what their own limits allow.
const ALERTS_BYTES_MAX: usize = 1 << 30;

/// A state with the entry that it ends at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Snapshot {
    pub(super) log: LogId,
    pub(super) tip: LogTip,
    pub(super) state: MergeState,
}

impl Snapshot {
    /// The bytes of a state that ends at an entry of a log; `likely_bytes` is what the one before had.
    pub(super) fn encode(
        log: LogId,
        tip: &LogTip,
        state: &MergeState,
        likely_bytes: usize,
    ) -> Vec<u8> {
        let mut out = Vec::with_capacity(likely_bytes + likely_bytes / 8);
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&log.0);
        out.extend_from_slice(&tip.offset.0.to_le_bytes());
        out.extend_from_slice(&tip.generation.0.to_le_bytes());
        out.extend_from_slice(&tip.identity);
        state.encode(&mut out);
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "merge snapshot";
        let short = DecodeError::Short { what, needed: 32, left: bytes.len() };
        let (body, hash) = bytes.split_last_chunk::<32>().ok_or(short)?;
        if blake3::hash(body).as_bytes() != hash {
            return Err(DecodeError::Digest { what });
        }
        let mut reader = Reader::new(body);
        if reader.array("merge magic")? != MAGIC {
            return Err(DecodeError::Value { what, value: 0, expected: "the magic of a merge" });
        }
        let found = reader.u8("merge snapshot version")?;
        if !(1..=VERSION).contains(&found) {
            return Err(DecodeError::Version { what, found, newest: VERSION });
        }
        let log = LogId(reader.array("log")?);
        let tip = LogTip {
            offset: Offset(reader.u64("tip offset")?),
            generation: Generation(reader.u64("tip generation")?),
            identity: reader.array("tip identity")?,
        };
        let state = MergeState::decode(&mut reader)?;
        reader.finish(what)?;
        Ok(Self { log, tip, state })
    }
}

impl MergeState {
    /// Appends the state's bytes: equal states have equal bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.shards.len() as u64);
        for (id, shard) in &self.shards {
            out.extend_from_slice(&id.0.to_le_bytes());
            out.push(u8::from(shard.at.is_some()));
            if let Some(at) = shard.at {
                at.encode(out);
            }
            put_varint(out, shard.open.len() as u64);
            shard.open.iter().for_each(|start| out.extend_from_slice(&start.to_le_bytes()));
            put_groups(&shard.pieces, out);
        }
        put_varint(out, self.windows.len() as u64);
        for (start_us, window) in &self.windows {
            out.extend_from_slice(&start_us.to_le_bytes());
            window.encode(out);
        }
        put_varint(out, self.facts.len() as u64);
        for (id, facts) in &self.facts {
            out.extend_from_slice(&id.0);
            encode_facts(facts, out);
        }
        put_varint(out, self.keys.len() as u64);
        for (combination, keys) in &self.keys {
            encode_texts(combination.labels(), out);
            keys.encode(out);
        }
        out.push(u8::from(self.closed_us.is_some()));
        out.extend_from_slice(&self.closed_us.unwrap_or_default().to_le_bytes());
        out.extend_from_slice(&self.strayed.to_le_bytes());
        put_bytes(out, &self.alerts.encode());
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut state = Self::default();
        for _ in 0..reader.length("count of shards", ENTRIES_MAX)? {
            let id = ShardId(reader.u16("shard")?);
            let at = match reader.u8("position")? {
                0 => None,
                _ => Some(Position::decode(reader)?),
            };
            let count = reader.length("count of windows", ENTRIES_MAX)?;
            let open = (0..count).map(|_| reader.i64("window start"));
            let open = open.collect::<Result<BTreeSet<_>, _>>()?;
            state.shards.insert(id, Shard { at, open, pieces: groups(reader)? });
        }
        for _ in 0..reader.length("count of windows", ENTRIES_MAX)? {
            let start_us = reader.i64("window start")?;
            state.windows.insert(start_us, MergeWindow::decode(reader)?);
        }
        for _ in 0..reader.length("count of devices", ENTRIES_MAX)? {
            let id = DeviceId(reader.array("device")?);
            state.facts.insert(id, Arc::new(decode_facts(reader)?));
        }
        for _ in 0..reader.length("count of combinations", ENTRIES_MAX)? {
            let combination = Arc::new(Combination::new(decode_texts(reader)?));
            state.keys.insert(combination, Keys::decode(reader)?);
        }
        let is_closed = reader.u8("closed")? != 0;
        let closed_us = reader.i64("closed window")?;
        let closed_us = is_closed.then_some(closed_us);
        state.closed_us = closed_us;
        state.strayed = reader.u64("strayed")?;
        // Builds before held devices until a window was let go.
        let closed: Vec<i64> =
            state.windows.keys().copied().filter(|it| Some(*it) <= closed_us).collect();
        for start_us in closed {
            state.windows.get_mut(&start_us).map(MergeWindow::take_devices);
            state.pack(start_us);
        }
        let alerts = Alerts::decode(reader.bytes("alerts", ALERTS_BYTES_MAX)?);
        let (what, expected) = ("alerts", "the state of alerts");
        state.alerts = alerts.map_err(|_| DecodeError::Value { what, value: 0, expected })?;
        Ok(state)
    }
}

impl MergeWindow {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.length_us.to_le_bytes());
        put_varint(out, u64::from(self.revision));
        put_varint(out, self.without.len() as u64);
        self.without.iter().for_each(|shard| out.extend_from_slice(&shard.0.to_le_bytes()));
        put_varint(out, self.parts.len() as u64);
        for (shard, part) in &self.parts {
            out.extend_from_slice(&shard.0.to_le_bytes());
            put_groups(&part.groups(), out);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length_us = reader.u64("window length")?;
        let revision = narrow(reader, "revision")?;
        let count = reader.length("count of shards", ENTRIES_MAX)?;
        let without = (0..count).map(|_| reader.u16("shard").map(ShardId));
        let without = without.collect::<Result<_, _>>()?;
        let mut parts = BTreeMap::new();
        for _ in 0..reader.length("count of parts", ENTRIES_MAX)? {
            let shard = ShardId(reader.u16("shard")?);
            parts.insert(shard, Part::Open(groups(reader)?));
        }
        Ok(Self { length_us, revision, without, parts })
    }
}

impl Keys {
    fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.admitted.len() as u64);
        self.admitted.iter().for_each(|key| key.encode(out));
        put_varint(out, self.known.len() as u64);
        for (shard, known) in &self.known {
            out.extend_from_slice(&shard.0.to_le_bytes());
            put_varint(out, known.len() as u64);
            for (key, devices) in known {
                key.encode(out);
                put_varint(out, u64::from(*devices));
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut keys = Self::default();
        for _ in 0..reader.length("count of keys", ENTRIES_MAX)? {
            keys.admitted.insert(Arc::new(Key::decode(reader)?));
        }
        for _ in 0..reader.length("count of shards", ENTRIES_MAX)? {
            let known = keys.known.entry(ShardId(reader.u16("shard")?)).or_default();
            for _ in 0..reader.length("count of keys", ENTRIES_MAX)? {
                let key = Arc::new(Key::decode(reader)?);
                known.insert(key, narrow(reader, "known devices")?);
            }
        }
        Ok(keys)
    }
}

/// Groups are stored as a partial of nothing else.
fn put_groups(groups: &[Group], out: &mut Vec<u8>) {
    Partial::default().encode_around(groups, out);
}

fn groups(reader: &mut Reader<'_>) -> Result<Vec<Group>, DecodeError> {
    Ok(Partial::decode(reader)?.groups)
}
