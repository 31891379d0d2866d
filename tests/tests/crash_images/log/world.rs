//! A log on a disk that is recorded: what it is told to do, what it says is durable, and what it holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headwater_aggregator::fold::recover;
use headwater_aggregator::limits::{ByteCount, LOG_FILES};
use headwater_aggregator::log::{
    DeadLetter, EmbeddedLog, Log, LogOptions, MinFree, OpenError, Space, Stored,
};
use headwater_aggregator::metrics::Metrics;
use headwater_protocol::identity::{Offset, ShardCount, ShardId};
use headwater_tests::recorder::{Image, Moment, Recorder};
use headwater_tests::waiting::until;

use super::LOG;
use super::plan::{Asked, Kept, Plan, SHARDS, letter};
use crate::checking::ensure;

/// Called when a group is durable, with its number.
pub(crate) type Told = Arc<dyn Fn(usize, Moment) + Send + Sync>;

/// Where logs are opened: the files of a fresh one, and what opening needs.
pub(crate) struct Ground {
    files: Vec<Image>,
    options: LogOptions,
}

impl Ground {
    /// Makes a log in a folder, and keeps what its files hold.
    pub(crate) fn new(folder: &Path) -> Self {
        EmbeddedLog::create(folder, LOG, shards()).unwrap();
        Self::of(folder)
    }

    /// The log that was made in a folder.
    pub(crate) fn of(folder: &Path) -> Self {
        let file = |number: u16| std::fs::read(folder.join(format!("log-{number}.redb"))).unwrap();
        let space = Space::of(folder, MinFree::Bytes(ByteCount(0))).unwrap();
        let options = LogOptions {
            id: LOG,
            shards: shards(),
            group_commit: Duration::ZERO,
            space: Arc::new(space),
            metrics: Metrics::default().log,
        };
        Self { files: (0..LOG_FILES).map(|number| Image::of(&file(number))).collect(), options }
    }

    /// The disk of the first file, with nothing in it.
    pub(crate) fn fresh(&self) -> Recorder {
        Recorder::new(self.files[0].clone())
    }

    /// Opens the log with this disk under its first file.
    pub(crate) fn open(&self, first: &Recorder) -> Result<EmbeddedLog, OpenError> {
        let others = self.files[1..].iter().map(|image| Recorder::new(image.clone()));
        let disks = std::iter::once(first.clone()).chain(others).collect();
        EmbeddedLog::open_on(disks, &self.options)
    }
}

fn shards() -> ShardCount {
    ShardCount::new(8).unwrap()
}

/// What a log was asked and said, and when.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// By groups: when it was asked for.
    pub(crate) asked: Vec<Moment>,
    /// By groups: when the last of it was told to be durable.
    pub(crate) told: Vec<Moment>,
}

impl History {
    /// Groups that somebody had been told of by a moment.
    pub(crate) fn told_by(&self, moment: Moment) -> usize {
        self.told.iter().filter(|told| **told <= moment).count()
    }

    /// Groups that had been asked for by then.
    pub(crate) fn asked_by(&self, moment: Moment) -> usize {
        self.asked.iter().filter(|asked| **asked <= moment).count()
    }
}

/// Has a log do all of a plan, each group as one commit: while the disk holds one, the next is asked for.
pub(crate) fn carry_out(plan: &Plan, log: &EmbeddedLog, disk: &Recorder, told: &Told) -> History {
    let said: Arc<Mutex<Vec<Moment>>> = Arc::default();
    let mut history = History::default();
    disk.hold();
    for (number, group) in plan.groups.iter().enumerate() {
        history.asked.push(disk.moment());
        let (last, others) = group.split_last().unwrap();
        others.iter().for_each(|asked| ask(log, asked, Box::new(|_| {})));
        let (disk_of_last, said, told) = (disk.clone(), Arc::clone(&said), Arc::clone(told));
        let durable = move |_| {
            let moment = disk_of_last.moment();
            told(number, moment);
            said.lock().unwrap().push(moment);
            disk_of_last.hold();
        };
        ask(log, last, Box::new(durable));
        if number > 0 {
            disk.release();
        }
        disk.expect_waiting();
    }
    disk.release();
    until("every group is durable", || said.lock().unwrap().len() == plan.groups.len());
    disk.release();
    history.told.clone_from(&said.lock().unwrap());
    history
}

fn ask(log: &EmbeddedLog, asked: &Asked, durable: Box<dyn FnOnce(Stored) + Send>) {
    match asked.clone() {
        Asked::Append(shard, entry) => log.append(shard, entry, durable).unwrap(),
        Asked::Snapshot(shard, snapshot) => log.put_snapshot(shard, snapshot),
        Asked::DropSnapshot(shard, next) => log.drop_snapshot(shard, next),
        Asked::Letter(shard, letter) => log.put_dead_letter(shard, letter),
        Asked::Trim(shard, before) => log.trim(shard, before),
    }
}

/// Opens what a crash left, and holds it against the plan: it is what some number of groups leads to,
/// whole, and recovery gives the fold of that. Returns the number.
pub(crate) fn groups_in(plan: &Plan, ground: &Ground, disk: &Recorder) -> Result<usize, String> {
    let log = ground.open(disk).map_err(|error| format!("it does not open: {error:?}"))?;
    let read = |error: &dyn std::fmt::Debug| format!("it can't be read: {error:?}");
    let mut ends = BTreeMap::new();
    for shard in SHARDS {
        let end = log.end(shard).map_err(|error| read(&error))?;
        ends.insert(shard, usize::try_from(end.0).unwrap());
    }
    let groups = plan.group_that_ends_at(&ends);
    let groups = groups.ok_or_else(|| format!("no whole group ends at {ends:?}"))?;
    for (shard, kept) in &plan.kept[groups] {
        compare(plan, &log, *shard, kept)?;
    }
    Ok(groups)
}

fn compare(plan: &Plan, log: &EmbeddedLog, shard: ShardId, kept: &Kept) -> Result<(), String> {
    let of = |what: &str| format!("{what} of shard {shard}, which should be {kept:?}");
    let read = |error: headwater_aggregator::log::ReadError| format!("{error:?}");
    let start = log.start(shard).map_err(read)?;
    ensure(start.0 == kept.start as u64, || of(&format!("the start {start}")))?;
    let entries = log.read(shard, Offset(0), ByteCount(u64::MAX)).map_err(read)?;
    let expected = &plan.entries[&shard][kept.start..kept.end];
    ensure(entries == expected, || of("other entries"))?;
    let snapshots = log.snapshots(shard).map_err(read)?;
    let nexts: Vec<u64> = snapshots.iter().map(|next| next.0).collect();
    ensure(nexts == kept.snapshots, || of(&format!("the snapshots {nexts:?}")))?;
    for next in snapshots {
        let snapshot = log.snapshot(shard, next).map_err(read)?;
        let expected = &plan.states[&shard][usize::try_from(next.0).unwrap()];
        ensure(snapshot.as_ref() == Some(expected), || of("another snapshot"))?;
    }
    let letters: Vec<DeadLetter> = kept.letters.iter().map(|offset| letter(*offset)).collect();
    ensure(log.dead_letters(shard).map_err(read)? == letters, || of("other dead letters"))?;
    let recovered = recover(log, shard, None).map_err(|error| format!("{error:?}"))?;
    let lost = recovered.lost_in;
    ensure(lost.is_none(), || of(&format!("a tail is missed ({lost:?})")))?;
    let state = recovered.state.snapshot(LOG);
    ensure(state == plan.states[&shard][kept.end], || of("recovery is not the fold"))
}
