//! Formats: the bytes stay the same, what went in comes back, and no bytes reach a panic.
//!
//! `HEADWATER_BLESS=1` writes golden files that are missing; it never changes one that is there.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::{
    Body, BodyBuilder, BodyError, Shapes, VERSION_NEWEST, VERSION_OLDEST,
};
use headwater_protocol::chain::own_source;
use headwater_protocol::codec::DecodeError;
use headwater_protocol::entry::{Control, Entry, EntryKind, SentClock, WindowRules};
use headwater_protocol::header::{Clock, Counts, Header};
use headwater_protocol::identity::{
    BootId, DeviceId, Digest, Epoch, Generation, Lane, LogId, NodeId, Offset, Receipt, Seq,
    ShardCount, ShardId, Tip,
};
use headwater_protocol::ledger::{Outcome, ShardLedger, Snapshot};
use headwater_protocol::limits;
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{
    Cause, Content, Event, Fingerprint, Gap, Part, Record, Sample, Series, SourceInfo, Tick,
};
use headwater_protocol::rules::Rules;
use headwater_protocol::wire::{
    Ack, Alive, BusyCause, Frame, FrameHead, Hello, LaneHello, LastAck, LastBatch, Welcome,
    negotiate,
};
use proptest::prelude::*;

const STREAM: Stream =
    Stream { source: SourceId(*b"a file of a host"), run: Run { number: 3, nonce: 77 } };
const SAMPLER: Stream =
    Stream { source: SourceId(*b"the host sampler"), run: Run { number: 4, nonce: 78 } };

fn records() -> Vec<Record> {
    let series = |metric: &str, scale| {
        let labels = vec![("mount".to_owned(), "/var".to_owned())];
        Arc::new(Series { metric: metric.to_owned(), labels, scale })
    };
    let (used, ratio) = (series("disk.used_bytes", 0), series("disk.used_ratio", 4));
    let tick = |start: u64, value: i64| Record {
        stream: SAMPLER,
        start,
        end: start + 1,
        time_us: 1_700_000_000_000_000 + i64::try_from(start).unwrap() * 1_000_000,
        content: Content::Tick(Tick::from(vec![
            Sample { series: Arc::clone(&used), value },
            Sample { series: Arc::clone(&ratio), value: value / 1_000 },
        ])),
    };
    let line = |start: u64, end: u64, part, body: &[u8]| Record {
        stream: STREAM,
        start,
        end,
        time_us: 1_700_000_000_500_000,
        content: Content::Event(Event { body: body.to_vec(), part }),
    };
    let gap = Gap { cause: Cause::Truncated, records: 0, bytes: 17, about: None };
    let about = Gap { cause: Cause::Undecided, records: 5, bytes: 0, about: Some(STREAM) };
    let own = Stream { source: own_source(Lane::Bulk), run: Run { number: 9, nonce: 1 } };
    let facts = BTreeMap::from([("site".to_owned(), "osl-1".to_owned())]);
    let at = |stream, start, end, content| Record { stream, start, end, time_us: 1, content };
    vec![
        tick(7, 123_456),
        line(100, 106, Part::Whole, b"hello"),
        line(106, 113, Part::WholeCrLf, b"\xff\xfe\0ab"),
        line(113, 116, Part::Continued, b"abc"),
        line(116, 119, Part::Unended, b"def"),
        at(STREAM, 119, 136, Content::Gap(gap)),
        tick(8, -5),
        at(own, 0, 1, Content::Gap(about)),
        at(own, 1, 2, Content::Facts(facts)),
    ]
}

fn body_of(records: &[Record]) -> BodyBuilder {
    let mut body = BodyBuilder::default();
    let path = b"/var/log/app.log".to_vec();
    let fingerprint = Fingerprint::of(b"hello\n");
    let info = SourceInfo::File { path, fingerprint };
    for record in records {
        let info = match record.stream {
            STREAM => info.clone(),
            SAMPLER => SourceInfo::Host,
            _ => SourceInfo::Device,
        };
        let start = Mark { position: record.start, records: 10 };
        body.cover(record.stream, Some(&info), start, Check::NONE);
        body.push(record);
        // The kept bytes are of agents that gave samplers no check.
        body.set_check(record.stream, Check::NONE);
    }
    body
}

fn header_of(body: &BodyBuilder, level: i32) -> (Header, Vec<u8>) {
    header_as(VERSION_NEWEST, body, level)
}

fn header_as(version: u8, body: &BodyBuilder, level: i32) -> (Header, Vec<u8>) {
    let (packing, packed) = body.pack_as(version, level);
    let header = Header {
        device: DeviceId([1; 16]),
        lane: Lane::Bulk,
        epoch: Epoch([2; 16]),
        seq: Seq::FIRST,
        parent: Some(Tip::GENESIS),
        rekeyed: true,
        lane_state: 0,
        clock: Clock { wall_us: 1_700_000_000_000_000, boot: BootId([3; 16]), mono_us: 42 },
        counts: body.counts(),
        totals: body.counts(),
        spans: body.spans(),
        packing,
    };
    (header, packed)
}

fn batch() -> Batch {
    batch_as(VERSION_OLDEST)
}

fn batch_as(version: u8) -> Batch {
    let (header, packed) = header_as(version, &body_of(&records()), 0);
    Batch::seal(header, &packed, Tip::GENESIS.digest)
}

/// A batch that goes on where the other one ends, as it travels.
fn next() -> Frame {
    let first = batch();
    let mut header = first.header().clone();
    (header.seq, header.parent) = (Seq::new(2).unwrap(), None);
    header.totals = header.totals.plus(header.counts);
    (header.clock.wall_us, header.clock.mono_us) = (1_700_000_010_000_000, 10_000_042);
    for (span, check) in header.spans.iter_mut().zip(1..) {
        let Mark { position, records } = span.end;
        let end = Mark { position: position + 100, records: records + 3 };
        (span.start, span.end, span.check) = (span.end, end, Check(check));
    }
    let second = Batch::seal(header, first.body(), first.digest());
    let mut last = LastBatch::default();
    last.note(&first);
    let sent =
        SentClock { wall_us: 1_700_000_010_300_000, mono_us: 10_300_042, ..Default::default() };
    Frame::Next(last.abbreviate(sent, second.bytes()).unwrap())
}

/// Samples that follow others, coded.
fn next_of_samples() -> Frame {
    let sealed = |time_us: i64, value: i64, start: u64, header: &Header, before: Digest| {
        let known =
            |metric: &str, scale| Series { metric: metric.to_owned(), labels: vec![], scale };
        let series = [known("memory.used_bytes", 0), known("queue.length", 0)].map(Arc::new);
        let samples = series.map(|series| Sample { series, value });
        let content = Content::Tick(samples.into_iter().collect());
        let body = body_of(&[Record { stream: SAMPLER, start, end: start + 1, time_us, content }]);
        let (packing, packed) = body.pack(0);
        let mut header = header.clone();
        (header.packing, header.counts, header.spans) = (packing, body.counts(), body.spans());
        header.totals = header.totals.plus(header.counts);
        Batch::seal(header, &packed, before)
    };
    let empty = Header { totals: Counts::default(), ..batch().header().clone() };
    let first = sealed(1_700_000_000_000_000, 4_096, 7, &empty, Tip::GENESIS.digest);
    let mut header = first.header().clone();
    (header.seq, header.parent) = (Seq::new(2).unwrap(), None);
    let second = sealed(1_700_000_001_000_050, 12_288, 8, &header, first.digest());
    let mut last = LastBatch::default();
    last.note(&first);
    Frame::Next(last.abbreviate(SentClock::default(), second.bytes()).unwrap())
}

/// A line that is like those before, of a file that was told.
fn next_of_lines() -> Frame {
    let mut shapes = Shapes::default();
    let mut last = LastBatch::default();
    let mut before: Option<Batch> = None;
    for number in 0..4 {
        let text = format!("a job of {number} steps took {} ms", 77 * number);
        let (start, time_us) = (100 * number, 1_700_000_000_000_000);
        let event = Event { body: text.into_bytes(), part: Part::Whole };
        let content = Content::Event(event);
        let record = Record { stream: STREAM, start, end: start + 100, time_us, content };
        let body = body_of(&[record]);
        let packed = body.pack_apart(4, 0, &mut shapes).unwrap();
        let (counts, spans, packing) = (body.counts(), body.spans(), packed.packing);
        let header = before.as_ref().map_or(header_of(&body, 0).0, |before| {
            let header = before.header().clone();
            let totals = header.totals.plus(counts);
            Header { seq: header.seq.next().unwrap(), parent: None, totals, ..header }
        });
        let header = Header { counts, spans, packing, ..header };
        let digest = before.map_or(Tip::GENESIS.digest, |before| before.digest());
        let batch = Batch::seal(header, &packed.bytes, digest);
        if let Some(next) = last.abbreviate(SentClock::default(), batch.bytes())
            && number == 3
        {
            return Frame::Next(next);
        }
        before = Some(batch);
    }
    panic!("the last one follows those before")
}

/// An ack that goes on from another one.
fn next_ack() -> Frame {
    let Frame::Ack(first) = frames().remove(5) else { panic!("the sixth frame is an ack") };
    let mut second = first;
    (second.tip.seq, second.tip.digest) = (first.tip.seq + 2, Digest([7; 32]));
    second.receipt.offset = Offset(first.receipt.offset.0 + 300);
    let mut last = LastAck::default();
    assert!(last.abbreviate(first).is_none(), "the first one is complete");
    Frame::NextAck(last.abbreviate(second).unwrap())
}

fn entry() -> Entry {
    let boot = BootId([3; 16]);
    let sent = SentClock { wall_us: 1_700_000_000_700_000, mono_us: 700_042, boot };
    let kind = EntryKind::Batch { sent, batch: Box::new(batch()) };
    Entry {
        appender: NodeId([4; 16]),
        stamp_us: 1_700_000_001_000_000,
        generation: Generation(2),
        kind,
    }
}

fn windows_entry() -> Entry {
    let combinations = [vec!["device"], vec!["customer", "product_version"], vec![]];
    let labels = |labels: Vec<&str>| labels.into_iter().map(str::to_owned).collect();
    let kind = EntryKind::Control(Control::Windows(WindowRules {
        version: 3,
        from_us: 1_700_000_010_000_000,
        length_us: 10_000_000,
        lateness_us: 1_000_000,
        keys_max: 10_000,
        combinations: combinations.map(labels).into(),
        quantiles: Vec::new(),
    }));
    Entry { kind, ..entry() }
}

fn quantiles_entry() -> Entry {
    let EntryKind::Control(Control::Windows(rules)) = windows_entry().kind else {
        unreachable!("it was just made")
    };
    let quantiles = vec![rules.combinations[1].clone()];
    let kind = EntryKind::Control(Control::Windows(WindowRules { quantiles, ..rules }));
    Entry { kind, ..entry() }
}

fn snapshot() -> Snapshot {
    let mut ledger = ShardLedger::new(ShardId(5));
    let outcome = ledger.fold(Offset(0), &entry(), |_| true, Rules::default()).unwrap();
    assert!(matches!(outcome, Outcome::Applied(_)));
    Snapshot { log: LogId([6; 16]), tip: None, ledger }
}

/// Compares bytes with a golden file: text of hexadecimal digits, 32 bytes a line.
fn golden(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    let lines = bytes
        .chunks(32)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
    let text: String = lines.collect();
    if !path.exists() && std::env::var_os("HEADWATER_BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, text, "the bytes of {name} changed: a new version of the format is due");
}

#[test]
fn the_bytes_of_every_format_stay_the_same() {
    golden("batch-1.hex", batch().bytes());
    golden("batch-2.hex", batch_as(2).bytes());
    golden("batch-4.hex", batch_as(4).bytes());
    golden("entry-2.hex", &entry().encode());
    golden("snapshot-1.hex", &snapshot().encode());
    let control = EntryKind::Control(Control::Generation(Generation(3)));
    golden("control-2.hex", &Entry { kind: control, ..entry() }.encode());
    golden("windows-2.hex", &windows_entry().encode());
    golden("quantiles-2.hex", &quantiles_entry().encode());
    golden("lane-hello-1.hex", &frames()[2].encode());
    golden("ack-1.hex", &frames()[5].encode());
    golden("next-2.hex", &next().encode());
    golden("next-3.hex", &next_of_samples().encode());
    golden("next-5.hex", &next_of_lines().encode());
    golden("next-ack-3.hex", &next_ack().encode());
}

#[test]
fn records_come_back_byte_for_byte() {
    for (version, level) in [(1, 0), (1, 1), (1, 3), (2, 0), (2, 3), (3, 3), (4, 0), (4, 3)] {
        let (header, packed) = header_as(version, &body_of(&records()), level);
        let batch = Batch::seal(header, &packed, Digest([9; 32]));
        let again = Batch::parse(batch.bytes().to_vec()).unwrap();
        assert_eq!(again, batch);
        assert!(again.follows(Digest([9; 32])) && !again.follows(Digest([8; 32])));
        assert_eq!(Body::open(&again).unwrap().records, records());
    }
}

#[test]
fn entries_and_snapshots_come_back() {
    assert_eq!(Entry::decode(&entry().encode()), Ok(entry()));
    assert_eq!(Entry::decode(&windows_entry().encode()), Ok(windows_entry()));
    assert_eq!(Entry::decode(&quantiles_entry().encode()), Ok(quantiles_entry()));
    let snapshot = snapshot();
    assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
}

#[test]
fn an_entry_of_version_1_is_read_and_says_nothing_of_the_boot() {
    let kept = fs::read_to_string(
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/entry-1.hex"),
    );
    let digits: String = kept.unwrap().split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    let mut expected = entry();
    if let EntryKind::Batch { sent, .. } = &mut expected.kind {
        sent.boot = BootId::default();
    }
    assert_eq!(Entry::decode(&bytes), Ok(expected));
}

fn frames() -> Vec<Frame> {
    let receipt = Receipt {
        log: LogId([6; 16]),
        generation: Generation(1),
        shard: ShardId(5),
        offset: Offset(9),
    };
    let hello = Hello {
        protocol_oldest: 1,
        protocol_newest: 1,
        build: "0.1.0".to_owned(),
        session: 7,
        name: "edge-1".to_owned(),
        boot: BootId([3; 16]),
        labels: BTreeMap::from([("site".to_owned(), "osl-1".to_owned())]),
    };
    let welcome = Welcome {
        protocol: 1,
        build: "0.1.0".to_owned(),
        node: "agg-1".to_owned(),
        wall_us: 1,
        in_flight: 8,
    };
    vec![
        Frame::Hello(hello),
        Frame::Welcome(welcome),
        Frame::LaneHello(LaneHello { lane: Lane::Bulk, receipt: Some(receipt) }),
        Frame::LaneState(snapshot().ledger.lane_state(
            DeviceId([1; 16]),
            Lane::Bulk,
            LogId([6; 16]),
        )),
        Frame::Batch {
            sent: SentClock { wall_us: 5, mono_us: 6, ..SentClock::default() },
            batch: Box::new(batch()),
        },
        Frame::Ack(Ack { lane: Lane::Live, tip: batch().tip(), receipt }),
        Frame::Refused(headwater_protocol::ledger::Refusal::Fork),
        Frame::Busy(BusyCause::Disk, 1_500),
        Frame::Probe(u64::MAX),
        Frame::Alive(Alive { probe: u64::MAX, session: 7 }),
        next(),
    ]
}

#[test]
fn frames_come_back() {
    for frame in frames() {
        let bytes = frame.encode();
        let (head, payload) = bytes.split_first_chunk::<5>().unwrap();
        let head = FrameHead::parse(*head).unwrap();
        assert_eq!(head.length(), payload.len());
        assert_eq!(Frame::decode(head, payload), Ok(frame));
    }
}

#[test]
fn a_frame_above_its_limit_is_refused_by_its_head() {
    let head = |kind: u8, length: usize| {
        let mut head = [kind, 0, 0, 0, 0];
        head[1..].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
        FrameHead::parse(head)
    };
    assert!(head(5, limits::BATCH_BYTES_MAX + 16).is_ok());
    assert!(head(5, limits::BATCH_BYTES_MAX + 17).is_err());
    assert!(head(1, limits::CONTROL_FRAME_BYTES_MAX + 1).is_err());
    assert!(head(11, limits::BATCH_BYTES_MAX + 16).is_ok());
    assert!(head(11, limits::BATCH_BYTES_MAX + 17).is_err());
    assert!(head(0, 1).is_err() && head(13, 1).is_err());
}

#[test]
fn versions_from_the_future_are_named() {
    let mut bytes = batch().into_bytes();
    bytes[0] = 5;
    let error = Batch::parse(bytes).unwrap_err();
    assert_eq!(error, DecodeError::Version { what: "batch", found: 5, newest: 4 });
    // A body of another version than its batch.
    let (mut header, packed) = header_as(1, &body_of(&records()), 0);
    header.packing.version = 2;
    assert!(Body::open(&Batch::seal(header, &packed, Digest([0; 32]))).is_err());
    for version in [1, 3, 4] {
        let (mut header, packed) = header_as(2, &body_of(&records()), 0);
        header.packing.version = version;
        assert!(Body::open(&Batch::seal(header, &packed, Digest([0; 32]))).is_err());
    }
    let mut bytes = entry().encode();
    bytes[0] = 9;
    assert!(matches!(Entry::decode(&bytes), Err(DecodeError::Version { what: "entry", .. })));
    let Frame::Hello(mut hello) = frames().remove(0) else { panic!("the first frame is a hello") };
    assert_eq!(negotiate(&hello), Ok(1));
    (hello.protocol_oldest, hello.protocol_newest) = (6, 7);
    assert!(negotiate(&hello).is_err(), "no version in common");
    (hello.protocol_oldest, hello.protocol_newest) = (1, 6);
    assert_eq!(negotiate(&hello), Ok(5), "the newest in common");
}

#[test]
fn an_unknown_entry_kind_stops_the_shard() {
    let mut bytes = Entry { kind: EntryKind::Tick, ..entry() }.encode();
    bytes[1] = 200;
    assert!(Entry::decode(&bytes).is_err());
}

#[test]
fn a_bomb_is_refused_before_it_unpacks() {
    let (mut header, _) = header_of(&body_of(&records()), 0);
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
    header.packing = headwater_protocol::header::Packing {
        version: 1,
        codec: headwater_protocol::header::Codec::Zstd,
        packed: u32::try_from(bomb.len()).unwrap(),
        unpacked: 1_000,
    };
    let batch = Batch::seal(header, &bomb, Digest([0; 32]));
    assert_eq!(Body::open(&batch), Err(BodyError::Unpack(1_000)));
}

#[test]
fn a_body_that_is_not_what_its_header_says_is_refused() {
    let (mut header, packed) = header_of(&body_of(&records()), 0);
    header.counts.records += 1;
    let batch = Batch::seal(header.clone(), &packed, Digest([0; 32]));
    assert_eq!(Body::open(&batch), Err(BodyError::Header("counts")));
    header.counts.records -= 1;
    header.spans[0].end.position += 1;
    let batch = Batch::seal(header, &packed, Digest([0; 32]));
    assert_eq!(Body::open(&batch), Err(BodyError::Header("spans")));
}

#[test]
fn a_stream_that_stands_twice_in_a_body_is_refused() {
    let line = |start| Record {
        stream: STREAM,
        start,
        end: start + 6,
        time_us: 1,
        content: Content::Event(Event { body: b"hello".to_vec(), part: Part::Whole }),
    };
    let (mut header, mut packed) = header_as(1, &body_of(&[line(100), line(106)]), 0);
    // Version, one stream: id, run's number and nonce, kind of source, path, fingerprint.
    assert_eq!(packed[..2], [1, 1]);
    let row = packed[2..2 + 16 + 1 + 8 + 1 + 1 + 16 + 2 + 16].to_vec();
    // No series, two records, eleven lengths, two kinds; then each record's stream.
    let second = 2 + row.len() + 2 + 11 + 2 + 1;
    assert_eq!(packed[second], 0, "both records are of the first row");
    (packed[1], packed[second]) = (2, 1);
    packed.splice(2..2, row);
    let length = u32::try_from(packed.len()).unwrap();
    (header.packing.packed, header.packing.unpacked) = (length, length);
    header.spans[0].end.position = 106;
    let batch = Batch::seal(header, &packed, Digest([0; 32]));
    assert_eq!(Body::open(&batch), Err(BodyError::Header("positions")));
}

#[test]
fn series_that_repeat_long_labels_are_refused_before_they_fill_memory() {
    let label = |number: usize| (number.to_string(), "x".repeat(limits::TEXT_BYTES_MAX));
    let labels: Vec<(String, String)> = (0..limits::LABELS_MAX).map(label).collect();
    let opened = |count: u32| {
        let sample = |number: u32| {
            let (metric, labels) = (format!("{number:04}"), labels.clone());
            Sample { series: Arc::new(Series { metric, labels, scale: 0 }), value: 1 }
        };
        let content = Content::Tick((0..count).map(sample).collect());
        let record = Record { stream: SAMPLER, start: 7, end: 8, time_us: 1, content };
        let body = body_of(&[record]);
        let (header, packed) = header_of(&body, 0);
        assert!(
            packed.len() < 80 << 10,
            "labels that are those of the series before take no bytes"
        );
        (Body::open(&Batch::seal(header, &packed, Digest([0; 32]))).is_ok(), body.weight())
    };
    let (fits, weight) = opened(60);
    assert!(fits && weight < limits::BODY_BYTES_MAX);
    let (fits, weight) = opened(70);
    assert!(!fits && weight > limits::BODY_BYTES_MAX, "nobody seals what can't be opened");
}

#[test]
fn a_body_of_more_facts_than_memory_is_kept_for_is_refused() {
    let names = (0..limits::LABELS_MAX).map(|number| (number.to_string(), String::new()));
    let facts: BTreeMap<String, String> = names.collect();
    let records = limits::FACTS_PER_BATCH_MAX / limits::LABELS_MAX;
    let told = |start: usize| {
        let start = u64::try_from(start).unwrap();
        let content = Content::Facts(facts.clone());
        Record { stream: STREAM, start, end: start + 1, time_us: 1, content }
    };
    let sealed = |count: usize| {
        let records: Vec<Record> = (0..count).map(told).collect();
        let body = body_of(&records);
        let room = body.has_room(1, 0, limits::LABELS_MAX, 0);
        let (header, packed) = header_of(&body, 1);
        (Body::open(&Batch::seal(header, &packed, Digest([0; 32]))), room)
    };
    let (opened, room) = sealed(records);
    assert!(opened.is_ok() && !room, "what an agent seals can be opened, and it seals no more");
    assert!(sealed(records - 1).1, "there is room up to the limit");
    assert!(matches!(sealed(records + 1).0, Err(BodyError::Decode(DecodeError::Value { .. }))));
}

#[test]
fn a_number_of_shards_that_no_log_has_is_not_read_back() {
    let stored =
        |count: u16| rmp_serde::from_slice::<ShardCount>(&rmp_serde::to_vec(&count).unwrap());
    assert_eq!(stored(64).unwrap(), ShardCount::DEFAULT);
    assert!(stored(0).is_err() && stored(1_025).is_err());
}

#[test]
fn sums_of_hostile_totals_do_not_overflow() {
    let most = Counts { records: u64::MAX, gaps: 1, gap_records: u64::MAX, gap_bytes: 1 };
    assert_eq!(most.plus(most).read(), u64::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn changed_bytes_never_reach_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = entry().encode();
        for (index, value) in &changes {
            let index = index.index(bytes.len());
            bytes[index] = *value;
        }
        bytes.truncate(1 + cut.index(bytes.len()));
        if let Ok(Entry { kind: EntryKind::Batch { batch, .. }, .. }) = Entry::decode(&bytes) {
            let _ = Body::open(&batch);
        }
        let mut bytes = snapshot().encode();
        for (index, value) in changes {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        let _ = Snapshot::decode(&bytes);
    }

    #[test]
    fn any_bytes_as_a_frame_never_reach_a_panic(
        kind in 1_u8..11, payload in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut head = [kind, 0, 0, 0, 0];
        head[1..].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        let _ = Frame::decode(FrameHead::parse(head).unwrap(), &payload);
    }

    #[test]
    fn a_changed_body_never_reaches_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let (header, mut packed) = header_of(&body_of(&records()), 0);
        for (index, value) in changes {
            let index = index.index(packed.len());
            packed[index] = value;
        }
        let _ = Body::open(&Batch::seal(header, &packed, Digest([0; 32])));
    }
}
