//! The embedded log.

mod failing;
mod plan;
mod world;

use std::sync::Arc;

use headwater_protocol::identity::LogId;
use headwater_tests::recorder::{Crash, Record, Recorder};

use crate::checking::{Run, ensure};
use plan::Plan;
use world::{Ground, History, carry_out, groups_in};

const LOG: LogId = LogId([1; 16]);
/// Groups of one plan.
const GROUPS: usize = 14;
/// Plans of one run.
const PLANS: usize = 3;
/// Images that are looked at unless the environment says otherwise.
const IMAGES: usize = 2_500;

/// A log that carried out a plan, and the record of its disk.
struct Recorded {
    plan: Plan,
    ground: Ground,
    record: Record,
    history: History,
    _folder: tempfile::TempDir,
}

impl Recorded {
    fn new(run: &Run, purpose: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ground = Ground::new(folder.path());
        let plan = Plan::drawn(&mut run.draws(purpose), GROUPS);
        let disk = ground.fresh();
        let log = ground.open(&disk).unwrap();
        let history = carry_out(&plan, &log, &disk, &(Arc::new(|_, _| {}) as _));
        drop(log);
        Self { plan, ground, record: disk.record(), history, _folder: folder }
    }

    /// What was told by the time of a crash is there, and nothing that nobody asked for.
    fn check(&self, disk: &Recorder, crash: &Crash, history: &History) -> Result<(), String> {
        let groups = groups_in(&self.plan, &self.ground, disk)?;
        let (told, asked) = (history.told_by(crash.moment), history.asked_by(crash.moment));
        ensure((told..=asked).contains(&groups), || {
            format!("{groups} groups are there, {told} were told to be durable, {asked} asked for")
        })
    }
}

#[test]
fn the_log_is_a_prefix_with_all_that_was_told_whatever_a_crash_leaves() {
    let test = "the_log_is_a_prefix";
    let mut run = Run::new(test, IMAGES);
    for number in 0..PLANS {
        let recorded = Recorded::new(&run, number);
        let looked = run.look(&recorded.record.stretches(), run.share(PLANS), |crash| {
            recorded.check(&Recorder::new(crash.image.clone()), crash, &recorded.history)
        });
        run.expect(looked);
    }
    run.tell("of the log");
}

#[test]
fn a_crash_while_the_log_recovers_from_another_takes_nothing_either() {
    /// Crashes in each recovery.
    const SECOND: usize = 25;
    let mut run = Run::new("a_crash_while_the_log_recovers", IMAGES / 2);
    let recorded = Recorded::new(&run, 0);
    let mut recoveries = Vec::new();
    for (number, stretch) in recorded.record.stretches().iter().enumerate() {
        let share = run.share(SECOND).div_ceil(recorded.record.stretches().len());
        recoveries.extend(stretch.crashes(share, run.draws(2_000 + number)));
    }
    for crash in &recoveries {
        let disk = Recorder::new(crash.image.clone());
        drop(recorded.ground.open(&disk).unwrap());
        let looked = run.look(&disk.record().stretches(), SECOND, |second| {
            recorded.check(&Recorder::new(second.image.clone()), crash, &recorded.history)
        });
        run.expect(looked.map_err(|broken| format!("{broken}\nand before: {}", crash.how)));
    }
    run.tell(&format!("of {} recoveries of the log", recoveries.len()));
}

#[test]
fn a_disk_that_ignores_syncs_and_a_log_that_tells_too_early_are_found_out() {
    let mut run = Run::new("a_disk_that_ignores_syncs", 400);
    let recorded = Recorded::new(&run, 0);
    let ignored = recorded.record.with_syncs_ignored();
    let looked = run.look(&ignored.stretches(), 400, |crash| {
        recorded.check(&Recorder::new(crash.image.clone()), crash, &recorded.history)
    });
    assert!(looked.is_err(), "without syncs something that was told is gone");
    // As if a group were told to be durable when it is asked for.
    let early = History { told: recorded.history.asked.clone(), ..recorded.history.clone() };
    let looked = run.look(&recorded.record.stretches(), 400, |crash| {
        recorded.check(&Recorder::new(crash.image.clone()), crash, &early)
    });
    let broken = looked.expect_err("what is told before its commit is not there yet");
    assert!(broken.contains("were told to be durable"), "it is found for that reason: {broken}");
}
