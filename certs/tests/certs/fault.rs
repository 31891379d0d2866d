//! What people are told when a handshake fails.

use std::time::Duration;

use headwater_certs::authority::Authority;
use headwater_certs::name::Role;
use headwater_certs::tls::{self, PeerVerdict, TrustFault, explain};

use crate::session::Session;
use crate::world::{DOMAIN, World, at, clock};

#[test]
fn each_fault_has_a_message_of_its_own() {
    let world = World::new();
    let pin_mismatch = {
        let pins = [Authority::create(DOMAIN.parse().unwrap(), at(0)).unwrap().root_pin()];
        let client = tls::enrol_client_config(&pins, clock(at(0))).unwrap();
        let server = tls::enrol_server_config(&world.node, clock(at(0))).unwrap();
        explain(Session::between(client, server).client_error.as_ref().unwrap())
    };
    assert_eq!(pin_mismatch, TrustFault::PinMismatch);
    let faults = [
        pin_mismatch,
        TrustFault::Expired { ago: Duration::from_secs(1) },
        TrustFault::NotYetValid { ahead: Duration::from_secs(1) },
        TrustFault::OtherAuthority,
        TrustFault::WrongPurpose,
        TrustFault::WrongRole { expected: Role::Node, presented: Role::Device },
        TrustFault::Refused { verdict: PeerVerdict::OtherAuthority },
        TrustFault::Refused { verdict: PeerVerdict::OutsideValidity },
    ];
    let mut messages: Vec<String> = faults.iter().map(ToString::to_string).collect();
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), faults.len());
    for message in &messages {
        assert!(!message.ends_with('.') && !message.starts_with(char::is_uppercase), "{message}");
    }
}

#[test]
fn alerts_that_quic_hands_on_tell_the_same_as_errors() {
    for (alert, ours, theirs) in [
        (45, TrustFault::OutsideValidity, PeerVerdict::OutsideValidity),
        (48, TrustFault::OtherAuthority, PeerVerdict::OtherAuthority),
        (43, TrustFault::WrongPurpose, PeerVerdict::WrongPurpose),
        (44, TrustFault::Revoked, PeerVerdict::Revoked),
        (46, TrustFault::Unacceptable, PeerVerdict::Unacceptable),
        (51, TrustFault::BadSignature, PeerVerdict::BadSignature),
        (116, TrustFault::Missing, PeerVerdict::Missing),
    ] {
        assert_eq!(tls::explain_sent_alert(alert), ours, "alert {alert}");
        let expected = TrustFault::Refused { verdict: theirs };
        assert_eq!(tls::explain_received_alert(alert), expected, "alert {alert}");
    }
    assert_eq!(tls::explain_received_alert(120), TrustFault::NoCommonProtocol);
    assert_eq!(tls::explain_sent_alert(0), TrustFault::Other);
}
