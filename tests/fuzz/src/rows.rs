//! What comes from a disk: rows of the spool, of the log, of the merge log and of the registry. The first
//! byte says which; where a row ends in a hash of itself, the hash is made to fit.

use headwater_agent::spool::fuzzing as spooled;
use headwater_aggregator::alert::RuleSet;
use headwater_aggregator::fold::View;
use headwater_aggregator::merge::{MergeEntry, fuzzing as merged};
use headwater_aggregator::registry::{
    AuditEntry, DeviceRecord, NodeRecord, NoticeCursor, SessionRecord,
};
use headwater_aggregator::window::ShardWindows;
use headwater_aggregator::window::partial::Partial;
use headwater_certs::token::TokenRecord;
use headwater_protocol::codec::Reader;
use headwater_protocol::entry::{Entry, EntryKind};
use headwater_protocol::identity::{DeviceId, ShardId};
use headwater_protocol::ledger::Snapshot;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::memory::bounded;
use crate::wire;

/// What may be decoded of rows that this host wrote itself: 64 bytes for each of theirs. That of a batch
/// is asserted beside.
const PER_BYTE_MAX: usize = 64;

/// A row of the spool.
pub(crate) fn spool(bytes: &[u8]) {
    let Some((kind, row)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => settles(row, spooled::head),
        1 => stays(row, spooled::stream),
        2 => stays(row, spooled::stream_name),
        _ => stays(row, spooled::link),
    }
}

/// A row of a shard's log: an entry or a part of a snapshot.
pub(crate) fn log(bytes: &[u8]) {
    let Some((kind, row)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => entry(row),
        1 => settles(&hashed(row), |row| Snapshot::decode(row).ok().map(|it| it.encode())),
        2 => settles(&hashed(row), |row| View::decode(row).ok().map(|it| it.encode())),
        _ => settles(&hashed(row), |row| ShardWindows::decode(row).ok().map(|it| it.encode())),
    }
}

fn entry(row: &[u8]) {
    settles(row, |row| Entry::decode(row).ok().map(|entry| entry.encode()));
    if let Ok(Entry { kind: EntryKind::Batch { batch, .. }, .. }) = Entry::decode(row) {
        wire::open(&batch);
    }
}

/// A row of the merge log: an entry, a part of one, its snapshot, or the figures of a key.
pub(crate) fn merge(bytes: &[u8]) {
    let Some((kind, row)) = bytes.split_first() else { return };
    match kind % 5 {
        0 => settles(row, |row| MergeEntry::decode(row).ok().map(|entry| entry.encode())),
        1 => settles(&hashed(row), merged::snapshot),
        2 => settles(row, merged::figures),
        3 => settles(row, |row| RuleSet::decode(row).ok().map(|rules| rules.encode())),
        _ => settles(row, |row| {
            let partial = Partial::decode(&mut Reader::new(row)).ok()?;
            let mut out = Vec::new();
            partial.encode(&mut out);
            Some(out)
        }),
    }
}

/// A row of the registry.
pub(crate) fn registry(bytes: &[u8]) {
    let Some((kind, row)) = bytes.split_first() else { return };
    match kind % 6 {
        0 => record::<DeviceRecord>(row),
        1 => record::<AuditEntry>(row),
        2 => record::<NoticeCursor>(row),
        3 => record::<SessionRecord>(row),
        4 => record::<TokenRecord>(row),
        _ => {
            record::<NodeRecord>(row);
            if let Ok(node) = rmp_serde::from_slice::<NodeRecord>(row) {
                let shard = ShardId::of(DeviceId([1; 16]), node.shards);
                assert!(
                    node.shards.shards().any(|other| other == shard),
                    "each device has a shard"
                );
            }
        }
    }
}

fn record<T: Serialize + DeserializeOwned>(row: &[u8]) {
    settles(row, |row| {
        let record: T = rmp_serde::from_slice(row).ok()?;
        Some(rmp_serde::to_vec_named(&record).expect("numbers and text have an encoding"))
    });
}

/// A format that may say one thing in several ways: what is written of it stays the same from then on.
fn settles(row: &[u8], rewrite: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let most = (64 << 10) + PER_BYTE_MAX * row.len();
    if let Some(written) = bounded(most.max(wire::OPENED_BYTES_MAX), || rewrite(row)) {
        assert_eq!(rewrite(&written).as_ref(), Some(&written), "a row comes back");
    }
}

/// A format that says each thing in one way.
fn stays(row: &[u8], rewrite: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if let Some(written) = rewrite(row) {
        assert_eq!(written, row, "a row comes back");
    }
}

fn hashed(row: &[u8]) -> Vec<u8> {
    [row, blake3::hash(row).as_bytes()].concat()
}
