//! Certificates that must not be believed, each for a reason of its own (A17).

mod breed;

use std::sync::Arc;

use headwater_certs::name::{Pin, Role};
use headwater_certs::tls::{self, PeerVerdict, TrustFault, explain};
use rcgen::{CertifiedIssuer, ExtendedKeyUsagePurpose, KeyPair};
use rustls::ClientConfig;
use rustls::sign::SingleCertAndKey;
use rustls_pki_types::PrivatePkcs8KeyDer;

use self::breed::{Plan, Signer, Zoo, certified, seconds};
use crate::session::Session;
use crate::world::{World, at, clock};

const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;
const SERVER: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ServerAuth;
const DEVICE_URI: &str = "spiffe://fleet.example.com/device/0190a1b2-c3d4-4e5f-8a9b-0c1d2e3f4a5b";
const NODE_URI: &str = "spiffe://fleet.example.com/node/agg-9";

#[test]
fn a_node_refuses_a_client_whose_certificate_says_the_wrong_thing() {
    let zoo = Zoo::new();
    let device = || zoo.plan(&[DEVICE_URI], CLIENT);
    let wrong_role = TrustFault::WrongRole { expected: Role::Device, presented: Role::Node };
    let elsewhere = DEVICE_URI.replace("fleet", "other");
    for (animal, plan, expected) in [
        ("expired", device().valid(-100, -7), TrustFault::Expired { ago: seconds(7) }),
        ("early", device().valid(7, 100), TrustFault::NotYetValid { ahead: seconds(7) }),
        ("for servers only", zoo.plan(&[DEVICE_URI], SERVER), TrustFault::WrongPurpose),
        ("a node", zoo.plan(&[NODE_URI], CLIENT), wrong_role),
        ("nobody", zoo.plan(&[], CLIENT), TrustFault::NoIdentity),
        ("two at once", zoo.plan(&[DEVICE_URI, NODE_URI], CLIENT), TrustFault::NoIdentity),
        ("a site", zoo.plan(&["https://example.com/"], CLIENT), TrustFault::NoIdentity),
        ("of elsewhere", zoo.plan(&[&elsewhere], CLIENT), TrustFault::OtherTrustDomain),
    ] {
        assert_client_refused(&zoo, animal, &plan, &expected);
    }
    assert!(Session::between(zoo.client(&device()), zoo.world.server_config()).succeeded());
}

#[test]
fn a_node_refuses_a_client_whose_certificate_nobody_of_ours_has_signed() {
    let zoo = Zoo::new();
    let device = || zoo.plan(&[DEVICE_URI], CLIENT);
    for (animal, plan, expected) in [
        ("self-signed", device().self_signed(), TrustFault::OtherAuthority),
        ("of another authority", device().signed_by(Signer::Other), TrustFault::OtherAuthority),
        ("of a namesake", device().signed_by(Signer::Namesake), TrustFault::BadSignature),
        ("of another device", device().signed_by(Signer::Device), TrustFault::Unacceptable),
        ("an authority itself", device().authority(), TrustFault::Unacceptable),
        ("without its chain", device().alone(), TrustFault::OtherAuthority),
        ("with a stolen certificate", device().other_key(), TrustFault::BadSignature),
    ] {
        assert_client_refused(&zoo, animal, &plan, &expected);
    }
}

#[test]
fn an_agent_refuses_each_server_of_the_zoo_for_its_own_reason() {
    let zoo = Zoo::new();
    let node = || zoo.plan(&[NODE_URI], SERVER);
    let wrong_role = TrustFault::WrongRole { expected: Role::Node, presented: Role::Device };
    let elsewhere = NODE_URI.replace("fleet", "other");
    for (animal, plan, expected) in [
        ("expired", node().valid(-100, -7), TrustFault::Expired { ago: seconds(7) }),
        ("early", node().valid(7, 100), TrustFault::NotYetValid { ahead: seconds(7) }),
        ("for clients only", zoo.plan(&[NODE_URI], CLIENT), TrustFault::WrongPurpose),
        ("a device", zoo.plan(&[DEVICE_URI], SERVER), wrong_role),
        ("nobody", zoo.plan(&[], SERVER), TrustFault::NoIdentity),
        ("of elsewhere", zoo.plan(&[&elsewhere], SERVER), TrustFault::OtherTrustDomain),
        ("self-signed", node().self_signed(), TrustFault::OtherAuthority),
        ("of another authority", node().signed_by(Signer::Other), TrustFault::OtherAuthority),
        ("of a namesake", node().signed_by(Signer::Namesake), TrustFault::BadSignature),
        ("of a device", node().signed_by(Signer::Device), TrustFault::Unacceptable),
        ("without its chain", node().alone(), TrustFault::OtherAuthority),
        ("with a stolen certificate", node().other_key(), TrustFault::BadSignature),
    ] {
        let session = Session::between(zoo.world.agent_config(), zoo.server(&plan));
        let error = session.client_error.as_ref().unwrap_or_else(|| panic!("{animal} got through"));
        assert_eq!(explain(error), expected, "{animal}: {error}");
    }
    assert!(Session::between(zoo.world.agent_config(), zoo.server(&node())).succeeded());
}

#[test]
fn an_enrolling_device_asks_for_the_role_of_a_node_under_the_pinned_root() {
    let zoo = Zoo::new();
    let wrong_role = TrustFault::WrongRole { expected: Role::Node, presented: Role::Device };
    for (animal, plan, expected) in [
        ("a device", zoo.plan(&[DEVICE_URI], SERVER), Some(wrong_role)),
        ("nobody", zoo.plan(&[], SERVER), Some(TrustFault::NoIdentity)),
        ("a node", zoo.plan(&[NODE_URI], SERVER), None),
    ] {
        let pins = [zoo.world.authority.root_pin()];
        let fault = enrol_fault(&pins, zoo.breed_with_root(&plan));
        assert_eq!(fault, expected, "{animal}");
    }
}

#[test]
fn a_pinned_root_is_believed_only_while_it_is_valid() {
    let zoo = Zoo::new();
    for (from, to, expected) in [
        (-100, 100, None),
        (-100, -7, Some(TrustFault::Expired { ago: seconds(7) })),
        (7, 100, Some(TrustFault::NotYetValid { ahead: seconds(7) })),
    ] {
        let root_key = KeyPair::generate().unwrap();
        let root = zoo.plan(&[], SERVER).authority().valid(from, to).params;
        let root = CertifiedIssuer::self_signed(root, root_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = zoo.plan(&[NODE_URI], SERVER).params.signed_by(&key, &root).unwrap();
        let chain = vec![leaf.der().clone(), root.der().clone()];
        let pins = [Pin::of_certificate(root.der()).unwrap()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let fault = enrol_fault(&pins, certified(chain, key.into()));
        assert_eq!(fault, expected, "a root valid from {from} s to {to} s");
    }
}

#[test]
fn a_device_as_issued_can_never_serve() {
    let world = World::new();
    let device = world.device();
    let mut server = (*world.server_config()).clone();
    server.cert_resolver = Arc::new(certified(device.chain().to_vec(), device.key()));
    let session = Session::between(world.agent_config(), Arc::new(server));
    assert_eq!(explain(session.client_error.as_ref().unwrap()), TrustFault::WrongPurpose);
}

#[test]
fn a_node_as_issued_is_not_taken_for_a_device() {
    let world = World::new();
    let mut client = (*world.agent_config()).clone();
    client.client_auth_cert_resolver =
        Arc::new(certified(world.node.chain().to_vec(), world.node.key()));
    let session = Session::between(Arc::new(client), world.server_config());
    let fault = explain(session.server_error.as_ref().unwrap());
    assert_eq!(fault, TrustFault::WrongRole { expected: Role::Device, presented: Role::Node });
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let world = World::new();
    let pins = [world.authority.root_pin()];
    let mut client = (*tls::enrol_client_config(&pins, clock(at(0))).unwrap()).clone();
    client.alpn_protocols = vec![tls::ALPN_DEVICE.to_vec()];
    // A pinning client needs the root in the chain, which only the enrolment server shows.
    let mut server = (*world.server_config()).clone();
    server.cert_resolver =
        tls::enrol_server_config(&world.node, clock(at(0))).unwrap().cert_resolver.clone();
    let session = Session::between(Arc::new(client), Arc::new(server));
    assert_eq!(explain(session.server_error.as_ref().unwrap()), TrustFault::Missing);
    let told = explain(session.client_error.as_ref().unwrap());
    assert_eq!(told, TrustFault::Refused { verdict: PeerVerdict::Missing });
}

#[test]
fn an_older_tls_is_not_spoken() {
    let world = World::new();
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let mut client = builder
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    client.alpn_protocols = vec![tls::ALPN_DEVICE.to_vec()];
    let session = Session::between(Arc::new(client), world.server_config());
    assert!(
        matches!(
            session.server_error,
            Some(rustls::Error::PeerIncompatible(
                rustls::PeerIncompatible::Tls13RequiredForQuic
                    | rustls::PeerIncompatible::SupportedVersionsExtensionRequired
                    | rustls::PeerIncompatible::Tls12NotOfferedOrEnabled
            ))
        ),
        "{:?}",
        session.server_error
    );
}

fn assert_client_refused(zoo: &Zoo, animal: &str, plan: &Plan, expected: &TrustFault) {
    let session = Session::between(zoo.client(plan), zoo.world.server_config());
    let error = session.server_error.as_ref().unwrap_or_else(|| panic!("{animal} got in"));
    assert_eq!(explain(error), *expected, "{animal}: {error}");
    let told = explain(session.client_error.as_ref().unwrap());
    assert!(matches!(told, TrustFault::Refused { .. }), "{animal} is told {told:?}");
}

/// Returns why a device with these pins does not enrol with a server that shows this chain.
fn enrol_fault(pins: &[Pin], shown: SingleCertAndKey) -> Option<TrustFault> {
    let mut server = (*World::new().enrol_config()).clone();
    server.cert_resolver = Arc::new(shown);
    let client = tls::enrol_client_config(pins, clock(at(0))).unwrap();
    let session = Session::between(client, Arc::new(server));
    session.client_error.as_ref().map(explain)
}
