//! What the fuzzer reaches of the store's rows: built with `--cfg fuzzing` alone.

use super::rows;

/// Reads the figures of a key in a window and returns what would be written of them; `None` if they
/// can't be read.
#[must_use]
pub fn figures(bytes: &[u8]) -> Option<Vec<u8>> {
    rows::decode(bytes).ok().map(|window| rows::encode(&window))
}
