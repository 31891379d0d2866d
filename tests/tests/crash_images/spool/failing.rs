//! A disk that fails under the spool: it ends, shows nothing any more, and the next start is clean.

use std::sync::{Arc, Mutex};

use headwater_protocol::identity::Lane;
use headwater_tests::recorder::{Record, Recorder};
use tempfile::TempDir;

use super::check::check;
use super::story::{Shown, Story};
use super::world::World;
use super::{Kind, begin};
use crate::checking::{Run, ensure};

/// Steps of the story that is told once for each operation.
const STEPS: usize = 4;
/// Images that are looked at unless the environment says otherwise.
const IMAGES: usize = 1_500;
/// About as many parts they fall into: three for each operation that fails.
const PARTS: usize = 600;

#[test]
fn after_an_operation_that_failed_the_spool_ends_and_nothing_shown_is_lost() {
    let mut run = Run::new("after_an_operation_that_failed_the_spool_ends", IMAGES);
    let folder = tempfile::tempdir().unwrap();
    let mut failed = 0;
    while fails_at(&mut run, &folder, failed) {
        failed += 1;
    }
    assert!(failed > 2 * STEPS, "each seal takes two syncs at least: {failed} operations");
    run.tell(&format!("of {failed} spools whose disk failed"));
}

/// Tells the story on a disk that fails after so many operations. False if there are fewer.
fn fails_at(run: &mut Run, folder: &TempDir, after: usize) -> bool {
    let (disk, mut story) = begin(folder, Kind::GoesBack, run.seed);
    let record: Arc<Mutex<Option<Record>>> = Arc::default();
    let kept = Arc::clone(&record);
    disk.fail_after(after, Box::new(move |failed| *kept.lock().unwrap() = Some(failed.clone())));
    match World::open(&disk, &story.config) {
        Err(error) => {
            let said = format!("{error:?}");
            assert!(said.contains("code: 5") || said.contains("PreviousIo"), "its disk: {said}");
        }
        Ok(mut world) => {
            let told = story.tell(&mut world, STEPS, &mut run.draws(0));
            let moment = disk.moment();
            story.show(&world, moment);
            let ended = if told.is_ok() { world.stop() } else { world.end() };
            assert!(told.is_ok() || ended.is_err(), "it says why it could not go on");
        }
    }
    let Some(record) = record.lock().unwrap().take() else { return false };
    let looked = look(run, &mut story, &record);
    run.expect(looked.map_err(|broken| format!("{broken}\nwith operation {after} failing")));
    true
}

/// Looks at what the failure may leave. Then at a start that sees all that was written, synced or not:
/// what it finds is shipped, so a crash after it takes nothing of that.
fn look(run: &mut Run, story: &mut Story, record: &Record) -> Result<(), String> {
    let count = run.share(PARTS);
    let stretches = record.stretches();
    run.look(&stretches[stretches.len() - 1..], count, |crash| {
        check(story, &story.history, &Recorder::new(crash.image.clone()), crash.moment)
    })?;
    let disk = Recorder::resume(record.clone());
    let before = disk.moment();
    let world = World::open(&disk, &story.config);
    let world = world.map_err(|error| format!("it does not open: {error:?}"))?;
    let mut history = story.history.clone();
    for lane in Lane::ALL {
        history.shown.push(Shown::of(&world.lane(lane).head, disk.moment()));
    }
    world.seal().map_err(|_| "the spool ended".to_owned())?;
    world.stop().map_err(|error| format!("it does not stop in order: {error:?}"))?;
    let mut after = disk.record().stretches();
    after.retain(|stretch| stretch.moment > before);
    ensure(!after.is_empty(), || "a start syncs".to_owned())?;
    run.look(&after, count, |crash| {
        check(story, &history, &Recorder::new(crash.image.clone()), crash.moment)
    })
}
