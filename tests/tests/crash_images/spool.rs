//! The agent's spool.

mod check;
mod failing;
mod story;
mod world;

use headwater_agent::config::ByteCount;
use headwater_protocol::identity::Lane;
use headwater_tests::recorder::{Image, Moment, Record, Recorder};
use tempfile::TempDir;

use crate::checking::Run;
use check::check;
use story::{History, Story};
use world::{World, config};

/// Steps of one story.
const STEPS: usize = 10;
/// Images that are looked at unless the environment says otherwise.
const IMAGES: usize = 2_500;

/// A story that was told, and the record of its disk.
struct Recorded {
    story: Story,
    record: Record,
    _folder: TempDir,
}

/// What the ledger and the grace buffer are like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The ledger goes back at times, and the spool still holds what it forgot.
    GoesBack,
    /// What is acked leaves the spool soon.
    LittleGrace,
}

impl Recorded {
    fn new(run: &Run, kind: Kind, purpose: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (disk, mut story) = begin(&folder, kind, run.seed);
        let mut world = World::open(&disk, &story.config).unwrap();
        story.tell(&mut world, STEPS, &mut run.draws(purpose)).unwrap();
        let [live, bulk] = Lane::ALL.map(|lane| world.lane(lane).head);
        match kind {
            Kind::GoesBack => assert!(bulk.epochs_opened() > 0, "the story opens an epoch"),
            Kind::LittleGrace => {
                assert!(live.next().0 > 0 && bulk.archive_first().0 > 0, "rows leave: {bulk:?}");
            }
        }
        world.stop().unwrap();
        Self { story, record: disk.record(), _folder: folder }
    }

    fn check(&self, disk: &Recorder, moment: Moment) -> Result<(), String> {
        check(&self.story, &self.story.history, disk, moment)
    }
}

/// A disk with a spool that was just made.
fn begin(folder: &TempDir, kind: Kind, seed: u64) -> (Recorder, Story) {
    let (grace, goes_back) = match kind {
        Kind::GoesBack => (ByteCount::mib(16), true),
        Kind::LittleGrace => (ByteCount::kib(4), false),
    };
    let config = config(folder.path(), grace);
    let empty = Recorder::new(Image::default());
    World::open(&empty, &config).unwrap().stop().unwrap();
    let disk = Recorder::new(empty.seen());
    let story = Story::new(disk.clone(), config, goes_back, seed);
    (disk, story)
}

const KINDS: [Kind; 2] = [Kind::GoesBack, Kind::LittleGrace];

#[test]
fn the_spool_holds_all_that_it_showed_whatever_a_crash_leaves() {
    let mut run = Run::new("the_spool_holds_all_that_it_showed", IMAGES);
    for (number, kind) in KINDS.into_iter().enumerate() {
        let recorded = Recorded::new(&run, kind, number);
        let looked = run.look(&recorded.record.stretches(), run.share(KINDS.len()), |crash| {
            recorded.check(&Recorder::new(crash.image.clone()), crash.moment)
        });
        run.expect(looked.map_err(|broken| format!("{kind:?}: {broken}")));
    }
    run.tell("of the spool");
}

#[test]
fn a_crash_while_the_spool_recovers_from_another_takes_nothing_either() {
    /// Crashes in each recovery.
    const SECOND: usize = 25;
    let mut run = Run::new("a_crash_while_the_spool_recovers", IMAGES / 2);
    let recorded = Recorded::new(&run, Kind::GoesBack, 0);
    let stretches = recorded.record.stretches();
    let share = run.share(SECOND).div_ceil(stretches.len());
    let mut recoveries = 0;
    for (number, stretch) in stretches.iter().enumerate() {
        for crash in stretch.crashes(share, run.draws(2_000 + number)) {
            let disk = Recorder::new(crash.image.clone());
            let looked = recorded.check(&disk, crash.moment);
            run.expect(looked.map_err(|broken| format!("{broken}\nafter: {}", crash.how)));
            recoveries += 1;
            let looked = run.look(&disk.record().stretches(), SECOND, |second| {
                recorded.check(&Recorder::new(second.image.clone()), crash.moment)
            });
            run.expect(looked.map_err(|broken| format!("{broken}\nand before: {}", crash.how)));
        }
    }
    run.tell(&format!("of {recoveries} recoveries of the spool"));
}

#[test]
fn a_disk_that_ignores_syncs_and_a_spool_that_shows_too_early_are_found_out() {
    let mut run = Run::new("a_disk_that_ignores_syncs_and_a_spool", 400);
    let mut recorded = Recorded::new(&run, Kind::GoesBack, 0);
    let ignored = recorded.record.with_syncs_ignored();
    let looked = run.look(&ignored.stretches(), 400, |crash| {
        recorded.check(&Recorder::new(crash.image.clone()), crash.moment)
    });
    assert!(looked.is_err(), "without syncs something that was shown is gone");
    // As if a commit were shown when the one before it is.
    let mut early = History::clone(&recorded.story.history);
    let moments: Vec<Moment> = early.shown.iter().map(|shown| shown.moment).collect();
    for (shown, before) in early.shown.iter_mut().skip(2).zip(moments) {
        shown.moment = before;
    }
    recorded.story.history = early;
    let looked = run.look(&recorded.record.stretches(), 400, |crash| {
        recorded.check(&Recorder::new(crash.image.clone()), crash.moment)
    });
    let broken = looked.expect_err("what is shown before its commit is not there yet");
    assert!(broken.contains("rows were shown"), "it is found for that reason: {broken}");
}
