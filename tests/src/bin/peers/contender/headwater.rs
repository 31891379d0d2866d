//! Headwater: an agent with its spool, and an aggregator.

use std::fs::{File, read_to_string};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use headwater_tests::agent::Agent;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::programs::{self, AGENT};
use serde::Deserialize;

use super::{Configuration, Contender, feed_in};
use crate::tally::Tally;

/// Both programs of this build.
#[derive(Debug)]
pub(super) struct Headwater {
    folder: PathBuf,
    aggregator: Aggregator,
    agent: Agent,
}

impl Headwater {
    pub(super) fn new(folder: &Path) -> Self {
        let mut aggregator = Aggregator::create(&folder.join("aggregator"));
        let patterns = [feed_in(folder).display().to_string()];
        let address = aggregator.intake_address();
        let agent = Agent::new("edge-1", &folder.join("agent"), &address, &patterns);
        agent.enrol(&aggregator);
        aggregator.stop();
        Self { folder: folder.to_owned(), aggregator, agent }
    }
}

impl Contender for Headwater {
    fn configurations(&self) -> Vec<Configuration> {
        let text = |path: PathBuf| read_to_string(path).unwrap();
        vec![
            Configuration::new("agent", &text(self.agent.config()), &self.folder),
            Configuration::new("aggregator", &text(self.aggregator.config()), &self.folder),
        ]
    }

    fn start_receiver(&mut self) {
        self.aggregator.start_and_wait();
    }

    fn start_sender(&mut self) {
        self.agent.start();
    }

    fn kill_sender(&mut self) -> bool {
        self.agent.kill()
    }

    fn received(&self) -> u64 {
        self.aggregator.lines_read()
    }

    fn stop_sender(&mut self) -> bool {
        self.agent.stop();
        true
    }

    fn finish(&mut self, tally: &mut Tally) -> Option<String> {
        let dump = self.folder.join("received");
        self.aggregator.dump_lines(&dump);
        for row in BufReader::new(File::open(dump).unwrap()).lines() {
            tally.take(&body_of(&row.unwrap()));
        }
        let audit = self.aggregator.audit();
        self.aggregator.stop();
        let counts = ["missing", "repeated", "gaps"].map(|key| format!("{key} {}", audit[key]));
        let verdict = if audit["clean"] == true { "clean" } else { "NOT clean" };
        Some(format!("ledger {verdict}: {}", counts.join(", ")))
    }
}

/// A line as `headwater logs --ndjson` gives it.
#[derive(Debug, Deserialize)]
struct Stored {
    body: Option<String>,
    body_base64: Option<String>,
}

fn body_of(row: &str) -> Vec<u8> {
    let stored: Stored = serde_json::from_str(row)
        .unwrap_or_else(|error| panic!("a line of logs --ndjson: {error}: {row}"));
    let decoded = stored.body_base64.map(|text| STANDARD.decode(text).expect("base64 of a body"));
    stored.body.map(String::into_bytes).or(decoded).expect("a line has a body")
}

pub(super) fn version() -> String {
    let done = Command::new(programs::program(AGENT)).arg("--version").output().unwrap();
    String::from_utf8_lossy(&done.stdout).trim().replace("headwater-agent", "Headwater")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_line_is_read_as_text_or_as_bytes() {
        assert_eq!(body_of(r#"{"device":"edge-1","body":"0000001 GET"}"#), b"0000001 GET");
        assert_eq!(body_of(r#"{"device":"edge-1","body_base64":"MDAw/w=="}"#), b"000\xff");
    }
}
