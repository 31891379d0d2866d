//! Definitions as they travel: each once a session, and then by its place among those that were told.
//!
//! Both ends remember, from one hello of a lane to the next, the definitions of the batches that went over the stream, the
//! newest `DEFINITIONS_MAX` of at most `DEFINITIONS_BYTES_MAX`. The node puts the body together that was sealed, byte for byte,
//! before anything else looks at it.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use zstd::zstd_safe::{DCtx, DParameter};

use super::shelf::Shelf;
use crate::body::definitions;
use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::header::{Codec, Packing};
use crate::limits::{
    BATCH_BYTES_MAX, DEFINITION_BYTES_MAX, DEFINITIONS_BYTES_MAX, DEFINITIONS_MAX,
    DEFINITIONS_PER_BATCH_MAX, ECHOED_BYTES_MAX, ECHOES_BYTES_MAX, ZSTD_WINDOW_LOG_MAX,
};

/// Definitions that both ends know.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// The oldest first.
    all: VecDeque<Arc<[u8]>>,
    /// Each with its number, in the order in which they were told.
    numbers: BTreeMap<Arc<[u8]>, u64>,
    /// The number of the next one.
    next: u64,
    bytes: usize,
    /// What else was in the last bodies, of those that were small and not packed.
    echoes: Vec<u8>,
    /// What it shares with other sessions.
    shelf: Option<Arc<Shelf>>,
}

/// Follows as it is.
const AS_IT_IS: u8 = 0;
/// A zstd frame follows, without the four bytes with which each begins; what it refers to are the echoes.
const ECHOED: u8 = 1;
/// The bytes with which each zstd frame begins.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Little bodies: the level takes little time.
const LEVEL: i32 = 6;

impl Told {
    /// Nothing is known yet. Definitions are shared by all who have the shelf.
    pub(super) fn new(shelf: Option<Arc<Shelf>>) -> Self {
        Self { shelf, ..Self::default() }
    }

    /// Nothing is known any more.
    pub(super) fn anew(&self) -> Self {
        Self::new(self.shelf.clone())
    }

    /// A complete batch was sent, or came.
    pub(super) fn note(&mut self, packing: Packing, body: &[u8]) {
        let mut reader = Reader::new(body);
        // What is no body is found out by whoever opens it.
        for definition in definitions::take(&mut reader).unwrap_or_default() {
            if !self.numbers.contains_key(definition) {
                self.remember(definition);
            }
        }
        let rest = reader.take("body", reader.left()).unwrap_or_default();
        if is_echoed(packing, rest.len()) {
            self.echo(rest);
        }
    }

    /// The body as it travels; `None` if it travels as it is.
    pub(super) fn code(&mut self, packing: Packing, body: &[u8]) -> Option<Vec<u8>> {
        let mut reader = Reader::new(body);
        let all = definitions::take(&mut reader).ok()?;
        let rest = reader.take("body", reader.left()).ok()?;
        let mut out = Vec::with_capacity(rest.len() + 64);
        put_varint(&mut out, all.len() as u64);
        for definition in all {
            match self.numbers.get(definition) {
                Some(number) => put_varint(&mut out, self.next - number),
                None => {
                    put_varint(&mut out, 0);
                    put_bytes(&mut out, definition);
                    self.remember(definition);
                }
            }
        }
        if is_echoed(packing, rest.len()) {
            let frame = self.squeeze(rest);
            self.echo(rest);
            if let Some(frame) = frame.filter(|frame| frame.len() < rest.len()) {
                out.push(ECHOED);
                out.extend_from_slice(&frame);
                return Some(out);
            }
        }
        out.push(AS_IT_IS);
        out.extend_from_slice(rest);
        Some(out)
    }

    /// The body of bytes that travelled.
    ///
    /// # Errors
    /// For every malformed input.
    pub(super) fn decode(
        &mut self,
        packing: Packing,
        coded: &[u8],
    ) -> Result<Vec<u8>, DecodeError> {
        let mut reader = Reader::new(coded);
        let count = reader.length("count of definitions", DEFINITIONS_PER_BATCH_MAX)?;
        let mut all = Vec::with_capacity(count.min(reader.left()));
        let mut length = 0;
        for _ in 0..count {
            let back = reader.length("place of a definition", self.all.len())?;
            let definition = match self.all.len().checked_sub(back).filter(|_| back > 0) {
                Some(place) => Arc::clone(&self.all[place]),
                None => {
                    let definition = reader.bytes("definition", DEFINITION_BYTES_MAX)?;
                    match self.numbers.get_key_value(definition) {
                        Some((known, _)) => Arc::clone(known),
                        None => self.remember(definition),
                    }
                }
            };
            length += definition.len();
            if length > BATCH_BYTES_MAX {
                return Err(outside("definitions", length, "at most 2 MiB"));
            }
            all.push(definition);
        }
        let kind = reader.u8("kind of a body")?;
        let rest = reader.take("body", reader.left())?;
        let rest = match kind {
            AS_IT_IS => Cow::Borrowed(rest),
            ECHOED => Cow::Owned(self.stretch(rest)?),
            kind => return Err(outside("kind of a body", kind.into(), "0 or 1")),
        };
        if is_echoed(packing, rest.len()) {
            self.echo(&rest);
        }
        let mut body = Vec::with_capacity(length + 3 * count + rest.len() + 3);
        definitions::put(&mut body, all.iter().map(AsRef::as_ref));
        body.extend_from_slice(&rest);
        Ok(body)
    }

    fn squeeze(&self, rest: &[u8]) -> Option<Vec<u8>> {
        let mut zstd = zstd::bulk::Compressor::new(LEVEL).ok()?;
        zstd.context_mut().ref_prefix(&self.echoes).ok()?;
        let frame = zstd.compress(rest).ok()?;
        let frame = frame.strip_prefix(&MAGIC)?;
        // What the node will make of it, before it is relied on.
        let is_same = self.stretch(frame).is_ok_and(|again| again == rest);
        debug_assert!(is_same, "a body comes back as it was");
        is_same.then(|| frame.to_vec())
    }

    fn stretch(&self, frame: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let what = "body";
        let damaged =
            || outside(what, frame.len(), "a zstd frame of what is like the bodies before");
        let frame = [&MAGIC, frame].concat();
        let mut zstd = DCtx::create();
        zstd.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(|_| damaged())?;
        zstd.ref_prefix(&self.echoes).map_err(|_| damaged())?;
        let mut rest = Vec::with_capacity(ECHOED_BYTES_MAX);
        zstd.decompress(&mut rest, &frame).map_err(|_| damaged())?;
        Ok(rest)
    }

    fn echo(&mut self, rest: &[u8]) {
        self.echoes.extend_from_slice(rest);
        let over = self.echoes.len().saturating_sub(ECHOES_BYTES_MAX);
        self.echoes.drain(..over);
    }

    fn remember(&mut self, definition: &[u8]) -> Arc<[u8]> {
        let shared = self.shelf.as_ref().map(|shelf| shelf.shared(definition));
        let definition = shared.unwrap_or_else(|| definition.into());
        self.bytes += definition.len();
        self.all.push_back(Arc::clone(&definition));
        self.numbers.insert(Arc::clone(&definition), self.next);
        self.next += 1;
        while self.bytes > DEFINITIONS_BYTES_MAX || self.all.len() > DEFINITIONS_MAX {
            let Some(oldest) = self.all.pop_front() else { break };
            self.numbers.remove(&oldest);
            self.bytes -= oldest.len();
        }
        definition
    }
}

/// Whether what is not definitions is remembered, and may travel by what is like it.
fn is_echoed(packing: Packing, rest: usize) -> bool {
    packing.codec == Codec::Plain && rest <= ECHOED_BYTES_MAX
}

fn outside(what: &'static str, value: usize, expected: &'static str) -> DecodeError {
    DecodeError::Value { what, value: value as u64, expected }
}
