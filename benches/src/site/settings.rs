//! The two configurations: the defaults, but for places, ports and what a load needs.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde::Serialize;

use super::Ports;

/// What the agent is to read.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// The file that it tails from the beginning.
    pub(crate) file: PathBuf,
    /// How often it samples the host.
    pub(crate) sample_interval: &'static str,
    /// Whether each processor is sampled.
    pub(crate) per_cpu: bool,
    /// Age at which a batch of samples is sealed; `None` for the default.
    pub(crate) live_seal_after: Option<&'static str>,
    /// Age at which a batch of lines is sealed; `None` for the default.
    pub(crate) bulk_seal_after: Option<&'static str>,
    /// Whether the aggregator keeps a history beside its log; what that takes is measured by itself.
    pub(crate) has_history: bool,
}

/// Writes both beside each other.
pub(super) fn write(folder: &Path, ports: &Ports, load: &Load) -> Result<()> {
    let headwater = Headwater {
        node: Node { name: "bench", data_dir: folder.join("data"), log_level: "warn" },
        intake: Intake {
            listen: ports.intake.to_string(),
            advertise: ports.intake.to_string(),
            enrol: Listen { listen: ports.enrol.to_string() },
        },
        metrics: Listen { listen: ports.metrics.to_string() },
        console: Listen { listen: ports.console.to_string() },
        history: History {
            location: if load.has_history { "{data_dir}/history" } else { "off" },
            // So that what is shipped in seconds is in files soon after.
            every: "1s",
        },
    };
    std::fs::write(folder.join("headwater.toml"), toml::to_string(&headwater)?)?;
    let agent = Agent {
        agent: Named { name: "bench", socket: folder.join("agent.sock"), log_level: "warn" },
        identity: Dir { dir: folder.join("identity") },
        sample: Sample { interval: load.sample_interval, per_cpu: load.per_cpu },
        spool: Spool {
            dir: folder.join("spool"),
            live_seal_after: load.live_seal_after,
            bulk_seal_after: load.bulk_seal_after,
        },
        ship: Ship { addresses: [ports.intake.to_string()] },
        tail: [Tail { name: "load", paths: [load.file.clone()], start_at: "beginning" }],
    };
    std::fs::write(folder.join("agent.toml"), toml::to_string(&agent)?)?;
    Ok(())
}

#[derive(Serialize)]
struct Headwater {
    node: Node,
    intake: Intake,
    metrics: Listen,
    console: Listen,
    history: History,
}

#[derive(Serialize)]
struct History {
    location: &'static str,
    every: &'static str,
}

#[derive(Serialize)]
struct Node {
    name: &'static str,
    data_dir: PathBuf,
    log_level: &'static str,
}

#[derive(Serialize)]
struct Intake {
    listen: String,
    advertise: String,
    enrol: Listen,
}

#[derive(Serialize)]
struct Listen {
    listen: String,
}

#[derive(Serialize)]
struct Agent {
    agent: Named,
    identity: Dir,
    sample: Sample,
    spool: Spool,
    ship: Ship,
    tail: [Tail; 1],
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    socket: PathBuf,
    log_level: &'static str,
}

#[derive(Serialize)]
struct Dir {
    dir: PathBuf,
}

#[derive(Serialize)]
struct Sample {
    interval: &'static str,
    per_cpu: bool,
}

#[derive(Serialize)]
struct Spool {
    dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_seal_after: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bulk_seal_after: Option<&'static str>,
}

#[derive(Serialize)]
struct Ship {
    addresses: [String; 1],
}

#[derive(Serialize)]
struct Tail {
    name: &'static str,
    paths: [PathBuf; 1],
    start_at: &'static str,
}
