//! Files that lose their end, as after a power cut, while the agent runs and while it is away, and go on
//! with other lines: nothing is stored twice, nothing new is lost, and a gap says what happened.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::fs::OpenOptions;

use headwater_protocol::identity::Lane;
use headwater_protocol::record::{Cause, SourceInfo};
use headwater_tests::draws::{Draws, seed_of_this_run};
use headwater_tests::landed::Device;
use headwater_tests::site::Site;
use headwater_tests::waiting::until;
use headwater_tests::witness::Instance;

/// Lines that are read before anything is cut.
const LINES: u64 = 4_000;

/// Where the agent is when a file is cut.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Agent {
    /// It runs, and sees the file before it grows again.
    Looks,
    /// It runs, and the file grows again at once.
    Runs,
    /// It was stopped.
    Stopped,
    /// It was killed.
    Killed,
}

#[test]
fn a_file_that_loses_its_end_and_goes_on_loses_and_doubles_no_line() {
    let seed = seed_of_this_run("regressed");
    let mut draws = Draws::new(seed, 31);
    let mut site = Site::new(seed, &["alpha", "beta"]);
    site.agent.start();
    site.write_and_settle(LINES);
    let mut cuts: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    // Lines that follow: none, fewer than were cut, more than were cut.
    for (agent, more) in [
        (Agent::Looks, 0),
        (Agent::Looks, LINES / 8),
        (Agent::Runs, LINES / 8),
        (Agent::Runs, 2 * LINES),
        (Agent::Stopped, 0),
        (Agent::Stopped, LINES / 8),
        (Agent::Killed, LINES / 8),
        (Agent::Killed, 2 * LINES),
        (Agent::Stopped, 2 * LINES),
    ] {
        eprintln!("the agent: {agent:?}; {more} lines follow");
        match agent {
            Agent::Looks | Agent::Runs => {}
            Agent::Stopped => site.agent.stop(),
            Agent::Killed => assert!(site.agent.kill(), "it runs until it is killed"),
        }
        for log in 0..site.witness.logs.len() {
            let (path, end) = cut(&mut site, log, &mut draws);
            cuts.entry(path).or_default().push(end);
        }
        if agent == Agent::Looks {
            let files = site.witness.files(&site.logs());
            until("the agent sees where the files end", || site.agent.is_settled(&files));
        }
        site.write(more);
        if matches!(agent, Agent::Stopped | Agent::Killed) {
            site.agent.start();
        }
        site.settle();
        site.write_and_settle(LINES / 8);
    }
    site.compare().expect_exactly_once(&site.witness);
    let _ = site.aggregator.expect_clean_audit();
    let landed = site.stop_and_read();
    expect_declared(landed.only_device(), &cuts);
}

/// Cuts the file of a log behind some line; its path, and where it ended. What was written stays written, and
/// what follows stands in the same file.
fn cut(site: &mut Site, log: usize, draws: &mut Draws) -> (String, u64) {
    let path = site.witness.files(&site.logs())[log].clone();
    let bytes = std::fs::read(&path).unwrap();
    let size = bytes.len() as u64;
    let ends = (bytes.len() / 3..bytes.len() - 1).filter(|at| bytes[*at] == b'\n');
    let ends: Vec<u64> = ends.map(|at| at as u64 + 1).collect();
    let cut = ends[draws.place(ends.len())];
    OpenOptions::new().write(true).open(&path).unwrap().set_len(cut).unwrap();
    site.witness.instances.push(Instance { log, lines: Vec::new() });
    (path.display().to_string(), size)
}

/// Each cut is a gap of its own, at the position up to which the file had been read, and there is no other.
fn expect_declared(device: &Device, cuts: &BTreeMap<String, Vec<u64>>) {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for declared in device.gaps.iter().filter(|declared| declared.lane == Lane::Bulk) {
        assert_eq!(declared.gap.cause, Cause::Regressed, "{declared:?}");
        let bytes = (declared.gap.bytes, declared.end - declared.start);
        assert_eq!(bytes, (0, 0), "all of it had been read: {declared:?}");
        let Some(SourceInfo::File { path, .. }) = device.sources.get(&declared.stream) else {
            panic!("a gap in no file: {declared:?}");
        };
        let path = String::from_utf8_lossy(path).into_owned();
        found.entry(path).or_default().push(declared.start);
    }
    assert_eq!(found, *cuts, "gaps and cuts, by file: where it ended each time");
}
