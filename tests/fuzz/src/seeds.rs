//! Inputs to begin with, one or more for each format: what the fuzzer would need days to come upon.
//!
//! They are written anew by `packaging/dev/fuzz seeds` when a format changes; what grew out of them lies
//! beside them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use headwater_aggregator::alert::{Known, RuleSet, SHIPPED, ThresholdFile};
use headwater_aggregator::fold::ShardState;
use headwater_aggregator::log::Stored;
use headwater_aggregator::merge::{MergeEntry, MergeKind};
use headwater_aggregator::registry::{NodeRecord, NoticeCursor, SessionRecord};
use headwater_aggregator::window::partial::{Group, GroupRow, Partial};
use headwater_aggregator::window::{
    Combination, Figures, Key, Output, OutputKind, Position, Spread,
};
use headwater_certs::csr::DeviceKey;
use headwater_certs::enrol::{EnrolResponse, Refusal, RefusalReason, frame};
use headwater_certs::name::Pin;
use headwater_certs::token::JoinToken;
use headwater_protocol::batch::Batch;
use headwater_protocol::body::{BodyBuilder, Shapes};
use headwater_protocol::chain::{Chain, Fresh, own_source};
use headwater_protocol::codec::put_bytes;
use headwater_protocol::entry::{Control, Entry, EntryKind, SentClock, WindowRules};
use headwater_protocol::header::{Clock, Header, Packing};
use headwater_protocol::identity::{
    BootId, DeviceId, Epoch, Generation, Lane, LogId, NodeId, Offset, Receipt, Seq, ShardCount,
    ShardId, Tip,
};
use headwater_protocol::ledger::Refusal as BatchRefusal;
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{
    Cause, Content, Event, Fingerprint, Gap, Line, Part, Record, Sample, Series, SourceInfo,
};
use headwater_protocol::wire::{
    Ack, BusyCause, FRAME_HEAD_BYTES, Frame, Hello, LaneHello, LastBatch, Welcome,
};

const FILE: Stream =
    Stream { source: SourceId(*b"a file of a host"), run: Run { number: 3, nonce: 77 } };
const SAMPLER: Stream =
    Stream { source: SourceId(*b"the host sampler"), run: Run { number: 4, nonce: 78 } };
const NOON_US: i64 = 1_700_000_000_000_000;

/// Writes the seeds of every target into its folder.
pub(crate) fn write(folder: &Path) {
    let seeds = [
        ("body", bodies()),
        ("control", frames().iter().map(|frame| unlengthed(&frame.encode())).collect()),
        ("csr", csrs()),
        ("enrol", enrolments()),
        ("fields", vec![log().join(&b'\n')]),
        ("fold", vec![folding()]),
        ("frame", vec![frames().iter().flat_map(Frame::encode).collect()]),
        (
            "gz",
            vec![
                packed(b"one\ntwo\n"),
                [packed(b"one\n"), packed(b"two\n")[1..].to_vec()].concat(),
            ],
        ),
        ("lines", lines()),
        ("log_row", log_rows()),
        ("merge_row", merge_rows()),
        ("registry_row", registry_rows()),
        ("spool_row", spool_rows()),
        ("thresholds", vec![SHIPPED.as_bytes().to_vec()]),
        ("token", vec![token()]),
        ("config", vec![headwater_agent::config::commented_defaults().into_bytes(), tails()]),
        ("node_config", vec![headwater_aggregator::config::DEFAULTS.as_bytes().to_vec()]),
    ];
    for (target, seeds) in seeds {
        let folder = folder.join(target);
        fs::create_dir_all(&folder).expect("make the folder of a corpus");
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed).expect("write a seed");
        }
    }
}

fn records() -> Vec<Record> {
    let series = |metric: &str, scale| {
        let labels = vec![("mount".to_owned(), "/var".to_owned())];
        Arc::new(Series { metric: metric.to_owned(), labels, scale })
    };
    let (used, ratio) = (series("disk.used_bytes", 0), series("disk.used_ratio", 4));
    let at = |stream, start, end, content| Record { stream, start, end, time_us: NOON_US, content };
    let tick = |start, value| {
        let samples = [(&used, value), (&ratio, value / 1_000)];
        let sample =
            |(series, value): (&Arc<Series>, i64)| Sample { series: series.clone(), value };
        at(SAMPLER, start, start + 1, Content::Tick(samples.map(sample).into_iter().collect()))
    };
    let line = |start, end, part, body: &[u8]| {
        at(FILE, start, end, Content::Event(Event { body: body.to_vec(), part }))
    };
    let own = Stream { source: own_source(Lane::Bulk), run: Run { number: 9, nonce: 1 } };
    let gap = |cause, records, about| Content::Gap(Gap { cause, records, bytes: 17, about });
    let facts = BTreeMap::from([("site".to_owned(), "osl-1".to_owned())]);
    vec![
        tick(7, 123_456),
        line(100, 106, Part::Whole, b"hello"),
        line(106, 113, Part::WholeCrLf, b"\xff\xfe\0ab"),
        line(113, 116, Part::Continued, b"abc"),
        line(116, 119, Part::Unended, b"def"),
        at(FILE, 119, 136, gap(Cause::Truncated, 0, None)),
        tick(8, -5),
        at(own, 0, 1, gap(Cause::Undecided, 5, Some(FILE))),
        at(own, 1, 2, Content::Facts(facts)),
    ]
}

fn built() -> BodyBuilder {
    built_of(&records())
}

fn built_of(records: &[Record]) -> BodyBuilder {
    let mut body = BodyBuilder::default();
    for record in records {
        let path = b"/var/log/app.log".to_vec();
        let info = match record.stream {
            FILE => SourceInfo::File { path, fingerprint: Fingerprint::of(b"hello\n") },
            SAMPLER => SourceInfo::Host,
            _ => SourceInfo::Device,
        };
        let start = Mark { position: record.start, records: 10 };
        body.cover(record.stream, Some(&info), start, Check::NONE);
        body.push(record);
    }
    body
}

fn header(body: &BodyBuilder, packing: Packing) -> Header {
    Header {
        device: DeviceId([1; 16]),
        lane: Lane::Bulk,
        epoch: Epoch([2; 16]),
        seq: Seq::FIRST,
        parent: Some(Tip::GENESIS),
        rekeyed: true,
        lane_state: 0,
        clock: Clock { wall_us: NOON_US, boot: BootId([3; 16]), mono_us: 42 },
        counts: body.counts(),
        totals: body.counts(),
        spans: body.spans(),
        packing,
    }
}

fn batch(level: i32) -> Batch {
    let body = built();
    let (packing, packed) = body.pack(level);
    Batch::seal(header(&body, packing), &packed, Tip::GENESIS.digest)
}

/// Samples alone: they travel coded.
fn ticks() -> Batch {
    let mut records = records();
    records.retain(|record| matches!(record.content, Content::Tick(_)));
    let body = built_of(&records);
    let (packing, packed) = body.pack(3);
    Batch::seal(header(&body, packing), &packed, Tip::GENESIS.digest)
}

fn bodies() -> Vec<Vec<u8>> {
    let unsealed = |version, level| {
        let (body, mut out) = (built(), Vec::new());
        let (packing, packed) = body.pack_as(version, level);
        header(&body, packing).encode(&mut out);
        out.extend_from_slice(&packed);
        out
    };
    let (apart, mut of_lines) = (lines_of(&vec![log(); 20].concat()), Vec::new());
    let (packing, packed) = apart.pack_as(3, 0);
    assert_eq!(packing.version, 3, "so many lines are taken apart");
    header(&apart, packing).encode(&mut of_lines);
    of_lines.extend_from_slice(&packed);
    let mut of_known = Vec::new();
    let mut shapes = Shapes::default();
    let _ = apart.pack_apart(4, 0, &mut shapes);
    let known = apart.pack_apart(4, 3, &mut shapes).expect("lines are taken apart");
    header(&apart, known.packing).encode(&mut of_known);
    of_known.extend_from_slice(&known.bytes);
    let by_version = [(1, 0), (1, 3), (2, 0), (2, 3), (4, 0)];
    let by_version = by_version.map(|(version, level)| unsealed(version, level));
    [by_version.as_slice(), &[of_lines, of_known]].concat()
}

/// Lines in which every kind of field is found.
fn log() -> Vec<Vec<u8>> {
    let line = |at: u64| {
        let (minute, hex) = (at * 7 % 60, at.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        match at % 3 {
            0 => format!(
                "10.0.{at}.7 - [21/Nov/2026:08:{minute:02}:00 +0000] \"GET /item/{at}\" 200 {hex:016x}"
            ),
            1 => format!(
                "{{\"time\":\"2026-11-21T08:{minute:02}:00.125Z\",\"n\":{at},\"id\":\"f81d4fae-7dec-\
                 11d0-a765-{:012x}\",\"who\":\"user {}\"}}",
                hex >> 16,
                at % 5
            ),
            _ => format!(
                "app[{}]: job {:05} took {minute}ms, {}",
                at % 9,
                at * 31,
                ["ok", "no"][at as usize % 2]
            ),
        }
    };
    (0..24).map(|at| line(at).into_bytes()).collect()
}

fn lines_of(lines: &[Vec<u8>]) -> BodyBuilder {
    let mut body = BodyBuilder::default();
    body.cover(FILE, None, Mark::default(), Check::NONE);
    for line in lines {
        let taken = line.len() as u64 + 1;
        body.push_line(FILE, Line { taken, time_us: NOON_US, part: Part::Whole, body: line });
    }
    body
}

fn frames() -> Vec<Frame> {
    let (log, generation) = (LogId([6; 16]), Generation(1));
    let receipt = Receipt { log, generation, shard: ShardId(5), offset: Offset(9) };
    let hello = Hello {
        protocol_oldest: 1,
        protocol_newest: 1,
        build: "0.1.0".to_owned(),
        session: 7,
        name: "edge-1".to_owned(),
        boot: BootId([3; 16]),
        labels: BTreeMap::from([("site".to_owned(), "osl-1".to_owned())]),
    };
    let (build, node) = ("0.1.0".to_owned(), "agg-1".to_owned());
    let mut state = ShardState::new(ShardId(5));
    fold(&mut state, EntryKind::Batch { sent: sent(), batch: Box::new(batch(0)) });
    vec![
        Frame::Hello(hello),
        Frame::Welcome(Welcome { protocol: 1, build, node, wall_us: 1, in_flight: 8 }),
        Frame::LaneHello(LaneHello { lane: Lane::Bulk, receipt: Some(receipt) }),
        Frame::LaneState(state.ledger().lane_state(DeviceId([1; 16]), Lane::Bulk, log)),
        Frame::Batch { sent: sent(), batch: Box::new(batch(3)) },
        following(&batch(3)),
        Frame::Batch { sent: sent(), batch: Box::new(ticks()) },
        following(&ticks()),
        Frame::Ack(Ack { lane: Lane::Live, tip: batch(0).tip(), receipt }),
        Frame::Refused(BatchRefusal::Fork),
        Frame::Busy(BusyCause::Disk, 1_500),
    ]
}

/// A batch that goes on where another one ends, as it travels.
fn following(first: &Batch) -> Frame {
    let mut header = first.header().clone();
    (header.seq, header.parent) = (header.seq.next().expect("a small number"), None);
    header.totals = header.totals.plus(header.counts);
    for span in &mut header.spans {
        let length = span.end.position - span.start.position;
        let records = span.end.records - span.start.records;
        span.start = span.end;
        span.end =
            Mark { position: span.end.position + length, records: span.end.records + records };
    }
    let second = Batch::seal(header, first.body(), first.digest());
    let mut last = LastBatch::default();
    last.note(first);
    Frame::Next(last.abbreviate(sent(), second.bytes()).expect("it follows"))
}

/// A frame without its length.
fn unlengthed(frame: &[u8]) -> Vec<u8> {
    [&frame[..1], &frame[FRAME_HEAD_BYTES..]].concat()
}

fn sent() -> SentClock {
    SentClock { wall_us: NOON_US, mono_us: 43, boot: BootId([3; 16]) }
}

fn entry(kind: EntryKind) -> Entry {
    let appender = NodeId([4; 16]);
    Entry { appender, stamp_us: NOON_US + 1_000, generation: Generation(0), kind }
}

fn fold(state: &mut ShardState, kind: EntryKind) {
    let stored = Stored { offset: state.next(), identity: [0; 32], entry: entry(kind).encode() };
    state.fold(&stored).expect("an entry of our own");
}

fn windows() -> EntryKind {
    let combinations = vec![vec!["device".to_owned()], vec!["site".to_owned()], vec![]];
    EntryKind::Control(Control::Windows(WindowRules {
        version: 1,
        from_us: 0,
        length_us: 10_000_000,
        lateness_us: 1_000_000,
        keys_max: 10_000,
        quantiles: combinations[..2].to_vec(),
        combinations,
    }))
}

/// Twice the same records, time that passes, and a snapshot in between: see `folding`.
fn folding() -> Vec<u8> {
    let body = built();
    let (packing, packed) = body.pack(0);
    let mut out = Vec::new();
    for stamp_us in [NOON_US, NOON_US + 5_000_000] {
        out.push(3);
        out.extend_from_slice(&stamp_us.to_le_bytes());
        out.extend_from_slice(&NOON_US.to_le_bytes());
        out.extend_from_slice(&42_u64.to_le_bytes());
        out.push(3);
        header(&body, packing).encode(&mut out);
        put_bytes(&mut out, &packed);
        out.push(2);
    }
    out.push(0);
    out.extend_from_slice(&(NOON_US + 60_000_000).to_le_bytes());
    out
}

fn log_rows() -> Vec<Vec<u8>> {
    let mut state = ShardState::new(ShardId(5));
    fold(&mut state, windows());
    fold(&mut state, EntryKind::Batch { sent: sent(), batch: Box::new(batch(0)) });
    let snapshot = state.snapshot(LogId([6; 16]));
    let unhashed = |row: &[u8]| row[..row.len() - 32].to_vec();
    vec![
        kind(0, &entry(EntryKind::Batch { sent: sent(), batch: Box::new(batch(0)) }).encode()),
        kind(0, &entry(EntryKind::Tick).encode()),
        kind(0, &entry(windows()).encode()),
        kind(0, &entry(EntryKind::Control(Control::Generation(Generation(3)))).encode()),
        kind(1, &unhashed(&snapshot.ledger)),
        kind(2, &unhashed(&snapshot.view)),
        kind(3, &unhashed(&snapshot.windows)),
    ]
}

fn merge_rows() -> Vec<Vec<u8>> {
    let series = Arc::new(Series { metric: "cpu.busy".to_owned(), labels: Vec::new(), scale: 4 });
    let of = |value| GroupRow {
        series: Arc::clone(&series),
        figures: Figures::of(value),
        spread: Spread::Told,
        devices: 1,
    };
    let mut row = of(5);
    [7, 900, -3].into_iter().for_each(|value| row.add(&of(value)));
    let combination = Arc::new(Combination::new(vec!["site".to_owned()]));
    let key = Arc::new(Key::Of(vec!["osl-1".to_owned()]));
    let group = Group { combination, key, known: 3, rows: vec![row] };
    let facts = BTreeMap::from([("site".to_owned(), "osl-1".to_owned())]);
    let partial = Partial {
        start_us: NOON_US,
        length_us: 10_000_000,
        revision: 1,
        addition: false,
        continued: false,
        keys_max: 10,
        facts: vec![(DeviceId([7; 16]), Arc::new(facts))],
        groups: vec![group.clone(), Group { key: Arc::new(Key::Other), ..group }],
    };
    let rules = ThresholdFile::parse("shipped", SHIPPED, Known::default()).expect("ours");
    let rules = RuleSet { revision: 1, rules: rules.rules, ..RuleSet::default() };
    let mut plain = Vec::new();
    partial.encode(&mut plain);
    let at = Position { generation: Generation(1), offset: Offset(2), index: 3 };
    let output = |kind| MergeKind::Output { shard: ShardId(7), output: Output { at, kind } };
    let entries = [
        output(OutputKind::Opened { start_us: NOON_US }),
        output(OutputKind::Partial(partial)),
        MergeKind::Without { start_us: NOON_US, shards: vec![ShardId(1), ShardId(63)] },
        MergeKind::Rules(Box::new(rules.clone())),
    ];
    let entries = entries.map(|kind| MergeEntry { appender: NodeId([4; 16]), stamp_us: 99, kind });
    let mut rows: Vec<Vec<u8>> = entries.iter().map(|entry| kind(0, &entry.encode())).collect();
    rows.extend([kind(3, &rules.encode()), kind(4, &plain)]);
    rows
}

fn registry_rows() -> Vec<Vec<u8>> {
    let log = LogId([6; 16]);
    let node = NodeRecord {
        id: NodeId([4; 16]),
        name: "agg-1".to_owned(),
        log,
        shards: ShardCount::DEFAULT,
        complete: true,
    };
    let row = |number, row: Result<Vec<u8>, rmp_serde::encode::Error>| {
        kind(number, &row.expect("numbers and text have an encoding"))
    };
    vec![
        row(2, rmp_serde::to_vec_named(&NoticeCursor::new(log, 7))),
        row(3, rmp_serde::to_vec_named(&SessionRecord { began_us: 5, used_us: 7 })),
        row(5, rmp_serde::to_vec_named(&node)),
    ]
}

fn spool_rows() -> Vec<Vec<u8>> {
    let chain = Chain::new(DeviceId([5; 16]), Lane::Bulk, Fresh { epoch: Epoch([4; 16]), seed: 1 });
    let mut head = vec![1];
    rmp_serde::encode::write_named(&mut head, chain.head()).expect("a head has an encoding");
    // docs/spool.md: version, marks, check, dropped to, flags with what they bring, source.
    let mut stream = vec![1, 3, 1, 0x80, 0x80, 0x20, 0xbc, 0x05];
    stream.extend_from_slice(&[0xff; 8]);
    stream.extend_from_slice(&[9, 7, 3, 1, 8, 7, 0, 0, 0, 0, 0, 0, 0, 3, 2, b'/', b'a']);
    stream.extend_from_slice(&[0; 18]);
    vec![kind(0, &head), kind(1, &stream), kind(2, &[1; 32]), kind(3, &[2; 48])]
}

fn csrs() -> Vec<Vec<u8>> {
    let key = DeviceKey::generate().expect("a key");
    let authority = crate::joining::authority();
    let csr = key.csr_der().expect("a request");
    vec![csr.to_vec(), authority.bundle()[0].to_vec()]
}

fn enrolments() -> Vec<Vec<u8>> {
    let refusal = Refusal { reason: RefusalReason::TokenUsed, message: "used".to_owned() };
    let refused = EnrolResponse::Refused(refusal).encode().expect("within the limits");
    vec![frame(&refused).expect("within the limits"), refused]
}

fn token() -> Vec<u8> {
    let addresses = vec!["agg-1.example.com:7443".parse().expect("an address")];
    let pins = vec![Pin::of_public_key(b"root")];
    let token = JoinToken::mint(addresses, pins, "web fleet".to_owned()).expect("a token");
    token.to_text().into_bytes()
}

fn packed(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![3], flate2::Compression::default());
    encoder.write_all(content).expect("memory takes bytes");
    encoder.finish().expect("memory takes bytes")
}

fn lines() -> Vec<Vec<u8>> {
    let text = b"2026-01-01 begun\n  indented\r\nnot begun\n\nEnd of a line that is too long\nx";
    (0..6).map(|kind| [&[kind, 12, 3], &text[..]].concat()).collect()
}

fn tails() -> Vec<u8> {
    let tail = "[[tail]]\nname = \"app\"\npaths = [\"/var/log/app*.log\"]\nexclude = [\"/**/*.gz\"]\n\
                start_at = \"beginning\"\nmultiline = 'regex:^\\d{4}-'\nlabels = { site = \"osl\" }\n";
    [tail.as_bytes(), b"\0SPOOL__MAX_BYTES\x002GiB"].concat()
}

fn kind(kind: u8, row: &[u8]) -> Vec<u8> {
    [&[kind], row].concat()
}
