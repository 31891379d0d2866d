//! The batch header: everything that may be judged without opening the body.
//!
//! `docs/wire.md` has the byte table. A header is complete: whoever reads one entry of the log needs
//! no other one to know whose it is, what it covers and where it belongs in its chain.

use crate::codec::{DecodeError, Reader, put_varint};
use crate::identity::{BootId, DeviceId, Digest, Epoch, Lane, Seq, Tip};
use crate::limits;
use crate::position::{Check, Mark, Run, SourceId, Span, Stream};

/// The oldest version of batches and their bodies, which every node reads.
pub const VERSION_OLDEST: u8 = 1;
/// Names by number what every build knows. Bodies without lines have this version at most.
pub const VERSION_NUMBERED: u8 = 2;
/// Takes lines apart.
pub const VERSION_FIELDS: u8 = 3;
/// Keeps what lines have in common, and what files are, in pieces that travel once a session.
pub const VERSION_DEFINED: u8 = 4;
/// The newest version. It is written for nodes that read it.
pub const VERSION_NEWEST: u8 = VERSION_DEFINED;

const FLAG_FIRST: u8 = 1;
const FLAG_REKEYED: u8 = 2;

/// What a batch is, apart from its records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// The device, which must be the one that the certificate names.
    pub device: DeviceId,
    /// The lane.
    pub lane: Lane,
    /// The epoch.
    pub epoch: Epoch,
    /// The place in the epoch.
    pub seq: Seq,
    /// The state that the epoch was opened on: `Some` in the first batch of an epoch and only there.
    pub parent: Option<Tip>,
    /// Whether the body can be decoded without lane state.
    pub rekeyed: bool,
    /// The lane state that the body needs or, if it re-keys, starts.
    pub lane_state: u64,
    /// The device's clocks when the batch was sealed.
    pub clock: Clock,
    /// What is in the batch.
    pub counts: Counts,
    /// What is in the lane up to and including this batch, over all epochs.
    pub totals: Counts,
    /// What the batch covers of each stream, in order of streams.
    pub spans: Vec<Span>,
    /// How the body is packed.
    pub packing: Packing,
}

/// The device's clocks at one moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Clock {
    /// Microseconds since 1970 UTC, right or wrong.
    pub wall_us: i64,
    /// The boot that `mono_us` counts from.
    pub boot: BootId,
    /// Microseconds since the boot.
    pub mono_us: u64,
}

/// Numbers that add up: read = `records` + `gap_records`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Records, samples counted one by one.
    pub records: u64,
    /// Gaps.
    pub gaps: u64,
    /// Records that had been read, and that gaps stand for.
    pub gap_records: u64,
    /// Bytes that were gone before they could be read.
    pub gap_bytes: u64,
}

impl Counts {
    /// Records that were read.
    #[must_use]
    pub fn read(self) -> u64 {
        self.records.saturating_add(self.gap_records)
    }

    /// Both together. Saturating: hostile totals may not panic, and never add up.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_add(other.records),
            gaps: self.gaps.saturating_add(other.gaps),
            gap_records: self.gap_records.saturating_add(other.gap_records),
            gap_bytes: self.gap_bytes.saturating_add(other.gap_bytes),
        }
    }

    fn encode(self, out: &mut Vec<u8>) {
        for number in [self.records, self.gaps, self.gap_records, self.gap_bytes] {
            put_varint(out, number);
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            records: reader.varint("count of records")?,
            gaps: reader.varint("count of gaps")?,
            gap_records: reader.varint("count of gap records")?,
            gap_bytes: reader.varint("count of gap bytes")?,
        })
    }
}

/// How a body is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packing {
    /// The version of the body, which is the version of the batch as well: who does not know it may not take
    /// the batch.
    pub version: u8,
    /// The encoding.
    pub codec: Codec,
    /// Bytes as they travel.
    pub packed: u32,
    /// Bytes once unpacked.
    pub unpacked: u32,
}

/// The encoding of a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Codec {
    /// Plain columns.
    Plain,
    /// Plain columns in one zstd frame; from version 3 on all but the last section, which nothing makes smaller.
    Zstd,
}

impl Codec {
    fn code(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Zstd => 1,
        }
    }
}

impl Header {
    /// The state of the chain once this batch is in it.
    #[must_use]
    pub fn tip(&self, digest: Digest) -> Tip {
        Tip { epoch: self.epoch, seq: self.seq.number(), digest }
    }

    /// Appends the header's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.packing.version);
        let first = if self.parent.is_some() { FLAG_FIRST } else { 0 };
        out.push(first | if self.rekeyed { FLAG_REKEYED } else { 0 });
        out.push(self.lane.code());
        out.push(self.packing.codec.code());
        out.extend_from_slice(&self.device.0);
        out.extend_from_slice(&self.epoch.0);
        out.extend_from_slice(&self.seq.number().to_le_bytes());
        if let Some(parent) = self.parent {
            out.extend_from_slice(&parent.epoch.0);
            out.extend_from_slice(&parent.seq.to_le_bytes());
            out.extend_from_slice(&parent.digest.0);
        }
        out.extend_from_slice(&self.lane_state.to_le_bytes());
        out.extend_from_slice(&self.clock.wall_us.to_le_bytes());
        out.extend_from_slice(&self.clock.boot.0);
        out.extend_from_slice(&self.clock.mono_us.to_le_bytes());
        self.counts.encode(out);
        self.totals.encode(out);
        put_varint(out, self.spans.len() as u64);
        for span in &self.spans {
            encode_span(span, out);
        }
        out.extend_from_slice(&self.packing.packed.to_le_bytes());
        out.extend_from_slice(&self.packing.unpacked.to_le_bytes());
    }

    /// Reads a header.
    ///
    /// # Errors
    /// For every malformed input; `Version` for one from the future.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.u8("batch version")?;
        if !(VERSION_OLDEST..=VERSION_NEWEST).contains(&version) {
            let what = "batch";
            return Err(DecodeError::Version { what, found: version, newest: VERSION_NEWEST });
        }
        let flags = reader.u8("batch flags")?;
        if flags & !(FLAG_FIRST | FLAG_REKEYED) != 0 {
            return Err(out_of("batch flags", flags, "known flags"));
        }
        let lane = reader.u8("lane")?;
        let lane = Lane::from_code(lane).ok_or(out_of("lane", lane, "0 or 1"))?;
        let codec = match reader.u8("codec")? {
            0 => Codec::Plain,
            1 => Codec::Zstd,
            code => return Err(out_of("codec", code, "0 or 1")),
        };
        let device = DeviceId(reader.array("device")?);
        let epoch = Epoch(reader.array("epoch")?);
        let seq = Seq::new(reader.u64("seq")?).ok_or(out_of("seq", 0, "1 or more"))?;
        let parent = (flags & FLAG_FIRST != 0).then(|| decode_tip(reader)).transpose()?;
        if parent.is_some() != (seq == Seq::FIRST) {
            return Err(out_of("batch flags", flags, "a parent in the first batch alone"));
        }
        let lane_state = reader.u64("lane state")?;
        let clock = Clock {
            wall_us: reader.i64("wall clock")?,
            boot: BootId(reader.array("boot id")?),
            mono_us: reader.u64("monotonic clock")?,
        };
        let counts = Counts::decode(reader)?;
        let totals = Counts::decode(reader)?;
        let spans = decode_spans(reader)?;
        let packing = decode_packing((version, codec), reader)?;
        let rekeyed = flags & FLAG_REKEYED != 0;
        Ok(Self {
            device,
            lane,
            epoch,
            seq,
            parent,
            rekeyed,
            lane_state,
            clock,
            counts,
            totals,
            spans,
            packing,
        })
    }
}

fn out_of(what: &'static str, value: u8, expected: &'static str) -> DecodeError {
    DecodeError::Value { what, value: u64::from(value), expected }
}

fn decode_tip(reader: &mut Reader<'_>) -> Result<Tip, DecodeError> {
    Ok(Tip {
        epoch: Epoch(reader.array("parent epoch")?),
        seq: reader.u64("parent seq")?,
        digest: Digest(reader.array("parent digest")?),
    })
}

fn decode_packing(
    (version, codec): (u8, Codec),
    reader: &mut Reader<'_>,
) -> Result<Packing, DecodeError> {
    let packed = reader.u32("packed length")?;
    let unpacked = reader.u32("unpacked length")?;
    if packed as usize > limits::BATCH_BYTES_MAX || unpacked as usize > limits::BODY_BYTES_MAX {
        let (what, value) = ("body length", u64::from(packed.max(unpacked)));
        return Err(DecodeError::Value { what, value, expected: "2 MiB packed, 4 MiB unpacked" });
    }
    Ok(Packing { version, codec, packed, unpacked })
}

/// Appends a span's bytes.
pub(crate) fn encode_span(span: &Span, out: &mut Vec<u8>) {
    encode_stream(span.stream, out);
    put_varint(out, span.start.position);
    put_varint(out, span.start.records);
    encode_end(span, out);
}

/// Appends what of a span is not its stream and its start.
pub(crate) fn encode_end(span: &Span, out: &mut Vec<u8>) {
    put_varint(out, span.end.position - span.start.position);
    put_varint(out, span.end.records - span.start.records);
    out.extend_from_slice(&span.check.0.to_le_bytes());
}

/// Appends a stream's bytes: source, run number, nonce.
pub(crate) fn encode_stream(stream: Stream, out: &mut Vec<u8>) {
    out.extend_from_slice(&stream.source.0);
    put_varint(out, stream.run.number);
    out.extend_from_slice(&stream.run.nonce.to_le_bytes());
}

/// Reads a stream.
pub(crate) fn decode_stream(reader: &mut Reader<'_>) -> Result<Stream, DecodeError> {
    let source = SourceId(reader.array("source")?);
    let number = reader.varint("run number")?;
    Ok(Stream { source, run: Run { number, nonce: reader.u64("run nonce")? } })
}

fn decode_spans(reader: &mut Reader<'_>) -> Result<Vec<Span>, DecodeError> {
    let count = reader.length("count of spans", limits::SPANS_PER_BATCH_MAX)?;
    let mut spans: Vec<Span> = Vec::with_capacity(count);
    for _ in 0..count {
        let span = decode_span(reader)?;
        if spans.last().is_some_and(|last| last.stream >= span.stream) {
            return Err(out_of("spans", 0, "ascending order of streams"));
        }
        spans.push(span);
    }
    Ok(spans)
}

/// Reads a span.
pub(crate) fn decode_span(reader: &mut Reader<'_>) -> Result<Span, DecodeError> {
    let stream = decode_stream(reader)?;
    let start =
        Mark { position: reader.varint("span start")?, records: reader.varint("span records")? };
    let end = decode_end(start, reader)?;
    Ok(Span { stream, start, end, check: Check(reader.u64("span check")?) })
}

/// Reads the end of a span from its length and its number of records.
pub(crate) fn decode_end(start: Mark, reader: &mut Reader<'_>) -> Result<Mark, DecodeError> {
    Ok(Mark {
        position: grown("span length", start.position, reader)?,
        records: grown("span count", start.records, reader)?,
    })
}

fn grown(what: &'static str, from: u64, reader: &mut Reader<'_>) -> Result<u64, DecodeError> {
    let by = reader.varint(what)?;
    from.checked_add(by).ok_or(DecodeError::Value { what, value: by, expected: "a sum below 2^64" })
}
