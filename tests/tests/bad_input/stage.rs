//! A node, an agent that works, and a device that does not.

use headwater_certs::identity::DeviceIdentity;
use headwater_protocol::batch::Batch;
use headwater_protocol::identity::{DeviceId, Lane};
use headwater_protocol::wire::{Frame, LaneState};
use headwater_tests::agent::Agent;
use headwater_tests::peer::{Peer, device_of, frame_of};
use headwater_tests::site::Site;
use headwater_tests::waiting::until;
use serde_json::Value;

/// A node, an agent that works, and a device that does not.
pub(crate) struct Stage {
    pub(crate) site: Site,
    pub(crate) intruder: DeviceIdentity,
    pub(crate) address: String,
    since: Value,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let mut site = Site::new(1, &["alpha"]);
        site.agent.start();
        site.write_and_settle(100);
        let address = site.aggregator.intake_address();
        let agent = Agent::new("intruder", &site.path("intruder"), &address, &[]);
        agent.enrol(&site.aggregator);
        let intruder = DeviceIdentity::load(&agent.identity()).unwrap();
        let since = session_of(&site.agent);
        Self { site, intruder, address, since }
    }

    /// Sends a batch on a fresh session's bulk lane; the answer to it.
    pub(crate) async fn send(&self, make: impl Fn(DeviceId, &LaneState) -> Batch) -> Option<Frame> {
        let peer = Peer::greeted(&self.intruder, &self.address).await;
        let (mut stream, state) = peer.lane(Lane::Bulk).await;
        stream.say(&frame_of(make(device_of(&self.intruder), &state))).await;
        stream.hear().await
    }

    /// The other device keeps its session, and its acks advance.
    pub(crate) fn expect_the_other_goes_on(&mut self) {
        let acked = |agent: &Agent| agent.status().and_then(|it| it["live"]["acked"].as_u64());
        let before = acked(&self.site.agent);
        until("the other device's samples are acked", || acked(&self.site.agent) > before);
        assert_eq!(session_of(&self.site.agent), self.since, "its session is the same");
    }

    pub(crate) fn ledger(&self, device: &str) -> Value {
        self.site.aggregator.json(&["ledger", "show", device])
    }

    /// The other device goes on, and the node's peak memory has grown by less than so many MiB since.
    pub(crate) fn expect_no_harm(&mut self, peak_kib: u64, mib: u64) {
        self.expect_the_other_goes_on();
        let grown = self.peak_kib() - peak_kib;
        assert!(grown < mib << 10, "the node's peak grew by {grown} KiB");
    }

    /// The most memory that the node ever held, in KiB.
    pub(crate) fn peak_kib(&mut self) -> u64 {
        let id = self.site.aggregator.process().id();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

/// When an agent's present session began.
fn session_of(agent: &Agent) -> Value {
    agent.status().unwrap()["ship"]["link"]["since_us"].clone()
}
