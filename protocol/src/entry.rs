//! The log entry: what a node appends, as bytes. `docs/log.md` has the table.

use crate::batch::Batch;
use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::identity::{BootId, Generation, NodeId};
use crate::limits;

/// The newest entry version, the one that is written. Version 1 had no boot beside the clocks at sending.
pub const VERSION: u8 = 2;

const KIND_BATCH: u8 = 1;
const KIND_TICK: u8 = 2;
const KIND_CONTROL: u8 = 3;

const CONTROL_GENERATION: u8 = 1;
const CONTROL_RULES: u8 = 2;
const CONTROL_WINDOWS: u8 = 3;
const CONTROL_QUANTILES: u8 = 4;

/// One entry of a shard's log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// The node that appended it.
    pub appender: NodeId,
    /// That node's clock: microseconds since 1970 UTC. The fold takes the latest stamp so far.
    pub stamp_us: i64,
    /// The log's generation, as the appender knew it.
    pub generation: Generation,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum EntryKind {
    /// A batch, as it came.
    Batch {
        /// The device's clock when it sent the batch, by which its offset is measured.
        sent: SentClock,
        /// The batch.
        batch: Box<Batch>,
    },
    /// Nothing but time: appended when nothing else was.
    Tick,
    /// A change that every node makes at this place.
    Control(Control),
}

/// The device's clocks when a frame was sent: a backlog is not a skew.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SentClock {
    /// Microseconds since 1970 UTC.
    pub wall_us: i64,
    /// Microseconds since the boot.
    pub mono_us: u64,
    /// The boot that `mono_us` counts from, as the session's hello says: a frame does not carry it.
    /// Zeros where it is not known.
    pub boot: BootId,
}

/// A change that every node makes at one place of the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Control {
    /// The log lost a tail: its generation is at least this.
    Generation(Generation),
    /// The fold goes by rules of this version from here on.
    Rules(u32),
    /// Samples are added up like this from a window on.
    Windows(WindowRules),
}

/// How samples are added up: one version of it. The fold applies a version that is above its own and
/// ignores every other, so that two nodes may append the same one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WindowRules {
    /// Grows by one with each change; the first is 1.
    pub version: u64,
    /// The start of the first window that it holds for, microseconds since 1970 UTC; windows before it
    /// keep the version before. The first version holds for every window.
    pub from_us: i64,
    /// How long a window is, in microseconds: the same in every version.
    pub length_us: u64,
    /// How long after its end a window waits for what is late, in microseconds.
    pub lateness_us: u64,
    /// Keys of one combination in one window; what is beyond goes to the key `other`.
    pub keys_max: u32,
    /// The combinations: names of labels, each list in its own order.
    pub combinations: Vec<Vec<String>>,
    /// Those of the combinations whose quantiles are kept, too.
    pub quantiles: Vec<Vec<String>>,
}

impl Entry {
    /// The entry's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.push(VERSION);
        out.push(match self.kind {
            EntryKind::Batch { .. } => KIND_BATCH,
            EntryKind::Tick => KIND_TICK,
            EntryKind::Control(_) => KIND_CONTROL,
        });
        out.extend_from_slice(&self.appender.0);
        out.extend_from_slice(&self.stamp_us.to_le_bytes());
        out.extend_from_slice(&self.generation.0.to_le_bytes());
        match &self.kind {
            EntryKind::Batch { sent, batch } => {
                out.reserve(batch.bytes().len() + 16);
                out.extend_from_slice(&sent.wall_us.to_le_bytes());
                out.extend_from_slice(&sent.mono_us.to_le_bytes());
                out.extend_from_slice(&sent.boot.0);
                out.extend_from_slice(batch.bytes());
            }
            EntryKind::Tick => {}
            EntryKind::Control(Control::Generation(generation)) => {
                out.push(CONTROL_GENERATION);
                out.extend_from_slice(&generation.0.to_le_bytes());
            }
            EntryKind::Control(Control::Rules(version)) => {
                out.push(CONTROL_RULES);
                out.extend_from_slice(&version.to_le_bytes());
            }
            EntryKind::Control(Control::Windows(rules)) if rules.quantiles.is_empty() => {
                out.push(CONTROL_WINDOWS);
                rules.encode(&mut out);
            }
            EntryKind::Control(Control::Windows(rules)) => {
                out.push(CONTROL_QUANTILES);
                rules.encode(&mut out);
                rules.encode_quantiles(&mut out);
            }
        }
        out
    }

    /// Reads an entry.
    ///
    /// # Errors
    /// For every malformed input. An unknown version or kind stops the shard: it is from a newer
    /// build, and to skip it would be to fold another log.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("entry version")?;
        if !(1..=VERSION).contains(&version) {
            return Err(DecodeError::Version { what: "entry", found: version, newest: VERSION });
        }
        let kind = reader.u8("entry kind")?;
        let appender = NodeId(reader.array("appender")?);
        let stamp_us = reader.i64("stamp")?;
        let generation = Generation(reader.u64("generation")?);
        let kind = match kind {
            KIND_BATCH => {
                let wall_us = reader.i64("wall clock at sending")?;
                let mono_us = reader.u64("monotonic clock at sending")?;
                let boot = match version {
                    1 => BootId::default(),
                    _ => BootId(reader.array("boot at sending")?),
                };
                let sent = SentClock { wall_us, mono_us, boot };
                let batch = reader.take("batch", reader.left())?.to_vec();
                EntryKind::Batch { sent, batch: Box::new(Batch::parse(batch)?) }
            }
            KIND_TICK => EntryKind::Tick,
            KIND_CONTROL => EntryKind::Control(decode_control(&mut reader)?),
            kind => {
                let (what, value) = ("entry kind", u64::from(kind));
                return Err(DecodeError::Value { what, value, expected: "1 to 3" });
            }
        };
        reader.finish("entry")?;
        Ok(Self { appender, stamp_us, generation, kind })
    }
}

fn decode_control(reader: &mut Reader<'_>) -> Result<Control, DecodeError> {
    match reader.u8("control kind")? {
        CONTROL_GENERATION => Ok(Control::Generation(Generation(reader.u64("generation")?))),
        CONTROL_RULES => Ok(Control::Rules(reader.u32("rules version")?)),
        CONTROL_WINDOWS => Ok(Control::Windows(WindowRules::decode(reader)?)),
        CONTROL_QUANTILES => {
            let mut rules = WindowRules::decode(reader)?;
            rules.decode_quantiles(reader)?;
            Ok(Control::Windows(rules))
        }
        kind => {
            let (what, value) = ("control kind", u64::from(kind));
            Err(DecodeError::Value { what, value, expected: "1 to 4" })
        }
    }
}

impl WindowRules {
    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.from_us.to_le_bytes());
        out.extend_from_slice(&self.length_us.to_le_bytes());
        out.extend_from_slice(&self.lateness_us.to_le_bytes());
        out.extend_from_slice(&self.keys_max.to_le_bytes());
        encode_lists(&self.combinations, out);
    }

    /// Appends the combinations whose quantiles are kept, which `encode` leaves out.
    pub fn encode_quantiles(&self, out: &mut Vec<u8>) {
        encode_lists(&self.quantiles, out);
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// For every malformed input.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (version, from_us) = (reader.u64("window rules version")?, reader.i64("window start")?);
        let (length_us, lateness_us) = (reader.u64("window length")?, reader.u64("lateness")?);
        let most = limits::WINDOW_US_MAX;
        if length_us == 0 || length_us > most || lateness_us > most {
            let (what, value) = ("window length or lateness", length_us.max(lateness_us));
            return Err(DecodeError::Value { what, value, expected: "at most one hour" });
        }
        let keys_max = reader.u32("keys of a combination")?;
        let combinations = decode_lists(reader)?;
        let quantiles = Vec::new();
        Ok(Self { version, from_us, length_us, lateness_us, keys_max, combinations, quantiles })
    }

    /// Reads the combinations whose quantiles are kept.
    ///
    /// # Errors
    /// For every malformed input.
    pub fn decode_quantiles(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.quantiles = decode_lists(reader)?;
        Ok(())
    }
}

fn encode_lists(lists: &[Vec<String>], out: &mut Vec<u8>) {
    put_varint(out, lists.len() as u64);
    for labels in lists {
        put_varint(out, labels.len() as u64);
        labels.iter().for_each(|label| put_bytes(out, label.as_bytes()));
    }
}

fn decode_lists(reader: &mut Reader<'_>) -> Result<Vec<Vec<String>>, DecodeError> {
    let count = reader.length("count of combinations", limits::COMBINATIONS_MAX)?;
    let mut lists = Vec::with_capacity(count);
    for _ in 0..count {
        let count = reader.length("labels of a combination", limits::LABELS_MAX)?;
        let labels = (0..count).map(|_| reader.text("label", limits::TEXT_BYTES_MAX));
        lists.push(labels.collect::<Result<_, _>>()?);
    }
    Ok(lists)
}

/// The identity of a log up to and including an entry, by which a tip is looked up again:
/// `BLAKE3(identity before, entry)`, from 32 zero bytes on. A log without identities of its own keeps
/// it beside each entry.
///
/// It covers everything before, because one entry may be appended twice: a tail that was lost and grew
/// again can hold the same bytes at the same offset on top of others.
#[must_use]
pub fn identity(before: &[u8; 32], entry: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before).update(entry);
    *hasher.finalize().as_bytes()
}
