//! The thundering herd: a fleet whose aggregator is killed comes back all at once, each device by its own
//! certificate, and the node's memory stays within its limit.
//!
//! `HEADWATER_HERD=n` says how many there are.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use headwater_certs::identity::DeviceIdentity;
use headwater_certs::token::JoinToken;
use headwater_protocol::identity::Lane;
use headwater_protocol::wire::{Frame, LaneHello};
use headwater_tests::aggregator::Aggregator;
use headwater_tests::draws::{Draws, seed_of_this_run};
use headwater_tests::joining::Registrar;
use headwater_tests::peer::{Bidi, Peer, batch, client_endpoint, device_of, frame_of};
use headwater_tests::waiting::DEADLINE;
use quinn::Endpoint;
use tokio::runtime::Builder;
use tokio::sync::watch;

const DEVICES: usize = 2_000;
/// Sockets that they share.
const SOCKETS: usize = 32;
/// What the whole node may hold, in MiB: the sentence that may be printed of it.
const MEMORY_MIB: u64 = 512;
/// An agent's first pause, doubled up to the longest; any part of it is waited.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

#[test]
fn a_fleet_that_comes_back_at_once_is_served_within_the_memory_limit() {
    let devices = std::env::var("HEADWATER_HERD").ok();
    let devices = devices.map_or(DEVICES, |text| text.parse().expect("HEADWATER_HERD is a count"));
    let seed = seed_of_this_run("herd");
    let folder = tempfile::tempdir().unwrap();
    let mut aggregator = Aggregator::create(&folder.path().join("aggregator"));
    let token = aggregator.json(&["tokens", "create", "--uses", &devices.to_string()]);
    let token = JoinToken::parse(token["token"].as_str().unwrap()).unwrap();
    aggregator.stop();
    let registrar = Registrar::open(&aggregator.data(), &token);
    let herd: Vec<_> =
        (0..devices).map(|number| registrar.enrol(&format!("herd-{number}"))).collect();
    drop(registrar);
    aggregator.start_and_wait();

    let address = aggregator.intake_address();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let stored = Arc::new(AtomicUsize::new(0));
    let (begin, round) = watch::channel(1_usize);
    let _guard = runtime.enter();
    let endpoints: Vec<_> = (0..SOCKETS).map(|_| client_endpoint()).collect();
    for (number, identity) in herd.into_iter().enumerate() {
        let draws = Draws::new(seed, number as u64);
        let endpoint = endpoints[number % SOCKETS].clone();
        let device = Device { identity, address: address.clone(), endpoint, draws };
        drop(runtime.spawn(device.live(round.clone(), Arc::clone(&stored))));
    }
    let mut told = Vec::new();
    for number in 1..=2 {
        if number > 1 {
            aggregator.kill();
            aggregator.start_and_wait();
        }
        let begun = Instant::now();
        begin.send_replace(number);
        while stored.load(Ordering::Relaxed) < number * devices {
            let back = stored.load(Ordering::Relaxed) - (number - 1) * devices;
            assert!(begun.elapsed() < DEADLINE, "{back} of {devices} are back");
            std::thread::sleep(Duration::from_millis(20));
        }
        let id = aggregator.process().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        told.push((begun.elapsed(), peak / 1024));
        assert!(peak / 1024 < MEMORY_MIB, "the node's peak is {peak} KiB");
    }
    let [(first, _), (again, peak)] = told[..] else { unreachable!("two rounds") };
    eprintln!(
        "herd: {devices} devices at once, all stored after {first:.1?}, after a kill {again:.1?}; \
         peak {peak} MiB; {} retries, {} sessions refused for the limit",
        aggregator.metric("headwater_intake_peer_faults_total{kind=\"retry\"}"),
        aggregator.metric("headwater_intake_peer_faults_total{kind=\"limit\"}"),
    );
    let _ = aggregator.expect_clean_audit();
    let listed = aggregator.json(&["devices"]);
    let lines = listed.as_array().unwrap().iter().map(|it| it["records_applied"].as_u64().unwrap());
    // Who did not hear its ack in time has sent another.
    assert!(lines.sum::<u64>() >= 2 * devices as u64, "two lines of each");
    runtime.shutdown_background();
}

/// One device: sends one line in each round, over its session as long as that lives.
struct Device {
    identity: DeviceIdentity,
    address: String,
    endpoint: Endpoint,
    draws: Draws,
}

impl Device {
    async fn live(mut self, mut round: watch::Receiver<usize>, stored: Arc<AtomicUsize>) {
        loop {
            let mut tries = 0_u32;
            // Held until the next round, as an agent holds its session.
            let _session = loop {
                let sending = tokio::time::timeout(Duration::from_secs(10), self.send());
                if let Ok(Some(session)) = sending.await {
                    break session;
                }
                let longest = PAUSE.saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
                let pause = self.draws.of(0..u64::try_from(longest.as_millis()).unwrap() + 1);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                tries += 1;
            };
            stored.fetch_add(1, Ordering::Relaxed);
            if round.changed().await.is_err() {
                return;
            }
        }
    }

    /// A new session, and a line that is acked. `None` if it does not come so far.
    async fn send(&self) -> Option<(Peer, Bidi)> {
        let peer = Peer::connect_from(&self.endpoint, &self.identity, &self.address).await;
        let mut peer = peer.ok()?;
        let mut lane = peer.may_greet().await?;
        lane.say(&Frame::LaneHello(LaneHello { lane: Lane::Bulk, receipt: None }).encode()).await;
        let Some(Frame::LaneState(state)) = lane.hear().await else { return None };
        lane.say(&frame_of(batch(device_of(&self.identity), &state))).await;
        let answer = lane.hear().await;
        matches!(answer, Some(Frame::Ack(_))).then_some((peer, lane))
    }
}
