//! What is measured, a file per claim. Each returns figures; none judges by the wall clock.

pub(crate) mod ack;
pub(crate) mod averages;
pub(crate) mod commits;
pub(crate) mod console;
pub(crate) mod disk;
pub(crate) mod events;
mod fleets;
pub(crate) mod idle;
pub(crate) mod lines;
pub(crate) mod peers;
pub(crate) mod restart;
pub(crate) mod samples;
pub(crate) mod throughput;

pub(crate) use fleets::{connections, growth, herd};

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Size of the log that is shipped.
    pub(crate) log_mib: u64,
    /// Size of the log that others ship as well.
    pub(crate) peers_mib: u64,
    /// Size of what a killed program finds when it starts again.
    pub(crate) stored_mib: u64,
    /// Runs of the whole load, each with a fresh aggregator and a fresh agent.
    pub(crate) runs: usize,
    /// How long the idle agent is watched.
    pub(crate) idle_seconds: u32,
    /// How long this host is sampled, beside all else.
    pub(crate) sampled_seconds: u32,
    /// Devices whose samples are averaged on one core: few, and many.
    pub(crate) averaged_devices: [usize; 2],
    /// Devices that are live while the console is asked.
    pub(crate) devices: usize,
    /// Devices of the fleets whose memory is compared.
    pub(crate) connected_devices: [usize; 3],
    /// How long each of those is watched: what late samples may need is held for three minutes.
    pub(crate) connected_seconds: u64,
    /// Devices that come back after a kill.
    pub(crate) herd_devices: usize,
    /// Devices of the fleets that share the same work.
    pub(crate) growing_devices: [usize; 4],
    /// How long each of those is watched.
    pub(crate) growth_seconds: u64,
    /// Pairs of blocks of commits, of the log and of a plain file.
    pub(crate) commit_blocks: usize,
    /// Size of the lines that are sealed by themselves.
    pub(crate) sealed_mib: u64,
    /// Pairs of blocks, load and disk, of which each run of the ack's latency is made.
    pub(crate) ack_blocks: usize,
}

impl Effort {
    /// What the published figures are made with.
    pub(crate) const FULL: Self = Self {
        log_mib: 256,
        peers_mib: 128,
        stored_mib: 1_024,
        runs: 3,
        idle_seconds: 60,
        sampled_seconds: 300,
        averaged_devices: [10_000, 1_000_000],
        devices: 1_000,
        connected_devices: [1_000, 5_000, 10_000],
        connected_seconds: 210,
        herd_devices: 10_000,
        growing_devices: [10, 100, 1_000, 10_000],
        growth_seconds: 60,
        commit_blocks: 7,
        sealed_mib: 64,
        ack_blocks: 5,
    };
    /// For a look in between.
    pub(crate) const QUICK: Self = Self {
        log_mib: 64,
        peers_mib: 16,
        stored_mib: 64,
        runs: 1,
        idle_seconds: 20,
        sampled_seconds: 60,
        averaged_devices: [10_000, 100_000],
        devices: 100,
        connected_devices: [100, 300, 500],
        connected_seconds: 60,
        herd_devices: 500,
        growing_devices: [10, 30, 100, 300],
        growth_seconds: 20,
        commit_blocks: 3,
        sealed_mib: 16,
        ack_blocks: 4,
    };
}
