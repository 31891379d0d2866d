//! Power cuts on real file systems, under the spool and under the log, also while either recovers from
//! the one before: what was acked or sealed before a cut is there after it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use headwater_tests::agent::Agent;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::disks::{Disk, FileSystem};
use headwater_tests::draws::{Draws, seed_of_this_run};
use headwater_tests::process::{Process, Signal};
use headwater_tests::site::Site;
use headwater_tests::spooled::expect_every_run_whole;
use headwater_tests::waiting::until;
use headwater_tests::writer::{Log, Plan, Rotation, Writer};

/// Cuts under each of the two, for each file system. `HEADWATER_CUTS` sets another number.
const CUTS: u32 = 8;
/// Of all cuts, those before the program was ready again, at least.
const CUTS_BEFORE_READY_LEAST: u32 = 2;
/// Lines per second.
const RATE: u64 = 1_500;

#[test]
fn nothing_that_was_synced_is_lost_by_power_cuts_on_ext4() {
    cut_again_and_again(FileSystem::Ext4, 1);
}

#[test]
fn nothing_that_was_synced_is_lost_by_power_cuts_on_xfs() {
    cut_again_and_again(FileSystem::Xfs, 2);
}

/// The control of these tests: with syncs that do nothing, one cut must be seen in what comes after it.
#[test]
fn syncs_that_do_nothing_are_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("site");
    let (data, spool) = (Site::data_of(&home), home.join("agent/spool"));
    let mount = |name: &str, place| Disk::mount(FileSystem::Ext4, &folder.path().join(name), place);
    let (Some(mut under_log), Some(mut under_spool)) =
        (mount("log", &data), mount("spool", &spool))
    else {
        return;
    };
    for victim in ["aggregator", "agent"] {
        let mut site = Site::within(home.clone(), 0, &["alpha"]);
        site.agent.start();
        site.write_and_settle(500);
        let library = eatmydata();
        match victim {
            "agent" => {
                site.agent.kill();
                site.agent.set_variable("LD_PRELOAD", &library);
                site.agent.start();
                site.write_and_settle(2_000);
                site.agent.set_variable("LD_PRELOAD", "");
                cut_under(&mut site.agent, &mut under_spool);
            }
            _ => {
                site.aggregator.kill();
                site.aggregator.set_variable("LD_PRELOAD", &library);
                site.aggregator.start_and_wait();
                site.write_and_settle(2_000);
                site.aggregator.set_variable("LD_PRELOAD", "");
                cut_under(&mut site.aggregator, &mut under_log);
            }
        }
        let mut sees = || {
            let ended = site.agent.process().has_ended().or(site.aggregator.process().has_ended());
            let ledgers = site.aggregator.ask(&["ledger", "show", "edge-1", "--json"]).stdout;
            let ledger: serde_json::Value = serde_json::from_str(&ledgers).unwrap_or_default();
            let lanes = ledger["lanes"].as_array().cloned().unwrap_or_default();
            let regressed = lanes.iter().any(|lane| lane["receipt"]["generation"] != 0);
            let epochs: u64 = lanes.iter().filter_map(|lane| lane["epochs"].as_u64()).sum();
            ended.is_some() || regressed || epochs > 2
        };
        until("what was not synced is missing, and it is seen", &mut sees);
        site.agent.kill();
        site.aggregator.kill();
        for folder in [&data, &spool] {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
            }
        }
        let _ = std::fs::remove_dir_all(home.join("agent/identity"));
    }
}

/// A library whose syncs do nothing.
fn eatmydata() -> String {
    let found = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let libraries = found.map(|folder| folder.path().join("libeatmydata.so"));
    let library = libraries.into_iter().find(|path| path.is_file());
    let library = library.expect(
        "eatmydata is not installed: apt-get update && \
         apt-get install -y --no-install-recommends eatmydata",
    );
    library.display().to_string()
}

fn cut_again_and_again(kind: FileSystem, purpose: u64) {
    let cuts = std::env::var("HEADWATER_CUTS").map_or(CUTS, |text| text.parse().unwrap());
    let mut draws = Draws::new(seed_of_this_run("power_cuts"), purpose);
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("site");
    let data = Site::data_of(&home);
    let image = |name: &str| folder.path().join(name);
    let Some(mut under_log) = Disk::mount(kind, &image("log.img"), &data) else { return };
    let spool = home.join("agent/spool");
    let Some(mut under_spool) = Disk::mount(kind, &image("spool.img"), &spool) else { return };
    let mut site = Site::within(home, 0, &[]);
    site.agent.start();
    site.aggregator.kill();
    site.aggregator.start();

    let writer = Writer::start(plan(&mut draws, cuts), &site.logs(), &site.path("witness"));
    let mut before_ready = 0;
    while !writer.is_done() || under_log.cuts() < cuts || under_spool.cuts() < cuts {
        // The fault's own time, not a wait for anything.
        std::thread::sleep(match draws.of(0..100) {
            0..10 => draws.millis(0..60),
            _ => draws.millis(300..1_500),
        });
        before_ready += match draws.of(0..2) {
            0 => strike(&mut draws, &mut site.agent, &mut under_spool),
            _ => strike(&mut draws, &mut site.aggregator, &mut under_log),
        };
    }
    site.witness = writer.finish();
    // The last life samples hourly, so that the runs before it are over and can be compared whole.
    site.agent.kill();
    site.agent.set_key("SAMPLE__INTERVAL", "1h");
    site.agent.start();
    site.settle();
    site.compare().expect_exactly_once(&site.witness);
    let audit = site.aggregator.expect_clean_audit();
    assert_eq!(audit["gaps"], 0, "cuts lose nothing, so nothing is declared: {audit:#}");
    let landed = site.stop_and_read();
    let device = landed.only_device();
    expect_every_run_whole(device, &site.agent.spool());
    assert_eq!(landed.generation, 0, "the log lost nothing that an agent had a receipt for");
    assert_eq!(device.epochs, 2, "the spool lost nothing that the ledger knew");
    let dropped = under_log.dropped() + under_spool.dropped();
    let line = format!(
        "power cuts on {kind:?}: {} under the log, {} under the spool; {before_ready} of them before it was \
         ready, {dropped} dropped what was just written; {} lines, {} ticks",
        under_log.cuts(),
        under_spool.cuts(),
        site.witness.lines(),
        device.tick_count(),
    );
    eprintln!("{line}");
    assert!(before_ready >= CUTS_BEFORE_READY_LEAST && dropped >= cuts, "not covered: {line}");
}

/// Two logs that rotate, for about as long as the cuts take.
fn plan(draws: &mut Draws, cuts: u32) -> Plan {
    let log = |name, rotation| Log { name, rotation };
    let logs = vec![log("alpha", Rotation::Dated), log("beta", Rotation::Never)];
    let lines = RATE * 2 * u64::from(cuts);
    Plan { seed: draws.number(), logs, lines, rate: RATE, rotate_ms: 2_500..5_000, kept: u64::MAX }
}

/// A program whose disk loses its power.
trait Victim {
    fn is_ready(&self) -> bool;
    fn process(&mut self) -> &mut Process;
    fn kill(&mut self) -> bool;
    fn start(&mut self);
}

/// Cuts the power under a program, often a second time while it recovers. Returns how many of the cuts came
/// before it was ready.
fn strike(draws: &mut Draws, victim: &mut impl Victim, disk: &mut Disk) -> u32 {
    let mut before_ready = u32::from(!cut_under(victim, disk));
    while draws.percent(40) {
        // The fault's own time: both are ready some ten milliseconds after their start.
        std::thread::sleep(draws.millis(0..12));
        before_ready += u32::from(!cut_under(victim, disk));
    }
    before_ready
}

/// Stops a program, cuts the power under it, and starts it again. Returns whether it had been ready. (It is
/// stopped first: a sync that is under way may be told to have succeeded although the power is gone.)
fn cut_under(victim: &mut impl Victim, disk: &mut Disk) -> bool {
    let was_ready = victim.is_ready();
    let said = victim.process().said();
    victim.process().signal(Signal::STOP);
    disk.cut();
    assert!(victim.kill(), "it ended by itself, after having said:\n{said}");
    disk.mount_again();
    victim.start();
    was_ready
}

impl Victim for Agent {
    fn is_ready(&self) -> bool {
        Self::is_ready(self)
    }

    fn process(&mut self) -> &mut Process {
        Self::process(self)
    }

    fn kill(&mut self) -> bool {
        Self::kill(self)
    }

    fn start(&mut self) {
        Self::start(self);
    }
}

impl Victim for Aggregator {
    fn is_ready(&self) -> bool {
        Self::is_ready(self)
    }

    fn process(&mut self) -> &mut Process {
        Self::process(self)
    }

    fn kill(&mut self) -> bool {
        Self::kill(self)
    }

    fn start(&mut self) {
        Self::start(self);
    }
}
