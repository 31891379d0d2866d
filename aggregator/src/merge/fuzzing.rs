//! What the fuzzer reaches of the merge fold's rows: built with `--cfg fuzzing` alone.

pub use super::store::fuzzing::figures;

use super::snapshot::Snapshot;

/// Reads a snapshot and returns what would be written of it; `None` if it can't be read.
#[must_use]
pub fn snapshot(bytes: &[u8]) -> Option<Vec<u8>> {
    Snapshot::decode(bytes)
        .ok()
        .map(|snapshot| Snapshot::encode(snapshot.log, &snapshot.tip, &snapshot.state, 0))
}
