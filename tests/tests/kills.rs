//! The main job under SIGKILL: both programs are killed at random, also while they recover from the
//! kill before, and every line and every sample is stored once.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use headwater_tests::agent::Agent;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::comparison::Comparison;
use headwater_tests::draws::{Draws, seed_of_this_run};
use headwater_tests::landed::Landed;
use headwater_tests::site::settle;
use headwater_tests::spooled::expect_every_run_whole;
use headwater_tests::witness::Witness;
use headwater_tests::writer::{Log, Plan, Rotation, Writer};

/// Lines in all; issue 3 names the number.
const LINES: u64 = 500_000;
/// Lines per second: with the kills, about what two processors carry beside other work.
const RATE: u64 = 6_500;
/// Kills of each side, at least; issue 3 names the number.
const KILLS_LEAST: u64 = 25;
/// Of them before the program was ready, at least.
const KILLS_BEFORE_READY_LEAST: u64 = 2;
/// Rotations of each log that is rotated, at least.
const ROTATIONS_LEAST: usize = 5;

#[test]
fn every_line_and_every_sample_is_stored_once_whatever_is_killed() {
    let seed = seed_of_this_run("kills");
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("var/log");
    let mut aggregator = Aggregator::create(&folder.path().join("aggregator"));
    let home = folder.path().join("agent");
    let mut agent = Agent::new("edge-1", &home, &aggregator.intake_address(), &patterns(&logs));
    agent.enrol(&aggregator);
    agent.start();

    let writer = Writer::start(plan(seed), &logs, &folder.path().join("witness"));
    let (of_agent, of_aggregator) = haunt(seed, &writer, &mut agent, &mut aggregator);
    let witness = writer.finish();
    // The last life samples hourly, so that the runs before it are over and can be compared whole.
    agent.kill();
    agent.set_key("SAMPLE__INTERVAL", "1h");
    agent.start();
    settle(&mut agent, &aggregator, (&witness.files(&logs), witness.lines()));

    let dump = folder.path().join("lines");
    aggregator.dump_lines(&dump);
    Comparison::of(&dump, &witness).expect_exactly_once(&witness);
    let audit = aggregator.expect_clean_audit();
    assert_eq!(audit["gaps"], 0, "kills lose nothing, so nothing is declared: {audit:#}");
    agent.stop();
    aggregator.stop();
    let landed = Landed::read(&aggregator.data()).unwrap();
    let device = landed.only_device();
    expect_every_run_whole(device, &agent.spool());
    let least = LINES / RATE / 6;
    assert!(device.tick_count() >= least, "the agent sampled: {} ticks", device.tick_count());
    assert_eq!(landed.generation, 0, "a log that was only killed has lost no tail");
    assert_eq!(device.epochs, 2, "kills open no epoch beyond the first of each lane");
    let line = format!(
        "kills: agent {} ({} before it was ready), aggregator {} ({} before it was ready); \
         {} lines in {} files, {} samples in {} ticks of {} runs; {} s",
        of_agent.landed,
        of_agent.before_ready,
        of_aggregator.landed,
        of_aggregator.before_ready,
        witness.lines(),
        witness.instances.len(),
        device.samples(),
        device.tick_count(),
        device.ticks.len(),
        begun.elapsed().as_secs(),
    );
    eprintln!("{line}");
    for killed in [&of_agent, &of_aggregator] {
        assert!(killed.landed >= KILLS_LEAST, "not covered: {line}");
        assert!(killed.before_ready >= KILLS_BEFORE_READY_LEAST, "not covered: {line}");
    }
    expect_rotations(&witness);
}

/// Three logs that rotate, each with other siblings, and one that does not.
fn plan(seed: u64) -> Plan {
    let log = |name, rotation| Log { name, rotation };
    let logs = vec![
        log("alpha", Rotation::Shifted),
        log("beta", Rotation::Dated),
        log("gamma", Rotation::Shifted),
        log("delta", Rotation::Never),
    ];
    Plan { seed, logs, lines: LINES, rate: RATE, rotate_ms: 2_500..5_000, kept: u64::MAX }
}

/// The siblings of `alpha` do not match, those of `beta` and `gamma` do.
fn patterns(logs: &Path) -> Vec<String> {
    let at = |name: &str| logs.join(name).display().to_string();
    vec![at("alpha.log"), at("beta*.log"), at("gamma.log*"), at("delta.log")]
}

/// Kills both until the writer is done and each was killed often enough; both run in the end.
fn haunt(
    seed: u64,
    writer: &Writer,
    agent: &mut Agent,
    aggregator: &mut Aggregator,
) -> (Killed, Killed) {
    let kills = [AtomicU64::new(0), AtomicU64::new(0)];
    let is_over = || {
        writer.is_done() && kills.iter().all(|kills| kills.load(Ordering::Relaxed) >= KILLS_LEAST)
    };
    std::thread::scope(|scope| {
        let of_agent = scope.spawn(|| kill_again(Draws::new(seed, 1), agent, &kills[0], is_over));
        let draws = Draws::new(seed, 2);
        let of_aggregator = kill_again(draws, aggregator, &kills[1], is_over);
        (of_agent.join().unwrap(), of_aggregator)
    })
}

/// What the kills of one side met.
#[derive(Clone, Copy, Debug, Default)]
struct Killed {
    /// Kills of a process that ran.
    landed: u64,
    /// Of them while it recovered from the kill before.
    before_ready: u64,
}

/// A program that can be killed and started again.
trait Victim {
    fn is_ready(&mut self) -> bool;
    fn kill(&mut self) -> bool;
    fn start(&mut self);
    fn said(&mut self) -> String;
}

fn kill_again(
    mut draws: Draws,
    victim: &mut impl Victim,
    kills: &AtomicU64,
    is_over: impl Fn() -> bool,
) -> Killed {
    let mut killed = Killed::default();
    while !is_over() {
        let life = match draws.of(0..100) {
            // Both are ready some ten milliseconds after their start: these come before.
            0..25 => draws.millis(0..8),
            25..45 => draws.millis(0..400),
            _ => draws.millis(800..3_500),
        };
        // The fault's own time, not a wait for anything.
        std::thread::sleep(life);
        let was_ready = victim.is_ready();
        let said = victim.said();
        assert!(victim.kill(), "it ended by itself, after having said:\n{said}");
        victim.start();
        killed.landed += 1;
        killed.before_ready += u64::from(!was_ready);
        kills.store(killed.landed, Ordering::Relaxed);
    }
    killed
}

impl Victim for Agent {
    fn is_ready(&mut self) -> bool {
        Self::is_ready(self)
    }

    fn kill(&mut self) -> bool {
        Self::kill(self)
    }

    fn start(&mut self) {
        Self::start(self);
    }

    fn said(&mut self) -> String {
        self.process().said()
    }
}

impl Victim for Aggregator {
    fn is_ready(&mut self) -> bool {
        Self::is_ready(self)
    }

    fn kill(&mut self) -> bool {
        Self::kill(self)
    }

    fn start(&mut self) {
        Self::start(self);
    }

    fn said(&mut self) -> String {
        self.process().said()
    }
}

fn expect_rotations(witness: &Witness) {
    for (log, name) in witness.logs.iter().enumerate().filter(|(_, name)| *name != "delta") {
        let files = witness.instances.iter().filter(|instance| instance.log == log).count();
        assert!(files > ROTATIONS_LEAST, "not covered: {name} was rotated {files} times");
    }
}
