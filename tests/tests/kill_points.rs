//! Both programs end at named points, between any two steps of which one is durable and the other is not, and
//! once more at the first such point of their recovery: every line is stored once.
//!
//! Builds with debug assertions have the points (`killpoint.rs` of both programs).

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headwater_tests::draws::{Draws, seed_of_this_run};
use headwater_tests::site::Site;
use headwater_tests::waiting::DEADLINE;

/// Lines that are written at once, until the program has ended.
const LINES: u64 = 300;

/// What the agent finds when it starts towards its point.
#[derive(Clone, Copy, Debug)]
enum Found {
    /// What it left.
    Spool,
    /// A spool of an earlier time, so that it opens an epoch.
    OlderSpool,
    /// A spool whose pages are damaged, so that it makes a fresh one.
    DamagedSpool,
}

/// Where the agent ends, and where it ends again when it is started after that.
const OF_AGENT: [(Found, &str, &str); 7] = [
    (Found::Spool, "tail.before_append", "tail.after_append"),
    (Found::Spool, "spool.before_commit", "spool.after_commit"),
    (Found::Spool, "ship.before_ack", "ship.before_ack"),
    (Found::OlderSpool, "spool.before_opening", "spool.after_opening"),
    (Found::OlderSpool, "spool.after_opening", "spool.before_commit"),
    (Found::DamagedSpool, "salvage.before_commit", "salvage.after_commit"),
    (Found::DamagedSpool, "salvage.before_rename", "salvage.after_rename"),
];

const OF_AGGREGATOR: [(&str, &str); 5] = [
    ("intake.before_append", "log.before_commit"),
    ("log.before_commit", "log.after_commit"),
    ("fold.before_ack", "fold.before_ack"),
    ("fold.before_snapshot", "log.before_commit"),
    ("merge.before_commit", "merge.after_commit"),
];

#[test]
fn an_agent_that_ends_between_any_two_steps_loses_and_doubles_no_line() {
    let seed = seed_of_this_run("kill_points");
    let mut draws = Draws::new(seed, 1);
    let mut site = Site::new(seed, &["alpha", "beta"]);
    site.agent.start();
    for (found, first, again) in OF_AGENT {
        eprintln!("{found:?}: {first}, then {again}");
        site.write_and_settle(LINES);
        prepare(&mut site, found, &mut draws);
        // Points of the beginning are passed once; the others a few times before.
        let once = !matches!(found, Found::Spool);
        let time = if once { 1 } else { draws.of(1..6) };
        for point in [format!("{first}:{time}"), format!("{again}:1")] {
            site.agent.kill();
            site.agent.set_variable("HEADWATER_KILL_AT", &point);
            site.agent.start();
            let late = Instant::now() + DEADLINE;
            while site.agent.process().has_ended().is_none() {
                assert!(Instant::now() < late, "{point} is never passed");
                site.write(LINES);
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        site.agent.kill();
        site.agent.set_variable("HEADWATER_KILL_AT", "");
        site.agent.start();
        site.settle();
        site.compare().expect_exactly_once(&site.witness);
    }
    finish(site);
}

#[test]
fn an_aggregator_that_ends_between_any_two_steps_loses_and_doubles_no_line() {
    let seed = seed_of_this_run("kill_points");
    let mut draws = Draws::new(seed, 2);
    let mut site = Site::new(seed, &["alpha"]);
    site.agent.start();
    for (first, again) in OF_AGGREGATOR {
        eprintln!("{first}, then {again}");
        let time = draws.of(1..4);
        for point in [format!("{first}:{time}"), format!("{again}:1")] {
            site.end_aggregator_at(&point, LINES);
        }
        site.aggregator.kill();
        site.aggregator.set_variable("HEADWATER_KILL_AT", "");
        site.aggregator.start_and_wait();
        site.settle();
        site.compare().expect_exactly_once(&site.witness);
    }
    finish(site);
}

/// The whole log, read by code that knows nothing of the fold.
fn finish(mut site: Site) {
    let _ = site.aggregator.expect_clean_audit();
    let landed = site.stop_and_read();
    landed.only_device().ticks_are_contiguous_or_declared().unwrap();
}

/// Stops the agent and gives it the spool that it is to find.
fn prepare(site: &mut Site, found: Found, draws: &mut Draws) {
    let spool = site.agent.spool();
    match found {
        Found::Spool => {}
        Found::OlderSpool => {
            site.agent.stop();
            let copy = site.path("older");
            copy_files(&spool, &copy);
            site.agent.start();
            site.write_and_settle(LINES);
            site.agent.kill();
            let _ = fs::remove_dir_all(&spool);
            copy_files(&copy, &spool);
        }
        Found::DamagedSpool => {
            site.agent.kill();
            let file = spool.join("spool.redb");
            let mut bytes = fs::read(&file).unwrap();
            for _ in 0..40 {
                let page = draws.place(bytes.len() / 4096) * 4096;
                bytes[page..page + 4096].fill(0);
            }
            bytes[..4096].fill(0);
            fs::write(&file, &bytes).unwrap();
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    let files = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path());
    for file in files.filter(|file: &PathBuf| file.is_file()) {
        fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}
