//! A spool whose file was damaged: what can be read of it is taken over, the rest is read again from its
//! files or declared, and nothing has to be done by hand.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use headwater_agent::config::SpoolConfig;
use headwater_agent::tail::Landing;
use headwater_protocol::chain::{Resumed, Row};
use headwater_protocol::identity::Lane;
use headwater_protocol::record::{Cause, Content, Gap};
use tempfile::TempDir;

use crate::world::{FILE, Node, World, numbered, quick, sample, values};

/// Batches of each lane.
const BATCHES: u64 = 12;
/// Those of them that the ledger has.
const SHIPPED: u64 = 4;
/// Lines of each batch.
const LINES: u64 = 40;
/// Random damages. `HEADWATER_MUTATIONS` sets another number.
const MUTATIONS: u64 = 250;

#[test]
fn of_a_file_that_is_no_database_any_more_every_batch_is_taken_over() {
    let filled = Filled::new();
    let mut bytes = filled.bytes.clone();
    bytes[..4096].fill(0);
    let after = filled.after(&bytes, "the file's beginning is zeros");
    let shown = "every batch is there";
    assert_eq!(values(&after.node.applied), (0..12).collect::<Vec<_>>(), "{shown}");
    assert_eq!(after.lines_read_again, 0, "{shown}");
    let gaps = after.gaps();
    assert_eq!(gaps.len(), 1, "what can't be shown is suspected, once: {gaps:?}");
    assert_eq!((gaps[0].cause, gaps[0].records), (Cause::Suspected, 0));
    assert!(gaps[0].about.is_some(), "it says of which sampler");
    let names: Vec<String> = after.names();
    assert!(names.iter().any(|name| name.starts_with("spool.redb.damaged-")), "{names:?}");
    assert!(!names.iter().any(|name| name == "damaged" || name.ends_with("salvaged")), "{names:?}");
}

#[test]
fn a_batch_of_samples_that_is_damaged_is_a_gap_in_its_place() {
    let filled = Filled::new();
    let damaged = filled.hit(Lane::Live, Row(7));
    let after = filled.after(&damaged, "one batch of samples is damaged");
    let others: Vec<i64> = (0..12).filter(|value| *value != 7).collect();
    assert_eq!(values(&after.node.applied), others);
    let lost: Vec<Gap> = after.gaps().into_iter().filter(|gap| gap.cause == Cause::Lost).collect();
    assert_eq!(lost.iter().map(|gap| gap.records).sum::<u64>(), 1, "{lost:?}");
}

#[test]
fn lines_of_a_damaged_batch_are_read_again_from_their_file() {
    let filled = Filled::new();
    let damaged = filled.hit(Lane::Bulk, Row(7));
    let after = filled.after(&damaged, "one batch of lines is damaged");
    assert!(after.lines_read_again >= LINES, "{}", after.lines_read_again);
    assert!(after.gaps().iter().all(|gap| gap.cause == Cause::Suspected), "{:?}", after.gaps());
}

#[test]
fn a_salvage_that_is_killed_at_any_step_is_done_again() {
    let filled = Filled::new();
    let mut bytes = filled.bytes.clone();
    bytes[..4096].fill(0);
    // Killed while the fresh file was being written: it is not whole.
    let folder = filled.folder_with(&bytes);
    fs::write(folder.path().join("spool.redb.salvaged"), &filled.bytes[..9000]).unwrap();
    let after = filled.settle(folder, "a fresh file that is not whole");
    assert_eq!(values(&after.node.applied), (0..12).collect::<Vec<_>>());
    // Killed after the damaged file was set aside: the fresh one is whole.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("spool.redb.salvaged"), &filled.bytes).unwrap();
    fs::write(folder.path().join("damaged"), "page 7").unwrap();
    let after = filled.settle(folder, "a fresh file that is whole");
    assert_eq!(values(&after.node.applied), (0..12).collect::<Vec<_>>());
    assert!(after.gaps().is_empty(), "nothing was salvaged again: {:?}", after.gaps());
}

/// The test runs itself as a process of its own: redb can panic while it unwinds from a panic, which ends a
/// process as a kill does. Then the next process goes on with what is left, as a service manager has it.
#[test]
fn whatever_damages_the_file_lines_are_stored_once_and_samples_once_or_declared() {
    let number = |name: &str, otherwise| {
        std::env::var(name).map_or(otherwise, |text| text.parse::<u64>().unwrap())
    };
    let (mut first, count) =
        (number("HEADWATER_SEED", 1), number("HEADWATER_MUTATIONS", MUTATIONS));
    let end = first + count;
    if let Some(place) = std::env::var_os("HEADWATER_DAMAGE_DIR") {
        return damage_and_settle(Path::new(&place), first..end);
    }
    let place = tempfile::tempdir().unwrap();
    let mut aborted = 0;
    loop {
        let mut life = Command::new(std::env::current_exe().unwrap());
        life.args(["--exact", "--nocapture"]).arg(
            "damage::whatever_damages_the_file_lines_are_stored_once_and_samples_once_or_declared",
        );
        life.env("HEADWATER_DAMAGE_DIR", place.path()).env("RUST_BACKTRACE", "0");
        life.env("HEADWATER_SEED", first.to_string());
        life.env("HEADWATER_MUTATIONS", (end - first).to_string());
        let ended = life.output().unwrap();
        if ended.status.success() {
            break;
        }
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.signal(), Some(6), "a damage was not survived:\n{said}");
        first = fs::read_to_string(place.path().join("seed")).unwrap().parse().unwrap();
        aborted += 1;
        assert!(aborted <= count, "it goes on");
    }
    let rows = fs::read_to_string(place.path().join("tally")).unwrap();
    let of = |word: &str| rows.lines().filter(|row| row.contains(word)).count();
    let (salvaged, incomplete) = (of("set aside"), of("samples lost"));
    eprintln!(
        "{count} damages: {salvaged} files set aside, {incomplete} with samples lost and declared, \
         {aborted} processes ended by redb"
    );
    let kinds: BTreeSet<&str> = rows.lines().filter_map(|row| row.split(':').next()).collect();
    assert!(count < MUTATIONS || kinds.len() == 5, "not covered: {kinds:?}");
    assert!(count < MUTATIONS || (salvaged > 0 && incomplete > 0), "not covered");
}

/// One life: damages a file per seed and lets the agent come to stand on it.
fn damage_and_settle(place: &Path, seeds: Range<u64>) {
    let filled = Filled::kept(place);
    for seed in seeds {
        fs::write(place.join("seed"), seed.to_string()).unwrap();
        let mut draws = Draws(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let (kind, damaged) = mutate(&filled.bytes, &mut draws);
        let replay = format!(
            "{kind}; replay: HEADWATER_SEED={seed} HEADWATER_MUTATIONS=1 cargo test -p headwater-agent \
             --test spool whatever_damages"
        );
        let after = filled.settle(folder_of_this_life(place, &damaged), &replay);
        let set_aside = after.names().iter().any(|name| name.contains("damaged-"));
        let (found, all) = (values(&after.node.applied), (0..12).collect::<Vec<i64>>());
        // redb keeps the commit before the last one and falls back to it where a bit of its own head says
        // so: that is a spool rolled back by one commit, in which nothing is wrong.
        let rolled_back = !set_aside && all.starts_with(&found) && found.len() + 1 == all.len();
        let incomplete = found != all && !rolled_back;
        if incomplete {
            let in_order = found.is_sorted_by(|one, next| one < next);
            assert!(in_order, "once and in order: {found:?}; {replay}");
            let declared = !after.gaps().is_empty();
            assert!(
                declared,
                "what is missing is declared: {found:?}, {:?}; {replay}",
                after.names()
            );
        }
        let mut tally =
            File::options().create(true).append(true).open(place.join("tally")).unwrap();
        let aside = if set_aside { "set aside" } else { "used" };
        let lost = if incomplete { "samples lost" } else { "whole" };
        writeln!(tally, "{kind}: {aside}, {lost}").unwrap();
    }
}

/// The folder of a damaged spool: what the process before left of it, if it was ended over it.
fn folder_of_this_life(place: &Path, damaged: &[u8]) -> TempDir {
    let mut left = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    let left = left.find(|path: &std::path::PathBuf| path.is_dir());
    let folder = tempfile::tempdir_in(place).unwrap();
    match left {
        Some(left) => {
            for entry in fs::read_dir(&left).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
            }
            fs::remove_dir_all(left).unwrap();
        }
        None => fs::write(folder.path().join("spool.redb"), damaged).unwrap(),
    }
    folder
}

/// A stopped spool with rows in both lanes, of which a ledger has the first.
struct Filled {
    config: SpoolConfig,
    bytes: Vec<u8>,
    node: Node,
    /// The batches as they stand in the file, by lane and row.
    batches: Vec<((Lane, Row), Vec<u8>)>,
}

/// What came of a damaged spool.
struct After {
    folder: TempDir,
    node: Node,
    lines_read_again: u64,
}

impl Filled {
    fn new() -> Self {
        let (mut world, mut node) = (World::new(), Node::new());
        world.greet(&node, Lane::Live);
        world.greet(&node, Lane::Bulk);
        world.landing.known();
        let stream = world.begin(0);
        let mut at = 0;
        for round in 0..BATCHES {
            world.writer.tick(1, sample(i64::try_from(round).unwrap())).unwrap();
            world.wait_sealed(Lane::Live, round + 1);
            (at, _) = world.append(stream, at, &numbered(round * LINES..(round + 1) * LINES));
            world.wait_sealed(Lane::Bulk, round + 1);
        }
        let mut batches = Vec::new();
        for lane in Lane::ALL {
            for row in (0..BATCHES).map(Row) {
                batches.push(((lane, row), world.read(lane, row).unwrap()));
                if row.0 < SHIPPED {
                    world.ship(&mut node, lane, row);
                }
            }
        }
        let (folder, config) = world.stop();
        let bytes = fs::read(folder.path().join("spool.redb")).unwrap();
        Self { config, bytes, node, batches }
    }

    /// The same one in each process: the first one writes it to a folder.
    fn kept(place: &Path) -> Self {
        let file = |name: &str| place.join(name);
        let batch = |lane: Lane, row: Row| file(&format!("{lane}-{}", row.0));
        if !file("whole").exists() {
            let new = Self::new();
            for ((lane, row), bytes) in &new.batches {
                fs::write(batch(*lane, *row), bytes).unwrap();
            }
            fs::write(file("spool"), &new.bytes).unwrap();
            fs::write(file("whole"), "").unwrap();
            return new;
        }
        let mut node = Node::new();
        let mut batches = Vec::new();
        for lane in Lane::ALL {
            for row in (0..BATCHES).map(Row) {
                let bytes = fs::read(batch(lane, row)).unwrap();
                if row.0 < SHIPPED {
                    let _ = node.apply(&bytes);
                }
                batches.push(((lane, row), bytes));
            }
        }
        let config = quick(Path::new(""));
        Self { config, bytes: fs::read(file("spool")).unwrap(), node, batches }
    }

    /// The file with one batch changed, in each copy of it.
    fn hit(&self, lane: Lane, row: Row) -> Vec<u8> {
        let (_, batch) = self.batches.iter().find(|(key, _)| *key == (lane, row)).unwrap();
        let mut bytes = self.bytes.clone();
        let starts = bytes.windows(batch.len()).enumerate().filter(|(_, window)| window == batch);
        let starts: Vec<usize> = starts.map(|(start, _)| start).collect();
        assert!(!starts.is_empty(), "a batch stands in the file as it is sent");
        for start in starts {
            bytes[start + batch.len() - 5] ^= 1;
        }
        bytes
    }

    fn folder_with(&self, bytes: &[u8]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("spool.redb"), bytes).unwrap();
        folder
    }

    fn after(&self, bytes: &[u8], what: &str) -> After {
        self.settle(self.folder_with(bytes), what)
    }

    /// Starts the agent's spool until it stands, reads the file from where it knows it, ships all, and
    /// checks what must hold whatever happened.
    fn settle(&self, mut folder: TempDir, what: &str) -> After {
        let node = || Node { ledger: self.node.ledger.clone(), applied: self.node.applied.clone() };
        for _ in 0..4 {
            let mut world = World::open(folder, self.config.clone());
            let mut node = node();
            match Self::deliver(&mut world, &mut node) {
                Some(lines_read_again) => {
                    let (folder, _) = world.stop_whatever();
                    node.check();
                    let expected = numbered(0..BATCHES * LINES);
                    assert_eq!(node.lines(), expected, "each line once, in order: {what}");
                    return After { folder, node, lines_read_again };
                }
                None => (folder, _) = world.end(),
            }
        }
        panic!("the spool does not come to stand: {what}");
    }

    /// One life of an agent; `None` if damage that is met only now ends it.
    fn deliver(world: &mut World, node: &mut Node) -> Option<u64> {
        let mut from = Vec::new();
        for lane in Lane::ALL {
            let state = node.state(lane);
            let (Resumed::InChain(row) | Resumed::Opened { from: row, .. }) =
                world.try_greet(state)?;
            from.push((lane, row));
        }
        let texts = numbered(0..BATCHES * LINES);
        let known = world.landing.known();
        let streams = known.into_iter().flat_map(|known| known.streams);
        let of_file = streams.filter(|(stream, _)| stream.source == FILE);
        let last = of_file.max_by_key(|(_, known)| known.position);
        let (stream, position) = match last {
            Some((stream, known)) => (stream, known.position),
            None => (world.begin(0), 0),
        };
        let mut at = 0;
        let rest = texts.iter().skip_while(|text| {
            let is_known = at < position;
            at += if is_known { text.len() as u64 + 1 } else { 0 };
            is_known
        });
        let rest: Vec<String> = rest.cloned().collect();
        assert_eq!(at, position, "a position is the end of a line");
        let read_again = rest.len() as u64;
        if !rest.is_empty() {
            let _ = world.append(stream, position, &rest);
            world.try_wait_sealed(Lane::Bulk)?;
        }
        for (lane, row) in from {
            let to = world.lane(lane).head.next();
            for row in (row.0..to.0).map(Row) {
                let bytes = world.try_read(lane, row)?;
                world.ship_bytes(node, &bytes);
            }
        }
        Some(read_again)
    }
}

impl After {
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn gaps(&self) -> Vec<Gap> {
        let gaps = self.node.applied.iter().filter_map(|record| match &record.content {
            Content::Gap(gap) => Some(gap.clone()),
            Content::Event(_) | Content::Tick(_) | Content::Facts(_) => None,
        });
        gaps.collect()
    }
}

/// Damages a file as disks and people do.
fn mutate(bytes: &[u8], draws: &mut Draws) -> (&'static str, Vec<u8>) {
    let mut damaged = bytes.to_vec();
    // What is not used yet is zeros: nothing can be damaged there.
    let used =
        bytes.chunks(4096).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
    let used: Vec<usize> = used.map(|(number, _)| number * 4096).collect();
    let page = |draws: &mut Draws| -> Range<usize> {
        let first = used[draws.below(used.len())];
        first..(first + 4096).min(bytes.len())
    };
    let kind = match draws.below(5) {
        0 => {
            for _ in 0..=draws.below(8) {
                let at = page(draws).start + draws.below(4096);
                damaged[at.min(bytes.len() - 1)] ^= 1 << draws.below(8);
            }
            "bits flipped"
        }
        1 => {
            damaged.truncate(draws.below(bytes.len()));
            "cut"
        }
        2 => {
            for _ in 0..=draws.below(4) {
                damaged[page(draws)].fill(0);
            }
            "pages of zeros"
        }
        3 => {
            let (from, to) = (page(draws).start, page(draws).start);
            damaged.copy_within(from..(from + 4096).min(bytes.len() - to.saturating_sub(from)), to);
            "a page written in the place of another"
        }
        _ => {
            let at = (page(draws).start + draws.below(4096)).min(bytes.len() - 600);
            let noise: Vec<u8> = (0..600).map(|_| draws.below(256).to_le_bytes()[0]).collect();
            damaged[at..at + 600].copy_from_slice(&noise);
            "noise"
        }
    };
    (kind, damaged)
}

/// Numbers that follow from a seed (xorshift).
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 16) % bound.max(1) as u64).unwrap()
    }
}
