//! A storm: a writer that rotates all the time, a tail that looks now and then, and agents that are
//! killed. Every line is there once, in order within its file.

use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::time::Duration;

use crate::world::{World, numbered, numbers};

#[test]
fn a_storm_of_renames_loses_and_doubles_nothing() {
    for seed in seeds(1..6) {
        let mut storm = Storm::new(seed, "x.log", Rotation::Rename);
        storm.rage(300);
        storm.check();
    }
}

#[test]
fn a_storm_of_renames_within_the_pattern_loses_and_doubles_nothing() {
    for seed in seeds(101..106) {
        let mut storm = Storm::new(seed, "x.log*", Rotation::Rename);
        storm.rage(300);
        storm.check();
    }
}

#[test]
fn a_storm_of_copies_loses_and_doubles_nothing() {
    for seed in seeds(201..206) {
        let mut storm = Storm::new(seed, "x.log", Rotation::CopyTruncate);
        storm.rage(300);
        storm.check();
    }
}

#[test]
fn a_storm_of_copies_within_the_pattern_loses_and_doubles_nothing() {
    for seed in seeds(301..306) {
        let mut storm = Storm::new(seed, "x.log*", Rotation::CopyTruncate);
        storm.rage(300);
        storm.check();
    }
}

#[test]
fn a_storm_of_packed_generations_loses_and_doubles_nothing() {
    for seed in seeds(401..405) {
        let pattern = if seed % 2 == 0 { "x.log" } else { "x.log*" };
        let mut storm = Storm::new(seed, pattern, Rotation::Pack);
        storm.rage(150);
        storm.check();
    }
}

#[test]
fn a_storm_of_packed_copies_loses_and_doubles_nothing() {
    for seed in seeds(501..505) {
        let pattern = if seed % 2 == 0 { "x.log" } else { "x.log*" };
        let mut storm = Storm::new(seed, pattern, Rotation::CopyPack);
        storm.rage(150);
        storm.check();
    }
}

#[test]
fn the_check_of_the_storms_sees_a_line_that_is_lost_and_one_that_is_doubled() {
    let whole: Vec<u64> = (0..10).collect();
    assert_eq!(faults_of(&whole, 10), (vec![], vec![]));
    assert_eq!(faults_of(&[0, 1, 3], 4), (vec![2], vec![]));
    assert_eq!(faults_of(&[0, 1, 1, 2], 3), (vec![], vec![1]));
}

/// How a writer makes room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rotation {
    Rename,
    CopyTruncate,
    /// Renamed, and packed at once or at the next rotation.
    Pack,
    /// Copied and truncated, and the copy packed at once or at the next rotation.
    CopyPack,
}

struct Storm {
    world: World,
    rotation: Rotation,
    random: Random,
    written: u64,
    /// A writer that has not noticed the last rotation yet.
    late: Option<File>,
    seed: u64,
    kills: u32,
}

impl Storm {
    fn new(seed: u64, pattern: &str, rotation: Rotation) -> Self {
        let world = World::new(pattern);
        Self { world, rotation, random: Random(seed), written: 0, late: None, seed, kills: 0 }
    }

    /// So many rotations, with everything else between them.
    fn rage(&mut self, rotations: u32) {
        // What was rotated away before the first look of all was never to be read.
        self.write();
        self.world.run();
        let mut rotated = 0;
        while rotated < rotations {
            match self.random.below(12) {
                0..5 => self.write(),
                5..8 => {
                    self.world.pass(Duration::from_millis(self.random.below(2_000)));
                    self.world.turn();
                }
                8 => self.world.run(),
                9 if self.random.below(3) == 0 => {
                    self.world.kill();
                    self.kills += 1;
                }
                9 => self.world.memory.0.borrow_mut().resync = self.random.below(4) == 0,
                _ => {
                    self.rotate();
                    rotated += 1;
                }
            }
        }
        self.world.run();
        self.world.pass_the_grace();
        self.world.restart();
    }

    /// Lines, the last of them in two steps, by a writer that may still have the file of before.
    fn write(&mut self) {
        let count = self.random.below(20) + 1;
        let text = numbered(self.written..self.written + count);
        self.written += count;
        if self.random.below(3) == 0 {
            self.late = None;
        }
        let mut writer = self.late.take().unwrap_or_else(|| self.world.writer("x.log"));
        let cut = usize::try_from(self.random.below(text.len() as u64)).unwrap();
        writer.write_all(&text.as_bytes()[..cut]).unwrap();
        if self.random.below(3) == 0 {
            self.world.turn();
        }
        writer.write_all(&text.as_bytes()[cut..]).unwrap();
        self.late = Some(writer);
    }

    fn rotate(&mut self) {
        if !self.world.path("x.log").exists() {
            return;
        }
        if matches!(self.rotation, Rotation::Pack | Rotation::CopyPack) {
            self.part();
        }
        for name in (1..KEPT).rev() {
            for ending in ["", ".gz"] {
                let (from, to) = (format!("x.log.{name}{ending}"), name + 1);
                if self.world.path(&from).exists() {
                    self.world.rename(&from, &format!("x.log.{to}{ending}"));
                }
            }
        }
        match self.rotation {
            Rotation::Rename => self.world.rename("x.log", "x.log.1"),
            Rotation::Pack => {
                self.world.rename("x.log", "x.log.1");
                self.pack();
            }
            Rotation::CopyPack => {
                self.world.copy("x.log", "x.log.1");
                self.world.truncate("x.log", 0);
                self.pack();
            }
            Rotation::CopyTruncate => {
                self.world.copy("x.log", "x.log.1");
                let size = fs::metadata(self.world.path("x.log")).unwrap().len();
                match self.random.below(4) {
                    0 => _ = self.world.turn(),
                    1 if size > 1_024 => {
                        // What is written between copy and truncation is nowhere else. (The copy of
                        // a file that is shorter than a fingerprint is known only until a restart.)
                        self.write();
                        self.world.run();
                    }
                    _ => {}
                }
                self.world.truncate("x.log", 0);
            }
        }
        // What the agent has read may be dropped; what it has not is kept longer than the storm lasts.
        if self.random.below(8) == 0 {
            self.world.run();
            for name in KEPT / 2..=KEPT {
                let _ = fs::remove_file(self.world.path(&format!("x.log.{name}")));
                let _ = fs::remove_file(self.world.path(&format!("x.log.{name}.gz")));
            }
        }
    }

    /// Before a rotation that packs: the file is known, its writer lets go of it, and the agent may be
    /// down while the last of it is written.
    fn part(&mut self) {
        if fs::metadata(self.world.path("x.log")).unwrap().len() == 0 {
            // Of what nothing was read nothing is known, and what is packed of it is left alone.
            self.late = None;
            self.write();
        }
        self.world.run();
        if self.random.below(2) == 0 {
            self.world.kill();
            self.kills += 1;
        }
        self.late = None;
        if self.random.below(4) > 0 {
            self.write();
        }
        self.late = None;
    }

    /// Packs what was rotated just now or before, and stops in the middle of it now and then.
    fn pack(&mut self) {
        let first = self.random.below(2) + 1;
        for name in (first..4).rev().map(|name| format!("x.log.{name}")) {
            if !self.world.path(&name).exists() {
                continue;
            }
            match self.random.below(4) {
                0 => _ = self.world.turn(),
                1 => {
                    self.world.pack(&name, &format!("{name}.gz"));
                    self.world.run();
                }
                _ => {}
            }
            self.world.gzip(&name);
        }
    }

    fn check(&self) {
        let name = format!("{:?}, seed {}, {} kills", self.rotation, self.seed, self.kills);
        assert!(self.kills > 3, "the storm kills: {name}");
        let store = self.world.memory.0.borrow();
        for stored in store.streams.values() {
            let numbers = numbers(&stored.lines());
            assert!(numbers.is_sorted(), "lines of a file are in order: {name}: {numbers:?}");
        }
        let (lost, doubled) = faults_of(&numbers(&store.lines()), self.written);
        let gaps = store.gaps();
        assert!(
            lost.is_empty() && doubled.is_empty(),
            "{name}: lost {lost:?}, doubled {doubled:?}, gaps {gaps:?}\n\
             replay: HEADWATER_SEED={} cargo test -p headwater-agent --test tail storm",
            self.seed
        );
    }
}

/// Which numbers below a count are not there, and which are there again.
fn faults_of(found: &[u64], count: u64) -> (Vec<u64>, Vec<u64>) {
    let times = |number: u64| found.iter().filter(|other| **other == number).count();
    let lost = (0..count).filter(|number| times(*number) == 0).collect();
    let doubled = (0..count).filter(|number| times(*number) > 1).collect();
    (lost, doubled)
}

/// Steele, Lea and Flood's SplitMix64: a seed is enough to replay a run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

fn seeds(committed: Range<u64>) -> Vec<u64> {
    match std::env::var("HEADWATER_SEED") {
        Ok(seed) => vec![seed.parse().expect("HEADWATER_SEED is a number")],
        Err(_) => committed.collect(),
    }
}

/// Generations that rotation keeps.
const KEPT: u32 = 60;
