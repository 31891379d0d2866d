//! What the fuzzer reaches of the spool's rows: built with `--cfg fuzzing` alone.
//!
//! Each function reads a row and returns what would be written of it; `None` if it can't be read.

use super::format::{
    LINK_BYTES, STREAM_BYTES, decode_head, decode_link, decode_sealed, decode_stream, encode_head,
    encode_link, encode_sealed, encode_stream,
};

/// The head of a lane.
#[must_use]
pub fn head(bytes: &[u8]) -> Option<Vec<u8>> {
    decode_head(bytes).ok().map(|head| encode_head(&head))
}

/// The memory of a stream.
#[must_use]
pub fn stream(bytes: &[u8]) -> Option<Vec<u8>> {
    decode_sealed(bytes).ok().map(|sealed| encode_sealed(&sealed))
}

/// The name of a stream.
#[must_use]
pub fn stream_name(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes: &[u8; STREAM_BYTES] = bytes.try_into().ok()?;
    Some(encode_stream(decode_stream(bytes)).to_vec())
}

/// The link of a row.
#[must_use]
pub fn link(bytes: &[u8]) -> Option<Vec<u8>> {
    let bytes: &[u8; LINK_BYTES] = bytes.try_into().ok()?;
    Some(encode_link(decode_link(bytes)).to_vec())
}
