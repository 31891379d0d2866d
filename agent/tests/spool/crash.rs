//! A crash may come after any commit, and a spool may come back from any of them.

use headwater_agent::tail::{Landed, Landing};
use headwater_protocol::chain::{Resumed, Row};
use headwater_protocol::identity::Lane;

use crate::world::{Node, World, numbered, sample};

#[test]
fn after_a_crash_at_any_commit_rows_and_positions_fit_together() {
    let mut world = World::new();
    let node = Node::new();
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    let mut at = 0;
    for round in 0..12 {
        let (end, landed) = world.append(stream, at, &numbered(round * 10..round * 10 + 10));
        assert_eq!(landed, Landed::Taken);
        at = end;
        let before = world.wait_sealed(Lane::Bulk, round + 1);
        let mut crashed = World::open(world.copy(), world.config.clone());
        let after = crashed.lane(Lane::Bulk);
        assert_eq!(after.head, before.head, "what was shown is durable");
        crashed.greet(&node, Lane::Bulk);
        let known = crashed.landing.known().expect("the ledger has spoken");
        assert_eq!(known.streams[&stream].position, at, "the position is that after the last row");
        let lines = crate::world::texts(&crashed.records(Lane::Bulk, Row(0)));
        assert_eq!(lines, numbered(0..round * 10 + 10));
        crashed.stop();
    }
}

#[test]
fn what_a_crash_took_from_memory_is_read_and_stored_once() {
    let mut node = Node::new();
    let mut world =
        World::with(|config| config.bulk_seal_after = std::time::Duration::from_secs(60));
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    world.append(stream, 0, &numbered(0..5));
    world.greet(&node, Lane::Bulk);
    let copy = world.copy();
    world.append(stream, 35, &numbered(5..9));
    let mut world = world.crash_to(copy);
    world.greet(&node, Lane::Bulk);
    let known = world.landing.known().unwrap();
    assert_eq!(known.streams[&stream].position, 35, "unsealed lines are read again");
    let (_, landed) = world.append(stream, 35, &numbered(5..9));
    assert_eq!(landed, Landed::Taken);
    world.ship_all(&mut node, Lane::Bulk);
    assert_eq!(node.lines(), numbered(0..9));
    node.check();
}

#[test]
fn a_run_whose_first_lines_a_crash_took_is_not_known_and_hides_no_run_before_it() {
    let mut world =
        World::with(|config| config.bulk_seal_after = std::time::Duration::from_secs(60));
    world.greet(&Node::new(), Lane::Bulk);
    world.landing.known();
    let before = world.begin(0);
    world.append(before, 0, &numbered(0..5));
    world.greet(&Node::new(), Lane::Bulk);
    let next = world.begin(0);
    world.append(next, 0, &numbered(5..9));
    // A commit for the sake of the other lane.
    world.writer.tick(1, sample(1)).unwrap();
    world.wait_sealed(Lane::Live, 1);
    let copy = world.copy();
    let mut world = world.crash_to(copy);
    world.greet(&Node::new(), Lane::Bulk);
    let known = world.landing.known().unwrap();
    assert_eq!(known.streams[&before].position, 35);
    assert!(!known.streams.contains_key(&next), "nothing of it is stored: {known:?}");
}

#[test]
fn an_ack_that_was_lost_in_a_crash_is_found_by_the_next_handshake() {
    let mut node = Node::new();
    let mut world = World::new();
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    world.append(stream, 0, &numbered(0..3));
    world.wait_sealed(Lane::Bulk, 1);
    let copy = world.copy();
    world.ship(&mut node, Lane::Bulk, Row(0));
    assert_eq!(world.lane(Lane::Bulk).head.acked(), Row(1), "an ack holds at once");
    let world = world.crash_to(copy);
    assert_eq!(world.lane(Lane::Bulk).head.acked(), Row(0), "it was not durable yet");
    assert_eq!(world.greet(&node, Lane::Bulk), Resumed::InChain(Row(1)));
    assert_eq!(world.lane(Lane::Bulk).head.acked(), Row(1));
    assert_eq!(node.lines(), numbered(0..3));
}

#[test]
fn an_ack_becomes_durable_without_any_seal() {
    let mut node = Node::new();
    let mut world = World::new();
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    world.append(stream, 0, &numbered(0..3));
    world.wait_sealed(Lane::Bulk, 1);
    world.ship(&mut node, Lane::Bulk, Row(0));
    crate::world::wait_for("the lazy commit comes by itself", || {
        let crashed = World::open(world.copy(), world.config.clone());
        let acked = crashed.lane(Lane::Bulk).head.acked() == Row(1);
        crashed.stop();
        acked
    });
}

#[test]
fn a_spool_that_was_rolled_back_stores_everything_once_and_declares_the_rest() {
    let mut node = Node::new();
    let mut world = World::new();
    world.ship_all(&mut node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    world.append(stream, 0, &numbered(0..3));
    world.writer.tick(1, sample(10)).unwrap();
    world.wait_sealed(Lane::Bulk, 1);
    world.wait_sealed(Lane::Live, 1);
    let copy = world.copy();
    world.append(stream, 21, &numbered(3..6));
    world.wait_sealed(Lane::Bulk, 2);
    world.writer.tick(2, sample(20)).unwrap();
    world.wait_sealed(Lane::Live, 2);
    for lane in Lane::ALL {
        world.ship_all(&mut node, lane);
    }
    let mut world = world.crash_to(copy);
    world.writer.tick(3, sample(30)).unwrap();
    for lane in Lane::ALL {
        assert!(matches!(world.greet(&node, lane), Resumed::Opened { .. }), "lane {lane}");
    }
    let known = world.landing.known().unwrap();
    assert_eq!(known.streams[&stream].position, 42, "the ledger's position is taken over");
    let (_, landed) = world.append(stream, 42, &numbered(6..8));
    assert_eq!(landed, Landed::Taken);
    for lane in Lane::ALL {
        world.ship_all(&mut node, lane);
    }
    assert_eq!(node.lines(), numbered(0..8));
    let samples: Vec<i64> = crate::world::values(&node.applied);
    assert_eq!(samples, [10, 20, 30]);
    node.check();
}

#[test]
fn a_stop_seals_what_waits() {
    let mut world = World::with(|config| {
        config.bulk_seal_after = std::time::Duration::from_secs(60);
        config.live_seal_after = std::time::Duration::from_secs(60);
    });
    let mut node = Node::new();
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    world.append(stream, 0, &numbered(0..4));
    world.writer.tick(1, sample(1)).unwrap();
    let (folder, config) = world.stop();
    let world = World::open(folder, config);
    for lane in Lane::ALL {
        world.ship_all(&mut node, lane);
    }
    assert_eq!(node.lines(), numbered(0..4));
    assert_eq!(crate::world::values(&node.applied), [1]);
}
