//! Definitions: pieces of a body that are the same in many of them. They stand before everything else of a packed body of
//! version 4, each packed by itself, so that it can be left out where the reader has it.
//!
//! Their count, then each with its length. A definition: 0 and its content, or 1, the length of the content and a zstd frame of it.

use std::sync::Arc;

use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::limits;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// Bytes from which packing a definition pays.
const PACKED_BYTES_MIN: usize = 256;
/// Definitions are packed once and sent once a session.
const LEVEL: i32 = 6;

/// Packs a definition.
pub(crate) fn pack(content: &[u8]) -> Arc<[u8]> {
    let mut out = Vec::with_capacity(content.len() + 1);
    if content.len() >= PACKED_BYTES_MIN
        && let Ok(frame) = zstd::bulk::compress(content, LEVEL)
        && frame.len() + 4 < content.len()
    {
        out.push(ZSTD);
        put_varint(&mut out, content.len() as u64);
        out.extend_from_slice(&frame);
        return out.into();
    }
    out.push(PLAIN);
    out.extend_from_slice(content);
    out.into()
}

/// Appends definitions.
pub(crate) fn put<'a>(out: &mut Vec<u8>, all: impl ExactSizeIterator<Item = &'a [u8]>) {
    put_varint(out, all.len() as u64);
    all.for_each(|definition| put_bytes(out, definition));
}

/// The definitions of a packed body, as they are packed; what is left to read is the rest of it.
///
/// # Errors
/// For every malformed input.
pub(crate) fn take<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, DecodeError> {
    let count = reader.length("count of definitions", limits::DEFINITIONS_PER_BATCH_MAX)?;
    let mut all = Vec::with_capacity(count.min(reader.left()));
    for _ in 0..count {
        all.push(reader.bytes("definition", limits::DEFINITION_BYTES_MAX)?);
    }
    Ok(all)
}

/// Unpacks the definitions of a body.
///
/// # Errors
/// For every malformed input. All together take no more memory than a body may.
pub(crate) fn unpack(all: &[&[u8]]) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut zstd = None;
    let mut left = limits::BODY_BYTES_MAX;
    let mut unpacked = Vec::with_capacity(all.len());
    for definition in all {
        let mut reader = Reader::new(definition);
        let content = match reader.u8("kind of a definition")? {
            PLAIN => reader.take("definition", reader.left())?.to_vec(),
            ZSTD => {
                let length = reader.length("length of a definition", left)?;
                let frame = reader.take("definition", reader.left())?;
                unframe(&mut zstd, frame, length)?
            }
            kind => return Err(outside("kind of a definition", kind.into(), "0 or 1")),
        };
        let length = content.len();
        left = left.checked_sub(length).ok_or(outside("definitions", length, "4 MiB together"))?;
        unpacked.push(content);
    }
    Ok(unpacked)
}

fn unframe(
    zstd: &mut Option<zstd::bulk::Decompressor<'static>>,
    frame: &[u8],
    length: usize,
) -> Result<Vec<u8>, DecodeError> {
    let damaged = || outside("definition", length, "a zstd frame of the length before it");
    if zstd.is_none() {
        let mut made = zstd::bulk::Decompressor::new().map_err(|_| damaged())?;
        made.window_log_max(limits::ZSTD_WINDOW_LOG_MAX).map_err(|_| damaged())?;
        *zstd = Some(made);
    }
    let plain = zstd.as_mut().and_then(|zstd| zstd.decompress(frame, length).ok());
    plain.filter(|plain| plain.len() == length).ok_or_else(damaged)
}

fn outside(what: &'static str, value: usize, expected: &'static str) -> DecodeError {
    DecodeError::Value { what, value: value as u64, expected }
}
