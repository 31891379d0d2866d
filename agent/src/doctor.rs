//! Doctor: what is in the way of this host's agent, and the command that mends it.
//!
//! Nothing is changed: a file that shows whether the spool's disk works is taken away again, a node is
//! shaken hands with and hears no hello, and a running agent is asked over its socket. A look at what only
//! the running agent may have open is left out while it runs, and says so.

mod finding;
mod host;
mod identity;
mod network;
mod page;
mod running;
mod sources;
mod spool;

use std::path::Path;

pub use self::finding::{Finding, State};
pub use self::page::page;
use crate::config::{ConfigError, Loaded};

/// Looks at everything, in the order in which an agent needs it.
pub async fn examine(loaded: &Loaded) -> Vec<Finding> {
    let config = &loaded.config;
    let mut findings = vec![configuration(loaded), version()];
    let (agent, status) = running::look(config);
    findings.push(agent);
    findings.push(running::user(config));
    let (of_identity, identity) = identity::look(&config.identity.dir);
    findings.extend(of_identity);
    findings.push(host::clock(status.as_ref(), identity.as_ref()));
    findings.extend(network::look(config, identity.as_ref()).await);
    findings.extend(spool::look(config, identity.as_ref(), status.as_ref()));
    findings.push(sources::look(&config.tails, status.as_ref()));
    findings.extend([host::buffers(), host::boot(&config.sample.host.proc)]);
    findings
}

/// What is found where there is no configuration to go by.
#[must_use]
pub fn of_no_configuration(error: &ConfigError) -> Vec<Finding> {
    let text = error.to_string();
    let (what, place) = text.split_once('\n').unwrap_or((&text, ""));
    let found = Finding::failed("configuration", what);
    let found = if place.is_empty() { found } else { found.why(place.trim_end()) };
    vec![
        found.next("correct it, then: headwater-agent config check"),
        version(),
        Finding::skipped("all the rest", "not looked at: it goes by the configuration"),
    ]
}

fn configuration(loaded: &Loaded) -> Finding {
    let files: Vec<String> = loaded.files.iter().map(|file| shown(file)).collect();
    let files = if files.is_empty() { "defaults alone".to_owned() } else { files.join(", ") };
    let tails = loaded.config.tails.len();
    let found = format!("{files}, {tails} {}", if tails == 1 { "tail" } else { "tails" });
    if loaded.warnings.is_empty() {
        return Finding::ok("configuration", found);
    }
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    Finding::warning("configuration", found)
        .why(warnings.join("\n"))
        .next("headwater-agent config check")
}

fn version() -> Finding {
    let oldest = headwater_protocol::wire::PROTOCOL_OLDEST;
    let newest = headwater_protocol::wire::PROTOCOL_NEWEST;
    let version = env!("CARGO_PKG_VERSION");
    Finding::ok("version", format!("headwater-agent {version}, protocol {oldest} to {newest}"))
}

/// A path on one line.
fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

/// What is wrong, and what to do about it, of a message that says both.
fn parted(text: &str) -> (&str, Option<&str>) {
    text.split_once("; ").map_or((text, None), |(why, next)| (why, Some(next)))
}

/// What helps where a file is not for this user.
const AS_ITS_USER: &str = "the same command as the user that runs the agent, or with sudo";
