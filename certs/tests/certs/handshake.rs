//! The sessions that should come about, and what holds in them.

use std::sync::Arc;

use headwater_certs::enrol::Exporter;
use headwater_certs::identity::{PeerError, Standing, peer_device, peer_node};
use headwater_certs::name::Role;
use headwater_certs::tls::{self, ExpiredDevices, PeerVerdict, TrustFault, explain};
use rustls::{HandshakeKind, ProtocolVersion};

use crate::session::Session;
use crate::world::{DOMAIN, World, at, clock, days};

#[test]
fn a_device_and_a_node_of_one_authority_know_each_other() {
    let world = World::new();
    let device = world.device();
    let client = tls::agent_client_config(&device, clock(at(0))).unwrap();
    let session = Session::between(client, world.server_config());
    assert!(session.succeeded(), "{:?} {:?}", session.client_error, session.server_error);
    assert_eq!(session.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(session.server.alpn_protocol(), Some(&b"headwater/1"[..]));

    let chain = session.server.peer_certificates().unwrap();
    let peer = peer_device(chain).unwrap();
    assert_eq!(peer.device, device.device());
    assert_eq!(peer.trust_domain.as_str(), DOMAIN);
    assert_eq!(peer.serial, device.certificate().serial);
    assert_eq!(peer.standing(at(0)), Standing::Current);
    assert_eq!(
        peer_node(chain),
        Err(PeerError::WrongRole { expected: Role::Node, presented: Role::Device })
    );

    let chain = session.client.peer_certificates().unwrap();
    assert_eq!(peer_node(chain).unwrap().node.as_str(), "agg-1");
    assert_eq!(peer_device(&[]), Err(PeerError::Missing));
}

#[test]
fn no_session_is_ever_resumed_and_no_ticket_is_sent() {
    let world = World::new();
    let (client, server) = (world.agent_config(), world.server_config());
    for _ in 0..3 {
        let mut session = Session::between(Arc::clone(&client), Arc::clone(&server));
        assert_eq!(session.send_to_client(b"answer"), b"answer");
        assert_eq!(session.client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(session.client.tls13_tickets_received(), 0);
    }
    assert_eq!(server.send_tls13_tickets, 0);
    assert_eq!(server.max_early_data_size, 0);
    assert!(!client.enable_early_data);
    assert!(!server.ticketer.enabled());
}

#[test]
fn nodes_relay_among_themselves_and_refuse_devices() {
    let world = World::new();
    let server = tls::relay_server_config(&world.node, clock(at(0))).unwrap();
    let client = tls::relay_client_config(&world.node, clock(at(0))).unwrap();
    let session = Session::between(Arc::clone(&client), Arc::clone(&server));
    assert!(session.succeeded());
    assert!(peer_node(session.server.peer_certificates().unwrap()).is_ok());

    let mut device = (*world.agent_config()).clone();
    device.alpn_protocols.clone_from(&client.alpn_protocols);
    let session = Session::between(Arc::new(device), server);
    let fault = explain(session.server_error.as_ref().unwrap());
    assert_eq!(fault, TrustFault::WrongRole { expected: Role::Node, presented: Role::Device });
}

#[test]
fn the_protocols_of_the_three_ports_do_not_mix() {
    let world = World::new();
    let relay = tls::relay_server_config(&world.node, clock(at(0))).unwrap();
    let enrol = tls::enrol_server_config(&world.node, clock(at(0))).unwrap();
    for server in [relay, enrol] {
        let session = Session::between(world.agent_config(), server);
        let fault = explain(session.server_error.as_ref().unwrap());
        assert_eq!(fault, TrustFault::NoCommonProtocol);
        let fault = explain(session.client_error.as_ref().unwrap());
        assert_eq!(fault, TrustFault::NoCommonProtocol);
    }
}

#[test]
fn both_ends_of_a_session_draw_the_same_number_and_no_other_session_does() {
    let world = World::new();
    let secret = headwater_certs::token::Secret::from_bytes([9; 16]);
    let binding = |exporter| headwater_certs::enrol::Binding::new(&secret, &exporter);
    let session = Session::between(world.agent_config(), world.server_config());
    let other = Session::between(world.agent_config(), world.server_config());
    let ours = binding(Exporter::of_session(&session.client).unwrap());
    assert_eq!(ours, binding(Exporter::of_session(&session.server).unwrap()));
    assert_ne!(ours, binding(Exporter::of_session(&other.server).unwrap()));

    let early = Session::prepared(world.agent_config(), world.server_config());
    assert!(Exporter::of_session(&early.client).is_err(), "no number before the handshake");
}

#[test]
fn an_expired_device_may_come_to_renew_for_thirty_days() {
    let world = World::new();
    let device = world.device();
    for (day, expired, admitted) in [
        (29, ExpiredDevices::Refuse, true),
        (31, ExpiredDevices::Refuse, false),
        (31, ExpiredDevices::RenewOnly, true),
        (60, ExpiredDevices::RenewOnly, true),
        (61, ExpiredDevices::RenewOnly, false),
    ] {
        // A second past the day, so that day 30 is over.
        let now = at(days(day) + if day == 60 { 0 } else { 1 });
        // The agent's own clock is not what the node judges by.
        let client = tls::agent_client_config(&device, clock(at(0))).unwrap();
        let session = Session::between(client, world.server_config_at(expired, now));
        assert_eq!(session.server_error.is_none(), admitted, "day {day}, {expired:?}");
        if admitted {
            let peer = peer_device(session.server.peer_certificates().unwrap()).unwrap();
            let due = if day < 30 { Standing::Current } else { Standing::RenewOnly };
            assert_eq!(peer.standing(now), due, "day {day}");
            assert_eq!(peer.remaining(now).is_zero(), day >= 30, "day {day}");
        } else {
            let fault = explain(session.server_error.as_ref().unwrap());
            assert!(matches!(fault, TrustFault::Expired { .. }), "day {day}: {fault:?}");
            let verdict = PeerVerdict::OutsideValidity;
            let told = explain(session.client_error.as_ref().unwrap());
            assert_eq!(told, TrustFault::Refused { verdict }, "the agent learns why");
        }
    }
}

#[test]
fn a_renewed_certificate_works_at_once_for_a_clock_that_is_behind() {
    let world = World::new();
    for (behind_s, admitted) in [(0, true), (300, true), (301, false)] {
        let session = Session::between(
            world.agent_config(),
            world.server_config_at(ExpiredDevices::Refuse, at(-behind_s)),
        );
        assert_eq!(session.server_error.is_none(), admitted, "{behind_s} s behind");
    }
}
