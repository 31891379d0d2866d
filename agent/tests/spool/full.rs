//! A full spool and a full disk: files are not read any further, the oldest samples are dropped, and
//! all of that is declared.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_agent::config::{ByteCount, Room};
use headwater_agent::spool::Stall;
use headwater_agent::tail::{Landed, Landing};
use headwater_protocol::chain::Resumed;
use headwater_protocol::identity::Lane;
use headwater_protocol::record::{Cause, Content, Record};

use crate::world::{Node, World, lines, numbered, sample};

/// Bytes of a line of `texts`, its end included.
const LINE_BYTES: u64 = 65;

/// Lines that are all different, so that they take some room compressed.
fn texts(numbers: Range<u64>) -> Vec<String> {
    numbers.map(|number| blake3::hash(&number.to_le_bytes()).to_hex().to_string()).collect()
}

#[test]
fn a_full_bulk_lane_stops_the_reading_and_goes_on_once_it_was_acked() {
    const LINES: u64 = 400_000;
    let mut node = Node::new();
    let mut world = World::with(|config| {
        config.max_bytes = ByteCount::mib(4);
        config.grace_bytes = ByteCount(0);
    });
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    let mut landing = std::mem::replace(&mut world.landing, World::new().landing);
    let done = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&done);
    let reader = std::thread::spawn(move || {
        let mut line = 0;
        while !told.load(Ordering::Relaxed) {
            if line == LINES {
                std::thread::yield_now();
                continue;
            }
            let some = lines(stream, line * LINE_BYTES, &texts(line..LINES.min(line + 500)));
            line = LINES.min(line + 500);
            if landing.append(some).unwrap() == Landed::Resync {
                line = landing.known().unwrap().streams[&stream].position / LINE_BYTES;
            }
        }
    });
    let full =
        world.wait(Lane::Bulk, "the lane fills", |view| view.stall == Some(Stall::SpoolFull));
    assert!(full.footprint <= full.share_bytes, "{full:?}");
    assert!(!reader.is_finished(), "the reader is held");
    crate::world::wait_for("the lane goes on once there is room", || {
        world.ship_all(&mut node, Lane::Bulk);
        world.lane(Lane::Bulk).head.totals().records == LINES
    });
    done.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    world.ship_all(&mut node, Lane::Bulk);
    assert!(node.lines() == texts(0..LINES), "every line once and in order");
    node.check();
}

#[test]
fn a_full_live_lane_drops_its_oldest_samples_and_declares_them() {
    let mut node = Node::new();
    let world = World::with(|config| {
        config.max_bytes = ByteCount::kib(256);
        config.grace_bytes = ByteCount(0);
    });
    let mut number = 0;
    while world.lane(Lane::Live).dropped_records < 100 {
        world.writer.tick(number, sample(number)).unwrap();
        number += 1;
        if number % 8 == 0 {
            world.wait(Lane::Live, "samples are sealed", |view| view.pending_records == 0);
        }
        assert!(number < 100_000, "a small lane fills");
    }
    world.wait(Lane::Live, "samples are sealed", |view| view.pending_records == 0);
    let view = world.lane(Lane::Live);
    assert!(view.footprint <= view.share_bytes, "{view:?}");
    assert!(matches!(world.greet(&node, Lane::Live), Resumed::Opened { .. }));
    world.ship_all(&mut node, Lane::Live);
    let declared: u64 = node.applied.iter().filter_map(spool_full).sum();
    let kept = crate::world::values(&node.applied);
    assert_eq!(declared + kept.len() as u64, u64::try_from(number).unwrap());
    assert_eq!(kept, (number - kept.len() as i64..number).collect::<Vec<i64>>(), "the newest stay");
    node.check();
}

fn spool_full(record: &Record) -> Option<u64> {
    match &record.content {
        Content::Gap(gap) if gap.cause == Cause::SpoolFull => Some(gap.records),
        _ => None,
    }
}

#[test]
fn a_disk_that_is_nearly_full_stops_the_reading_and_not_the_samples() {
    let mut node = Node::new();
    let mut world = World::with(|config| config.min_free = Room::Bytes(ByteCount(u64::MAX)));
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    world.append(stream, 0, &numbered(0..2));
    world.wait(Lane::Bulk, "the lane stands still", |view| view.stall == Some(Stall::DiskFull));
    const SAMPLES: u64 = 500;
    let mut taken = 0;
    while world.lane(Lane::Live).dropped_records == 0 {
        let noise = |index| i64::try_from(index * 0x9e37_79b9_7f4a_7c15 % (1 << 62)).unwrap();
        let samples = (taken..taken + SAMPLES).map(|index: u64| noise(u128::from(index) + 1));
        world.writer.tick(1, samples.flat_map(sample).collect()).unwrap();
        taken += SAMPLES;
        world.wait(Lane::Live, "samples are sealed", |view| view.head.totals().records == taken);
        assert!(taken < 500_000, "the spool does not grow for ever");
    }
    let view = world.lane(Lane::Live);
    assert!(view.footprint < 1 << 20, "what is left of the disk is for acks and deletes: {view:?}");
    world.ship_all(&mut node, Lane::Live);
    let declared: u64 = node.applied.iter().filter_map(spool_full).sum();
    assert_eq!(declared + crate::world::values(&node.applied).len() as u64, taken);
    world.greet(&node, Lane::Bulk);
    assert_eq!(world.append(stream, 14, &numbered(2..3)).1, Landed::Taken, "nothing moved");
    assert_eq!(world.lane(Lane::Bulk).head.totals().records, 0);
    node.check();
}

#[test]
fn the_reserve_lies_beside_the_spool() {
    let world = World::new();
    world.writer.tick(1, sample(1)).unwrap();
    world.wait_sealed(Lane::Live, 1);
    let reserve = std::fs::metadata(world.folder.path().join("reserve")).unwrap();
    assert_eq!(reserve.len(), world.config.reserve.0);
}
