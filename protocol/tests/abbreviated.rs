//! Abbreviated batches: what is completed is the batch that was sent, or an error.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::{VERSION_DEFINED, VERSION_FIELDS, VERSION_NUMBERED, VERSION_OLDEST};
use headwater_protocol::codec::DecodeError;
use headwater_protocol::entry::SentClock;
use headwater_protocol::header::{Clock, Codec, Counts, Header, Packing};
use headwater_protocol::identity::{
    BootId, DeviceId, Digest, Epoch, Generation, Lane, LogId, Offset, Receipt, Seq, ShardId, Tip,
};
use headwater_protocol::limits;
use headwater_protocol::position::{Check, Mark, Run, SourceId, Span, Stream};
use headwater_protocol::wire::{Abbreviated, Ack, Frame, FrameHead, LastAck, LastBatch};
use proptest::collection::vec;
use proptest::prelude::*;

/// What is new in a batch.
#[derive(Clone, Debug)]
struct News {
    /// Streams by number: bytes and records of each, and its check.
    spans: Vec<(u8, u64, u64, u64)>,
    gaps: (u64, u64, u64),
    wall_us: i64,
    mono_us: u64,
    lane_state: u64,
    rekeyed: bool,
    body: Vec<u8>,
    sent: (i64, u64),
    /// What does not follow: 0 nothing, 1 the boot, 2 the epoch, 3 the totals, 4 a stream's start, 5 the seq.
    breaks: u8,
}

fn news() -> impl Strategy<Value = News> {
    let spans = vec((0..6_u8, 0..1_u64 << 40, 0..10_000_u64, any::<u64>()), 0..5);
    let gaps = prop_oneof![4 => Just((0, 0, 0)), 1 => (0..9_u64, 0..99_u64, 0..1_u64 << 40)];
    let clocks = (any::<i64>(), any::<u64>(), (any::<i64>(), any::<u64>()));
    let state = (any::<u64>(), any::<bool>());
    let breaks = prop_oneof![6 => Just(0), 1 => 1..6_u8];
    (spans, gaps, clocks, state, vec(any::<u8>(), 0..200), breaks).prop_map(
        |(spans, gaps, (wall_us, mono_us, sent), (lane_state, rekeyed), body, breaks)| News {
            spans,
            gaps,
            wall_us,
            mono_us,
            lane_state,
            rekeyed,
            body,
            sent,
            breaks,
        },
    )
}

fn stream(number: u8) -> Stream {
    Stream { source: SourceId([number; 16]), run: Run { number: number.into(), nonce: 7 } }
}

/// Batches of one lane, each on the one before.
#[derive(Default)]
struct Chained {
    last: Option<Batch>,
    ends: BTreeMap<u8, Mark>,
    epoch: u8,
    boot: u8,
}

impl Chained {
    fn next(&mut self, news: &News) -> Batch {
        self.boot += u8::from(news.breaks == 1);
        self.epoch += u8::from(news.breaks == 2);
        let last = self.last.as_ref();
        let mut spans: Vec<Span> = Vec::new();
        let mut numbers: Vec<u8> = news.spans.iter().map(|(number, ..)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        for number in numbers {
            let (_, bytes, records, check) =
                *news.spans.iter().find(|(other, ..)| *other == number).unwrap();
            let mut start = self.ends.get(&number).copied().unwrap_or_default();
            if news.breaks == 4 {
                start.position += 1;
            }
            let end = Mark { position: start.position + bytes, records: start.records + records };
            self.ends.insert(number, end);
            spans.push(Span { stream: stream(number), start, end, check: Check(check) });
        }
        let (gaps, gap_records, gap_bytes) = news.gaps;
        let records = spans.iter().map(|span| span.end.records - span.start.records).sum();
        let counts = Counts { records, gaps, gap_records, gap_bytes };
        let before = last.map(|last| last.header().totals).unwrap_or_default();
        let mut totals = before.plus(counts);
        totals.records += u64::from(news.breaks == 3);
        let seq = match (last, news.breaks) {
            (Some(last), 0..5) => last.header().seq.next().unwrap(),
            _ => Seq::FIRST,
        };
        let header = Header {
            device: DeviceId([1; 16]),
            lane: Lane::Bulk,
            epoch: Epoch([self.epoch; 16]),
            seq,
            parent: (seq == Seq::FIRST).then_some(Tip::GENESIS),
            rekeyed: news.rekeyed,
            lane_state: news.lane_state,
            clock: Clock {
                wall_us: news.wall_us,
                boot: BootId([self.boot; 16]),
                mono_us: news.mono_us,
            },
            counts,
            totals,
            spans,
            packing: Packing {
                version: [VERSION_OLDEST, VERSION_NUMBERED, VERSION_FIELDS, VERSION_DEFINED]
                    [usize::try_from(news.gaps.0 % 4).unwrap()],
                codec: if news.rekeyed { Codec::Zstd } else { Codec::Plain },
                packed: u32::try_from(news.body.len()).unwrap(),
                unpacked: u32::try_from(limits::BODY_BYTES_MAX.min(news.body.len() * 3)).unwrap(),
            },
        };
        let digest = last.map_or(Digest([0; 32]), Batch::digest);
        let batch = Batch::seal(header, &news.body, digest);
        self.last = Some(batch.clone());
        batch
    }
}

fn sent(news: &News) -> SentClock {
    SentClock { wall_us: news.sent.0, mono_us: news.sent.1, ..SentClock::default() }
}

/// A batch as it comes at the other end.
fn over_the_wire(
    sender: &mut LastBatch,
    node: &mut LastBatch,
    news: &News,
    batch: &Batch,
) -> (Option<usize>, SentClock, Batch) {
    let Some(next) = sender.abbreviate(sent(news), batch.bytes()) else {
        node.note(batch);
        return (None, sent(news), batch.clone());
    };
    let bytes = Frame::Next(next).encode();
    let (head, payload) = bytes.split_first_chunk::<5>().unwrap();
    let head = FrameHead::parse(*head).unwrap();
    let Ok(Frame::Next(next)) = Frame::decode(head, payload) else { panic!("it comes back") };
    let (clock, batch) = node.complete(&next).unwrap();
    (Some(bytes.len()), clock, batch)
}

proptest! {
    #[test]
    fn what_is_completed_is_what_was_sent(all in vec(news(), 1..12)) {
        let (mut lane, mut sender, mut node) =
            (Chained::default(), LastBatch::default(), LastBatch::default());
        for (place, news) in all.iter().enumerate() {
            let batch = lane.next(news);
            let (bytes, clock, completed) = over_the_wire(&mut sender, &mut node, news, &batch);
            prop_assert_eq!(&completed, &batch);
            prop_assert_eq!(clock, sent(news));
            // A stream that starts elsewhere is told whole; all else that does not follow is sent complete.
            let follows = place > 0 && matches!(news.breaks, 0 | 4);
            prop_assert_eq!(bytes.is_some(), follows, "batch {}", place);
        }
    }

    /// Whatever changes on the way is found out, but for the clocks at sending, which no digest covers.
    #[test]
    fn a_changed_byte_is_never_taken_for_a_batch(
        first in news(), second in news(), at in any::<prop::sample::Index>(), by in 1..=255_u8,
    ) {
        let (first, second) = (News { breaks: 0, ..first }, News { breaks: 0, ..second });
        let (mut lane, mut sender, mut node) =
            (Chained::default(), LastBatch::default(), LastBatch::default());
        let before = lane.next(&first);
        over_the_wire(&mut sender, &mut node, &first, &before);
        let batch = lane.next(&second);
        let next = sender.abbreviate(sent(&second), batch.bytes()).unwrap();
        let mut bytes = Frame::Next(next).encode().split_off(5);
        let place = at.index(bytes.len());
        bytes[place] ^= by;
        if let Ok((_, completed)) = node.complete(&abbreviated(&bytes)) {
            prop_assert_eq!(completed, batch);
        }
    }

    #[test]
    fn no_bytes_reach_a_panic(first in news(), bytes in vec(any::<u8>(), 0..300)) {
        let mut node = LastBatch::default();
        node.note(&Chained::default().next(&News { breaks: 0, ..first }));
        prop_assert!(node.complete(&abbreviated(&bytes)).is_err());
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

fn usual(value: u64) -> News {
    News {
        spans: vec![(1, 1, 50, value)],
        gaps: (0, 0, 0),
        wall_us: 1_700_000_000_000_000 + i64::try_from(value).unwrap() * 10_000_000,
        mono_us: value * 10_000_000,
        lane_state: 0,
        rekeyed: true,
        body: vec![7; 100],
        sent: (
            1_700_000_000_250_000 + i64::try_from(value).unwrap() * 10_000_000,
            value * 10_000_000 + 250_000,
        ),
        breaks: 0,
    }
}

#[test]
fn a_sample_travels_with_few_bytes_of_a_header() {
    let (mut lane, mut sender) = (Chained::default(), LastBatch::default());
    let first = lane.next(&usual(1));
    assert!(sender.abbreviate(sent(&usual(1)), first.bytes()).is_none(), "nothing came before it");
    let second = lane.next(&usual(2));
    let next = sender.abbreviate(sent(&usual(2)), second.bytes()).unwrap();
    let overhead = Frame::Next(next).encode().len() - 100;
    let complete = Frame::Batch { sent: sent(&usual(2)), batch: Box::new(second) }.encode();
    assert!(overhead < 50, "{overhead} bytes");
    assert!(complete.len() - 100 > 180, "{} bytes", complete.len() - 100);
}

#[test]
fn a_batch_that_follows_no_other_is_refused() {
    let mut node = LastBatch::default();
    let error = node.complete(&abbreviated(&[0; 40])).unwrap_err();
    assert!(matches!(error, DecodeError::Value { what: "abbreviated batch", .. }), "{error}");
    // After a hello of the lane as well.
    let (mut lane, mut sender) = (Chained::default(), LastBatch::default());
    let (first, second) = (lane.next(&usual(1)), lane.next(&usual(2)));
    node.note(&first);
    sender.note(&first);
    let next = sender.abbreviate(sent(&usual(2)), second.bytes()).unwrap();
    node.forget();
    assert!(node.complete(&next).is_err());
    // And one that follows another one than the node has.
    node.note(&second);
    assert_eq!(node.complete(&next), Err(DecodeError::Digest { what: "abbreviated batch" }));
    // After an error what came before is what it was.
    node.note(&first);
    assert_eq!(node.complete(&next).unwrap().1, second);
}

#[test]
fn a_batch_above_the_limit_is_refused_although_its_frame_is_not() {
    let (mut lane, mut sender, mut node) =
        (Chained::default(), LastBatch::default(), LastBatch::default());
    let mut large = usual(2);
    large.body = vec![1; limits::BATCH_BYTES_MAX - 40];
    let (first, second) = (lane.next(&usual(1)), lane.next(&large));
    sender.note(&first);
    node.note(&first);
    let next = sender.abbreviate(sent(&large), second.bytes()).unwrap();
    assert!(node.complete(&next).is_err());
}

fn ack() -> impl Strategy<Value = Ack> {
    let tip = (0_u8..2, any::<u64>(), any::<[u8; 32]>());
    let tip = tip.prop_map(|(epoch, seq, digest)| Tip {
        epoch: Epoch([epoch; 16]),
        seq,
        digest: Digest(digest),
    });
    let receipt = (0_u8..2, 0_u32..2, 0_u16..2, any::<u64>());
    let receipt = receipt.prop_map(|(log, generation, shard, offset)| Receipt {
        log: LogId([log; 16]),
        generation: Generation(generation.into()),
        shard: ShardId(shard),
        offset: Offset(offset),
    });
    (tip, receipt).prop_map(|(tip, receipt)| Ack { lane: Lane::Live, tip, receipt })
}

proptest! {
    #[test]
    fn acks_come_back_as_they_were_sent(acks in vec(ack(), 1..12)) {
        let (mut node, mut agent) = (LastAck::default(), LastAck::default());
        for ack in acks {
            let completed = match node.abbreviate(ack) {
                None => {
                    agent.note(ack);
                    ack
                }
                Some(next) => {
                    let bytes = Frame::NextAck(next).encode();
                    prop_assert!(bytes.len() <= 5 + 10 + 10 + 32);
                    let (head, payload) = bytes.split_first_chunk::<5>().unwrap();
                    let head = FrameHead::parse(*head).unwrap();
                    let Ok(Frame::NextAck(next)) = Frame::decode(head, payload) else { panic!("an ack") };
                    agent.complete(&next).unwrap()
                }
            };
            prop_assert_eq!(completed, ack);
        }
    }

    #[test]
    fn no_bytes_of_an_ack_reach_a_panic(first in ack(), bytes in vec(any::<u8>(), 0..60)) {
        let head = FrameHead::parse([12, u8::try_from(bytes.len()).unwrap(), 0, 0, 0]).unwrap();
        let Ok(Frame::NextAck(next)) = Frame::decode(head, &bytes) else { panic!("an ack") };
        let mut agent = LastAck::default();
        prop_assert!(agent.complete(&next).is_err(), "it follows no other");
        agent.note(first);
        let _ = agent.complete(&next);
    }
}
