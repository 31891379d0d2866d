//! A snapshot: a shard's ledger at an offset, with the identity of the entry that it ends at.
//!
//! A cache of the fold, never the truth: it is used only after its tip was found in the log.
//! `docs/log.md` has the byte table.

use serde::{Deserialize, Serialize};

use super::shard::ShardLedger;
use crate::codec::{DecodeError, Reader};
use crate::identity::{Generation, LogId, Offset};

/// The newest snapshot version, the one that is written.
const VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"HWSN";

/// The entry that a state ends at: it must be found in the log again before the state is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LogTip {
    /// The entry's offset.
    pub offset: Offset,
    /// The generation that the entry names.
    pub generation: Generation,
    /// The identity of the log up to and including the entry: `entry::identity`.
    pub identity: [u8; 32],
}

/// A shard's state at an offset.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// The log it was made from.
    pub log: LogId,
    /// The entry it ends at; `None` for an empty log.
    pub tip: Option<LogTip>,
    /// The state.
    pub ledger: ShardLedger,
}

impl Snapshot {
    /// The snapshot's bytes: magic, version, log, tip, state, and a BLAKE3 hash of all of it.
    ///
    /// # Panics
    /// Never: a state of numbers, bytes and maps always has an encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        out.extend_from_slice(&self.log.0);
        out.push(u8::from(self.tip.is_some()));
        if let Some(tip) = self.tip {
            out.extend_from_slice(&tip.offset.0.to_le_bytes());
            out.extend_from_slice(&tip.generation.0.to_le_bytes());
            out.extend_from_slice(&tip.identity);
        }
        rmp_serde::encode::write(&mut out, &self.ledger).expect("a ledger always has an encoding");
        let hash = blake3::hash(&out);
        out.extend_from_slice(hash.as_bytes());
        out
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// For every malformed input. A snapshot that can't be read is ignored: an older one, or the
    /// log itself, gives the same state.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let what = "snapshot";
        let (body, hash) = bytes.split_last_chunk::<32>().ok_or(DecodeError::Short {
            what,
            needed: 32,
            left: bytes.len(),
        })?;
        if blake3::hash(body).as_bytes() != hash {
            return Err(DecodeError::Digest { what });
        }
        let mut reader = Reader::new(body);
        if reader.array("snapshot magic")? != MAGIC {
            return Err(DecodeError::Value { what, value: 0, expected: "the magic of a snapshot" });
        }
        let version = reader.u8("snapshot version")?;
        if version != VERSION {
            return Err(DecodeError::Version { what, found: version, newest: VERSION });
        }
        let log = LogId(reader.array("snapshot log")?);
        let tip = match reader.u8("snapshot tip")? {
            0 => None,
            _ => Some(LogTip {
                offset: Offset(reader.u64("tip offset")?),
                generation: Generation(reader.u64("tip generation")?),
                identity: reader.array("tip identity")?,
            }),
        };
        let state = reader.take(what, reader.left())?;
        let ledger = rmp_serde::from_slice(state).map_err(|_| DecodeError::Value {
            what,
            value: 0,
            expected: "the state of a shard",
        })?;
        Ok(Self { log, tip, ledger })
    }
}
