//! Logs that logrotate renames and packs with gzip, while the agent is killed, down or at work: every
//! line lands once.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::PathBuf;
use std::process::Command;

use headwater_tests::draws::seed_of_this_run;
use headwater_tests::site::Site;
use headwater_tests::waiting::until;

/// Lines of each part of a test: a few batches.
const LINES: u64 = 12_000;

#[test]
fn every_line_lands_once_when_logs_are_packed_while_the_agent_is_down() {
    let mut site = Site::new(seed_of_this_run("packed"), &["app", "web"]);
    site.agent.start();
    site.write_and_settle(LINES);
    // Killed in the middle of what it reads: the spool's position is anywhere.
    let read = site.aggregator.lines_read();
    site.write(LINES);
    until("some of it has landed", || site.aggregator.lines_read() > read);
    assert!(site.agent.kill(), "it ran until it was killed");
    site.write(LINES);
    rotate(&site, "app", &[1]);
    rotate(&site, "web", &[1]);
    site.write(LINES);
    // A second rotation before the agent is back, as with logrotate's delaycompress.
    rotate(&site, "app", &[2]);
    site.write(LINES);
    site.agent.start();
    site.settle();

    // Packed under a running agent, and once more while it is killed at the end of all that there is.
    rotate(&site, "web", &[1, 2]);
    site.write_and_settle(LINES);
    assert!(site.agent.kill(), "it ran until it was killed");
    rotate(&site, "web", &[1, 2, 3]);
    rotate(&site, "app", &[1, 2, 3]);
    site.write(LINES);
    site.agent.start();
    site.settle();

    site.compare().expect_exactly_once(&site.witness);
    let audit = site.aggregator.expect_clean_audit();
    assert_eq!(audit["gaps"], 0, "nothing was missed, so nothing is declared: {audit:#}");
    let landed = site.stop_and_read();
    let files = landed.only_device().lines.len();
    assert_eq!(files, site.witness.instances.len(), "each file is one stream, packed or not");
}

/// Shifts the names of a log's files as logrotate does, and packs some of them.
fn rotate(site: &Site, log: &str, packed: &[u32]) {
    let at = |name: String| -> PathBuf { site.logs().join(name) };
    for number in (1..9).rev() {
        for ending in ["", ".gz"] {
            let from = at(format!("{log}.log.{number}{ending}"));
            if from.exists() {
                std::fs::rename(from, at(format!("{log}.log.{}{ending}", number + 1))).unwrap();
            }
        }
    }
    std::fs::rename(at(format!("{log}.log")), at(format!("{log}.log.1"))).unwrap();
    for number in packed {
        let path = at(format!("{log}.log.{number}"));
        if path.exists() {
            let done = Command::new("gzip").arg(&path).status().expect("gzip is installed");
            assert!(done.success(), "gzip {}: {done}", path.display());
        }
    }
}
