//! Frames: what agent and node say to each other on a stream. `docs/wire.md` has the tables.
//!
//! A frame is a kind (one byte), a length (four bytes, little endian) and that many bytes. Control
//! frames are rmp-serde; a batch is opaque bytes behind a small fixed header, so that it is appended
//! and relayed without being opened. The first stream of a session carries `Hello` and `Welcome`;
//! then one stream per lane: `LaneHello`, `LaneState`, batches one way, acks the other. The first stream
//! stays open: `Probe` and `Alive` travel on it. From version 2 of the protocol on batches that follow one
//! another travel without what follows from the one before.

mod abbreviated;
mod acks;
mod coded;
mod definitions;
mod shelf;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::batch::Batch;
use crate::codec::{DecodeError, Reader};
use crate::entry::SentClock;
use crate::header::{Counts, VERSION_DEFINED, VERSION_FIELDS, VERSION_NUMBERED, VERSION_OLDEST};
use crate::identity::{BootId, Generation, Lane, LogId, Receipt, Tip};
use crate::ledger::Refusal;
use crate::limits;
use crate::position::{Check, Mark, Stream};

pub use abbreviated::{Abbreviated, LastBatch};
pub use acks::{AbbreviatedAck, LastAck};
pub use shelf::Shelf;

/// The TLS application protocol of agents.
pub const ALPN: &[u8] = b"headwater/1";
/// The oldest protocol version that this build speaks.
pub const PROTOCOL_OLDEST: u16 = 1;
/// The newest protocol version that this build speaks.
pub const PROTOCOL_NEWEST: u16 = 5;
/// The first protocol version in which batches travel abbreviated.
pub const PROTOCOL_ABBREVIATED: u16 = 2;
/// The first protocol version in which nodes read bodies of version 2, samples travel coded, and acks abbreviated.
pub const PROTOCOL_CODED: u16 = 3;
/// The first protocol version in which nodes read bodies of version 3.
pub const PROTOCOL_FIELDS: u16 = 4;
/// The first protocol version in which nodes read bodies of version 4, whose definitions travel once.
pub const PROTOCOL_DEFINED: u16 = 5;

/// The newest version of a batch's body that a node reads, by the protocol version of the session.
#[must_use]
pub fn body_version(protocol: u16) -> u8 {
    match protocol {
        PROTOCOL_DEFINED.. => VERSION_DEFINED,
        PROTOCOL_FIELDS => VERSION_FIELDS,
        PROTOCOL_CODED => VERSION_NUMBERED,
        _ => VERSION_OLDEST,
    }
}

/// Bytes of a frame's head: kind and length.
pub const FRAME_HEAD_BYTES: usize = 5;

/// Why a session was closed, as the code that QUIC carries.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum CloseCode {
    /// The side that closes is stopping.
    Stopping = 0,
    /// A frame that the protocol does not allow.
    Protocol = 1,
    /// No protocol version that both speak.
    Version = 2,
    /// A batch in another device's name.
    Identity = 3,
    /// A newer session of the same device took over.
    Replaced = 4,
    /// The node does not serve this device: its certificate was revoked.
    Revoked = 5,
    /// Too many sessions.
    Limit = 6,
    /// Two live hosts use the device's identity: neither is served until a person has decided.
    Cloned = 7,
}

impl CloseCode {
    /// The code that a number stands for, `None` for one that this build does not know.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        let codes = [
            Self::Stopping,
            Self::Protocol,
            Self::Version,
            Self::Identity,
            Self::Replaced,
            Self::Revoked,
            Self::Limit,
            Self::Cloned,
        ];
        codes.into_iter().find(|code| *code as u64 == number)
    }
}

/// The agent's first frame. Fields may be added; what is missing takes its default.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// The oldest protocol version that the agent speaks.
    pub protocol_oldest: u16,
    /// The newest one.
    pub protocol_newest: u16,
    /// The agent's build, for people.
    #[serde(default)]
    pub build: String,
    /// Random, drawn when the agent's process starts: tells a reconnect from a clone.
    pub session: u64,
    /// The device's name, for people.
    #[serde(default)]
    pub name: String,
    /// The boot of the host.
    pub boot: BootId,
    /// Static labels of the device.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The node's answer.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version of this session: the newest that both speak.
    pub protocol: u16,
    /// The node's build, for people.
    #[serde(default)]
    pub build: String,
    /// The node's name, for people.
    #[serde(default)]
    pub node: String,
    /// The node's clock, microseconds since 1970 UTC.
    pub wall_us: i64,
    /// Batches of one lane that may be on their way at once.
    pub in_flight: u16,
}

/// Opens a lane, or opens it again after a refusal.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LaneHello {
    /// The lane.
    pub lane: Lane,
    /// The agent's last receipt: a node that has not folded that far reads on before it answers.
    pub receipt: Option<Receipt>,
}

/// What the ledger knows of a lane: the agent goes on after it, or opens a new epoch on it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LaneState {
    /// The lane.
    pub lane: Lane,
    /// The last batch that was applied.
    pub tip: Tip,
    /// Everything up to the tip.
    pub totals: Counts,
    /// How far each stream was applied.
    pub streams: Vec<KnownStream>,
    /// Runs numbered at or below it may have been forgotten.
    pub horizon: u64,
    /// The highest run number that was ever applied.
    pub run_highest: u64,
    /// The log.
    pub log: LogId,
    /// Its generation.
    pub generation: Generation,
}

/// How far a stream was applied.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct KnownStream {
    /// The stream.
    pub stream: Stream,
    /// The end of what was applied.
    pub mark: Mark,
    /// The check at that end.
    pub check: Check,
}

/// Everything of a lane up to `tip` is applied and durable.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// The lane.
    pub lane: Lane,
    /// The last batch that was applied.
    pub tip: Tip,
    /// Where it was applied.
    pub receipt: Receipt,
}

/// What an agent's process answers to a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Alive {
    /// The probe that is answered.
    pub probe: u64,
    /// The process's own number, as in its hello.
    pub session: u64,
}

/// Why a node takes nothing right now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum BusyCause {
    /// Its disk is nearly full.
    Disk,
    /// Its buffers are full.
    Load,
    /// The device opened too many epochs within a day: the answer to a `LaneHello`.
    Unstable,
}

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// Agent to node, once per session.
    Hello(Hello),
    /// Node to agent, once per session.
    Welcome(Welcome),
    /// Agent to node, once per stream and again after each refusal.
    LaneHello(LaneHello),
    /// Node to agent.
    LaneState(LaneState),
    /// Agent to node.
    Batch {
        /// The device's clocks at sending.
        sent: SentClock,
        /// The batch.
        batch: Box<Batch>,
    },
    /// Agent to node: a batch that follows the one before on the stream.
    Next(Abbreviated),
    /// Node to agent.
    Ack(Ack),
    /// Node to agent: an ack of which little is new since the one before on the stream.
    NextAck(AbbreviatedAck),
    /// Node to agent: a batch was not applied. The node drops what comes until the next `LaneHello`.
    Refused(Refusal),
    /// Node to agent: nothing is taken until so many milliseconds have passed.
    Busy(BusyCause, u32),
    /// Node to agent: is this session's process alive? Random, so that no answer fits another probe.
    Probe(u64),
    /// Agent to node.
    Alive(Alive),
}

const KIND_HELLO: u8 = 1;
const KIND_WELCOME: u8 = 2;
const KIND_LANE_HELLO: u8 = 3;
const KIND_LANE_STATE: u8 = 4;
const KIND_BATCH: u8 = 5;
const KIND_ACK: u8 = 6;
const KIND_REFUSED: u8 = 7;
const KIND_BUSY: u8 = 8;
const KIND_PROBE: u8 = 9;
const KIND_ALIVE: u8 = 10;
const KIND_NEXT: u8 = 11;
const KIND_NEXT_ACK: u8 = 12;

/// A frame's head, checked: what kind, and how many bytes follow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameHead {
    kind: u8,
    length: usize,
}

impl FrameHead {
    /// Reads a head.
    ///
    /// # Errors
    /// `Value` for an unknown kind, and for a length above the kind's limit: before any memory is
    /// taken for it.
    pub fn parse(head: [u8; FRAME_HEAD_BYTES]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(&head);
        let kind = reader.u8("frame kind")?;
        let length = reader.u32("frame length")? as usize;
        let most = match kind {
            KIND_BATCH | KIND_NEXT => limits::BATCH_BYTES_MAX + SENT_BYTES,
            KIND_HELLO..=KIND_LANE_STATE | KIND_ACK..=KIND_ALIVE | KIND_NEXT_ACK => {
                limits::CONTROL_FRAME_BYTES_MAX
            }
            kind => {
                let (what, value) = ("frame kind", u64::from(kind));
                return Err(DecodeError::Value { what, value, expected: "1 to 12" });
            }
        };
        if length > most {
            let (what, value) = ("frame length", length as u64);
            return Err(DecodeError::Value { what, value, expected: "the limit of its kind" });
        }
        Ok(Self { kind, length })
    }

    /// Bytes that follow the head.
    #[must_use]
    pub fn length(self) -> usize {
        self.length
    }
}

/// Bytes of the clocks before a batch in its frame.
const SENT_BYTES: usize = 16;

impl Frame {
    /// The frame's bytes, head included.
    ///
    /// # Panics
    /// Never: control frames of numbers, bytes and text always have an encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, payload) = match self {
            Self::Hello(hello) => (KIND_HELLO, named(hello)),
            Self::Welcome(welcome) => (KIND_WELCOME, named(welcome)),
            Self::LaneHello(hello) => (KIND_LANE_HELLO, compact(hello)),
            Self::LaneState(state) => (KIND_LANE_STATE, compact(state)),
            Self::Batch { sent, batch } => return encode_batch(*sent, batch.bytes()),
            Self::Next(Abbreviated(bytes)) => (KIND_NEXT, bytes.clone()),
            Self::NextAck(AbbreviatedAck(bytes)) => (KIND_NEXT_ACK, bytes.clone()),
            Self::Ack(ack) => (KIND_ACK, compact(ack)),
            Self::Refused(refusal) => (KIND_REFUSED, compact(refusal)),
            Self::Busy(cause, wait_ms) => (KIND_BUSY, compact(&(*cause, *wait_ms))),
            Self::Probe(probe) => (KIND_PROBE, compact(probe)),
            Self::Alive(alive) => (KIND_ALIVE, compact(alive)),
        };
        let mut out = head(kind, payload.len());
        out.extend_from_slice(&payload);
        out
    }

    /// Reads what follows a head.
    ///
    /// # Errors
    /// For every malformed input.
    pub fn decode(head: FrameHead, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(match head.kind {
            KIND_HELLO => Self::Hello(control("hello", payload)?),
            KIND_WELCOME => Self::Welcome(control("welcome", payload)?),
            KIND_LANE_HELLO => Self::LaneHello(control("lane hello", payload)?),
            KIND_LANE_STATE => Self::LaneState(control("lane state", payload)?),
            KIND_ACK => Self::Ack(control("ack", payload)?),
            KIND_REFUSED => Self::Refused(control("refusal", payload)?),
            KIND_BUSY => {
                let (cause, wait_ms) = control("busy", payload)?;
                Self::Busy(cause, wait_ms)
            }
            KIND_PROBE => Self::Probe(control("probe", payload)?),
            KIND_ALIVE => Self::Alive(control("alive", payload)?),
            KIND_NEXT => Self::Next(Abbreviated(payload.to_vec())),
            KIND_NEXT_ACK => Self::NextAck(AbbreviatedAck(payload.to_vec())),
            _ => {
                let mut reader = Reader::new(payload);
                let wall_us = reader.i64("wall clock at sending")?;
                let mono_us = reader.u64("monotonic clock at sending")?;
                let sent = SentClock { wall_us, mono_us, boot: BootId::default() };
                let batch = reader.take("batch", reader.left())?.to_vec();
                Self::Batch { sent, batch: Box::new(Batch::parse(batch)?) }
            }
        })
    }
}

/// The bytes of a batch's frame, for a batch that was never parsed, such as a row of the spool.
///
/// # Panics
/// If the batch is larger than a batch may be: a caller's mistake.
#[must_use]
pub fn encode_batch(sent: SentClock, batch: &[u8]) -> Vec<u8> {
    assert!(batch.len() <= limits::BATCH_BYTES_MAX, "a batch above the limit is never sealed");
    let mut out = head(KIND_BATCH, batch.len() + SENT_BYTES);
    out.extend_from_slice(&sent.wall_us.to_le_bytes());
    out.extend_from_slice(&sent.mono_us.to_le_bytes());
    out.extend_from_slice(batch);
    out
}

fn head(kind: u8, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(FRAME_HEAD_BYTES + length);
    out.push(kind);
    let length = u32::try_from(length).expect("a frame is far below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out
}

fn named(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("a control frame always has an encoding")
}

fn compact(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec(value).expect("a control frame always has an encoding")
}

fn control<T: DeserializeOwned>(what: &'static str, payload: &[u8]) -> Result<T, DecodeError> {
    rmp_serde::from_slice(payload).map_err(|_| DecodeError::Value {
        what,
        value: payload.len() as u64,
        expected: "a frame of this kind",
    })
}

/// The version of a session: the newest that both speak.
///
/// # Errors
/// `Version` if there is none.
pub fn negotiate(hello: &Hello) -> Result<u16, DecodeError> {
    let newest = hello.protocol_newest.min(PROTOCOL_NEWEST);
    if newest < hello.protocol_oldest.max(PROTOCOL_OLDEST) {
        let found = u8::try_from(hello.protocol_oldest).unwrap_or(u8::MAX);
        let newest = u8::try_from(PROTOCOL_NEWEST).unwrap_or(u8::MAX);
        return Err(DecodeError::Version { what: "protocol", found, newest });
    }
    Ok(newest)
}
