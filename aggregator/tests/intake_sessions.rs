//! The intake, by real agents over QUIC: what is acked is in the ledger, what is wrong hurts nobody else.
#![allow(clippy::unwrap_used, reason = "a test says so by failing")]
#![allow(dead_code, reason = "each test file uses a part of what they share")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/disk.rs"]
mod disk;
#[path = "support/forge.rs"]
mod forge;
#[path = "support/link.rs"]
mod link;
#[path = "support/node.rs"]
mod node;

use agent::TestAgent;
use headwater_aggregator::node::{Node, NodeHandle};
use headwater_protocol::batch::Batch;
use headwater_protocol::chain::Row;
use headwater_protocol::entry::SentClock;
use headwater_protocol::identity::{DeviceId, Generation, Lane};
use headwater_protocol::wire::{CloseCode, encode_batch};
use link::{Session, closed, connect, device_of, hello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn fresh() -> (tempfile::TempDir, NodeHandle) {
    let folder = tempfile::tempdir().unwrap();
    node::init(folder.path());
    let node = node::start(folder.path(), &[]).await;
    (folder, node)
}

/// Records of a device's bulk lane, as the ledger has them.
async fn records(node: &NodeHandle, device: DeviceId) -> u64 {
    let view = node.device(&device.to_string()).await.unwrap();
    view.lanes.iter().map(|lane| lane.totals.records).sum()
}

async fn check_clean(node: &NodeHandle) {
    let report = node.verify(None, |_| ()).await.unwrap();
    assert!(report.is_clean(), "{report:#?}");
}

async fn send(session: &Session, batch: &Batch) {
    let mut lane = session.lane().await;
    lane.greet().await;
    lane.send.write_all(&encode_batch(SentClock::default(), batch.bytes())).await.unwrap();
    // Dropped here, the stream would be reset before the batch is read.
    drop(link::read(&mut lane.recv).await);
}

#[tokio::test]
async fn what_two_agents_send_is_acked_in_order_and_adds_up() {
    let (_folder, node) = fresh().await;
    let mut devices = Vec::new();
    for _ in 0..2 {
        let identity = node::enrol(&node).await;
        let id = device_of(&identity);
        devices.push((identity, TestAgent::new(id, Lane::Bulk), TestAgent::new(id, Lane::Live)));
    }
    for (identity, bulk, live) in &mut devices {
        (0..300).for_each(|number| _ = bulk.line(&format!("line {number}")));
        (0..20).for_each(|number| _ = live.sample("load", number));
        let session = Session::begin(node.intake_address(), identity).await;
        let delivered = tokio::join!(session.deliver(bulk), session.deliver(live));
        assert_eq!(
            (delivered.0.sent, delivered.0.refused),
            (300, 0),
            "each batch once, none refused"
        );
        assert_eq!((delivered.1.sent, delivered.1.refused), (20, 0));
    }
    for (identity, ..) in &devices {
        assert_eq!(records(&node, device_of(identity)).await, 300 + 40);
    }
    let view = node.devices().await;
    assert_eq!([view[0].name.as_str(), view[1].name.as_str()], ["web-01", "web-01-2"]);
    assert_eq!(view[0].facts["role"], "web-19");
    assert_eq!(view[0].latest[0].value, 19);
    let live = node.live().await;
    assert_eq!((live.records, live.batches), (680, 640));
    assert!(live.ack_p50.is_some() && live.ack_p99 >= live.ack_p50 && live.ledger.adds_up());
    check_clean(&node).await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_batch_in_another_devices_name_closes_its_session_and_touches_nobody() {
    let (folder, node) = fresh().await;
    let (forger, victim) = (node::enrol(&node).await, node::enrol(&node).await);
    let mut agent = TestAgent::new(device_of(&victim), Lane::Bulk);
    let row = agent.line("not mine");
    let session = Session::begin(node.intake_address(), &forger).await;
    let bystander = Session::begin(node.intake_address(), &victim).await;
    let mut lane = session.lane().await;
    lane.greet().await;
    let frame = encode_batch(SentClock::default(), agent.batch(row).bytes());
    lane.send.write_all(&frame).await.unwrap();
    let (code, reason) = closed(&session.connection).await;
    assert_eq!(code, Some(CloseCode::Identity), "{reason}");
    assert!(reason.contains(&device_of(&victim).to_string()), "{reason}");
    assert_eq!(bystander.deliver(&mut agent).await.refused, 0, "the victim delivers as before");
    assert_eq!(records(&node, device_of(&victim)).await, 1);
    assert_eq!(records(&node, device_of(&forger)).await, 0);
    let metrics = get(&node, "/metrics").await;
    assert!(
        metrics.contains("headwater_intake_peer_faults_total{kind=\"identity\"} 1"),
        "{metrics}"
    );
    drop(session);
    node.shutdown().await;
    drop(node);
    let audit = node::registry(folder.path()).await.audit().unwrap();
    let forged = audit.iter().find(|entry| entry.action == "identity forged").unwrap();
    assert_eq!(forged.actor, device_of(&forger).to_string());
    assert!(forged.detail.contains(&device_of(&victim).to_string()), "{}", forged.detail);
}

#[tokio::test]
async fn frames_that_the_protocol_does_not_allow_close_the_session_with_a_reason() {
    let (_folder, node) = fresh().await;
    let identity = node::enrol(&node).await;
    let mut oversized = vec![5];
    oversized.extend_from_slice(&u32::MAX.to_le_bytes());
    let frames: [(&[u8], &str); 4] = [
        (&oversized, "frame length"),
        (&[99, 0, 0, 0, 0], "frame kind"),
        (
            &[5, 20, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4],
            "read a frame",
        ),
        (&hello(1, 1).encode(), "a hello came where a batch was expected"),
    ];
    for (frame, expected) in frames {
        let session = Session::begin(node.intake_address(), &identity).await;
        let mut lane = session.lane().await;
        lane.greet().await;
        lane.send.write_all(frame).await.unwrap();
        let (code, reason) = closed(&session.connection).await;
        assert!(matches!(code, Some(CloseCode::Protocol)), "{code:?}: {reason}");
        assert!(reason.contains(expected), "{reason}");
    }
    let mut agent = TestAgent::new(device_of(&identity), Lane::Bulk);
    agent.line("the device itself goes on");
    let session = Session::begin(node.intake_address(), &identity).await;
    assert_eq!(session.deliver(&mut agent).await.sent, 1);
    node.shutdown().await;
}

#[tokio::test]
async fn a_version_from_the_future_is_refused_with_a_clear_reason() {
    let (_folder, node) = fresh().await;
    let identity = node::enrol(&node).await;
    let (connection, _endpoint) = connect(node.intake_address(), &identity).await.unwrap();
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&hello(7, 9).encode()).await.unwrap();
    let (code, reason) = closed(&connection).await;
    assert_eq!(code, Some(CloseCode::Version));
    assert!(reason.contains("version 7 is not known here (newest known: 5)"), "{reason}");
    assert!(reason.contains("update the older side"), "{reason}");
    node.shutdown().await;
}

#[tokio::test]
async fn a_decompression_bomb_is_applied_as_a_gap_and_others_are_untouched() {
    let (_folder, node) = fresh().await;
    let (hostile, honest) = (node::enrol(&node).await, node::enrol(&node).await);
    let mut agent = TestAgent::new(device_of(&hostile), Lane::Bulk);
    let row = agent.line("harmless");
    let bomb = forge::bomb(&agent.batch(row));
    let session = Session::begin(node.intake_address(), &hostile).await;
    send(&session, &bomb).await;
    let mut agent = TestAgent::new(device_of(&honest), Lane::Bulk);
    agent.line("honest");
    let other = Session::begin(node.intake_address(), &honest).await;
    assert_eq!(other.deliver(&mut agent).await.refused, 0);
    let view = node.device(&device_of(&hostile).to_string()).await.unwrap();
    assert_eq!(view.lanes[0].dead.batches, 1, "declared as a gap");
    let report = node.verify(Some(device_of(&hostile)), |_| ()).await.unwrap();
    assert!(report.is_clean() && report.lanes[0].dead_batches == 1, "{report:#?}");
    assert_eq!(report.lanes[0].gaps.values().map(|gap| gap.records).sum::<u64>(), 1);
    node.shutdown().await;
}

#[tokio::test]
async fn a_newer_session_of_a_device_replaces_the_older_one() {
    let (_folder, node) = fresh().await;
    let identity = node::enrol(&node).await;
    let older = Session::begin(node.intake_address(), &identity).await;
    let newer = Session::begin(node.intake_address(), &identity).await;
    assert_eq!(closed(&older.connection).await.0, Some(CloseCode::Replaced));
    let mut agent = TestAgent::new(device_of(&identity), Lane::Bulk);
    agent.line("by the newer one");
    assert_eq!(newer.deliver(&mut agent).await.sent, 1);
    let view = node.device("web-01").await.unwrap();
    assert_eq!(view.session.unwrap().build, "test");
    node.shutdown().await;
}

#[tokio::test]
async fn an_agent_that_lost_its_acks_goes_on_after_a_reconnect_and_nothing_is_doubled() {
    let (_folder, node) = fresh().await;
    let identity = node::enrol(&node).await;
    let mut agent = TestAgent::new(device_of(&identity), Lane::Bulk);
    let rows: Vec<Row> = (0..5).map(|number| agent.line(&format!("line {number}"))).collect();
    let session = Session::begin(node.intake_address(), &identity).await;
    let mut lane = session.lane().await;
    lane.greet().await;
    for row in &rows[..3] {
        let frame = encode_batch(SentClock::default(), agent.batch(*row).bytes());
        lane.send.write_all(&frame).await.unwrap();
    }
    // Nothing is read: what was acked is lost with the session.
    let session = Session::begin(node.intake_address(), &identity).await;
    session.deliver(&mut agent).await;
    assert_eq!(records(&node, device_of(&identity)).await, 5);
    check_clean(&node).await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_process_that_is_gone_is_replaced_by_the_next_one() {
    let (_folder, node) = fresh().await;
    let identity = node::enrol(&node).await;
    let gone = Session::of_process(1, node.intake_address(), &identity).await;
    let mut agent = TestAgent::new(device_of(&identity), Lane::Bulk);
    agent.line("after a restart");
    let next = Session::of_process(2, node.intake_address(), &identity).await;
    assert_eq!(next.deliver(&mut agent).await.sent, 1, "it does not wait for the probe's end");
    assert_eq!(closed(&gone.connection).await.0, Some(CloseCode::Replaced));
    agent.line("and it goes on");
    assert_eq!(next.deliver(&mut agent).await.sent, 1);
    assert_eq!(node.device("web-01").await.unwrap().cloned_at_us, None);
    node.shutdown().await;
}

#[tokio::test]
async fn an_answer_to_another_probe_is_none() {
    let (_folder, node) = fresh().await;
    let identity = node::enrol(&node).await;
    let mut liar = Session::of_process(1, node.intake_address(), &identity).await;
    liar.answer_probe(1, 1);
    let next = Session::of_process(2, node.intake_address(), &identity).await;
    assert_eq!(closed(&liar.connection).await.0, Some(CloseCode::Protocol));
    let mut agent = TestAgent::new(device_of(&identity), Lane::Bulk);
    agent.line("served");
    assert_eq!(next.deliver(&mut agent).await.sent, 1);
    assert_eq!(node.device("web-01").await.unwrap().cloned_at_us, None);
    node.shutdown().await;
}

#[tokio::test]
async fn two_live_processes_of_one_identity_are_both_refused_until_a_person_decides() {
    let (folder, node) = fresh().await;
    let (identity, other) = (node::enrol(&node).await, node::enrol(&node).await);
    let bystander = Session::begin(node.intake_address(), &other).await;
    let mut one = Session::of_process(1, node.intake_address(), &identity).await;
    one.answer_probe(1, 0);
    let two = Session::of_process(2, node.intake_address(), &identity).await;
    for session in [&one, &two] {
        let (code, reason) = closed(&session.connection).await;
        assert_eq!(code, Some(CloseCode::Cloned), "{reason}");
        assert!(reason.contains("headwater devices restore"), "{reason}");
    }
    until(async || node.device("web-01").await.unwrap().cloned_at_us.is_some()).await;
    let (connection, _endpoint) = connect(node.intake_address(), &identity).await.unwrap();
    assert_eq!(closed(&connection).await.0, Some(CloseCode::Cloned), "neither is served");
    let mut agent = TestAgent::new(device_of(&other), Lane::Bulk);
    agent.line("untouched");
    assert_eq!(bystander.deliver(&mut agent).await.sent, 1);

    assert!(node.restore(device_of(&identity), "a person").await.unwrap());
    assert!(!node.restore(device_of(&identity), "a person").await.unwrap(), "once is enough");
    let session = Session::of_process(2, node.intake_address(), &identity).await;
    let mut agent = TestAgent::new(device_of(&identity), Lane::Bulk);
    agent.line("served again");
    assert_eq!(session.deliver(&mut agent).await.sent, 1);
    node.shutdown().await;
    drop(node);
    let audit = node::registry(folder.path()).await.audit().unwrap();
    let deeds = audit.iter().filter(|deed| deed.subject == device_of(&identity).to_string());
    let deeds: Vec<&str> = deeds.map(|deed| deed.action.as_str()).collect();
    assert_eq!(deeds, ["device enrolled", "device cloned", "device restored"]);
}

/// Waits for what comes in a moment.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let late = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_so().await {
        assert!(std::time::Instant::now() < late, "it comes in time");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_lane_may_be_opened_again_in_its_session() {
    let (_folder, node) = fresh().await;
    let identity = node::enrol(&node).await;
    let mut agent = TestAgent::new(device_of(&identity), Lane::Bulk);
    let session = Session::begin(node.intake_address(), &identity).await;
    for number in 1..=20 {
        agent.line("by another stream");
        assert_eq!(session.deliver(&mut agent).await.sent, 1);
        assert_eq!(records(&node, device_of(&identity)).await, number);
    }
    node.shutdown().await;
}

#[tokio::test]
async fn a_revoked_device_loses_its_session_and_gets_no_other() {
    let (_folder, node) = fresh().await;
    let (identity, other) = (node::enrol(&node).await, node::enrol(&node).await);
    let session = Session::begin(node.intake_address(), &identity).await;
    let bystander = Session::begin(node.intake_address(), &other).await;
    assert!(node.revoke(device_of(&identity), "test").await.unwrap());
    assert!(!node.revoke(device_of(&identity), "test").await.unwrap(), "once is enough");
    assert_eq!(closed(&session.connection).await.0, Some(CloseCode::Revoked));
    let (connection, _endpoint) = connect(node.intake_address(), &identity).await.unwrap();
    let (code, reason) = closed(&connection).await;
    assert_eq!((code, reason.as_str()), (Some(CloseCode::Revoked), "this device was revoked"));
    let mut agent = TestAgent::new(device_of(&other), Lane::Bulk);
    agent.line("untouched");
    assert_eq!(bystander.deliver(&mut agent).await.sent, 1);
    node.shutdown().await;
}

#[tokio::test]
async fn a_device_of_another_authority_is_refused_in_the_handshake() {
    let (_folder, node) = fresh().await;
    let (_other_folder, other) = fresh().await;
    let stranger = node::enrol(&other).await;
    let refused = match connect(node.intake_address(), &stranger).await {
        Err(error) => error,
        Ok((connection, _endpoint)) => connection.closed().await,
    };
    assert!(
        refused.to_string().contains("certificate")
            || refused.to_string().contains("cryptographic")
    );
    node.shutdown().await;
    other.shutdown().await;
}

#[tokio::test]
async fn a_node_whose_disk_is_short_says_so_and_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    node::init(folder.path());
    let node = node::start(folder.path(), &[("INTAKE__MIN_FREE", "1000000TiB")]).await;
    let identity = node::enrol(&node).await;
    let mut agent = TestAgent::new(device_of(&identity), Lane::Bulk);
    agent.line("kept in the spool");
    let session = Session::begin(node.intake_address(), &identity).await;
    let delivered = session.deliver(&mut agent).await;
    assert_eq!((delivered.busy, agent.is_quiet()), (1, false));
    assert_eq!(records(&node, device_of(&identity)).await, 0);
    let ready = get(&node, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("the disk is short"), "{ready}");
    node.shutdown().await;
}

#[tokio::test]
async fn a_restored_backup_is_filled_from_the_agents_and_nothing_is_doubled() {
    let (folder, node) = fresh().await;
    let identity = node::enrol(&node).await;
    let mut agent = TestAgent::new(device_of(&identity), Lane::Bulk);
    let deliver = async |node: &NodeHandle, agent: &mut TestAgent| {
        let session = Session::begin(node.intake_address(), &identity).await;
        session.deliver(agent).await;
        session.connection.close(0_u32.into(), b"");
    };
    (0..10).for_each(|number| _ = agent.line(&format!("before {number}")));
    deliver(&node, &mut agent).await;
    node.shutdown().await;
    drop(node);
    let backup = tempfile::tempdir().unwrap();
    disk::copy(folder.path(), backup.path());

    let node = node::start(folder.path(), &[]).await;
    (0..10).for_each(|number| _ = agent.line(&format!("after {number}")));
    deliver(&node, &mut agent).await;
    node.shutdown().await;
    drop(node);

    let node = node::start(backup.path(), &[]).await;
    agent.line("on the restored one");
    deliver(&node, &mut agent).await;
    assert_eq!(records(&node, device_of(&identity)).await, 21, "nothing missing, nothing doubled");
    let view = node.device("web-01").await.unwrap();
    assert_eq!(view.lanes[0].applied_at.0, Generation(1), "and the regression is in the log");
    assert_eq!(view.lanes[0].tallies.epochs, 1, "the grace buffer was enough");
    check_clean(&node).await;
    node.shutdown().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_key() {
    let (_folder, node) = fresh().await;
    let folder = tempfile::tempdir().unwrap();
    node::init(folder.path());
    let taken = [
        ("INTAKE__LISTEN", node.intake_address(), "intake.listen"),
        ("INTAKE__ENROL__LISTEN", node.enrol_address(), "intake.enrol.listen"),
        ("METRICS__LISTEN", node.metrics_address(), "metrics.listen"),
    ];
    for (variable, address, key) in taken {
        let address = address.to_string();
        let config = node::config(folder.path(), &[(variable, &address)]);
        let error = node::text(&Node::start(config).await.unwrap_err());
        assert!(error.contains(&address) && error.contains(key), "{error}");
    }
    let second = node::start(folder.path(), &[]).await;
    let config = node::config(folder.path(), &[]);
    let error = node::text(&Node::start(config).await.unwrap_err());
    assert!(error.contains("is this node running already?"), "{error}");
    second.shutdown().await;
    node.shutdown().await;
}

#[tokio::test]
async fn metrics_and_health_are_served() {
    let (_folder, node) = fresh().await;
    assert!(get(&node, "/healthz").await.ends_with("alive\n"));
    assert!(get(&node, "/readyz").await.ends_with("ready\n"));
    let metrics = get(&node, "/metrics").await;
    for name in
        ["headwater_fold_records_total", "headwater_log_commit_seconds", "headwater_intake_ack"]
    {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    node.shutdown().await;
}

async fn get(node: &NodeHandle, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(node.metrics_address()).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}
