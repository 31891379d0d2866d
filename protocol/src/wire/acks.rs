//! Abbreviated acks: of an ack only what is new since the one before on the same stream.
//!
//! Acks of a lane are of one epoch and one shard of one log, but for a few: seq and offset grew, the digest is
//! another. The digest travels whole, so that an ack releases nothing but what it names. Both ends begin anew with
//! every `LaneState`.

use crate::codec::{DecodeError, Reader, put_zigzag};
use crate::identity::{Digest, Offset};
use crate::wire::Ack;

/// An ack as it travels, without what is as in the one before.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AbbreviatedAck(pub(super) Vec<u8>);

/// The last ack on a lane's stream: what the next one is abbreviated by, and completed.
#[derive(Clone, Copy, Debug, Default)]
pub struct LastAck(Option<Ack>);

impl LastAck {
    /// The lane's state was told: the next ack is complete.
    pub fn forget(&mut self) {
        self.0 = None;
    }

    /// A complete ack came.
    pub fn note(&mut self, ack: Ack) {
        self.0 = Some(ack);
    }

    /// Abbreviates an ack that is to be sent; `None` if more of it is new, and it is sent complete. Either way it is
    /// the last one from now on.
    pub fn abbreviate(&mut self, ack: Ack) -> Option<AbbreviatedAck> {
        let last = self.0.replace(ack)?;
        let same = (last.lane, last.tip.epoch, last.receipt.log, last.receipt.generation);
        let is_same = same == (ack.lane, ack.tip.epoch, ack.receipt.log, ack.receipt.generation);
        if !is_same || last.receipt.shard != ack.receipt.shard {
            return None;
        }
        let mut out = Vec::with_capacity(40);
        let grown = |now: u64, before: u64| now.wrapping_sub(before).cast_signed();
        put_zigzag(&mut out, grown(ack.tip.seq, last.tip.seq));
        put_zigzag(&mut out, grown(ack.receipt.offset.0, last.receipt.offset.0));
        out.extend_from_slice(&ack.tip.digest.0);
        Some(AbbreviatedAck(out))
    }

    /// Completes an ack that came, which is the last one from now on.
    ///
    /// # Errors
    /// For every malformed input, and for an ack that follows no other.
    pub fn complete(&mut self, next: &AbbreviatedAck) -> Result<Ack, DecodeError> {
        let (what, expected) = ("abbreviated ack", "an ack before it on the stream");
        let mut ack = self.0.ok_or(DecodeError::Value { what, value: 0, expected })?;
        let mut reader = Reader::new(&next.0);
        let grown = |by: i64, before: u64| before.wrapping_add(by.cast_unsigned());
        ack.tip.seq = grown(reader.zigzag("seq of an ack")?, ack.tip.seq);
        let offset = grown(reader.zigzag("offset of an ack")?, ack.receipt.offset.0);
        ack.receipt.offset = Offset(offset);
        ack.tip.digest = Digest(reader.array("digest of an ack")?);
        reader.finish(what)?;
        self.0 = Some(ack);
        Ok(ack)
    }
}
