//! What arrives when things go wrong: everything, once.

use headwater_agent::ship::Link;
use headwater_protocol::identity::{DeviceId, Lane};
use headwater_protocol::record::{Cause, Content};
use headwater_protocol::wire::CloseCode;

use crate::node::Mischief;
use crate::world::{DEVICE, World, numbered, sample, wait_for};

/// Lines arrive once and in order although the node does this at some of the batches.
fn survives(mischief: impl Fn(u64) -> Option<Mischief>) -> World {
    let mut world = World::new();
    let stream = world.begin();
    let mut at = 0;
    for round in 0..30 {
        world.node.state().mischief.extend(mischief(round));
        at = world.append(stream, at, &numbered(round * 10..round * 10 + 10));
        world.wait_acked(Lane::Bulk, round * 10 + 10);
    }
    assert_eq!(world.node.lines(), numbered(0..300));
    world.node.check();
    world
}

fn at_every(nth: u64, mischief: Mischief) -> impl Fn(u64) -> Option<Mischief> {
    move |round| round.is_multiple_of(nth).then(|| mischief.clone())
}

fn bulk(world: &World) -> headwater_protocol::ledger::Tallies {
    world.node.state().ledger.lanes()[&(DeviceId(DEVICE), Lane::Bulk)].tallies()
}

#[test]
fn acks_that_are_lost_with_their_connection_change_nothing() {
    let world = survives(at_every(3, Mischief::CloseBeforeAck));
    assert!(world.node.state().sessions >= 10, "each one closed a session");
    assert_eq!(bulk(&world).epochs, 1, "the chain went on each time");
}

#[test]
fn a_batch_that_the_node_lost_is_sent_again() {
    let mut world = World::new();
    let stream = world.begin();
    let mut at = 0;
    for round in 0..10 {
        world.node.state().mischief.push_back(Mischief::LoseBatch);
        at = world.append(stream, at, &numbered(round * 20..round * 20 + 10));
        wait_for("the node loses it", || world.node.state().mischief.is_empty());
        at = world.append(stream, at, &numbered(round * 20 + 10..round * 20 + 20));
        world.wait_acked(Lane::Bulk, round * 20 + 20);
    }
    assert_eq!(world.node.lines(), numbered(0..200));
    let tallies = bulk(&world);
    assert_eq!(tallies.ahead + tallies.stale, 10, "the one after it showed that it is missing");
    assert_eq!(world.node.state().sessions, 1, "a rewind needs no new session");
    world.node.check();
}

#[test]
fn a_node_that_takes_batches_and_says_nothing_is_left() {
    let mut world = World::new();
    let stream = world.begin();
    world.node.state().mischief.push_back(Mischief::LoseBatch);
    world.append(stream, 0, &numbered(0..10));
    world.wait_acked(Lane::Bulk, 10);
    assert_eq!(world.node.state().sessions, 2, "the first one was given up");
    assert_eq!(world.node.lines(), numbered(0..10));
}

#[test]
fn a_busy_node_is_left_alone_and_greeted_again() {
    let world = survives(at_every(4, Mischief::Busy(60)));
    assert_eq!(world.node.state().sessions, 1, "busy is no reason to reconnect");
}

#[test]
fn a_lane_that_is_put_off_says_hello_again_in_the_same_session() {
    let mut world = World::new();
    let stream = world.begin();
    world.node.state().mischief.push_back(Mischief::Busy(60));
    world.node.state().busy_hellos = 6;
    world.append(stream, 0, &numbered(0..10));
    world.wait_acked(Lane::Bulk, 10);
    assert_eq!(world.node.state().busy_hellos, 0, "each was put off");
    assert_eq!(world.node.state().sessions, 1, "busy is no reason to reconnect");
    assert_eq!(world.node.lines(), numbered(0..10));
}

#[test]
fn an_ack_of_something_else_releases_nothing() {
    survives(at_every(4, Mischief::ForeignAck));
}

#[test]
fn an_old_ack_changes_nothing() {
    survives(at_every(2, Mischief::StaleAck));
}

#[test]
fn bytes_that_are_no_frame_end_the_session_and_nothing_else() {
    let world = survives(at_every(10, Mischief::Garbage));
    assert!(world.node.state().sessions >= 3);
}

#[test]
fn a_frame_that_is_announced_too_large_is_not_waited_for() {
    let world = survives(at_every(10, Mischief::Oversized));
    assert!(world.node.state().sessions >= 3);
}

#[test]
fn a_stream_that_the_node_ends_ends_the_session() {
    survives(at_every(10, Mischief::EndStream));
}

#[test]
fn a_node_that_lost_its_tail_is_filled_from_the_grace_buffer() {
    let mut world = World::new();
    let stream = world.begin();
    let at = world.append(stream, 0, &numbered(0..10));
    world.wait_acked(Lane::Bulk, 10);
    let (ledger, applied) = {
        let state = world.node.state();
        (state.ledger.clone(), state.applied.clone())
    };
    let at = world.append(stream, at, &numbered(10..20));
    world.wait_acked(Lane::Bulk, 20);
    {
        let mut state = world.node.state();
        (state.ledger, state.applied) = (ledger, applied);
        state.mischief.push_back(Mischief::Close(CloseCode::Stopping));
    }
    world.append(stream, at, &numbered(20..30));
    world.wait_acked(Lane::Bulk, 30);
    assert_eq!(world.node.lines(), numbered(0..30));
    assert_eq!(bulk(&world).epochs, 1, "its older state is in the chain");
    world.node.check();
}

#[test]
fn what_the_node_lost_beyond_the_grace_buffer_is_declared() {
    let mut world = World::without_agent();
    world.spool_config.grace_bytes = headwater_agent::config::ByteCount(0);
    world.start();
    let stream = world.begin();
    let at = world.append(stream, 0, &numbered(0..10));
    world.wait_acked(Lane::Bulk, 10);
    let (ledger, applied) = {
        let state = world.node.state();
        (state.ledger.clone(), state.applied.clone())
    };
    let at = world.append(stream, at, &numbered(10..25));
    world.wait_acked(Lane::Bulk, 25);
    {
        let mut state = world.node.state();
        (state.ledger, state.applied) = (ledger, applied);
        state.mischief.push_back(Mischief::Close(CloseCode::Stopping));
    }
    world.append(stream, at, &numbered(25..30));
    world.wait_acked(Lane::Bulk, 30);
    let expected: Vec<String> = numbered(0..10).into_iter().chain(numbered(25..30)).collect();
    assert_eq!(world.node.lines(), expected);
    let state = world.node.state();
    let gaps: Vec<u64> = state
        .applied
        .iter()
        .filter_map(|(_, record)| match &record.content {
            Content::Gap(gap) if gap.cause == Cause::Lost => Some(gap.records),
            _ => None,
        })
        .collect();
    assert_eq!(gaps, [15], "what is gone is declared, to the record");
    drop(state);
    world.node.check();
}

#[test]
fn a_spool_that_was_deleted_starts_from_what_the_ledger_knows() {
    let mut world = World::new();
    let stream = world.begin();
    let at = world.append(stream, 0, &numbered(0..10));
    world.agent().writer.tick(1, sample(1)).unwrap();
    world.wait_acked(Lane::Bulk, 10);
    world.wait_acked(Lane::Live, 1);
    world.stop();
    std::fs::remove_dir_all(&world.spool_config.dir).unwrap();
    world.start();
    world.agent().writer.tick(2, sample(2)).unwrap();
    let mut known = None;
    wait_for("the ledger speaks", || {
        use headwater_agent::tail::Landing;
        known = world.agent().landing.known();
        known.is_some()
    });
    assert_eq!(known.unwrap().streams[&stream].position, at, "the ledger's position is taken over");
    world.append(stream, at, &numbered(10..20));
    world.wait_acked(Lane::Bulk, 20);
    world.wait_acked(Lane::Live, 2);
    assert_eq!(world.node.lines(), numbered(0..20));
    assert_eq!(world.node.values(), [1, 2]);
    world.node.check();
}

#[test]
fn live_goes_out_although_bulk_has_a_long_way_to_go() {
    let mut world = World::new();
    let stream = world.begin();
    let mut at = 0;
    for round in 0..200 {
        at = world.append(stream, at, &numbered(round * 1000..round * 1000 + 1000));
    }
    world.agent().writer.tick(1, sample(1)).unwrap();
    world.wait_acked(Lane::Live, 1);
    world.wait_acked(Lane::Bulk, 200_000);
    assert_eq!(world.node.lines().len(), 200_000);
    world.node.check();
    let standing = world.wait_standing("one session did it", |_| true);
    assert!(matches!(standing.link, Link::Connected(_)));
}
