//! Hours of load within bounds: both programs in control groups that would end them, and what they hold does
//! not grow.
//!
//! `HEADWATER_SOAK=minutes` says how long. Files are rotated so fast that what is remembered of runs reaches its
//! bounds (2,048 in an agent, 1,024 in a ledger) before half an hour is over: from an hour on the last quarter is
//! held to stand where the third stood. Below that, from ten minutes on, it may grow by a tenth at most.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headwater_tests::agent::Agent;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::comparison::Comparison;
use headwater_tests::draws::seed_of_this_run;
use headwater_tests::site::settle;
use headwater_tests::writer::{Log, Plan, Rotation, Writer};

/// Where nobody says how long: enough to see that it runs within its bounds.
const SECONDS: u64 = 20;
/// Lines per second, as many as a busy web server writes.
const RATE: u64 = 1_000;
/// What each program may hold, page cache of its files included, in MiB.
const AGENT_MIB: u64 = 64;
const AGGREGATOR_MIB: u64 = 512;
/// Milliseconds between two rotations of a log, and rotated files that are kept.
const ROTATE_MS: std::ops::Range<u64> = 600..1_200;
const KEPT: u64 = 5;
/// Seconds from which growth is judged, and from which none is allowed.
const JUDGED_SECONDS: u64 = 600;
const FILLED_SECONDS: u64 = 3_600;
/// What the median of the last quarter may lie above that of the third: a cache of pages that is not full yet, and
/// what the allocator holds.
const STILL_KIB: u64 = 512;

#[test]
fn under_load_for_long_nothing_is_lost_and_no_memory_grows() {
    let minutes = std::env::var("HEADWATER_SOAK").ok();
    let seconds = minutes
        .map_or(SECONDS, |text| 60 * text.parse::<u64>().expect("HEADWATER_SOAK is in minutes"));
    let seed = seed_of_this_run("soak");
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("var/log");
    let mut aggregator = Aggregator::create(&folder.path().join("aggregator"));
    let pattern = logs.join("*.log").display().to_string();
    let home = folder.path().join("agent");
    let mut agent = Agent::new("edge-1", &home, &aggregator.intake_address(), &[pattern]);
    agent.enrol(&aggregator);
    agent.start();
    let groups = [
        Group::of("agent", agent.process().id(), AGENT_MIB),
        Group::of("aggregator", aggregator.process().id(), AGGREGATOR_MIB),
    ];
    let log = |name, rotation| Log { name, rotation };
    let logs_of = vec![log("alpha", Rotation::Shifted), log("beta", Rotation::Dated)];
    let lines = RATE * seconds;
    let plan = Plan { seed, logs: logs_of, lines, rate: RATE, rotate_ms: ROTATE_MS, kept: KEPT };
    let writer = Writer::start(plan, &logs, &folder.path().join("witness"));
    let mut held = [Vec::new(), Vec::new()];
    let (begun, mut told) = (Instant::now(), Instant::now());
    while !writer.is_done() {
        assert!(agent.process().has_ended().is_none(), "the agent runs");
        assert!(aggregator.process().has_ended().is_none(), "the aggregator runs");
        held[0].push(resident_kib(agent.process().id()));
        held[1].push(resident_kib(aggregator.process().id()));
        if told.elapsed() > Duration::from_secs(300) {
            told = Instant::now();
            eprintln!(
                "soak: {} s, {} and {} KiB",
                begun.elapsed().as_secs(),
                held[0].last().unwrap(),
                held[1].last().unwrap()
            );
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let witness = writer.finish();
    settle(&mut agent, &aggregator, (&witness.files(&logs), witness.lines()));
    let dump = folder.path().join("lines");
    aggregator.dump_lines(&dump);
    Comparison::of(&dump, &witness).expect_exactly_once(&witness);
    let _ = aggregator.expect_clean_audit();
    let limited = groups.iter().flatten().count() == 2;
    for (what, held, limit) in
        [("agent", &held[0], AGENT_MIB), ("aggregator", &held[1], AGGREGATOR_MIB)]
    {
        let quarters = quarters(held);
        eprintln!(
            "soak: {what} after {} s: medians of the quarters {quarters:?} KiB, at most {} KiB of {limit} MiB",
            begun.elapsed().as_secs(),
            held.iter().max().unwrap(),
        );
        assert!(held.iter().all(|kib| *kib < limit << 10), "{what}: within its limit");
        if seconds >= JUDGED_SECONDS {
            let filled = seconds >= FILLED_SECONDS;
            let (from, to) = (quarters[if filled { 2 } else { 1 }], quarters[3]);
            let more = if filled { STILL_KIB } else { from / 10 + 4 * STILL_KIB };
            assert!(to <= from + more, "{what} grows: {quarters:?} KiB");
        }
    }
    if !limited {
        eprintln!(
            "soak: needs root and a memory controller to be ended at its limit; it was only measured"
        );
    }
}

/// The median of each quarter.
fn quarters(held: &[u64]) -> [u64; 4] {
    let part = |number: usize| {
        let mut part = held[held.len() * number / 4..held.len() * (number + 1) / 4].to_vec();
        part.sort_unstable();
        part.get(part.len() / 2).copied().unwrap_or_default()
    };
    [part(0), part(1), part(2), part(3)]
}

fn resident_kib(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    resident.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A control group with a limit of memory, removed in the end.
struct Group(PathBuf);

impl Group {
    /// Puts a process into one; `None` where that is not allowed.
    fn of(name: &str, id: u32, mib: u64) -> Option<Self> {
        let name = format!("headwater-soak-{name}-{id}");
        let (first, second) = (Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup"));
        let (parent, limit) = match first.is_dir() {
            true => (first, "memory.limit_in_bytes"),
            false => (second, "memory.max"),
        };
        let group = Self(parent.join(name));
        fs::create_dir(&group.0).ok()?;
        fs::write(group.0.join(limit), (mib << 20).to_string()).ok()?;
        fs::write(group.0.join("cgroup.procs"), id.to_string()).ok()?;
        Some(group)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that still runs moves to the parent, which the kernel wants before the group goes.
        let parent = self.0.parent().map(|parent| parent.join("cgroup.procs"));
        let inside = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        for id in inside.lines() {
            let _ = parent.as_ref().map(|parent| fs::write(parent, id));
        }
        let _ = fs::remove_dir(&self.0);
    }
}
