//! Certificates that are of another authority, or over.

use std::time::Duration;

use headwater_certs::UnixTime;
use headwater_certs::authority::Authority;
use headwater_certs::csr::DeviceKey;
use headwater_certs::identity::DeviceIdentity;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::peer::{Peer, talk};
use headwater_tests::site::Site;
use headwater_tests::waiting::until;

#[test]
fn an_agent_that_is_sent_to_another_authority_says_so_and_loses_nothing() {
    let mut site = Site::new(3, &["alpha"]);
    site.agent.start();
    site.write_and_settle(1_000);
    let other = Aggregator::create(&site.path("other"));
    site.agent.stop();
    let stranger = other.intake_address();
    site.agent.set_key("SHIP__ADDRESSES", &format!("[{stranger:?}]"));
    site.agent.start();
    site.write(1_000);
    expect_fault(&site, &["another authority", "enrolled elsewhere"]);
    assert_eq!(other.json(&["devices"]), serde_json::json!([]), "the other one knows nobody");

    site.agent.stop();
    let home = site.aggregator.intake_address();
    site.agent.set_key("SHIP__ADDRESSES", &format!("[{home:?}]"));
    site.agent.start();
    site.write_and_settle(1_000);
    site.compare().expect_exactly_once(&site.witness);
    let _ = site.aggregator.expect_clean_audit();
}

#[test]
fn an_expired_certificate_is_refused_and_a_good_one_goes_on_without_loss() {
    let mut site = Site::new(4, &["alpha"]);
    site.agent.start();
    site.write_and_settle(1_000);
    let good = DeviceIdentity::load(&site.agent.identity()).unwrap();
    let expired = expired_twin(&good, &site.aggregator);
    let address = site.aggregator.intake_address();
    let refused = talk(async {
        match Peer::connect(&expired, &address).await {
            Ok(peer) => peer.closed().await.unwrap_err().to_string(),
            Err(error) => error.to_string(),
        }
    });
    assert!(refused.to_lowercase().contains("expired"), "the handshake is refused: {refused}");

    expired.save(&site.agent.identity()).unwrap();
    site.agent.kill();
    site.agent.start();
    site.write(1_000);
    expect_fault(&site, &["not valid at this time", "enrol again"]);

    // The identity is read before each try: a good one is used at once.
    good.save(&site.agent.identity()).unwrap();
    site.settle();
    site.compare().expect_exactly_once(&site.witness);
    let _ = site.aggregator.expect_clean_audit();
}

/// The agent tells, to who asks it, why it has no session and what helps.
fn expect_fault(site: &Site, texts: &[&str]) {
    let fault =
        || site.agent.status().and_then(|it| it["ship"]["fault"].as_str().map(str::to_owned));
    until(&format!("the agent says {texts:?}"), || {
        fault().is_some_and(|fault| texts.iter().all(|text| fault.contains(text)))
    });
}

/// Another certificate of the same device, by the same authority, that ended an hour ago.
fn expired_twin(identity: &DeviceIdentity, aggregator: &Aggregator) -> DeviceIdentity {
    let authority = Authority::load(&aggregator.data().join("ca")).unwrap();
    let key = DeviceKey::generate().unwrap();
    let (hour, now) = (Duration::from_secs(3_600), UnixTime::now().as_secs());
    let then = UnixTime::since_unix_epoch(Duration::from_secs(now) - 2 * hour);
    let csr = key.csr_der().unwrap();
    let issued = authority.issue_device(&csr, identity.device(), hour, then).unwrap();
    DeviceIdentity::new(issued.chain, &key, authority.bundle()).unwrap()
}
