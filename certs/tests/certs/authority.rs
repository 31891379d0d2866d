//! The authority on disk and what it puts into certificates.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use headwater_certs::authority::{
    Authority, DEVICE_VALIDITY, IssueError, LoadError, NODE_VALIDITY, SaveError,
};
use headwater_certs::csr::DeviceKey;
use headwater_certs::identity::{Certificate, DeviceIdentity, NodeIdentity, peer_device};
use headwater_certs::name::{DeviceUuid, Pin};
use headwater_certs::tls;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, SanType};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::session::Session;
use crate::world::{DOMAIN, World, at, clock, days};

#[test]
fn a_saved_authority_is_the_same_after_loading() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("state/ca");
    world.authority.save(&place).unwrap();
    let loaded = Authority::load(&place).unwrap();
    assert_eq!(loaded.root_pin(), world.authority.root_pin());
    assert_eq!(loaded.trust_domain().as_str(), DOMAIN);
    assert_eq!(loaded.issuing_not_after(), world.authority.issuing_not_after());
    assert_eq!(loaded.root_pin(), Pin::of_certificate(&loaded.bundle()[0]).unwrap());

    // What the loaded one issues is accepted by what the first one issued.
    let key = DeviceKey::generate().unwrap();
    let device = DeviceUuid::random().unwrap();
    let issued =
        loaded.issue_device(&key.csr_der().unwrap(), device, DEVICE_VALIDITY, at(0)).unwrap();
    let identity = DeviceIdentity::new(issued.chain, &key, loaded.bundle()).unwrap();
    let client = tls::agent_client_config(&identity, clock(at(0))).unwrap();
    assert!(Session::between(client, world.server_config()).succeeded());

    assert_eq!(mode(&place), 0o700);
    for name in ["root.key", "root.crt", "issuing.key", "issuing.crt"] {
        assert_eq!(mode(&place.join(name)), 0o600, "{name}");
    }
}

#[test]
fn the_roots_key_can_be_taken_offline() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ca");
    world.authority.save(&place).unwrap();
    std::fs::remove_file(place.join("root.key")).unwrap();
    let loaded = Authority::load(&place).unwrap();
    assert!(!loaded.holds_root_key() && world.authority.holds_root_key());
    assert!(loaded.issue_node(&"n".parse().unwrap(), &[], NODE_VALIDITY, at(0)).is_ok());
}

#[test]
fn an_authority_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("ca");
    std::fs::create_dir(&place).unwrap();
    std::fs::create_dir(folder.path().join("ca.partial")).unwrap();
    std::fs::write(folder.path().join("ca.partial/root.key"), "left by a crash").unwrap();
    let first = World::new().authority;
    first.save(&place).unwrap();
    let error = World::new().authority.save(&place).unwrap_err();
    assert!(matches!(error, SaveError::Occupied { .. }), "{error:?}");
    assert_eq!(Authority::load(&place).unwrap().root_pin(), first.root_pin());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no keys are left behind");
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    World::new().authority.save(&theirs).unwrap();
    type Expected = fn(&LoadError) -> bool;
    let cases: [(&[&str], Expected); 4] = [
        (&["issuing.key"], |error| matches!(error, LoadError::KeyMismatch { .. })),
        (&["root.key"], |error| matches!(error, LoadError::KeyMismatch { .. })),
        (&["issuing.crt"], |error| matches!(error, LoadError::KeyMismatch { .. })),
        (&["issuing.crt", "issuing.key"], |error| matches!(error, LoadError::OtherRoot { .. })),
    ];
    for (names, expected) in cases {
        World::new().authority.save(&ours).unwrap();
        for name in names {
            std::fs::copy(theirs.join(name), ours.join(name)).unwrap();
        }
        let error = Authority::load(&ours).unwrap_err();
        assert!(expected(&error), "{names:?}: {error:?}");
        std::fs::remove_dir_all(&ours).unwrap();
    }
    assert!(Authority::load(&ours).unwrap_err().is_missing());
    std::fs::write(theirs.join("root.crt"), "no certificate").unwrap();
    assert!(matches!(Authority::load(&theirs), Err(LoadError::Pem { .. })));
}

#[test]
fn whatever_a_request_asks_for_the_authority_decides() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let mut wishes = CertificateParams::new(vec!["agg-1.example.com".to_owned()]).unwrap();
    wishes.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let uri = "spiffe://fleet.example.com/node/agg-1";
    wishes.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    wishes.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let csr = wishes.serialize_request(&key).unwrap();

    let device = DeviceUuid::random().unwrap();
    let issued = world.authority.issue_device(csr.der(), device, DEVICE_VALIDITY, at(0)).unwrap();
    assert_eq!(peer_device(&issued.chain).unwrap().device, device);
    let (_, leaf) = X509Certificate::from_der(&issued.chain[0]).unwrap();
    assert!(!leaf.is_ca());
    let names = leaf.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 1);
    let usage = leaf.extended_key_usage().unwrap().unwrap();
    assert!(usage.value.client_auth && !usage.value.server_auth);
    assert_eq!(issued.serial, Certificate::read(&issued.chain[0]).unwrap().serial);
    assert_eq!(issued.not_after, at(days(30)));
    assert_eq!(issued.chain_pem().matches("BEGIN CERTIFICATE").count(), 2);
}

#[test]
fn the_intermediate_signs_leaves_only() {
    let world = World::new();
    let (_, issuing) = X509Certificate::from_der(&world.node.chain()[1]).unwrap();
    let constraints = issuing.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca);
    assert_eq!(constraints.value.path_len_constraint, Some(0));
    let root = world.authority.bundle();
    let (_, root) = X509Certificate::from_der(&root[0]).unwrap();
    assert_eq!(root.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(1));
}

#[test]
fn no_leaf_outlives_the_intermediate() {
    let world = World::new();
    let end = world.authority.issuing_not_after();
    let csr = DeviceKey::generate().unwrap().csr_der().unwrap();
    let device = DeviceUuid::random().unwrap();
    for validity in [Duration::from_secs(u64::MAX), Duration::from_secs(366 * 6 * 86_400)] {
        let issued = world.authority.issue_device(&csr, device, validity, at(0)).unwrap();
        assert_eq!(issued.not_after, end);
    }
    let late = at(days(5 * 365) + 7);
    let error = world.authority.issue_device(&csr, device, DEVICE_VALIDITY, late).unwrap_err();
    let ago = Duration::from_secs(7);
    assert!(matches!(error, IssueError::AuthorityExpired { ago: a } if a == ago), "{error:?}");
}

#[test]
fn a_clock_far_off_makes_no_authority_panic() {
    for unix_s in [0, 1, 253_402_300_799, u64::MAX] {
        let now = rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(unix_s));
        let authority = Authority::create(DOMAIN.parse().unwrap(), now).unwrap();
        drop(authority.issue_node(&"n".parse().unwrap(), &[], NODE_VALIDITY, now));
    }
}

#[test]
fn serials_do_not_repeat() {
    let world = World::new();
    let mut serials: Vec<_> = (0..200).map(|_| world.device().certificate().serial).collect();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), 200);
    assert!(serials.iter().all(|serial| serial.to_string().len() == 32));
}

#[test]
fn an_identity_is_renewed_whole_or_not_at_all() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("identity");
    assert!(DeviceIdentity::load(&place).unwrap_err().is_missing(), "the next step is to enrol");
    let (former, renewed) = (world.device(), world.device());
    former.save(&place).unwrap();
    // A crash while the renewed one was being written.
    std::fs::write(place.join("identity.pem.partial"), "half a k").unwrap();
    assert_eq!(DeviceIdentity::load(&place).unwrap().device(), former.device());
    renewed.save(&place).unwrap();
    assert_eq!(DeviceIdentity::load(&place).unwrap().device(), renewed.device());
    for name in ["identity.pem", "bundle.pem"] {
        assert_eq!(mode(&place.join(name)), 0o600, "{name}");
    }
    assert_eq!(std::fs::read_dir(&place).unwrap().count(), 2);
    assert!(NodeIdentity::load(&place).is_err(), "a device's folder is no node's");
}

#[test]
fn a_nodes_identity_reads_back_and_shows_no_key() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    world.node.save(folder.path()).unwrap();
    let loaded = NodeIdentity::load(folder.path()).unwrap();
    assert_eq!(loaded.node().as_str(), "agg-1");
    assert_eq!(loaded.chain(), world.node.chain());
    let server = tls::enrol_server_config(&loaded, clock(at(0))).unwrap();
    let pins = [world.authority.root_pin()];
    let client = tls::enrol_client_config(&pins, clock(at(0))).unwrap();
    assert!(Session::between(client, server).succeeded());

    let shown = format!("{loaded:?} {:?}", world.authority);
    let key = loaded.key();
    let scalar: Vec<String> = key.secret_der()[36..68].iter().map(u8::to_string).collect();
    assert!(!shown.contains(&scalar.join(", ")), "the private scalar is printed");
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
