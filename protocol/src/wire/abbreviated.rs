//! Abbreviated batches: of the header only what does not follow from the batch before on the same stream.
//!
//! Most batches of a lane follow the one before: same device, epoch and boot, the next seq, streams that go
//! on where they ended, totals that grow by what is in them, a digest that is chained on the last. The node
//! completes such a batch before anything else is done with it, so that no reader of the log ever needs
//! another entry. Both ends begin anew with every hello of the lane: the first batch after it is complete.
//! Bodies of samples are coded by those before (`coded`), definitions of lines travel once (`definitions`).

use std::borrow::Cow;
use std::sync::Arc;

use super::coded::LastBody;
use super::definitions::Told;
use super::shelf::Shelf;
use super::{PROTOCOL_CODED, PROTOCOL_DEFINED, PROTOCOL_NEWEST};
use crate::batch::{Batch, parts};
use crate::codec::{DecodeError, Reader, put_varint, put_zigzag};
use crate::entry::SentClock;
use crate::header::{Clock, Codec, Counts, Header, Packing};
use crate::header::{VERSION_DEFINED, VERSION_FIELDS, VERSION_NUMBERED, VERSION_OLDEST};
use crate::header::{decode_end, decode_span, encode_end, encode_span};
use crate::identity::{BootId, Digest};
use crate::limits;
use crate::position::{Check, Span};

/// A batch as it travels, without what follows from the one before. Nothing of it was looked at yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Abbreviated(pub(super) Vec<u8>);

/// The last batch on a lane's stream: what the next one is abbreviated by, and completed.
#[derive(Clone, Debug)]
pub struct LastBatch {
    batch: Option<(Header, Digest)>,
    /// `None` where bodies travel as they are.
    body: Option<LastBody>,
    /// `None` where definitions do.
    told: Option<Told>,
}

impl Default for LastBatch {
    fn default() -> Self {
        Self::new(PROTOCOL_NEWEST)
    }
}

const FLAG_REKEYED: u8 = 1;
const FLAG_ZSTD: u8 = 2;
/// Gaps are in the batch: their counts follow.
const FLAG_GAPS: u8 = 4;
/// The body is of version 2.
const FLAG_BODY_2: u8 = 8;
/// The body is coded by those before; of version 4 its definitions are.
const FLAG_CODED: u8 = 16;
/// The body is of version 3.
const FLAG_BODY_3: u8 = 32;
/// The body is of version 4.
const FLAG_BODY_4: u8 = 64;
const FLAGS: u8 = 127;
/// Bytes of the digest that travel: they tell that both ends completed the same.
const DIGEST_BYTES: usize = 8;

impl LastBatch {
    /// Before the first batch of a session of this protocol version.
    #[must_use]
    pub fn new(protocol: u16) -> Self {
        Self::with(protocol, None)
    }

    /// As `new`, of a node, whose sessions share definitions.
    #[must_use]
    pub fn shared(protocol: u16, shelf: Arc<Shelf>) -> Self {
        Self::with(protocol, Some(shelf))
    }

    fn with(protocol: u16, shelf: Option<Arc<Shelf>>) -> Self {
        let body = (protocol >= PROTOCOL_CODED).then(LastBody::default);
        let told = (protocol >= PROTOCOL_DEFINED).then(|| Told::new(shelf));
        Self { batch: None, body, told }
    }

    /// The lane said hello: the next batch is complete.
    pub fn forget(&mut self) {
        let body = self.body.as_ref().map(|_| LastBody::default());
        *self = Self { batch: None, body, told: self.told.as_ref().map(Told::anew) };
    }

    fn note_body(&mut self, packing: Packing, body: &[u8]) {
        match packing.version {
            VERSION_DEFINED => self.told.iter_mut().for_each(|told| told.note(packing, body)),
            _ => self.body.iter_mut().for_each(|last| last.note(packing, body)),
        }
    }

    /// A complete batch was sent, or came.
    pub fn note(&mut self, batch: &Batch) {
        self.note_body(batch.header().packing, batch.body());
        self.batch = Some((batch.header().clone(), batch.digest()));
    }

    /// Abbreviates the bytes of a batch that is to be sent; `None` if it does not follow the last one, and is sent
    /// complete. Either way it is the last one from now on.
    pub fn abbreviate(&mut self, sent: SentClock, batch: &[u8]) -> Option<Abbreviated> {
        // Bytes that are no batch are refused by the node, in words.
        let Ok((header, digest, body)) = parts(batch) else {
            self.forget();
            return None;
        };
        let packing = header.packing;
        let last = self.batch.take().filter(|(last, _)| follows(&header, last));
        let Some((last, _)) = last else {
            self.batch = Some((header, digest));
            self.note_body(packing, body);
            return None;
        };
        let coded = match packing.version {
            VERSION_DEFINED => self.told.as_mut().and_then(|told| told.code(packing, body)),
            _ => self.body.as_mut().and_then(|last| last.code(packing, body)),
        };
        let mut out = Vec::with_capacity(64 + 16 * header.spans.len() + body.len());
        encode(&header, &last, (sent, coded.is_some()), &mut out);
        self.batch = Some((header, digest));
        out.extend_from_slice(&digest.0[..DIGEST_BYTES]);
        out.extend_from_slice(coded.as_deref().unwrap_or(body));
        Some(Abbreviated(out))
    }

    /// Completes a batch that came, which is the last one from now on. The clock at sending names no boot, as that of
    /// a complete batch does not.
    ///
    /// # Errors
    /// For every malformed input, for a batch that follows no other, and if what comes of it is not the batch that
    /// was abbreviated.
    pub fn complete(&mut self, next: &Abbreviated) -> Result<(SentClock, Batch), DecodeError> {
        let what = "abbreviated batch";
        let expected = "a batch before it on the stream";
        let (last, before) =
            self.batch.as_ref().ok_or(DecodeError::Value { what, value: 0, expected })?;
        let mut reader = Reader::new(&next.0);
        let (header, sent, is_coded) = decode(&mut reader, last)?;
        let start: [u8; DIGEST_BYTES] = reader.array("batch digest")?;
        let body = reader.take("batch body", reader.left())?;
        let body = match is_coded {
            false => Cow::Borrowed(body),
            true => {
                let expected = "a session in which bodies travel coded";
                let none = DecodeError::Value { what, value: 0, expected };
                Cow::Owned(match (header.packing.version, &mut self.told, &mut self.body) {
                    (VERSION_DEFINED, Some(told), _) => told.decode(header.packing, body)?,
                    (VERSION_DEFINED, None, _) | (_, _, None) => return Err(none),
                    (_, _, Some(last)) => last.decode(body, header.packing.unpacked)?,
                })
            }
        };
        let packed = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let header = Header { packing: Packing { packed, ..header.packing }, ..header };
        // What holds of any batch holds of this one: it is judged by its bytes.
        let batch = Batch::parse(Batch::seal(header, &body, *before).into_bytes())?;
        if batch.digest().0[..DIGEST_BYTES] != start {
            return Err(DecodeError::Digest { what });
        }
        self.batch = Some((batch.header().clone(), batch.digest()));
        Ok((sent, batch))
    }
}

/// Whether a batch goes on where the last one ended, so that it can be told by what is new in it.
fn follows(header: &Header, last: &Header) -> bool {
    header.parent.is_none()
        && (header.device, header.lane, header.epoch) == (last.device, last.lane, last.epoch)
        && last.seq.next() == Some(header.seq)
        && header.clock.boot == last.clock.boot
        && header.totals == last.totals.plus(header.counts)
}

fn encode(header: &Header, last: &Header, (sent, is_coded): (SentClock, bool), out: &mut Vec<u8>) {
    let counts = header.counts;
    let has_gaps = counts.gaps > 0 || counts.gap_records > 0 || counts.gap_bytes > 0;
    let zstd = matches!(header.packing.codec, Codec::Zstd);
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let is_of = |version| header.packing.version == version;
    out.push(
        flag(header.rekeyed, FLAG_REKEYED)
            | flag(zstd, FLAG_ZSTD)
            | flag(has_gaps, FLAG_GAPS)
            | flag(is_of(VERSION_NUMBERED), FLAG_BODY_2)
            | flag(is_of(VERSION_FIELDS), FLAG_BODY_3)
            | flag(is_of(VERSION_DEFINED), FLAG_BODY_4)
            | flag(is_coded, FLAG_CODED),
    );
    put_since(out, header.lane_state, last.lane_state);
    put_zigzag(out, header.clock.wall_us.wrapping_sub(last.clock.wall_us));
    put_since(out, header.clock.mono_us, last.clock.mono_us);
    put_zigzag(out, sent.wall_us.wrapping_sub(header.clock.wall_us));
    put_since(out, sent.mono_us, header.clock.mono_us);
    put_varint(out, counts.records);
    if has_gaps {
        put_varint(out, counts.gaps);
        put_varint(out, counts.gap_records);
        put_varint(out, counts.gap_bytes);
    }
    put_varint(out, header.spans.len() as u64);
    for span in &header.spans {
        let place = last.spans.binary_search_by_key(&span.stream, |span| span.stream).ok();
        match place.filter(|place| last.spans[*place].end == span.start) {
            Some(place) => {
                put_varint(out, place as u64 + 1);
                encode_end(span, out);
            }
            None => {
                put_varint(out, 0);
                encode_span(span, out);
            }
        }
    }
    put_varint(out, u64::from(header.packing.unpacked));
}

/// A header without the length of its body, the device's clocks at sending, and whether the body is coded.
fn decode(
    reader: &mut Reader<'_>,
    last: &Header,
) -> Result<(Header, SentClock, bool), DecodeError> {
    let flags = reader.u8("batch flags")?;
    if flags & !FLAGS != 0 {
        return Err(outside("batch flags", u64::from(flags), "known flags"));
    }
    let lane_state = since(reader.zigzag("lane state")?, last.lane_state);
    let clock = Clock {
        wall_us: last.clock.wall_us.wrapping_add(reader.zigzag("wall clock")?),
        boot: last.clock.boot,
        mono_us: since(reader.zigzag("monotonic clock")?, last.clock.mono_us),
    };
    let sent = SentClock {
        wall_us: clock.wall_us.wrapping_add(reader.zigzag("wall clock at sending")?),
        mono_us: since(reader.zigzag("monotonic clock at sending")?, clock.mono_us),
        boot: BootId::default(),
    };
    let mut counts = Counts { records: reader.varint("count of records")?, ..Counts::default() };
    if flags & FLAG_GAPS != 0 {
        counts.gaps = reader.varint("count of gaps")?;
        counts.gap_records = reader.varint("count of gap records")?;
        counts.gap_bytes = reader.varint("count of gap bytes")?;
    }
    let count = reader.length("count of spans", limits::SPANS_PER_BATCH_MAX)?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        spans.push(decode_next_span(reader, &last.spans)?);
    }
    let unpacked = reader.varint("unpacked length")?;
    let unpacked = u32::try_from(unpacked)
        .map_err(|_| outside("unpacked length", unpacked, "4 MiB at most"))?;
    let codec = if flags & FLAG_ZSTD == 0 { Codec::Plain } else { Codec::Zstd };
    let version = match flags & (FLAG_BODY_2 | FLAG_BODY_3 | FLAG_BODY_4) {
        0 => VERSION_OLDEST,
        FLAG_BODY_2 => VERSION_NUMBERED,
        FLAG_BODY_3 => VERSION_FIELDS,
        FLAG_BODY_4 => VERSION_DEFINED,
        _ => return Err(outside("batch flags", u64::from(flags), "one version")),
    };
    let header = Header {
        device: last.device,
        lane: last.lane,
        epoch: last.epoch,
        seq: last.seq.next().ok_or(outside("seq", last.seq.number(), "less than 2^64 - 1"))?,
        parent: None,
        rekeyed: flags & FLAG_REKEYED != 0,
        lane_state,
        clock,
        counts,
        totals: last.totals.plus(counts),
        spans,
        packing: Packing { version, codec, packed: 0, unpacked },
    };
    Ok((header, sent, flags & FLAG_CODED != 0))
}

fn decode_next_span(reader: &mut Reader<'_>, last: &[Span]) -> Result<Span, DecodeError> {
    let place = reader.varint("place of a span")?;
    let Some(place) = place.checked_sub(1) else { return decode_span(reader) };
    let before = usize::try_from(place).ok().and_then(|place| last.get(place));
    let Span { stream, end: start, .. } =
        *before.ok_or(outside("place of a span", place, "a span of the batch before"))?;
    let end = decode_end(start, reader)?;
    Ok(Span { stream, start, end, check: Check(reader.u64("span check")?) })
}

/// Appends by how much a number grew; the other way round it is a negative one.
fn put_since(out: &mut Vec<u8>, number: u64, before: u64) {
    put_zigzag(out, number.wrapping_sub(before).cast_signed());
}

fn since(by: i64, before: u64) -> u64 {
    before.wrapping_add(by.cast_unsigned())
}

fn outside(what: &'static str, value: u64, expected: &'static str) -> DecodeError {
    DecodeError::Value { what, value, expected }
}
