//! `headwater doctor`: what is in the way of this host's aggregator, and the command that mends it.
//!
//! Nothing is changed. A running aggregator is asked over its socket and at its ports; the files of one
//! that is stopped are opened to be read alone. A look that is not possible is left out, and says so.

mod authority;
mod data;
mod finding;
mod fleet;
mod host;
mod page;
mod ports;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use self::finding::{Finding, State};
use super::args::Global;
use super::client::Client;
use super::failure::{Exit, Failure};
use super::output::{Output, Signs};
use super::{UP_FOLDER, is_mine, serve};
use crate::api;
use crate::api::rows::NodeRow;
use crate::config::Config;

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    version: &'a str,
    /// Whether nothing is in the way.
    ok: bool,
    failed: usize,
    warnings: usize,
    findings: &'a [Finding],
}

/// Looks at everything and prints what was found.
///
/// # Errors
/// `CheckSaysNo` if something is in the way.
pub(super) fn run(global: &Global, output: &Output) -> Result<(), Failure> {
    let findings = match configuration(global) {
        Ok((config, found)) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| {
                Failure::new(Exit::Failed, "cannot start the runtime").cause_of(&error)
            })?;
            let findings = runtime.block_on(examine(global, &config));
            [vec![found, version()], findings].concat()
        }
        Err(failure) => vec![
            of_failure("configuration", &failure),
            version(),
            Finding::skipped("all the rest", "not looked at: it goes by the configuration"),
        ],
    };
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (failed, warnings) = (count(State::Failed), count(State::Warning));
    if output.is_json() {
        let version = env!("CARGO_PKG_VERSION");
        let ok = failed == 0;
        output.document(&Document { version, ok, failed, warnings, findings: &findings })?;
    } else {
        output.text(&page::page(&findings, Signs::of_locale()))?;
    }
    // What there is to say was printed.
    if failed == 0 { Ok(()) } else { Err(Failure::new(Exit::CheckSaysNo, "")) }
}

/// The configuration of the aggregator that the other commands would ask: the one of `headwater up` in this
/// folder, else the host's.
fn configuration(global: &Global) -> Result<(Config, Finding), Failure> {
    let of_up = Path::new(UP_FOLDER).join("headwater.toml");
    if global.config.is_none() && global.server.is_none() && is_mine(&of_up) {
        let found = Finding::ok("configuration", format!("{}, of headwater up", of_up.display()));
        return Ok((serve::load(Some(&of_up))?, found));
    }
    let config = serve::config(global)?;
    let named = serve::config_file(global);
    let found = named.map_or("defaults alone".to_owned(), |file| file.display().to_string());
    Ok((config, Finding::ok("configuration", found)))
}

async fn examine(global: &Global, config: &Config) -> Vec<Finding> {
    let folder = &config.node.data_dir;
    let socket = super::socket(global).ok().filter(|_| global.server.is_some());
    let socket = socket.unwrap_or_else(|| api::file_of(folder));
    let client = Client::new(socket, global.timeout.min(ASK_TIME));
    let asked = client.get::<NodeRow>("/api/v1/node").await;
    let service = service(asked.as_ref());
    let node = asked.ok();
    let mut findings = vec![service];
    findings.extend(data::look(config, node.as_ref()));
    let (of_authority, authority) = authority::look(folder);
    findings.extend(of_authority);
    findings.extend(ports::look(config, node.as_ref(), authority.as_ref()).await);
    findings.extend(fleet::look(&client, node.is_some()).await);
    findings.extend(host::look(config, node.as_ref()));
    findings
}

fn service(asked: Result<&NodeRow, &Failure>) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    match asked {
        Ok(node) if node.build != own => {
            Finding::warning("service", format!("{} runs, build {}", node.name, node.build))
                .why(format!("this program is {own}"))
                .next("systemctl restart headwater")
        }
        Ok(node) => Finding::ok("service", format!("{} runs, build {}", node.name, node.build)),
        Err(failure) if failure.exit == Exit::Denied => {
            let warning = Finding::warning("service", "its socket is not for this user");
            warning.why("what it says of itself was not asked for").next(AS_ITS_USER)
        }
        Err(failure) if failure.exit == Exit::Unreachable => {
            Finding::warning("service", "not running: nobody answers at its socket")
                .why("agents keep what they read in their spools while it does not run")
                .next("systemctl start headwater, or: headwater serve")
        }
        Err(failure) => of_failure("service", failure),
    }
}

fn version() -> Finding {
    let (oldest, newest) = (super::PROTOCOL_OLDEST, super::PROTOCOL_NEWEST);
    let version = env!("CARGO_PKG_VERSION");
    Finding::ok("version", format!("headwater {version}, protocol {oldest} to {newest}"))
}

fn of_failure(name: &'static str, failure: &Failure) -> Finding {
    let fact = |wanted: &[&str]| {
        let facts = failure.facts.iter().filter(|(word, _)| wanted.contains(word));
        facts.map(|(_, text)| text.as_str()).collect::<Vec<_>>().join("\n")
    };
    let (why, next) = (fact(&["where", "tried", "cause"]), fact(&["next"]));
    Finding::failed(name, &failure.what).why(why).next(next)
}

/// For one answer of the local socket.
const ASK_TIME: Duration = Duration::from_secs(10);
/// What helps where a file is not for this user.
const AS_ITS_USER: &str = "the same command as the user that runs the aggregator, or with sudo";
