//! Joining: the whole conversation, and each way in which it must not succeed (A19).

pub(crate) mod conversation;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use headwater_certs::authority::Authority;
use headwater_certs::csr::DeviceKey;
use headwater_certs::enrol::{
    self, AcceptError, BindingError, EnrolRequest, EnrolResponse, Enrolment, Exporter,
    RefusalReason,
};
use headwater_certs::identity::{DeviceIdentity, peer_device};
use headwater_certs::name::{DeviceUuid, Pin};
use headwater_certs::tls::{self, TrustFault, explain};
use headwater_certs::token::{JoinToken, RedeemError};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use self::conversation::{answer, ders, enrol_session, enrolment, refuse, request, token};
use crate::session::{Session, received};
use crate::world::{DOMAIN, World, at, clock, days};

#[test]
fn a_device_joins_with_a_token_and_connects_with_what_it_got() {
    let world = World::new();
    let (text, mut record) = token(&world.authority, 1);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("identity");

    let token = JoinToken::parse(&text).unwrap();
    let mut session = enrol_session(&world, token.pins());
    assert!(session.succeeded(), "{:?}", session.client_error);
    assert!(session.server.peer_certificates().is_none(), "no certificate is asked for");
    let key = DeviceKey::generate().unwrap();
    let exporter = Exporter::of_session(&session.client).unwrap();
    let request = enrol::frame(&request(&token, &key, &exporter).encode().unwrap()).unwrap();

    let arrived = session.send_to_server(&request);
    let payload = enrol::split(&arrived).unwrap().unwrap().payload;
    let exporter = Exporter::of_session(&session.server).unwrap();
    let answer = answer(&world, &mut record, payload, &exporter).encode().unwrap();

    let arrived = session.send_to_client(&enrol::frame(&answer).unwrap());
    let payload = enrol::split(&arrived).unwrap().unwrap().payload;
    let EnrolResponse::Enrolled(enrolment) = EnrolResponse::decode(payload).unwrap() else {
        panic!("refused");
    };
    assert_eq!(enrolment.addresses[0].to_string(), "agg-1.example.com:4433");
    let device = enrolment.device;
    enrolment.into_identity(&key, token.pins(), at(0)).unwrap().save(&place).unwrap();

    let identity = DeviceIdentity::load(&place).unwrap();
    assert_eq!(identity.device(), device);
    let client = tls::agent_client_config(&identity, clock(at(0))).unwrap();
    let session = Session::between(client, world.server_config());
    assert_eq!(peer_device(session.server.peer_certificates().unwrap()).unwrap().device, device);
    assert_eq!(record.uses_left, 0);
}

#[test]
fn a_wrong_pin_ends_the_handshake_before_a_byte_of_the_request_is_sent() {
    let world = World::new();
    let other = Authority::create(DOMAIN.parse().unwrap(), at(0)).unwrap();
    let client = tls::enrol_client_config(&[other.root_pin()], clock(at(0))).unwrap();
    let server = tls::enrol_server_config(&world.node, clock(at(0))).unwrap();
    let mut session = Session::prepared(client, server);
    session.client.writer().write_all(b"token and signing request").unwrap();
    session.settle();
    let fault = explain(session.client_error.as_ref().unwrap());
    assert_eq!(fault, TrustFault::PinMismatch);
    assert_eq!(received(&mut session.server), b"", "the secret left the device");
    assert!(session.server.is_handshaking());
}

#[test]
fn somebody_in_between_cannot_borrow_the_pinned_root() {
    let world = World::new();
    let other = World::new();
    let root = world.authority.bundle().remove(0);
    let strangers = [other.node.chain(), std::slice::from_ref(&root)].concat();
    let stolen =
        [&other.node.chain()[..1], &world.node.chain()[1..], std::slice::from_ref(&root)].concat();
    let device = world.device();
    let serving = [device.chain(), &[root]].concat();
    for (who, chain, key, expected) in [
        ("a stranger who shows our root", strangers, other.node.key(), TrustFault::OtherAuthority),
        ("a stranger in our chain", stolen, other.node.key(), TrustFault::OtherAuthority),
        ("a captured device", serving, device.key(), TrustFault::WrongPurpose),
        (
            "our chain with another key",
            [world.node.chain(), world.node.bundle()].concat(),
            other.node.key(),
            TrustFault::BadSignature,
        ),
        (
            "our node without the root",
            world.node.chain().to_vec(),
            world.node.key(),
            TrustFault::PinMismatch,
        ),
    ] {
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        let mut server = (*tls::enrol_server_config(&world.node, clock(at(0))).unwrap()).clone();
        server.cert_resolver = Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key)));
        let pins = [world.authority.root_pin()];
        let client = tls::enrol_client_config(&pins, clock(at(0))).unwrap();
        let mut session = Session::prepared(client, Arc::new(server));
        session.client.writer().write_all(b"token").unwrap();
        session.settle();
        let error = session.client_error.as_ref().unwrap_or_else(|| panic!("{who} got through"));
        assert_eq!(explain(error), expected, "{who}: {error}");
        assert_eq!(received(&mut session.server), b"", "{who} got the secret");
    }
}

#[test]
fn a_pinned_chain_is_still_judged_by_its_dates() {
    let world = World::new();
    for (now, expected) in
        [(at(days(8)), "expired"), (at(days(366 * 30)), "expired"), (at(-301), "becomes valid")]
    {
        let pins = [world.authority.root_pin()];
        let client = tls::enrol_client_config(&pins, clock(now)).unwrap();
        let server = tls::enrol_server_config(&world.node, clock(now)).unwrap();
        let session = Session::between(client, server);
        let message = explain(session.client_error.as_ref().unwrap()).to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn during_a_change_of_roots_either_pin_is_enough() {
    let world = World::new();
    let coming = Authority::create(DOMAIN.parse().unwrap(), at(0)).unwrap();
    let pins = [coming.root_pin(), world.authority.root_pin()];
    assert!(enrol_session(&world, &pins).succeeded());
    assert!(tls::enrol_client_config(&[], clock(at(0))).is_err(), "no pin, no enrolment");
}

#[test]
fn two_devices_with_one_token_have_one_winner() {
    let world = World::new();
    let (text, mut record) = token(&world.authority, 1);
    let token = JoinToken::parse(&text).unwrap();
    let session = enrol_session(&world, token.pins());
    let exporter = Exporter::of_session(&session.server).unwrap();
    let mut answers = (0..2).map(|_| {
        let key = DeviceKey::generate().unwrap();
        let payload = request(&token, &key, &exporter).encode().unwrap();
        answer(&world, &mut record, &payload, &exporter)
    });
    assert!(matches!(answers.next(), Some(EnrolResponse::Enrolled(_))));
    let Some(EnrolResponse::Refused(refusal)) = answers.next() else {
        panic!("one use of a token made two devices");
    };
    assert_eq!(refusal.reason, RefusalReason::TokenUsed);
}

#[test]
fn a_request_that_is_passed_on_to_another_session_is_refused() {
    let world = World::new();
    let (text, mut record) = token(&world.authority, 1);
    let token = JoinToken::parse(&text).unwrap();
    let (theirs, ours) = (enrol_session(&world, token.pins()), enrol_session(&world, token.pins()));
    let key = DeviceKey::generate().unwrap();
    let made_for = Exporter::of_session(&theirs.client).unwrap();
    let arrived_in = Exporter::of_session(&ours.server).unwrap();
    let request = request(&token, &key, &made_for);
    assert_eq!(request.binding.verify(&request.secret, &arrived_in), Err(BindingError));
    let payload = request.encode().unwrap();
    let EnrolResponse::Refused(refusal) = answer(&world, &mut record, &payload, &arrived_in) else {
        panic!("accepted");
    };
    assert_eq!(refusal.reason, RefusalReason::OtherSession);
    assert_eq!(record.uses_left, 1, "the token is still good for its owner");
}

#[test]
fn a_device_believes_no_answer_that_contradicts_the_token_or_the_key() {
    let world = World::new();
    let key = DeviceKey::generate().unwrap();
    let pins = [world.authority.root_pin()];
    let good = enrolment(&world, &key);
    assert!(good.clone().into_identity(&key, &pins, at(0)).is_ok());

    let other_key = DeviceKey::generate().unwrap();
    let error = good.clone().into_identity(&other_key, &pins, at(0)).unwrap_err();
    assert!(matches!(error, AcceptError::Identity { .. }), "{error:?}");

    let foreign = [Pin::from_bytes([0; 32])];
    let error = good.clone().into_identity(&key, &foreign, at(0)).unwrap_err();
    assert!(matches!(error, AcceptError::NotPinned), "{error:?}");

    let renamed = Enrolment { device: DeviceUuid::random().unwrap(), ..good.clone() };
    let error = renamed.into_identity(&key, &pins, at(0)).unwrap_err();
    assert!(matches!(error, AcceptError::OtherDevice), "{error:?}");

    let moved = Enrolment { trust_domain: "other.example.com".parse().unwrap(), ..good.clone() };
    let error = moved.into_identity(&key, &pins, at(0)).unwrap_err();
    assert!(matches!(error, AcceptError::Chain { .. }), "{error:?}");

    let headless = Enrolment { chain: vec![], ..good.clone() };
    assert!(headless.into_identity(&key, &pins, at(0)).is_err());
    let rootless = Enrolment { bundle: vec![], ..good.clone() };
    assert!(rootless.into_identity(&key, &pins, at(0)).is_err());
    let served = Enrolment { chain: ders(world.node.chain()), ..good.clone() };
    assert!(served.into_identity(&key, &pins, at(0)).is_err(), "a node's certificate");
    assert!(good.into_identity(&key, &pins, at(days(31))).is_err(), "an expired certificate");
}

#[test]
fn each_refusal_of_a_token_reaches_the_device_as_such() {
    for (error, reason) in [
        (RedeemError::UnknownSecret, RefusalReason::UnknownToken),
        (RedeemError::Used, RefusalReason::TokenUsed),
        (RedeemError::Expired { ago: Duration::ZERO }, RefusalReason::TokenExpired),
        (RedeemError::LockedOut, RefusalReason::TokenLocked),
    ] {
        assert_eq!(RefusalReason::from(error), reason);
        let response = refuse(reason);
        let payload = response.encode().unwrap();
        assert_eq!(EnrolResponse::decode(&payload).unwrap(), response);
    }
}

#[test]
fn a_request_is_printed_without_its_secret_and_limits_hold_on_both_sides() {
    let world = World::new();
    let (text, _) = token(&world.authority, 1);
    let token = JoinToken::parse(&text).unwrap();
    let session = enrol_session(&world, token.pins());
    let exporter = Exporter::of_session(&session.client).unwrap();
    let key = DeviceKey::generate().unwrap();
    let good = request(&token, &key, &exporter);
    assert!(format!("{good:?}").contains("Secret(..)"));
    assert!(good.encode().unwrap().len() < 1_024, "a request is small");

    let named = EnrolRequest { host_name: "x".repeat(257), ..good.clone() };
    assert!(named.encode().unwrap_err().to_string().starts_with("write enrolment message"));
    let labels = (0..65).map(|n| (n.to_string(), String::new())).collect();
    assert!(EnrolRequest { labels, ..good.clone() }.encode().is_err());
    assert!(EnrolRequest { csr_der: vec![0; 4_097], ..good }.encode().is_err());
}
