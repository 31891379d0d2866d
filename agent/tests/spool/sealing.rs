//! How batches are cut.

use headwater_agent::config::ByteCount;
use headwater_agent::tail::{Landed, Landing};
use headwater_protocol::batch::Batch;
use headwater_protocol::chain::Row;
use headwater_protocol::identity::Lane;
use headwater_protocol::limits;
use headwater_protocol::position::Check;

use crate::world::{Node, World, numbered, sample};

/// Lines of random letters: six bits a byte, so that they hardly compress.
fn noise(count: usize, length: usize, seed: u64) -> Vec<String> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = vec![0; count * length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    let letter = |byte: &u8| char::from(LETTERS[usize::from(byte % 64)]);
    bytes.chunks(length).map(|line| line.iter().map(letter).collect()).collect()
}

#[test]
fn a_batch_that_was_just_sealed_is_read_as_it_stands_in_the_file() {
    let mut node = Node::new();
    let mut world = World::with(|config| config.grace_bytes = ByteCount(0));
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    let mut at = 0;
    let same = |world: &World, lane: Lane, row: Row| {
        let written = World::open(world.copy(), world.config.clone());
        let bytes = world.read(lane, row).expect("it is held");
        assert_eq!(Some(bytes), written.read(lane, row), "row {} of lane {lane}", row.0);
        written.stop();
    };
    for (round, length) in [10, 60_000, 10].into_iter().enumerate() {
        let (row, value) = (Row(round as u64), round as u64 + 1);
        (at, _) = world.append(stream, at, &noise(1, length, value));
        world.wait_sealed(Lane::Bulk, value);
        world.writer.tick(1, sample(1)).unwrap();
        world.wait_sealed(Lane::Live, value);
        same(&world, Lane::Bulk, row);
        same(&world, Lane::Live, row);
    }
    world.ship_all(&mut node, Lane::Bulk);
    let released = world.lane(Lane::Bulk).head.archive_first();
    assert_eq!(released, Row(3), "without a grace buffer what is acked leaves");
    world.writer.tick(1, sample(1)).unwrap();
    world.wait_sealed(Lane::Live, 4);
    assert_eq!(world.read(Lane::Bulk, Row(2)), None, "what left the file is not in memory either");
}

#[test]
fn samples_wait_for_none_that_come_too_late_for_their_batch() {
    let wait = std::time::Duration::from_secs(3600);
    let world = World::with(|config| config.live_seal_after = wait);
    world.greet(&Node::new(), Lane::Live);
    world.writer.tick_before(wait / 2, 1, sample(1)).unwrap();
    world.writer.tick_before(wait, 2, sample(2)).unwrap();
    world.wait_sealed(Lane::Live, 1);
    assert_eq!(world.lane(Lane::Live).pending_records, 0, "what came before travels along");
}

#[test]
fn what_does_not_compress_is_cut_smaller_and_nothing_of_it_is_lost() {
    let mut node = Node::new();
    let mut world =
        World::with(|config| config.bulk_seal_after = std::time::Duration::from_secs(5));
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    let mut expected = Vec::new();
    let mut at = 0;
    // What compresses very well raises the size that is tried; what does not must not break it.
    for round in 0..60 {
        let texts = if round < 40 { vec!["x".repeat(1000); 400] } else { noise(400, 1000, round) };
        let (end, landed) = world.append(stream, at, &texts);
        assert_eq!(landed, Landed::Taken);
        at = end;
        expected.extend(texts);
    }
    world.ship_all(&mut node, Lane::Bulk);
    assert!(node.lines() == expected, "every line once and in order");
    let head = world.lane(Lane::Bulk).head;
    for row in head.archive_first().0..head.next().0 {
        let bytes = world.read(Lane::Bulk, Row(row)).unwrap();
        assert!(bytes.len() <= limits::BATCH_BYTES_MAX, "row {row} has {} bytes", bytes.len());
        let packing = Batch::parse(bytes).unwrap().header().packing;
        assert!(packing.unpacked as usize <= limits::BODY_BYTES_MAX);
    }
    node.check();
}

#[test]
fn batches_are_aimed_at_just_below_the_size_that_was_asked_for() {
    let mut world = World::with(|config| {
        config.bulk_seal_after = std::time::Duration::from_secs(60);
        config.grace_bytes = ByteCount::mib(32);
    });
    world.greet(&Node::new(), Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    let mut at = 0;
    for round in 0..40 {
        (at, _) = world.append(stream, at, &noise(400, 1000, round));
    }
    let view =
        world.wait(Lane::Bulk, "batches are sealed by size", |view| view.head.next() >= Row(16));
    let mut sizes = Vec::new();
    for row in 4..view.head.next().0 {
        sizes.push(world.read(Lane::Bulk, Row(row)).unwrap().len());
    }
    let most = 511 << 10;
    assert!(sizes.iter().all(|size| (most * 3 / 4..=most).contains(size)), "sizes: {sizes:?}");
}

#[test]
fn short_lines_are_cut_by_their_number() {
    let mut node = Node::new();
    let mut world =
        World::with(|config| config.bulk_seal_after = std::time::Duration::from_secs(60));
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    let (mut at, mut expected) = (0, Vec::new());
    for _ in 0..10 {
        let texts = vec![String::new(); 16_000];
        (at, _) = world.append(stream, at, &texts);
        expected.extend(texts);
    }
    world.ship_all(&mut node, Lane::Bulk);
    assert_eq!(node.lines().len(), expected.len());
    node.check();
}

#[test]
fn a_large_tick_is_taken_in_parts() {
    let mut node = Node::new();
    let world = World::new();
    let mut samples = Vec::new();
    for value in 0..5000 {
        samples.extend(sample(value));
    }
    world.writer.tick(7, samples).unwrap();
    world.wait_sealed(Lane::Live, 1);
    world.ship_all(&mut node, Lane::Live);
    assert_eq!(crate::world::values(&node.applied), (0..5000).collect::<Vec<i64>>());
    assert!(node.applied.iter().all(|record| record.time_us == 7));
}

#[test]
fn seals_that_are_ready_together_share_a_commit() {
    let mut world =
        World::with(|config| config.bulk_seal_after = std::time::Duration::from_millis(50));
    world.greet(&Node::new(), Lane::Bulk);
    world.landing.known();
    let streams: Vec<_> = (0..50).map(|_| world.begin(0)).collect();
    for stream in &streams {
        world.append(*stream, 0, &numbered(0..2));
    }
    let view = world.wait(Lane::Bulk, "all is sealed", |view| view.head.totals().records == 100);
    assert!(view.head.next().0 <= 3, "one batch holds many files: {:?}", view.head.next());
}

#[test]
fn a_position_that_a_batch_ends_at_always_has_its_check() {
    let mut node = Node::new();
    let mut world = World::with(|config| {
        config.bulk_seal_after = std::time::Duration::from_secs(60);
        config.seal_bytes = ByteCount::kib(16);
    });
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    let (mut at, mut text, mut expected) = (0, Vec::new(), Vec::new());
    for round in 0..60 {
        // Short lines first, so that a cut by size alone would fall among them.
        let mut texts = numbered(round * 4..round * 4 + 4);
        texts.extend(noise(7, 9000, round));
        (at, _) = world.append(stream, at, &texts);
        for line in &texts {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        expected.extend(texts);
    }
    world.ship_all(&mut node, Lane::Bulk);
    assert!(node.lines() == expected, "every line once and in order");
    let head = world.lane(Lane::Bulk).head;
    assert!(head.next().0 > 90, "batches were cut inside of chunks: {}", head.next().0);
    for row in head.archive_first().0..head.next().0 {
        let batch = Batch::parse(world.read(Lane::Bulk, Row(row)).unwrap()).unwrap();
        for span in &batch.header().spans {
            let end = usize::try_from(span.end.position).unwrap();
            let before = &text[end.saturating_sub(Check::BYTES)..end];
            assert_eq!(span.check, Check::of(before), "row {row} ends at {end}");
        }
    }
}
