//! Logs that are rotated all the time, each in one of the ways that there are, and a record of every line
//! that was written to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::draws::Draws;
use crate::witness::{Instance, Line, Witness};

/// Files that are made at most to get an inode that has become free: ext4 gives the lowest one first.
const PLACES_TRIED: u64 = 64;

/// A way to make room.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Family {
    /// `x.log` becomes `x.log.1`, which becomes `x.log.2`.
    Renamed,
    /// The same, and two patterns find `x.log`; one of them finds the rotated ones as well.
    Globbed,
    /// The same, and a hard link names the present file as well.
    Linked,
    /// `x.log` is a symbolic link that goes from `x-0001.log` to `x-0002.log`.
    Swapped,
    /// `x.log` becomes `x.log.1`, which is packed at once.
    Packed,
    /// `x.log` is copied to `x.log.1` and truncated; at times lines are written between.
    Copied,
    /// `x.log` is deleted and made anew; its inode may be used again.
    Recreated,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 7] = [
        Self::Renamed,
        Self::Globbed,
        Self::Linked,
        Self::Swapped,
        Self::Packed,
        Self::Copied,
        Self::Recreated,
    ];

    /// The name of its folder.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Renamed => "renamed",
            Self::Globbed => "globbed",
            Self::Linked => "linked",
            Self::Swapped => "swapped",
            Self::Packed => "packed",
            Self::Copied => "copied",
            Self::Recreated => "recreated",
        }
    }

    /// How many logs of it there are. Where one is rotated once a round there are more.
    fn logs(self) -> usize {
        match self {
            Self::Renamed | Self::Globbed | Self::Linked | Self::Swapped | Self::Copied => 4,
            Self::Packed | Self::Recreated => 12,
        }
    }
}

/// The logs, and what was written to them.
#[derive(Debug)]
pub struct Storm {
    /// Every line.
    pub witness: Witness,
    /// How often logs of each family were rotated.
    pub rotations: BTreeMap<Family, u64>,
    /// Lines that were written between a copy and the truncation: nobody but a reader that comes just then
    /// has them.
    pub at_risk: BTreeSet<u64>,
    /// Inodes of rotated files that were there at the last pruning.
    rotated_before: BTreeSet<u64>,
    /// Files that got the inode of the one before them.
    pub reused: u64,
    folder: PathBuf,
    draws: Draws,
    logs: Vec<Log>,
    next: u64,
}

#[derive(Debug)]
struct Log {
    family: Family,
    path: PathBuf,
    file: File,
    instance: usize,
    offset: u64,
    generation: u64,
}

impl Storm {
    /// Makes the logs in a folder that does not exist.
    ///
    /// # Panics
    /// If it cannot be written to.
    #[must_use]
    pub fn new(seed: u64, folder: &Path) -> Self {
        let mut storm = Self {
            witness: Witness { seed, ..Witness::default() },
            rotations: BTreeMap::new(),
            at_risk: BTreeSet::new(),
            rotated_before: BTreeSet::new(),
            reused: 0,
            folder: folder.to_owned(),
            draws: Draws::new(seed, 13),
            logs: Vec::new(),
            next: 0,
        };
        for family in Family::ALL {
            fs::create_dir_all(folder.join(family.word())).unwrap();
            for number in 0..family.logs() {
                storm.make(family, number);
            }
        }
        storm
    }

    fn make(&mut self, family: Family, number: usize) {
        let name = format!("{}{number}", family.word());
        let path = self.folder.join(family.word()).join(format!("{name}.log"));
        self.witness.logs.push(name);
        if family == Family::Swapped {
            symlink(generation_of(&path, 0), &path).unwrap();
        }
        let file = appended(&path);
        self.logs.push(Log { family, path, file, instance: 0, offset: 0, generation: 0 });
        let log = self.logs.len() - 1;
        self.begin(log);
        if family == Family::Linked {
            fs::hard_link(&self.logs[log].path, link_of(&self.logs[log].path)).unwrap();
        }
    }

    /// Patterns that find every log of a folder.
    #[must_use]
    pub fn patterns(folder: &Path) -> Vec<String> {
        let at = |name: &str| folder.join(name).display().to_string();
        let every = Family::ALL.map(|family| at(&format!("{}/*.log", family.word())));
        every.into_iter().chain([at("globbed/globbed*")]).collect()
    }

    /// The present files, by the names that a status shows.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let shown = |log: &Log| match log.family {
            Family::Linked => link_of(&log.path),
            Family::Swapped => generation_of(&log.path, log.generation),
            _ => log.path.clone(),
        };
        self.logs.iter().map(shown).collect()
    }

    /// Rotations in all.
    #[must_use]
    pub fn rotated(&self) -> u64 {
        self.rotations.values().sum()
    }

    /// The logs of some families, in an order that is drawn.
    #[must_use]
    pub fn drawn(&mut self, families: &[Family]) -> Vec<usize> {
        let is_one = |log: &usize| families.contains(&self.logs[*log].family);
        let mut logs: Vec<usize> = (0..self.logs.len()).filter(is_one).collect();
        for last in (1..logs.len()).rev() {
            logs.swap(last, self.draws.place(last + 1));
        }
        logs
    }

    /// The family of a log.
    #[must_use]
    pub fn family(&self, log: usize) -> Family {
        self.logs[log].family
    }

    /// Writes some lines to a log, in two parts that may meet in the middle of one. Their numbers.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn write(&mut self, log: usize) -> Range<u64> {
        let count = self.draws.of(1..20);
        let numbers = self.next..self.next + count;
        self.next += count;
        let Log { file, instance, offset, .. } = &mut self.logs[log];
        let mut bytes = Vec::new();
        for number in numbers.clone() {
            let line = Line::of(self.witness.seed, number, &self.witness.logs[log]);
            let at = *offset + bytes.len() as u64;
            self.witness.instances[*instance].lines.push((number, at));
            bytes.extend_from_slice(&line.bytes());
        }
        let (first, second) = bytes.split_at(self.draws.place(bytes.len()));
        file.write_all(first).unwrap();
        file.write_all(second).unwrap();
        *offset += bytes.len() as u64;
        numbers
    }

    /// Rotates a log.
    ///
    /// # Panics
    /// If it cannot be.
    pub fn rotate(&mut self, log: usize) {
        let (family, path) = (self.logs[log].family, self.logs[log].path.clone());
        *self.rotations.entry(family).or_default() += 1;
        self.logs[log].generation += 1;
        match family {
            Family::Renamed | Family::Globbed => self.shift(log),
            Family::Linked => {
                self.shift(log);
                let temporary = path.with_extension("new");
                fs::hard_link(&path, &temporary).unwrap();
                fs::rename(temporary, link_of(&path)).unwrap();
            }
            Family::Packed => {
                self.shift(log);
                let done = Command::new("gzip").arg(numbered(&path, 1)).status();
                assert!(done.expect("gzip is installed").success(), "gzip packs a log");
            }
            Family::Swapped => {
                let temporary = path.with_extension("new");
                symlink(generation_of(&path, self.logs[log].generation), &temporary).unwrap();
                fs::rename(temporary, &path).unwrap();
                self.logs[log].file = appended(&path);
                self.begin(log);
            }
            Family::Copied => self.copy_and_truncate(log),
            Family::Recreated => {
                let inode = fs::metadata(&path).unwrap().ino();
                fs::remove_file(&path).unwrap();
                // An inode is free only once nobody has its file open, its writer included.
                self.logs[log].file = File::open("/dev/null").unwrap();
                self.logs[log].file = appended_by(inode, &path);
                self.reused += u64::from(fs::metadata(&path).unwrap().ino() == inode);
                self.begin(log);
            }
        }
    }

    /// Moves every generation by one, and begins the next file.
    fn shift(&mut self, log: usize) {
        let path = self.logs[log].path.clone();
        shift_names(&path);
        fs::rename(&path, numbered(&path, 1)).unwrap();
        self.logs[log].file = appended(&path);
        self.begin(log);
    }

    fn copy_and_truncate(&mut self, log: usize) {
        // Less than a fingerprint's first KiB would not be known again after a restart.
        while self.logs[log].offset <= 2_048 {
            self.write(log);
        }
        let path = self.logs[log].path.clone();
        shift_names(&path);
        fs::copy(&path, numbered(&path, 1)).unwrap();
        if self.draws.percent(40) {
            let lines = self.write(log);
            self.at_risk.extend(lines);
        }
        self.logs[log].file.set_len(0).unwrap();
        self.begin(log);
    }

    /// What follows stands in another file, or in the same one from its start on.
    fn begin(&mut self, log: usize) {
        self.witness.instances.push(Instance { log, lines: Vec::new() });
        self.logs[log].instance = self.witness.instances.len() - 1;
        self.logs[log].offset = 0;
    }

    /// Deletes the rotated files that were there when this was called the last time.
    ///
    /// # Panics
    /// If one cannot be.
    pub fn prune(&mut self) {
        let kept: BTreeSet<PathBuf> =
            self.files().into_iter().chain(self.logs.iter().map(|log| log.path.clone())).collect();
        let mut left = BTreeSet::new();
        for family in Family::ALL {
            for entry in fs::read_dir(self.folder.join(family.word())).unwrap() {
                let path = entry.unwrap().path();
                if kept.contains(&path) {
                    continue;
                }
                let inode = fs::metadata(&path).unwrap().ino();
                if self.rotated_before.contains(&inode) {
                    fs::remove_file(path).unwrap();
                } else {
                    left.insert(inode);
                }
            }
        }
        self.rotated_before = left;
    }
}

fn appended(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// A new file, which gets that inode if files can be made until one has it.
fn appended_by(inode: u64, path: &Path) -> File {
    let place = |attempt: u64| path.with_extension(format!("place-{attempt}"));
    let mut places = Vec::new();
    for attempt in 0..PLACES_TRIED {
        places.push(place(attempt));
        let file = appended(&place(attempt));
        if file.metadata().unwrap().ino() == inode {
            fs::rename(place(attempt), path).unwrap();
            places.pop();
            break;
        }
    }
    for place in places {
        fs::remove_file(place).unwrap();
    }
    appended(path)
}

fn numbered(path: &Path, number: u64) -> PathBuf {
    PathBuf::from(format!("{}.{number}", path.display()))
}

fn generation_of(path: &Path, generation: u64) -> PathBuf {
    PathBuf::from(format!("{}-{generation:05}.log", path.with_extension("").display()))
}

fn link_of(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}-link.log", path.with_extension("").display()))
}

/// `x.log.1` becomes `x.log.2`, and so on, packed or not.
fn shift_names(path: &Path) {
    let mut last = 1;
    let packed = |number| PathBuf::from(format!("{}.gz", numbered(path, number).display()));
    while numbered(path, last).exists() || packed(last).exists() {
        last += 1;
    }
    for number in (1..last).rev() {
        for (from, to) in [
            (numbered(path, number), numbered(path, number + 1)),
            (packed(number), packed(number + 1)),
        ] {
            if from.exists() {
                fs::rename(from, to).unwrap();
            }
        }
    }
}
