//! What comes from a peer in a session: frames, and batches in them.

use std::collections::BTreeMap;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::fuzzing::apart_and_back;
use headwater_protocol::body::{Body, BodyBuilder, VERSION_DEFINED};
use headwater_protocol::codec::Reader;
use headwater_protocol::header::{Codec, Header};
use headwater_protocol::identity::Digest;
use headwater_protocol::limits;
use headwater_protocol::position::{Check, Mark, Stream};
use headwater_protocol::record::{Content, Record};
use headwater_protocol::wire::{
    FRAME_HEAD_BYTES, Frame, FrameHead, LastBatch, PROTOCOL_NEWEST, PROTOCOL_OLDEST, negotiate,
};

use crate::memory::bounded;

/// A decoded control frame: texts and streams of 192 KiB, an empty text taking 24 bytes for one.
const CONTROL_BYTES_MAX: usize = 64 * limits::CONTROL_FRAME_BYTES_MAX;
/// A decoded batch (`limits`): 16 MiB, and the columns and definitions that it is read from.
pub(crate) const OPENED_BYTES_MAX: usize = (16 << 20) + 2 * limits::BODY_BYTES_MAX;

/// A stream of frames as it comes: heads, and what they announce.
pub(crate) fn frames(mut bytes: &[u8]) {
    let mut last = LastBatch::default();
    while let Some((head, after)) = bytes.split_first_chunk::<FRAME_HEAD_BYTES>() {
        let Ok(head) = FrameHead::parse(*head) else { return };
        assert!(head.length() <= limits::BATCH_BYTES_MAX + 16, "a frame has a limit");
        let Some((payload, rest)) = after.split_at_checked(head.length()) else { return };
        let Ok(frame) = bounded(CONTROL_BYTES_MAX, || Frame::decode(head, payload)) else { return };
        if let Frame::Batch { batch, .. } = &frame {
            let taken = FRAME_HEAD_BYTES + payload.len();
            assert_eq!(frame.encode(), bytes[..taken], "a batch has one encoding");
            open(batch);
            last.note(batch);
        } else {
            comes_back(&frame);
        }
        match &frame {
            Frame::Next(next) => {
                let (mut sender, mut node) = (last.clone(), last.clone());
                let Ok((sent, batch)) = last.complete(next) else { return };
                let again = sender.abbreviate(sent, batch.bytes());
                let again = again.expect("a batch that was completed follows the one before");
                let again = node.complete(&again).expect("what is abbreviated can be completed");
                assert_eq!(again, (sent, batch.clone()), "it comes back");
                open(&batch);
            }
            Frame::LaneHello(_) => last.forget(),
            _ => {}
        }
        bytes = rest;
    }
}

/// One frame: its kind, and all that follows is its payload.
pub(crate) fn control(bytes: &[u8]) {
    let Some((kind, payload)) = bytes.split_first() else { return };
    let Ok(length) = u32::try_from(payload.len()) else { return };
    let mut head = [*kind, 0, 0, 0, 0];
    head[1..].copy_from_slice(&length.to_le_bytes());
    let Ok(head) = FrameHead::parse(head) else { return };
    let Ok(frame) = bounded(CONTROL_BYTES_MAX, || Frame::decode(head, payload)) else { return };
    comes_back(&frame);
    if let Frame::Hello(hello) = &frame
        && let Ok(version) = negotiate(hello)
    {
        let spoken = hello.protocol_oldest..=hello.protocol_newest;
        assert!(spoken.contains(&version), "the peer speaks the version");
        assert!((PROTOCOL_OLDEST..=PROTOCOL_NEWEST).contains(&version), "we speak the version");
    }
}

fn comes_back(frame: &Frame) {
    let bytes = frame.encode();
    let (head, payload) = bytes.split_first_chunk().expect("a frame has a head");
    // Named fields may take more room than those that came.
    let Ok(head) = FrameHead::parse(*head) else { return };
    assert_eq!(Frame::decode(head, payload).as_ref(), Ok(frame), "a frame comes back");
}

/// A batch: its header, and all that follows is its body.
pub(crate) fn body(bytes: &[u8]) {
    if let Some(batch) = sealed(&mut Reader::new(bytes), bytes.len()) {
        open(&batch);
    }
}

/// Lines that are taken apart come back.
pub(crate) fn fields(bytes: &[u8]) {
    let few: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // What repeats is worth a template or a list.
    let lines = few.repeat(3);
    let back = apart_and_back(&lines).expect("what was taken apart is read");
    assert!(back == lines, "lines come back");
}

/// A batch of a header and of what follows it, at most `most` bytes, with lengths and digest that fit.
pub(crate) fn sealed(reader: &mut Reader<'_>, most: usize) -> Option<Batch> {
    let mut header = Header::decode(reader).ok()?;
    let packed = reader.take("body", reader.left().min(most)).ok()?;
    header.packing.packed = u32::try_from(packed.len()).ok()?;
    // From version 4 on, definitions stand before what is counted.
    if header.packing.codec == Codec::Plain && header.packing.version < VERSION_DEFINED {
        header.packing.unpacked = header.packing.packed;
    }
    let batch = Batch::seal(header, packed, Digest([0; 32]));
    let again = Batch::parse(batch.bytes().to_vec()).ok()?;
    assert_eq!(again, batch, "a batch comes back");
    Some(batch)
}

/// Opens a body and asserts what its readers rely on.
pub(crate) fn open(batch: &Batch) {
    let Ok(body) = bounded(OPENED_BYTES_MAX, || Body::open(batch)) else { return };
    let header = batch.header();
    let mut ends: BTreeMap<Stream, Mark> =
        header.spans.iter().map(|span| (span.stream, span.start)).collect();
    for record in &body.records {
        let end = ends.get_mut(&record.stream).expect("a record is of a stream of the header");
        assert_eq!(record.start, end.position, "records of a stream follow each other");
        assert!(record.end >= record.start, "a position only grows");
        *end = Mark { position: record.end, records: end.records + record.count() };
    }
    for span in &header.spans {
        assert_eq!(ends[&span.stream], span.end, "records fill the spans of the header");
    }
    within_limits(&body.records);
    let again = rebuilt(header, &body);
    let again = Body::open(&again).expect("what was opened can be sealed and opened again");
    assert_eq!(again.records, body.records, "records come back");
}

fn within_limits(records: &[Record]) {
    let mut samples = 0;
    assert!(records.len() <= limits::RECORDS_PER_BATCH_MAX, "records have a limit");
    for record in records {
        match &record.content {
            Content::Tick(tick) => samples += tick.len(),
            Content::Event(event) => assert!(event.body.len() <= limits::EVENT_BYTES_MAX),
            Content::Facts(facts) => assert!(facts.len() <= limits::LABELS_MAX),
            Content::Gap(_) => {}
        }
    }
    assert!(samples <= limits::SAMPLES_PER_BATCH_MAX, "samples have a limit");
}

/// The same records, sealed as an agent does it.
fn rebuilt(header: &Header, body: &Body) -> Batch {
    let mut builder = BodyBuilder::default();
    for span in &header.spans {
        let info = body.streams.iter().find(|(stream, _)| *stream == span.stream);
        builder.cover(
            span.stream,
            info.and_then(|(_, info)| info.as_ref()),
            span.start,
            Check::NONE,
        );
    }
    body.records.iter().for_each(|record| builder.push(record));
    // A record of a sampler brings its check along; the header of another may say anything.
    for span in &header.spans {
        builder.set_check(span.stream, span.check);
    }
    assert_eq!(builder.spans(), header.spans, "records cover what the header says");
    assert_eq!(builder.counts(), header.counts, "records are as many as the header says");
    let (packing, packed) = builder.pack(0);
    Batch::seal(Header { packing, ..header.clone() }, &packed, Digest([0; 32]))
}
