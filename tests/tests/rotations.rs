//! Thousands of rotations of every family, while the agent tails and is killed at random.
//!
//! What is promised ends where a file is gone before anybody could read it. So old generations stay until
//! the agent has stored everything, for a round more, and only then are they deleted; a file is deleted and
//! made anew either when all of it is stored or while a running agent has it open; and a log is packed only
//! once the agent has read its beginning. With `copytruncate` the tool itself throws lines away: those
//! between its copy and its truncation may be missing, no others. A gap stands for those of them that the
//! agent saw and could not read; of what nobody ever saw nobody can say that it was there.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use headwater_protocol::identity::Lane;
use headwater_protocol::record::{Cause, SourceInfo};
use headwater_tests::agent::Agent;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::comparison::Comparison;
use headwater_tests::draws::{Draws, seed_of_this_run};
use headwater_tests::landed::{Device, Landed};
use headwater_tests::storm::{Family, Storm};
use headwater_tests::witness::Instance;

/// Rotations unless `HEADWATER_ROTATIONS` says otherwise; the test plan names 10,000.
const ROTATIONS: u64 = 1_000;
/// Writes of a round's storm.
const WRITES: u64 = 150;

#[test]
fn every_line_lands_once_however_often_logs_are_rotated() {
    let seed = seed_of_this_run("rotations");
    let goal = std::env::var("HEADWATER_ROTATIONS")
        .map_or(ROTATIONS, |text| text.parse().expect("HEADWATER_ROTATIONS is a number"));
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    let mut aggregator = Aggregator::create(&folder.path().join("aggregator"));
    let home = folder.path().join("agent");
    let patterns = Storm::patterns(&logs);
    let mut agent = Agent::new("edge-1", &home, &aggregator.intake_address(), &patterns);
    agent.enrol(&aggregator);
    let mut storm = Storm::new(seed, &logs);
    for log in storm.drawn(&Family::ALL) {
        storm.write(log);
    }
    agent.start();
    agent.settle(&storm.files());
    let (mut draws, mut kills) = (Draws::new(seed, 14), 0);
    while storm.rotated() < goal {
        delete_what_is_open(&mut storm, &mut agent);
        delete_what_is_stored(&mut storm, &mut agent);
        kills += rage(&mut storm, &mut agent, &mut draws);
        agent.settle(&storm.files());
        storm.prune();
    }

    let dump = folder.path().join("lines");
    aggregator.dump_lines(&dump);
    let found = Comparison::of(&dump, &storm.witness);
    let audit = aggregator.expect_clean_audit();
    agent.stop();
    aggregator.stop();
    let landed = Landed::read(&aggregator.data()).unwrap();
    eprintln!(
        "{} rotations ({:?}), {} inodes used again, {kills} kills; {} lines in {} files, {} of them \
         between copy and truncation, of which {} are missing; {} gaps; {} s",
        storm.rotated(),
        storm.rotations,
        storm.reused,
        storm.witness.lines(),
        storm.witness.instances.len(),
        storm.at_risk.len(),
        found.lost,
        audit["gaps"],
        begun.elapsed().as_secs(),
    );
    found.expect_nothing_doubled();
    expect_only_what_the_tool_lost(&storm, &found, landed.only_device());
    assert!(kills >= goal / 100, "not covered: {kills} kills");
    if gives_free_inodes_again(folder.path()) {
        let reused = storm.reused;
        assert!(reused >= goal / 100, "not covered: {reused} inodes used again");
    }
    assert_eq!(storm.rotations.len(), Family::ALL.len(), "not covered: a family");
}

/// Deletes files that the agent has open, with lines that it may not have read yet, and makes them anew.
fn delete_what_is_open(storm: &mut Storm, agent: &mut Agent) {
    for log in storm.drawn(&[Family::Recreated]) {
        storm.write(log);
        storm.rotate(log);
        storm.write(log);
    }
    agent.settle(&storm.files());
}

/// Deletes files of which everything is stored while no agent runs, so that the next ones get their inodes.
fn delete_what_is_stored(storm: &mut Storm, agent: &mut Agent) {
    assert!(agent.kill(), "it runs until it is killed");
    for log in storm.drawn(&[Family::Recreated]) {
        storm.rotate(log);
        storm.write(log);
    }
    agent.start();
    agent.settle(&storm.files());
}

/// A storm of writes and rotations over an agent that is killed again and again; how often it was.
fn rage(storm: &mut Storm, agent: &mut Agent, draws: &mut Draws) -> u64 {
    let is_over = AtomicBool::new(false);
    let mut own = draws.clone();
    draws.number();
    std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill_until(&is_over, agent, draws));
        // Each of these once, from what the agent knows of it: see above.
        let mut once = storm.drawn(&[Family::Packed, Family::Recreated]);
        let often =
            [Family::Renamed, Family::Globbed, Family::Linked, Family::Swapped, Family::Copied];
        for _ in 0..WRITES {
            if own.percent(25)
                && let Some(log) = once.pop()
            {
                if storm.family(log) == Family::Packed && own.percent(70) {
                    storm.write(log);
                }
                storm.rotate(log);
                storm.write(log);
            }
            let log = storm.drawn(&often)[0];
            storm.write(log);
            if own.percent(60) {
                storm.rotate(log);
                storm.write(log);
            }
            // The rhythm of applications, not a wait for anything.
            std::thread::sleep(own.millis(0..25));
        }
        is_over.store(true, Ordering::Relaxed);
        killer.join().unwrap()
    })
}

/// Whether the lowest free inode is given first, as ext4 and XFS do.
fn gives_free_inodes_again(folder: &Path) -> bool {
    const EXT4: i64 = 0xef53;
    const XFS: i64 = 0x5846_5342;
    let figures = rustix::fs::statfs(folder).unwrap();
    [EXT4, XFS].contains(&figures.f_type)
}

fn kill_until(is_over: &AtomicBool, agent: &mut Agent, draws: &mut Draws) -> u64 {
    let mut kills = 0;
    while !is_over.load(Ordering::Relaxed) {
        // The fault's own time, not a wait for anything.
        std::thread::sleep(match draws.of(0..100) {
            0..20 => draws.millis(0..50),
            20..60 => draws.millis(50..400),
            _ => draws.millis(400..1_500),
        });
        assert!(agent.kill(), "it runs until it is killed");
        if draws.percent(30) {
            std::thread::sleep(draws.millis(0..600));
        }
        agent.start();
        kills += 1;
    }
    kills
}

/// What is missing was written between a copy and the truncation; of the other families nothing is missing, and no
/// gap says that anything is.
fn expect_only_what_the_tool_lost(storm: &Storm, found: &Comparison, device: &Device) {
    let is_at_risk = |number: &u64| storm.at_risk.contains(number);
    let missing: Vec<u64> =
        found.missing.iter().copied().filter(|number| !is_at_risk(number)).collect();
    let places: Vec<String> = missing.iter().take(20).map(|it| place(storm, *it)).collect();
    assert!(places.is_empty(), "lines are missing that no tool threw away: {places:#?}");
    for declared in device.gaps.iter().filter(|it| it.lane == Lane::Bulk) {
        let path = match device.sources.get(&declared.stream) {
            Some(SourceInfo::File { path, .. }) => String::from_utf8_lossy(path).into_owned(),
            _ => String::new(),
        };
        // A file that is gone when the agent starts may have held more than was read.
        let is_a_doubt = declared.gap.cause == Cause::Suspected && declared.gap.bytes == 0;
        let is_of_the_tool = path.contains("/copied/") && declared.gap.cause == Cause::Truncated;
        assert!(is_of_the_tool || is_a_doubt, "nothing was lost of {path}: {declared:?}");
    }
}

/// Where a line was written.
fn place(storm: &Storm, number: u64) -> String {
    let holds = |it: &Instance| it.lines.iter().any(|(line, _)| *line == number);
    let instance = storm.witness.instances.iter().rposition(holds).unwrap();
    let Instance { log, lines } = &storm.witness.instances[instance];
    let at = lines.iter().position(|(line, _)| *line == number).unwrap();
    let log = &storm.witness.logs[*log];
    format!("{number}: line {at} of {} in file {instance}, of {log}", lines.len())
}
