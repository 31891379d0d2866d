//! Lines that are taken apart: whatever they are, they come back byte for byte, and no bytes reach a panic.

#![allow(missing_docs, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::{
    Body, BodyBuilder, VERSION_DEFINED, VERSION_FIELDS, VERSION_NUMBERED,
};
use headwater_protocol::header::{Clock, Header, Packing};
use headwater_protocol::identity::{BootId, DeviceId, Epoch, Lane, Seq, Tip};
use headwater_protocol::limits;
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Content, Event, Line, Part};
use proptest::collection::vec;
use proptest::prelude::*;

const STREAM: Stream =
    Stream { source: SourceId(*b"a file of a host"), run: Run { number: 3, nonce: 77 } };

fn body_of<'a>(lines: impl IntoIterator<Item = (&'a [u8], Part, u64)>) -> BodyBuilder {
    let mut body = BodyBuilder::default();
    body.cover(STREAM, None, Mark::default(), Check::NONE);
    for (at, (text, part, beyond)) in lines.into_iter().enumerate() {
        let ends = match part {
            Part::Whole => 1,
            Part::WholeCrLf => 2,
            Part::Continued | Part::Unended => 0,
        };
        let taken = text.len() as u64 + ends + beyond;
        let time_us = 1_700_000_000_000_000 + at as i64 / 9;
        body.push_line(STREAM, Line { taken, time_us, part, body: text });
    }
    body
}

fn whole(lines: &[Vec<u8>]) -> impl Iterator<Item = (&[u8], Part, u64)> {
    lines.iter().map(|line| (line.as_slice(), Part::Whole, 0))
}

fn batch_of(body: &BodyBuilder, (packing, packed): (Packing, Vec<u8>)) -> Batch {
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
    Batch::seal(header, &packed, Tip::GENESIS.digest)
}

fn events(batch: &Batch) -> Vec<Event> {
    let records = Body::open(batch).unwrap().records.into_iter();
    let event = |content| match content {
        Content::Event(event) => event,
        other => panic!("{other:?} is no line"),
    };
    records.map(|record| event(record.content)).collect()
}

/// Bytes of both forms, and which one is taken.
fn sizes(lines: &[Vec<u8>]) -> (usize, usize, u8) {
    let body = body_of(whole(lines));
    let whole = body.pack_as(VERSION_NUMBERED, 3);
    let apart = body.pack_as(VERSION_FIELDS, 3);
    let chosen = if 20 * apart.1.len() < 19 * whole.1.len() { apart } else { whole };
    let version = chosen.0.version;
    let size = chosen.1.len();
    let back: Vec<Vec<u8>> =
        events(&batch_of(&body, chosen)).into_iter().map(|event| event.body).collect();
    assert!(back == lines, "lines come back byte for byte");
    (size, body.pack_as(VERSION_NUMBERED, 3).1.len(), version)
}

/// Lines as programs write them; what varies is drawn.
fn log(kind: u64, count: u64, mut draw: impl FnMut() -> u64) -> Vec<Vec<u8>> {
    let mut time = 28_800_000;
    let line = |at| {
        time += draw() % 40;
        let (second, ms) = (time / 1_000, time % 1_000);
        let clock =
            format!("{:02}:{:02}:{:02}", second / 3_600 % 24, second / 60 % 60, second % 60);
        let (a, b, c) = (draw(), draw(), draw());
        let mut line = String::new();
        match kind {
            0 => write!(
                line,
                "10.{}.{}.7 - - [21/Nov/2026:{clock} +0000] \"GET /item/{}?s={b:016x} HTTP/1.1\" \
                 {} {} \"-\" \"curl/8.{}\"",
                a % 256,
                a / 256 % 256,
                b % 900_000,
                200 + a % 3 * 104,
                c % 90_000,
                c % 4
            ),
            1 => write!(
                line,
                "{{\"time\":\"2026-11-21T{clock}.{ms:03}Z\",\"id\":\"{a:08x}-{:04x}-4{:03x}-a{:03x}-\
                 {:012x}\",\"ok\":{},\"took\":{}.{:03},\"n\":{at},\"who\":\"user {} \\\"x\\\"\"}}",
                b & 0xffff,
                b >> 16 & 0xfff,
                b >> 28 & 0xfff,
                c & 0xffff_ffff_ffff,
                a % 3 == 0,
                b % 100,
                c % 1_000,
                b % 7
            )
            .map(|()| ()),
            _ => write!(
                line,
                "Nov 21 {clock} web-{:02} app[{}]: took {}ms of {:05} for job-{:X} {}",
                a % 24,
                b % 30_000,
                c % 10_000,
                a % 60_000,
                b,
                if c % 2 == 0 { "started" } else { "stopped" }
            ),
        }
        .unwrap();
        line.into_bytes()
    };
    (0..count).map(line).collect()
}

/// SplitMix64.
fn random(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[test]
fn logs_become_much_smaller_than_zstd_makes_them() {
    for (kind, at_most) in [(0, 60), (1, 75), (2, 70)] {
        let (size, zstd, version) = sizes(&log(kind, 4_000, random(kind)));
        assert_eq!(version, VERSION_FIELDS);
        assert!(100 * size < at_most * zstd, "kind {kind}: {size} bytes, {zstd} by zstd alone");
    }
}

#[test]
fn lines_that_are_not_made_alike_stay_as_they_are() {
    let mut draw = random(5);
    let noise: Vec<Vec<u8>> = (0..3_000)
        .map(|_| (0..20).flat_map(|_| draw().to_le_bytes()).filter(|byte| *byte != b'\n').collect())
        .collect();
    let (size, zstd, version) = sizes(&noise);
    assert_eq!((size, version), (zstd, VERSION_NUMBERED));
    let few = log(0, 5, random(1));
    assert_eq!(sizes(&few).2, VERSION_NUMBERED, "a few lines are not worth the time");
}

#[test]
fn a_batch_with_everything_beside_its_lines_comes_back() {
    let lines = log(2, 500, random(3));
    let parts = [Part::Whole, Part::WholeCrLf, Part::Continued, Part::Unended];
    let mixed = lines.iter().enumerate().map(|(at, line)| {
        let beyond = if at % 50 == 0 { 3 } else { 0 };
        (line.as_slice(), parts[at % 4], beyond)
    });
    let body = body_of(mixed);
    for level in [0, 1, 3] {
        let packed = body.pack_as(VERSION_FIELDS, level);
        assert_eq!(packed.0.version, VERSION_FIELDS, "level {level}");
        let whole = body.pack_as(VERSION_NUMBERED, level);
        let (apart, whole) = (batch_of(&body, packed), batch_of(&body, whole));
        assert_eq!(Body::open(&apart).unwrap(), Body::open(&whole).unwrap(), "level {level}");
    }
}

/// A batch of version 3, level 0, that an earlier build made.
/// A build may make other bytes of the same lines; what was made once stays readable.
#[test]
fn what_an_earlier_build_took_apart_is_read() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/batch-3.hex");
    let lines = [log(1, 60, random(9)), log(2, 60, random(9))].concat();
    if !path.exists() && std::env::var_os("HEADWATER_BLESS").is_some() {
        let body = body_of(whole(&lines));
        let batch = batch_of(&body, body.pack_as(VERSION_FIELDS, 0));
        let digits = batch
            .bytes()
            .chunks(32)
            .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
        fs::write(&path, digits.collect::<String>()).unwrap();
    }
    let digits: String = fs::read_to_string(path).unwrap().split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let batch = Batch::parse((0..digits.len()).step_by(2).map(byte).collect()).unwrap();
    assert_eq!(batch.header().packing.version, VERSION_FIELDS);
    let back: Vec<Vec<u8>> = events(&batch).into_iter().map(|event| event.body).collect();
    assert!(back == lines);
}

/// A line of pieces of which some look like what lines are taken apart by.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("word".to_owned()),
        Just("\"".to_owned()),
        Just("\"quoted 7 text\"".to_owned()),
        Just("{\"a\":".to_owned()),
        Just("}".to_owned()),
        Just("\\".to_owned()),
        Just(" ".to_owned()),
        Just("2026-02-29T00:00:00Z".to_owned()),
        Just("2026-11-21T08:00:00.1Z".to_owned()),
        Just("99:00:00".to_owned()),
        Just("00000000-0000-4000-8000-00000000000g".to_owned()),
        "[0-9]{1,20}",
        "[0-9a-f]{8,16}",
        "[0-9A-F]{8}",
        "[a-zA-Z0-9é=,;:.\\[\\]()/_-]{0,12}",
    ];
    let text = vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes());
    prop_oneof![9 => text, 1 => vec(any::<u8>(), 0..60)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_lines_come_back(few in vec(any_line(), 1..12), seed in any::<u64>(), kind in 0..3_u64) {
        // Lines repeat, so that they are worth taking apart, among those of a log.
        let mut draw = random(seed);
        let mut lines = log(kind, 200, random(seed));
        for _ in 0..200 {
            let mut below = |end: usize| usize::try_from(draw() % end as u64).unwrap();
            let line = few[below(few.len())].clone();
            lines.insert(below(lines.len()), line);
        }
        let body = body_of(whole(&lines));
        for (version, level) in
            [(VERSION_FIELDS, 0), (VERSION_FIELDS, 1), (VERSION_DEFINED, 0), (VERSION_DEFINED, 1)]
        {
            let batch = batch_of(&body, body.pack_as(version, level));
            let back: Vec<Vec<u8>> = events(&batch).into_iter().map(|event| event.body).collect();
            prop_assert!(back == lines);
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_mean_something_within_the_limits(
        seed in any::<u64>(),
        kind in 0..3_u64,
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let lines = log(kind, 120, random(seed));
        let body = body_of(whole(&lines));
        let (packing, mut packed) = body.pack_as(VERSION_FIELDS, 0);
        prop_assert_eq!(packing.version, VERSION_FIELDS);
        for (at, byte) in damage {
            let at = at.index(packed.len());
            packed[at] = byte;
        }
        if let Ok(opened) = Body::open(&batch_of(&body, (packing, packed))) {
            let bytes = opened.records.iter().map(|record| record.weight()).sum::<usize>();
            prop_assert!(bytes <= limits::BODY_BYTES_MAX + 16 * limits::RECORDS_PER_BATCH_MAX);
        }
    }
}
