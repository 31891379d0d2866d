//! What an agent's spool says it sealed, read by its documented format (docs/spool.md).

use std::collections::BTreeMap;
use std::path::Path;

use headwater_protocol::codec::Reader;
use headwater_protocol::identity::Lane;
use headwater_protocol::position::{Run, SourceId, Stream};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

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
