//! Lines whose definitions travel once: whatever is sent, and whatever is forgotten on the way, the node has the batch that was
//! sealed, and reads it by itself.

#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::{Body, BodyBuilder, Shapes, VERSION_DEFINED};
use headwater_protocol::entry::SentClock;
use headwater_protocol::header::{Clock, Codec, Counts, Header};
use headwater_protocol::identity::{BootId, DeviceId, Digest, Epoch, Lane, Seq, Tip};
use headwater_protocol::limits;
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Content, Fingerprint, Line, Part, SourceInfo};
use headwater_protocol::wire::{
    Abbreviated, Frame, FrameHead, LastBatch, PROTOCOL_FIELDS, PROTOCOL_NEWEST, Shelf,
};
use proptest::collection::vec;
use proptest::prelude::*;

const STREAM: Stream =
    Stream { source: SourceId(*b"a file of a host"), run: Run { number: 3, nonce: 77 } };

/// A lane, and both ends of a session.
#[derive(Default)]
struct World {
    shapes: Shapes,
    mark: Mark,
    last: Option<Batch>,
    sender: LastBatch,
    node: LastBatch,
}

impl World {
    fn seal(&mut self, lines: &[String], level: i32) -> Batch {
        let mut body = BodyBuilder::default();
        let fingerprint = Fingerprint { length: 9, hash: [5; 16] };
        let info = SourceInfo::File { path: b"/var/log/app.log".to_vec(), fingerprint };
        body.cover(STREAM, Some(&info), self.mark, Check::NONE);
        for line in lines {
            let (taken, time_us) = (line.len() as u64 + 1, 1_700_000_000_000_000);
            body.push_line(
                STREAM,
                Line { taken, time_us, part: Part::Whole, body: line.as_bytes() },
            );
        }
        self.mark = body.end(STREAM).unwrap();
        let apart = body.pack_apart(VERSION_DEFINED, level, &mut self.shapes);
        assert_eq!(apart.is_some(), lines.iter().any(|line| !line.is_empty()));
        let packed = apart.unwrap_or_else(|| body.pack_whole(VERSION_DEFINED, level));
        let before = self.last.as_ref().map(Batch::header);
        let totals: Counts = before.map(|it| it.totals).unwrap_or_default();
        let seq = before.map_or(Seq::FIRST, |it| it.seq.next().unwrap());
        let header = Header {
            device: DeviceId([1; 16]),
            lane: Lane::Bulk,
            epoch: Epoch([2; 16]),
            seq,
            parent: (seq == Seq::FIRST).then_some(Tip::GENESIS),
            rekeyed: true,
            lane_state: 0,
            clock: Clock { wall_us: 5, boot: BootId([3; 16]), mono_us: 42 },
            counts: body.counts(),
            totals: totals.plus(body.counts()),
            spans: body.spans(),
            packing: packed.packing,
        };
        let digest = self.last.as_ref().map_or(Digest([0; 32]), Batch::digest);
        let batch = Batch::seal(header, &packed.bytes, digest);
        self.last = Some(batch.clone());
        batch
    }

    /// Sends lines as one batch. What comes out is that batch, and they are in it. Gives the bytes of the frame.
    fn send(&mut self, lines: &[String], level: i32) -> usize {
        let batch = self.seal(lines, level);
        let (came, bytes) = match self.sender.abbreviate(SentClock::default(), batch.bytes()) {
            Some(next) => {
                let bytes = Frame::Next(next.clone()).encode().len();
                (self.node.complete(&next).unwrap().1, bytes)
            }
            None => {
                self.node.note(&batch);
                (Batch::parse(batch.bytes().to_vec()).unwrap(), batch.bytes().len())
            }
        };
        assert_eq!(came, batch);
        assert_eq!(read(&came), lines);
        bytes
    }

    fn greet(&mut self) {
        self.sender.forget();
        self.node.forget();
    }
}

fn read(batch: &Batch) -> Vec<String> {
    let body = Body::open(batch).unwrap();
    assert!(matches!(body.streams[..], [(STREAM, Some(SourceInfo::File { .. }))]));
    let line = |content| match content {
        Content::Event(event) => String::from_utf8(event.body).unwrap(),
        other => panic!("{other:?} is no line"),
    };
    body.records.into_iter().map(|record| line(record.content)).collect()
}

/// An event of so many kinds with 60 fields, of which three vary.
fn event(number: u64, kinds: u64) -> String {
    let kind = number % kinds;
    let still: String =
        (0..60).map(|at| format!(",\"field_{kind}_{at}\":\"text {} of it\"", at * kind)).collect();
    let id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{{\"n\":{number},\"kind\":{kind},\"session\":\"{id:016x}\"{still}}}")
}

#[test]
fn an_event_by_itself_takes_what_varies_in_it() {
    let mut world = World::default();
    let sizes: Vec<usize> = (0..60).map(|at| world.send(&[event(at, 5)], 3)).collect();
    // A header takes some 40 bytes of it, the session 8.
    assert!(sizes[0] > 400 && sizes[30..].iter().all(|size| *size < 130), "{sizes:?}");
}

#[test]
fn both_ends_forget_at_a_hello() {
    let mut world = World::default();
    let known: Vec<String> = (0..40).map(|at| event(at, 4)).collect();
    let sizes: Vec<usize> = (0..4).map(|_| world.send(&known, 3)).collect();
    world.greet();
    assert!(world.send(&known, 3) > 2 * sizes[3], "the first one after it is complete");
    assert!(world.send(&known, 3) < sizes[1], "the next one is not");
}

#[test]
fn kinds_of_lines_without_end_have_room() {
    let mut world = World::default();
    // Far more than both ends remember, and than the agent does; the first ones come again and again.
    for round in 0..60 {
        let mut lines: Vec<String> = (0..120).map(|at| event(round * 100 + at, 3_000)).collect();
        lines.extend((0..20).map(|at| event(at, 20)));
        world.send(&lines, 3);
    }
}

#[test]
fn what_was_forgotten_by_one_end_is_refused() {
    let mut world = World::default();
    let known: Vec<String> = (0..9).map(|at| event(at, 3)).collect();
    world.send(&known, 3);
    world.send(&known, 3);
    // The node began anew, and knows the last batch alone.
    world.node.forget();
    world.node.note(world.last.as_ref().unwrap());
    let batch = world.seal(&known, 3);
    let next = world.sender.abbreviate(SentClock::default(), batch.bytes()).unwrap();
    assert!(world.node.complete(&next).is_err());
}

#[test]
fn sessions_of_a_node_share_what_they_know() {
    let shelf = Arc::new(Shelf::default());
    let mut worlds: Vec<World> = (0..4).map(|_| World::default()).collect();
    for world in &mut worlds {
        world.node = LastBatch::shared(PROTOCOL_NEWEST, Arc::clone(&shelf));
    }
    let known: Vec<String> = (0..40).map(|at| event(at, 4)).collect();
    for world in &mut worlds {
        (0..3).for_each(|_| assert!(world.send(&known, 3) > 0));
    }
}

#[test]
fn a_line_that_never_varies_is_a_definition_without_a_slot() {
    let mut world = World::default();
    for level in [0, 3, 3, 0, 3] {
        world.send(&["the same line as ever".to_owned()], level);
    }
}

#[test]
fn kinds_that_have_no_room_are_told_in_each_batch() {
    let mut world = World::default();
    // Templates that nothing makes smaller: far more than half of what both ends remember, again and again.
    let line = |at: u64| {
        let random = |of: u64| of.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let still: String =
            (0..80).map(|field| format!(",\"{:x}\":0", random(at % 300 * 80 + field))).collect();
        format!("{{\"n\":{at}{still}}}")
    };
    let lines: Vec<String> = (0..600).map(line).collect();
    let sizes: Vec<usize> = (0..6).map(|_| world.send(&lines, 3)).collect();
    assert!(sizes[5] > 20_000, "{sizes:?}");
}

#[test]
fn a_session_of_an_older_version_carries_bodies_as_they_are() {
    let mut world = World::default();
    (world.sender, world.node) = (LastBatch::new(PROTOCOL_FIELDS), LastBatch::new(PROTOCOL_FIELDS));
    let known: Vec<String> = (0..9).map(|at| event(at, 3)).collect();
    let sizes: Vec<usize> = (0..4).map(|_| world.send(&known, 3)).collect();
    assert!(sizes[3] > world.last.as_ref().unwrap().body().len());
}

#[test]
fn definitions_that_unpack_to_too_much_are_refused() {
    let mut world = World::default();
    let batch = world.seal(&[event(1, 1)], 0);
    // A frame of zeros, many times: each is small, all together are not.
    let zeros = vec![0; 1 << 20];
    let frame = zstd::bulk::compress(&zeros, 3).unwrap();
    let definition = [&[1, 0x80, 0x80, 0x40][..], &frame].concat();
    let length = u8::try_from(definition.len()).unwrap();
    assert!(length < 128, "its length is one byte");
    let body = [[5].as_slice(), &[[length].as_slice(), &definition].concat().repeat(5)].concat();
    let mut header = batch.header().clone();
    header.packing.packed = u32::try_from(body.len()).unwrap();
    let said = Body::open(&Batch::seal(header, &body, Digest([0; 32]))).unwrap_err().to_string();
    assert!(said.contains("length of a definition"), "{said}");
}

#[test]
fn a_large_body_is_packed() {
    let mut world = World::default();
    let lines: Vec<String> = (0..4_000)
        .map(|at: u64| format!("{at} {:x} and so on", at.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    world.send(&lines, 3);
    let packing = world.last.as_ref().unwrap().header().packing;
    assert_eq!((packing.codec, packing.version), (Codec::Zstd, VERSION_DEFINED));
    world.send(&lines, 3);
}

fn any_batch() -> impl Strategy<Value = (Vec<String>, bool, i32)> {
    let line = prop_oneof![
        (0..300_u64, 1..9_u64).prop_map(|(number, kinds)| event(number, kinds)),
        (any::<u32>(), 0..4_u32)
            .prop_map(|(a, b)| format!("job {a} of queue-{b} took {}.{b} ms", a % 977)),
        "[a-c \"{}:,0-9]{0,12}",
        Just("the same line as ever".to_owned()),
    ];
    (vec(line, 1..20), prop::bool::weighted(0.1), prop_oneof![Just(0), Just(3)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_lines_come_as_they_were_sealed(batches in vec(any_batch(), 1..20)) {
        let mut world = World::default();
        for (lines, greets, level) in batches {
            if greets {
                world.greet();
            }
            world.send(&lines, level);
        }
    }

    #[test]
    fn damaged_bytes_are_refused(
        batches in vec(any_batch(), 2..6),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut world = World::default();
        for (lines, _, level) in &batches {
            world.send(lines, *level);
        }
        let batch = world.seal(&batches[0].0, 3);
        let next = world.sender.abbreviate(SentClock::default(), batch.bytes()).unwrap();
        let mut bytes = Frame::Next(next).encode();
        let head = bytes.drain(..5).collect::<Vec<u8>>();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let head = FrameHead::parse(head.try_into().unwrap()).unwrap();
        let Frame::Next(next) = Frame::decode(head, &bytes).unwrap() else { panic!("a next") };
        let next: Abbreviated = next;
        if let Ok((_, came)) = world.node.complete(&next) {
            prop_assert!(came.bytes().len() <= limits::BATCH_BYTES_MAX);
            let _ = Body::open(&came);
        }
    }
}
