//! Enrolment: one use, one winner, and nothing for strangers.
#![allow(clippy::unwrap_used, reason = "a test says so by failing")]
#![allow(dead_code, reason = "each test file uses a part of what they share")]

#[path = "support/node.rs"]
mod node;

use headwater_aggregator::node::{InitError, InitOptions, Node, NodeHandle};
use headwater_aggregator::registry::Registry;
use headwater_certs::csr::DeviceKey;
use headwater_certs::enrol::{EnrolResponse, RefusalReason};
use headwater_certs::token::JoinToken;
use headwater_protocol::identity::{DeviceId, ShardCount};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn fresh() -> (tempfile::TempDir, NodeHandle) {
    let folder = tempfile::tempdir().unwrap();
    node::init(folder.path());
    let node = node::start(folder.path(), &[]).await;
    (folder, node)
}

#[tokio::test]
async fn of_two_agents_with_one_use_one_wins() {
    let (_folder, node) = fresh().await;
    let token = node::token(&node, 1).await;
    let (one, other) = tokio::join!(node::enrol_by(&node, &token), node::enrol_by(&node, &token));
    let [winner, loser] = if one.is_ok() { [one, other] } else { [other, one] };
    let refusal = loser.unwrap_err();
    assert!(refusal.starts_with("TokenUsed") && refusal.contains("was used already"), "{refusal}");
    let devices = node.devices().await;
    assert_eq!(devices.len(), 1);
    assert_eq!(devices[0].id, DeviceId(winner.unwrap().device().to_bytes()));
    assert_eq!(
        (devices[0].group.as_deref(), devices[0].host_name.as_str()),
        (Some("web"), "web-01")
    );
    assert_eq!(node.tokens().await[0].uses_left, 0);
    node.shutdown().await;
}

#[tokio::test]
async fn equal_host_names_get_different_names() {
    let (_folder, node) = fresh().await;
    let token = node::token(&node, 3).await;
    for _ in 0..3 {
        node::enrol_by(&node, &token).await.unwrap();
    }
    let names: Vec<String> = node.devices().await.into_iter().map(|device| device.name).collect();
    assert_eq!(names, ["web-01", "web-01-2", "web-01-3"]);
    let third = node.device("web-01-3").await.unwrap();
    assert_eq!(node.device(&third.id.to_string()).await.unwrap().name, "web-01-3");
    assert!(node.device("web-04").await.is_none());
    node.shutdown().await;
}

#[tokio::test]
async fn five_wrong_secrets_lock_a_token_for_its_owner_too() {
    let (_folder, node) = fresh().await;
    let token = node::token(&node, 1).await;
    let wrong = guessed(&token);
    for _ in 0..5 {
        let refusal = node::enrol_by(&node, &wrong).await.unwrap_err();
        assert!(refusal.starts_with("UnknownToken"), "{refusal}");
    }
    let refusal = node::enrol_by(&node, &token).await.unwrap_err();
    assert!(refusal.starts_with("TokenLocked"), "{refusal}");
    assert!(node.tokens().await[0].locked);
    assert!(node.devices().await.is_empty());
    node.shutdown().await;
}

#[tokio::test]
async fn a_request_that_was_made_for_another_session_is_refused_and_costs_nothing() {
    let (_folder, node) = fresh().await;
    let token = node::token(&node, 1).await;
    let key = DeviceKey::generate().unwrap();
    let overheard = node::request(&node::enrol_session(&node, &token).await, &token, &key);
    let response = node::ask(node::enrol_session(&node, &token).await, &overheard).await;
    let EnrolResponse::Refused(refusal) = response else { panic!("it was passed on") };
    assert_eq!(refusal.reason, RefusalReason::OtherSession);
    assert!(node::enrol_by(&node, &token).await.is_ok(), "the use is still there");
    node.shutdown().await;
}

#[tokio::test]
async fn a_signing_request_that_is_none_is_refused_and_takes_no_use() {
    let (_folder, node) = fresh().await;
    let token = node::token(&node, 1).await;
    let session = node::enrol_session(&node, &token).await;
    let mut request = node::request(&session, &token, &DeviceKey::generate().unwrap());
    request.csr_der.truncate(20);
    let EnrolResponse::Refused(refusal) = node::ask(session, &request).await else {
        panic!("refused")
    };
    assert_eq!(refusal.reason, RefusalReason::BadRequest);
    assert!(node::enrol_by(&node, &token).await.is_ok());
    node.shutdown().await;
}

#[tokio::test]
async fn a_frame_above_the_limit_ends_the_session_before_memory_is_taken() {
    let (_folder, node) = fresh().await;
    let token = node::token(&node, 1).await;
    let mut session = node::enrol_session(&node, &token).await;
    session.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    let read = tokio::time::timeout(node::DEADLINE, session.read_u8()).await;
    assert!(read.expect("closed before the deadline").is_err());
    assert!(node::enrol_by(&node, &token).await.is_ok(), "others are served");
    node.shutdown().await;
}

#[tokio::test]
async fn a_token_that_was_revoked_enrols_nobody() {
    let (_folder, node) = fresh().await;
    let token = node::token(&node, 5).await;
    let id = token.id().to_string();
    assert!(node.revoke_token(&id, "test").await.unwrap());
    assert!(!node.revoke_token(&id, "test").await.unwrap(), "once is enough");
    assert!(node.revoke_token("00", "test").await.is_err());
    assert!(node::enrol_by(&node, &token).await.unwrap_err().starts_with("TokenUsed"));
    node.shutdown().await;
}

#[tokio::test]
async fn every_change_has_an_audit_entry_that_hangs_on_the_one_before() {
    let (folder, node) = fresh().await;
    let identity = node::enrol(&node).await;
    node.revoke(DeviceId(identity.device().to_bytes()), "an admin").await.unwrap();
    node.shutdown().await;
    drop(node);
    let audit = node::registry(folder.path()).await.audit().unwrap();
    let actions: Vec<&str> = audit.iter().map(|entry| entry.action.as_str()).collect();
    let expected = [
        "window rules changed",
        "thresholds published",
        "token created",
        "device enrolled",
        "device revoked",
    ];
    assert_eq!(actions, expected);
    assert_eq!(audit[4].actor, "an admin");
    assert_eq!(audit[0].before, [0; 32]);
    assert!(audit[3].before != audit[4].before && audit[3].before != [0; 32]);
    let secrets = format!("{audit:?}");
    assert!(!secrets.contains("hwe1."), "no secret stands in the audit");
}

#[test]
fn a_folder_that_holds_a_node_is_never_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    assert!(!Node::exists(&data_dir));
    node::init(&data_dir);
    assert!(Node::exists(&data_dir));
    let options = InitOptions {
        trust_domain: "other.test".parse().unwrap(),
        name: "node-2".to_owned(),
        shards: ShardCount::DEFAULT,
    };
    assert!(matches!(Node::init(&data_dir, &options), Err(InitError::Exists)));
}

#[tokio::test]
async fn a_node_whose_making_was_interrupted_is_completed() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, torn] = ["whole", "torn"].map(|name| folder.path().join(name));
    node::init(&whole);
    // What there is after the registry and half of the log: no authority, no mark that all is there.
    std::fs::create_dir_all(torn.join("log")).unwrap();
    let registry = Registry::open(&torn.join("control.redb")).unwrap();
    let mut record = Registry::open(&whole.join("control.redb")).unwrap().node().unwrap().unwrap();
    record.complete = false;
    registry.set_node(&record).unwrap();
    drop(registry);
    std::fs::copy(whole.join("log/log-0.redb"), torn.join("log/log-0.redb")).unwrap();
    std::fs::write(torn.join("log/log-1.redb.partial"), b"half a file").unwrap();
    assert!(!Node::exists(&torn));
    node::init(&torn);
    let node = node::start(&torn, &[]).await;
    node::enrol(&node).await;
    node.shutdown().await;
}

/// The same token with a secret that nobody drew.
fn guessed(token: &JoinToken) -> JoinToken {
    let text = token.to_text();
    let (invitation, _) = text.rsplit_once('.').unwrap();
    // 128 bits of zero in base64url.
    JoinToken::parse(&format!("{invitation}.AAAAAAAAAAAAAAAAAAAAAA")).unwrap()
}
