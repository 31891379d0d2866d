//! What an agent's spool says it sealed, read by its documented format (docs/spool.md).

use std::collections::BTreeMap;
use std::path::Path;

use headwater_protocol::codec::Reader;
use headwater_protocol::identity::Lane;
use headwater_protocol::position::{Run, SourceId, Stream};
use headwater_protocol::record::SourceInfo;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::landed::Device;

type Streams = TableDefinition<'static, &'static [u8; 32], &'static [u8]>;

/// The position up to which each stream of a lane was sealed, by the spool of an agent that does not
/// run.
///
/// # Panics
/// If the spool cannot be read.
#[must_use]
pub fn sealed_ends(spool: &Path, lane: Lane) -> BTreeMap<Stream, u64> {
    let database = Database::open(spool.join("spool.redb")).unwrap();
    let table: Streams = TableDefinition::new(match lane {
        Lane::Live => "live_streams",
        Lane::Bulk => "bulk_streams",
    });
    let table = database.begin_read().unwrap().open_table(table).unwrap();
    let rows = table.iter().unwrap().map(|row| {
        let (key, value) = row.unwrap();
        (stream(key.value()), highest_position(value.value()))
    });
    rows.collect()
}

/// Each run of the sampler is there whole: from its first tick to the last one that the spool sealed.
///
/// # Panics
/// If one is not.
pub fn expect_every_run_whole(device: &Device, spool: &Path) {
    device.ticks_are_contiguous().unwrap();
    let sealed = sealed_ends(spool, Lane::Live);
    for (stream, ticks) in &device.ticks {
        assert_eq!(device.sources.get(stream), Some(&SourceInfo::Host), "{stream:?}");
        let last = ticks.last().map(|tick| tick.end);
        assert_eq!(sealed.get(stream).copied(), last, "the run's end in the spool: {stream:?}");
    }
    for (stream, end) in sealed.into_iter().filter(|(_, end)| *end > 0) {
        assert_eq!(device.ends.get(&stream), Some(&end), "what was sealed landed: {stream:?}");
    }
}

/// Source, run's number and nonce, the numbers with their highest byte first.
fn stream(key: &[u8; 32]) -> Stream {
    let mut reader = Reader::new(key);
    let source = SourceId(reader.array("source").unwrap());
    let number = u64::from_be_bytes(reader.array("run number").unwrap());
    let nonce = u64::from_be_bytes(reader.array("run nonce").unwrap());
    Stream { source, run: Run { number, nonce } }
}

/// Version, origin (position, records), highest (position, records), and what is not asked here.
fn highest_position(row: &[u8]) -> u64 {
    let mut reader = Reader::new(row);
    assert_eq!(reader.u8("version").unwrap(), 1, "a version that this reader knows");
    for what in ["origin position", "origin records"] {
        reader.varint(what).unwrap();
    }
    reader.varint("highest position").unwrap()
}
