//! What arrives when nothing goes wrong, and when nodes come and go.

use headwater_agent::ship::Link;
use headwater_agent::tail::Landing;
use headwater_protocol::header::VERSION_NEWEST;
use headwater_protocol::identity::Lane;
use headwater_protocol::wire::{CloseCode, PROTOCOL_NEWEST};

use crate::node::Mischief;
use crate::world::{World, loopback, node_identity, numbered, sample, wait_for};

#[test]
fn what_is_spooled_arrives_once_and_is_acked() {
    let mut world = World::new();
    let stream = world.begin();
    let mut at = 0;
    for round in 0..50 {
        at = world.append(stream, at, &numbered(round * 100..round * 100 + 100));
        let value = i64::try_from(round).unwrap();
        world.agent().writer.tick(value, sample(value)).unwrap();
    }
    world.wait_acked(Lane::Bulk, 5000);
    world.wait_acked(Lane::Live, 50);
    assert_eq!(world.node.lines(), numbered(0..5000));
    assert_eq!(world.node.values(), (0..50).collect::<Vec<i64>>());
    world.node.check();
    let standing = world
        .wait_standing("it is connected", |standing| matches!(standing.link, Link::Connected(_)));
    assert!(standing.certificate_ends_s > 0);
    let hello = world.node.state().hellos[0].clone();
    assert_eq!((hello.name.as_str(), hello.session), ("edge-1", 1));
    assert_eq!(world.node.state().sessions, 1);
}

#[test]
fn batches_that_follow_one_another_travel_abbreviated_in_sessions_of_the_present_version() {
    for protocol in [1, 2, 3, 4] {
        let mut world = World::without_agent();
        world.node.state().protocol = protocol;
        world.start();
        // A batch each: the next sample waits for the ack of the one before.
        for value in 0..10 {
            world.agent().writer.tick(value, sample(value)).unwrap();
            world.wait_acked(Lane::Live, u64::try_from(value).unwrap() + 1);
        }
        let (batches, abbreviated) = {
            let state = world.node.state();
            (state.batches, state.abbreviated)
        };
        assert!(batches >= 10, "{batches} batches");
        // The first one after a hello is complete.
        let expected = if protocol == 1 { 0 } else { batches - 1 };
        assert_eq!(abbreviated, expected, "of {batches} batches in version {protocol}");
        assert_eq!(world.node.values(), (0..10).collect::<Vec<i64>>());
        world.node.check();
    }
}

#[test]
fn a_node_of_an_older_version_is_sent_nothing_that_it_cannot_read() {
    for (older, restarts) in [(2, false), (2, true), (3, false), (3, true)] {
        let mut world = World::new();
        world.agent().writer.tick(0, sample(0)).unwrap();
        world.wait_acked(Lane::Live, 1);
        let stream = world.begin();
        // So many lines are taken apart.
        let at = world.append(stream, 0, &numbered(0..2_000));
        world.wait_acked(Lane::Bulk, 2_000);
        assert_eq!(world.node.state().newest_batch, VERSION_NEWEST);
        // The node that read the newest bodies goes; what it did not ack is sealed for it.
        world.node.state().mischief.extend([Mischief::Close(CloseCode::Stopping)]);
        world.node.state().refused_hellos.extend([CloseCode::Limit; 1000]);
        for value in 1..5 {
            world.agent().writer.tick(value, sample(value)).unwrap();
        }
        world.append(stream, at, &numbered(2_000..4_000));
        world.wait_standing("nobody is greeted", |standing| standing.tries >= 2);
        if restarts {
            world.stop();
        }
        {
            let mut state = world.node.state();
            state.protocol = older;
            state.refused_hellos.clear();
        }
        if restarts {
            world.start();
        }
        world.wait_acked(Lane::Live, 5);
        world.wait_acked(Lane::Bulk, 4_000);
        assert_eq!(world.node.values(), (0..5).collect::<Vec<i64>>());
        assert!(world.node.lines() == numbered(0..4_000));
        world.node.check();
        // And back: a newer node is sent newer bodies.
        world.node.state().mischief.extend([Mischief::Close(CloseCode::Stopping)]);
        world.node.state().protocol = PROTOCOL_NEWEST;
        for value in 5..8 {
            world.agent().writer.tick(value, sample(value)).unwrap();
        }
        world.wait_acked(Lane::Live, 8);
        assert_eq!(world.node.values(), (0..8).collect::<Vec<i64>>());
        world.node.check();
    }
}

#[test]
fn a_backlog_is_sent_once_a_node_can_be_reached() {
    let mut world = World::without_agent();
    let dead = loopback();
    world.start_with(vec![format!("127.0.0.1:{}", closed_port()), dead_name(dead.port())]);
    for value in 0..20 {
        world.agent().writer.tick(value, sample(value)).unwrap();
    }
    world.wait_standing("nobody is reached", |standing| standing.tries >= 2);
    world.stop();
    world.start();
    world.wait_acked(Lane::Live, 20);
    assert_eq!(world.node.values(), (0..20).collect::<Vec<i64>>());
    world.node.check();
}

/// A port of loopback that nobody listens on.
fn closed_port() -> u16 {
    let socket = std::net::UdpSocket::bind(loopback()).unwrap();
    socket.local_addr().unwrap().port()
}

fn dead_name(_port: u16) -> String {
    "name.invalid:4433".to_owned()
}

#[test]
fn of_several_addresses_the_next_one_is_tried() {
    let mut world = World::without_agent();
    let alive = world.node.address.to_string();
    world.start_with(vec![
        format!("127.0.0.1:{}", closed_port()),
        "name.invalid:1".to_owned(),
        alive.clone(),
    ]);
    world.agent().writer.tick(1, sample(5)).unwrap();
    world.wait_acked(Lane::Live, 1);
    let standing = world
        .wait_standing("it is connected", |standing| matches!(standing.link, Link::Connected(_)));
    let Link::Connected(connected) = standing.link else { unreachable!() };
    assert_eq!(connected.address, alive);
    assert_eq!(connected.node, "fake-1");
}

#[test]
fn an_agent_that_starts_again_goes_on_where_it_stopped() {
    let mut world = World::new();
    let stream = world.begin();
    let at = world.append(stream, 0, &numbered(0..10));
    world.wait_acked(Lane::Bulk, 10);
    world.stop();
    world.start();
    let mut known = None;
    wait_for("the ledger speaks to the spool", || {
        known = world.agent().landing.known();
        known.is_some()
    });
    let known = known.unwrap();
    assert_eq!(known.streams[&stream].position, at);
    world.append(stream, at, &numbered(10..20));
    world.wait_acked(Lane::Bulk, 20);
    assert_eq!(world.node.lines(), numbered(0..20));
    assert_eq!(
        world.node.state().ledger.lanes()
            [&(headwater_protocol::identity::DeviceId(crate::world::DEVICE), Lane::Bulk)]
            .tallies()
            .epochs,
        1,
        "the chain goes on"
    );
    world.node.check();
}

#[test]
fn a_stop_sends_what_waits_before_it_ends() {
    let mut world = World::without_agent();
    world.spool_config.bulk_seal_after = std::time::Duration::from_secs(60);
    world.spool_config.live_seal_after = std::time::Duration::from_secs(60);
    world.start();
    let stream = world.begin();
    world.append(stream, 0, &numbered(0..10));
    world.agent().writer.tick(1, sample(5)).unwrap();
    world.stop();
    assert_eq!(world.node.lines(), numbered(0..10));
    assert_eq!(world.node.values(), [5]);
}

#[test]
fn a_node_that_is_replaced_finds_the_agent_again() {
    let mut world = World::new();
    let stream = world.begin();
    let at = world.append(stream, 0, &numbered(0..10));
    world.wait_acked(Lane::Bulk, 10);
    let identity = node_identity(&world.authority);
    let address = world.node.address;
    // The same port, as a service that starts again has it.
    let state = {
        let mut state = world.node.state();
        (state.ledger.clone(), std::mem::take(&mut state.applied))
    };
    let next = crate::node::Node::serve(&world.runtime, &identity, loopback());
    std::mem::replace(&mut world.node, next).stop();
    world.append(stream, at, &numbered(10..20));
    world.wait_standing("the session is over", |standing| {
        !matches!(standing.link, Link::Connected(_))
    });
    let mut again = None;
    wait_for("the port is free again", || {
        let bound = std::net::UdpSocket::bind(address).is_ok();
        again = bound.then(|| crate::node::Node::serve(&world.runtime, &identity, address));
        bound
    });
    world.node = again.unwrap();
    {
        let mut held = world.node.state();
        (held.ledger, held.applied) = state;
    }
    world.wait_acked(Lane::Bulk, 20);
    assert_eq!(world.node.lines(), numbered(0..20));
    world.node.check();
}
