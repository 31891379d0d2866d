//! Nodes that are not ours, and nodes that do not want us: said clearly, tried again, nothing lost.

use std::time::Duration;

use headwater_agent::ship::Link;
use headwater_certs::UnixTime;
use headwater_certs::authority::Authority;
use headwater_protocol::identity::Lane;
use headwater_protocol::wire::CloseCode;

use crate::world::{World, device_identity, device_identity_for, sample, wait_for};

/// The agent says this of why it has no session, and what to do; once the cause is gone it goes on.
fn says_and_recovers(world: &mut World, words: &[&str], mend: impl FnOnce(&mut World)) {
    world.agent().writer.tick(1, sample(7)).unwrap();
    let standing = world.wait_standing("the fault is shown", |standing| {
        let fault = standing.fault.as_deref().unwrap_or_default();
        words.iter().all(|word| fault.contains(word))
    });
    assert!(!matches!(standing.link, Link::Connected(_)));
    assert_eq!(world.node.values(), [0_i64; 0], "nothing was sent");
    mend(world);
    world.wait_acked(Lane::Live, 1);
    assert_eq!(world.node.values(), [7]);
}

fn save_identity(world: &World, authority: &Authority) {
    device_identity(authority).save(&world.folder.path().join("identity")).unwrap();
}

#[test]
fn a_node_of_another_authority_is_not_believed() {
    let mut world = World::without_agent();
    let other = Authority::create("other.example.com".parse().unwrap(), UnixTime::now()).unwrap();
    save_identity(&world, &other);
    world.start();
    says_and_recovers(&mut world, &["comes from another authority"], |world| {
        save_identity(world, &world.authority);
    });
}

#[test]
fn an_expired_certificate_is_named_and_a_new_one_is_used_without_a_restart() {
    let mut world = World::without_agent();
    let (day, now) = (Duration::from_secs(86_400), UnixTime::now());
    let before = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() - 10 * 86_400));
    // An authority that is as old as the certificate.
    world.authority = Authority::create("fleet.example.com".parse().unwrap(), before).unwrap();
    let identity = crate::world::node_identity(&world.authority);
    world.replace_node(&identity);
    let expired = device_identity_for(&world.authority, day, before);
    expired.save(&world.folder.path().join("identity")).unwrap();
    world.start();
    says_and_recovers(&mut world, &["not valid at this time"], |world| {
        save_identity(world, &world.authority);
    });
}

#[test]
fn a_host_without_identity_says_how_to_get_one() {
    let mut world = World::without_agent();
    std::fs::remove_dir_all(world.folder.path().join("identity")).unwrap();
    world.start();
    says_and_recovers(&mut world, &["headwater-agent enrol"], |world| {
        save_identity(world, &world.authority);
    });
}

#[test]
fn each_reason_to_close_has_its_own_words() {
    let cases = [
        (CloseCode::Version, "no protocol version that both speak"),
        (CloseCode::Identity, "another device"),
        (CloseCode::Revoked, "revoked"),
        (CloseCode::Replaced, "another session of this device"),
        (CloseCode::Limit, "too many sessions"),
        (CloseCode::Cloned, "headwater devices restore"),
    ];
    for (code, words) in cases {
        let mut world = World::without_agent();
        world.node.state().refused_hellos.extend([code; 2]);
        world.start();
        says_and_recovers(&mut world, &[words, "not today"], |_| {});
    }
}

#[test]
fn a_version_that_was_not_offered_is_refused() {
    let mut world = World::without_agent();
    world.node.state().protocol = 99;
    world.start();
    says_and_recovers(&mut world, &["the aggregator chose 99"], |world| {
        world.node.state().protocol = 1;
    });
}

#[test]
fn an_identity_of_another_device_ends_the_process() {
    let mut world = World::new();
    world.agent().writer.tick(1, sample(1)).unwrap();
    world.wait_acked(Lane::Live, 1);
    let key = headwater_certs::csr::DeviceKey::generate().unwrap();
    let other = headwater_certs::name::DeviceUuid::from_bytes([8; 16]);
    let csr = key.csr_der().unwrap();
    let issued = world
        .authority
        .issue_device(&csr, other, Duration::from_secs(86_400), UnixTime::now())
        .unwrap();
    let bundle = world.authority.bundle();
    let identity =
        headwater_certs::identity::DeviceIdentity::new(issued.chain, &key, bundle).unwrap();
    identity.save(&world.folder.path().join("identity")).unwrap();
    world.node.state().mischief.push_back(crate::node::Mischief::Close(CloseCode::Stopping));
    world.agent().writer.tick(2, sample(2)).unwrap();
    let agent = world.agent.take().unwrap();
    wait_for("the ship stage ends", || agent.has_ended());
    let error = agent.end(&world.runtime).expect_err("it needs a new start");
    assert!(error.to_string().contains("of device 08080808"), "{error}");
}
