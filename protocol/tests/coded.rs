//! Samples as they travel: coded by the bodies before, completed to the body that was sealed, or an error.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::sync::Arc;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::{Body, BodyBuilder, VERSION_NEWEST, VERSION_OLDEST};
use headwater_protocol::entry::SentClock;
use headwater_protocol::header::{Clock, Codec, Counts, Header};
use headwater_protocol::identity::{BootId, DeviceId, Digest, Epoch, Lane, Seq, Tip};
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Content, Line, Part, Record, Sample, Series, SourceInfo};
use headwater_protocol::wire::{Abbreviated, Frame, FrameHead, LastBatch, PROTOCOL_ABBREVIATED};
use proptest::collection::vec;
use proptest::prelude::*;

/// A tick: the sampler that took it, how long after the one before, and what it measured.
#[derive(Clone, Debug)]
struct Tick {
    sampler: u8,
    after_us: i64,
    values: Vec<(u8, i64)>,
}

/// What the next batch holds.
#[derive(Clone, Debug)]
struct News {
    ticks: Vec<Tick>,
    line: bool,
    breaks: bool,
}

fn value() -> impl Strategy<Value = i64> {
    prop_oneof![any::<i64>(), 0_i64..3, (0_i64..1000).prop_map(|it| it << 12), Just(i64::MIN)]
}

fn tick() -> impl Strategy<Value = Tick> {
    let after = prop_oneof![Just(1_000_000_i64), any::<i64>(), 990_000_i64..1_010_000];
    (0_u8..3, after, vec((0_u8..12, value()), 0..20)).prop_map(|(sampler, after_us, values)| Tick {
        sampler,
        after_us,
        values,
    })
}

fn news() -> impl Strategy<Value = News> {
    let rarely = || prop::bool::weighted(0.1);
    (vec(tick(), 1..5), rarely(), rarely()).prop_map(|(ticks, line, breaks)| News {
        ticks,
        line,
        breaks,
    })
}

/// Names that every build knows, and others.
fn series(number: u8) -> Arc<Series> {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let (metric, scale) = match number % 4 {
        0 => ("cpu.busy_ratio", 4),
        1 => ("disk.used_bytes", 0),
        2 => ("disk.used_bytes", 7),
        _ => ("queue.length", 0),
    };
    let labels = match number / 4 {
        0 => vec![],
        1 => vec![label("mount", "/")],
        _ => vec![label("mount", "/"), label("shelf", "7")],
    };
    Arc::new(Series { metric: metric.to_owned(), labels, scale })
}

fn stream(number: u8) -> Stream {
    Stream { source: SourceId([number; 16]), run: Run { number: u64::from(number), nonce: 3 } }
}

/// A lane whose batches hang on one another.
struct Chained {
    last: Option<Batch>,
    ends: [Mark; 3],
    time_us: i64,
    version: u8,
    epoch: u8,
}

impl Chained {
    fn new(version: u8) -> Self {
        Self { last: None, ends: [Mark::default(); 3], time_us: 0, version, epoch: 0 }
    }

    fn next(&mut self, news: &News) -> Batch {
        let mut body = BodyBuilder::default();
        let known: [Arc<Series>; 12] = std::array::from_fn(|at| series(u8::try_from(at).unwrap()));
        for tick in &news.ticks {
            self.time_us = self.time_us.wrapping_add(tick.after_us);
            let end = &mut self.ends[usize::from(tick.sampler)];
            let of = stream(tick.sampler);
            body.cover(of, Some(&SourceInfo::Host), *end, Check::NONE);
            let sample = |(number, value): &(u8, i64)| {
                let series = Arc::clone(&known[usize::from(*number)]);
                Sample { series, value: *value }
            };
            let content = Content::Tick(tick.values.iter().map(sample).collect());
            let (start, time_us) = (end.position, self.time_us);
            let record = Record { stream: of, start, end: start + 1, time_us, content };
            body.push(&record);
            *end = body.end(of).unwrap();
        }
        if news.line {
            let of = stream(9);
            body.cover(of, None, Mark::default(), Check::NONE);
            body.push_line(of, Line { taken: 3, time_us: 1, part: Part::Whole, body: b"ho" });
        }
        let (packing, packed) = body.pack_as(self.version, 3);
        let last = self.last.as_ref().map(Batch::header);
        let before = last.map(|last| last.totals).unwrap_or_default();
        let seq = last.and_then(|last| last.seq.next()).filter(|_| !news.breaks);
        self.epoch += u8::from(news.breaks);
        let seq = seq.unwrap_or(Seq::FIRST);
        let header = Header {
            device: DeviceId([1; 16]),
            lane: Lane::Live,
            epoch: Epoch([self.epoch; 16]),
            seq,
            parent: (seq == Seq::FIRST).then_some(Tip::GENESIS),
            rekeyed: true,
            lane_state: 0,
            clock: Clock { wall_us: self.time_us, boot: BootId([3; 16]), mono_us: 7 },
            counts: body.counts(),
            totals: before.plus(body.counts()),
            spans: body.spans(),
            packing,
        };
        let digest = self.last.as_ref().map_or(Digest([0; 32]), Batch::digest);
        let batch = Batch::seal(header, &packed, digest);
        self.last = Some(batch.clone());
        batch
    }
}

/// A batch as it comes at the other end, and its frame's bytes if it was abbreviated.
fn over_the_wire(
    sender: &mut LastBatch,
    node: &mut LastBatch,
    batch: &Batch,
) -> (Option<usize>, Batch) {
    let Some(next) = sender.abbreviate(SentClock::default(), batch.bytes()) else {
        node.note(batch);
        return (None, batch.clone());
    };
    let bytes = Frame::Next(next).encode();
    let (head, payload) = bytes.split_first_chunk::<5>().unwrap();
    let Ok(Frame::Next(next)) = Frame::decode(FrameHead::parse(*head).unwrap(), payload) else {
        panic!("it comes back")
    };
    (Some(bytes.len()), node.complete(&next).unwrap().1)
}

proptest! {
    #[test]
    fn what_is_completed_is_what_was_sealed(all in vec(news(), 1..12)) {
        let (mut lane, mut sender, mut node) =
            (Chained::new(VERSION_NEWEST), LastBatch::default(), LastBatch::default());
        for news in &all {
            let batch = lane.next(news);
            let (_, completed) = over_the_wire(&mut sender, &mut node, &batch);
            prop_assert_eq!(&completed, &batch);
            prop_assert!(Body::open(&completed).is_ok());
        }
    }

    #[test]
    fn a_changed_byte_is_never_taken_for_a_batch(
        first in news(), second in news(), at in any::<prop::sample::Index>(), by in 1..=255_u8,
    ) {
        let first = News { breaks: false, line: false, ..first };
        let second = News { breaks: false, line: false, ..second };
        let (mut lane, mut sender, mut node) =
            (Chained::new(VERSION_NEWEST), LastBatch::default(), LastBatch::default());
        over_the_wire(&mut sender, &mut node, &lane.next(&first));
        let batch = lane.next(&second);
        let next = sender.abbreviate(SentClock::default(), batch.bytes()).unwrap();
        let mut bytes = Frame::Next(next).encode().split_off(5);
        let place = at.index(bytes.len());
        bytes[place] ^= by;
        if let Ok((_, completed)) = node.complete(&abbreviated(&bytes)) {
            prop_assert_eq!(completed, batch);
        }
    }
}

fn abbreviated(bytes: &[u8]) -> Abbreviated {
    let mut head = [11, 0, 0, 0, 0];
    head[1..].copy_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
    match Frame::decode(FrameHead::parse(head).unwrap(), bytes) {
        Ok(Frame::Next(next)) => next,
        other => panic!("{other:?}"),
    }
}

/// A host that measures 50 series each second, most of which stand still.
fn second(at: i64) -> News {
    let value = |number: u8| match number % 5 {
        0 => (number, at * 7919 * i64::from(number) % 613),
        1 => (number, (at * 31 % 17) << 12),
        _ => (number, i64::from(number) << 33),
    };
    let ticks = vec![Tick {
        sampler: 0,
        after_us: 1_000_000 + at * 13 % 90,
        values: (0..12).map(value).collect(),
    }];
    News { ticks, line: false, breaks: false }
}

#[test]
fn samples_of_a_host_take_a_byte_each_and_their_names_none() {
    let (mut lane, mut sender, mut node) =
        (Chained::new(VERSION_NEWEST), LastBatch::default(), LastBatch::default());
    let mut last = 0;
    for at in 0..40 {
        let batch = lane.next(&second(at));
        assert_eq!(batch.header().packing.codec, Codec::Plain, "what is coded is not packed");
        let (bytes, completed) = over_the_wire(&mut sender, &mut node, &batch);
        assert_eq!(completed, batch);
        last = bytes.unwrap_or_default();
    }
    assert!(
        (20..75).contains(&last),
        "{last} bytes for 12 samples, the frame's and the batch's head"
    );
}

#[test]
fn an_older_session_has_bodies_as_they_are() {
    let mut lane = Chained::new(VERSION_OLDEST);
    let mut sender = LastBatch::new(PROTOCOL_ABBREVIATED);
    let mut node = LastBatch::new(PROTOCOL_ABBREVIATED);
    for at in 0..5 {
        let batch = lane.next(&second(at));
        let (bytes, completed) = over_the_wire(&mut sender, &mut node, &batch);
        assert_eq!(completed, batch);
        assert!(bytes.is_none_or(|bytes| bytes > batch.body().len()));
    }
    // What is coded is refused where nobody agreed on it.
    let (mut lane, mut sender) = (Chained::new(VERSION_NEWEST), LastBatch::default());
    let first = lane.next(&second(0));
    assert!(sender.abbreviate(SentClock::default(), first.bytes()).is_none());
    node.forget();
    node.note(&first);
    let next = sender.abbreviate(SentClock::default(), lane.next(&second(1)).bytes()).unwrap();
    assert!(node.complete(&next).is_err());
}

#[test]
fn totals_and_counts_are_those_of_the_batch() {
    let mut lane = Chained::new(VERSION_NEWEST);
    let batch = lane.next(&second(0));
    assert_eq!(batch.header().counts, Counts { records: 12, ..Counts::default() });
}
