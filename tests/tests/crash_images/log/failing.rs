//! A disk that fails under the log: the process ends, nothing is told any more, the next start is clean.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use headwater_tests::draws::Draws;
use headwater_tests::recorder::{Moment, Record, Recorder};

use super::plan::Plan;
use super::world::{Ground, carry_out, groups_in};
use crate::checking::{Run, ensure};

/// Groups of the plan that is carried out once for each operation.
const GROUPS: usize = 5;
/// Images that are looked at unless the environment says otherwise.
const IMAGES: usize = 1_500;
/// About as many parts they fall into: three for each operation that fails.
const PARTS: usize = 300;
/// Where a process that is to fail finds out when, and leaves what it did. Set by the test itself.
const FOLDER: &str = "HEADWATER_FAILING_FOLDER";

#[test]
fn after_an_operation_that_failed_the_process_ends_and_nothing_told_is_lost() {
    let test = "after_an_operation_that_failed_the_process_ends";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return fail_in(Path::new(&folder));
    }
    let mut run = Run::new(test, IMAGES);
    let ground_folder = tempfile::tempdir().unwrap();
    let ground = Ground::new(ground_folder.path());
    let mut failed = 0;
    loop {
        let folder = tempfile::tempdir_in(ground_folder.path()).unwrap();
        std::fs::write(folder.path().join("plan"), format!("{} {failed}", run.seed)).unwrap();
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "log::failing::after_an_operation_that_failed_the_process_ends_and_nothing_told_is_lost"])
            .env(FOLDER, folder.path())
            .output()
            .unwrap();
        let Ok(record) = std::fs::read(folder.path().join("record")) else {
            assert!(status.status.success(), "no operation failed, and yet: {status:?}");
            break;
        };
        let told = told_in(folder.path());
        let told =
            told.unwrap_or_else(|told| panic!("told after operation {failed} failed: {told}"));
        if told < GROUPS {
            assert_eq!(status.status.code(), Some(1), "the process ends: {status:?}");
        }
        let looked = look(&mut run, &ground, &Record::decode(&record), told);
        run.expect(looked.map_err(|broken| format!("{broken}\nwith operation {failed} failing")));
        failed += 1;
    }
    assert!(failed > 2 * GROUPS, "each group takes two syncs at least: {failed} operations");
    run.tell(&format!("of {failed} logs whose disk failed"));
}

/// Carries the plan out on a disk that fails, and notes beside it what was told and when it failed.
fn fail_in(folder: &Path) {
    let plan = std::fs::read_to_string(folder.join("plan")).unwrap();
    let (seed, after) = plan.split_once(' ').unwrap();
    let plan = plan_of(seed.parse().unwrap());
    let ground = Ground::of(folder.parent().unwrap());
    let disk = ground.fresh();
    let (record, notes) = (folder.join("record"), folder.join("notes"));
    let note = move |text: &str| {
        let mut notes = OpenOptions::new().create(true).append(true).open(&notes).unwrap();
        writeln!(notes, "{text}").unwrap();
    };
    let failing = note.clone();
    let failed = move |failed: &Record| {
        File::create(&record).unwrap().write_all(&failed.encode()).unwrap();
        failing("failed");
    };
    disk.fail_after(after.parse().unwrap(), Box::new(failed));
    // As the program does if its log can't be opened.
    let Ok(log) = ground.open(&disk) else { std::process::exit(1) };
    let told = move |_: usize, _: Moment| note("told");
    carry_out(&plan, &log, &disk, &(Arc::new(told) as _));
}

fn plan_of(seed: u64) -> Plan {
    Plan::drawn(&mut Draws::new(seed, 0), GROUPS)
}

/// How many groups were told to be durable; an error if one was after the failure.
fn told_in(folder: &Path) -> Result<usize, String> {
    let notes = std::fs::read_to_string(folder.join("notes")).unwrap();
    let (before, after) = notes.split_once("failed\n").expect("it says that it failed");
    if after.is_empty() { Ok(before.lines().count()) } else { Err(after.to_owned()) }
}

/// Looks at what the failure may leave. Then at a start that sees all that was written, synced or not:
/// what it finds is served and acked, so a crash after it takes nothing of that.
fn look(run: &mut Run, ground: &Ground, record: &Record, told: usize) -> Result<(), String> {
    let plan = plan_of(run.seed);
    let at_least = |least: usize, disk: &Recorder| {
        let groups = groups_in(&plan, ground, disk)?;
        ensure(groups >= least, || format!("{groups} groups are there, {least} were told"))
    };
    let stretches = record.stretches();
    let count = run.share(PARTS);
    run.look(&stretches[stretches.len() - 1..], count, |crash| {
        at_least(told, &Recorder::new(crash.image.clone()))
    })?;
    let found = groups_in(&plan, ground, &Recorder::new(record.seen()))?;
    ensure(found >= told, || format!("{found} groups are there, {told} were told"))?;
    let disk = Recorder::resume(record.clone());
    let before = disk.moment();
    let log = ground.open(&disk).map_err(|error| format!("it does not open: {error:?}"))?;
    let opened = disk.moment();
    drop(log);
    let after: Vec<_> = disk.record().stretches();
    let after: Vec<_> = after.into_iter().filter(|stretch| stretch.moment > before).collect();
    let (recovering, served): (Vec<_>, Vec<_>) =
        after.into_iter().partition(|stretch| stretch.moment < opened);
    run.look(&recovering, count, |crash| at_least(told, &Recorder::new(crash.image.clone())))?;
    run.look(&served, count, |crash| at_least(found, &Recorder::new(crash.image.clone())))
}
