//! Applications that log: numbered lines into files that are rotated.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::draws::Draws;
use crate::witness::{Instance, Line, Witness};

/// A log, and what becomes of its file when it is rotated.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// Name of the log; its file is `NAME.log`.
    pub name: &'static str,
    /// How it is rotated.
    pub rotation: Rotation,
}

/// What becomes of a file that is rotated. Nothing is ever deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rotation {
    /// `x.log` becomes `x.log.1`, which becomes `x.log.2`: every name moves each time.
    Shifted,
    /// `x.log` becomes `x-0001.log`, the next one `x-0002.log`.
    Dated,
    /// It is not.
    Never,
}

/// How much is written, and how fast.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What lines and rhythm follow from.
    pub seed: u64,
    /// The logs.
    pub logs: Vec<Log>,
    /// Lines in all.
    pub lines: u64,
    /// Lines per second.
    pub rate: u64,
    /// Milliseconds between two rotations of one log.
    pub rotate_ms: std::ops::Range<u64>,
    /// Rotated files of a log that are kept, the newest; `u64::MAX` for all of them.
    pub kept: u64,
}

/// A thread that writes, and notes what it wrote in a file beside (fsynced) and in memory.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<Witness>,
}

impl Writer {
    /// Starts to write into a folder. `notes` is the witness's file.
    ///
    /// # Panics
    /// If the folder cannot be written to.
    #[must_use]
    pub fn start(plan: Plan, folder: &Path, notes: &Path) -> Self {
        let mut pen = Pen::new(plan, folder, notes, Witness::default());
        Self { thread: std::thread::spawn(move || pen.write_all()) }
    }

    /// Whether all is written.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for the end, and returns what was written.
    ///
    /// # Panics
    /// If the thread did.
    #[must_use]
    pub fn finish(self) -> Witness {
        self.thread.join().expect("the writer does not fail")
    }
}

/// Writes more lines into files that an earlier writer left, numbered after them, at full speed and
/// without rotation.
///
/// # Panics
/// If the files cannot be written.
pub fn append(witness: &mut Witness, folder: &Path, lines: u64) {
    let logs = witness.logs.iter().map(|_| Rotation::Never);
    let logs = logs.map(|rotation| Log { name: "", rotation }).collect();
    let plan =
        Plan { seed: witness.seed, logs, lines, rate: u64::MAX, rotate_ms: 1..2, kept: u64::MAX };
    let notes = folder.with_extension("notes");
    let mut pen = Pen::new(plan, folder, &notes, std::mem::take(witness));
    *witness = pen.write_all();
}

struct Pen {
    plan: Plan,
    draws: Draws,
    witness: Witness,
    files: Vec<Current>,
    notes: File,
    next: u64,
}

/// The present file of a log.
struct Current {
    path: PathBuf,
    file: File,
    instance: usize,
    /// Bytes written, and bytes that are still to be written: the end of a line comes later.
    offset: u64,
    owed: Vec<u8>,
    rotated: u64,
    rotate_at: Instant,
}

impl Pen {
    fn new(plan: Plan, folder: &Path, notes: &Path, mut witness: Witness) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        if witness.logs.is_empty() {
            witness.seed = plan.seed;
            witness.logs = plan.logs.iter().map(|log| log.name.to_owned()).collect();
        }
        let mut pen = Self {
            draws: Draws::new(plan.seed, 77),
            next: witness.lines(),
            files: Vec::new(),
            notes: OpenOptions::new().create(true).append(true).open(notes).unwrap(),
            plan,
            witness,
        };
        for log in 0..pen.plan.logs.len() {
            let path = folder.join(format!("{}.log", pen.witness.logs[log]));
            let current = pen.open(log, path);
            pen.files.push(current);
        }
        pen
    }

    /// Opens the file of a log, which is new or was left by an earlier writer.
    fn open(&mut self, log: usize, path: PathBuf) -> Current {
        let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let offset = file.metadata().unwrap().len();
        let left = self.witness.instances.iter().rposition(|instance| instance.log == log);
        let instance = left.filter(|_| offset > 0).unwrap_or_else(|| {
            self.witness.instances.push(Instance { log, lines: Vec::new() });
            self.witness.instances.len() - 1
        });
        let rotate_at = Instant::now() + self.draws.millis(self.plan.rotate_ms.clone());
        Current { path, file, instance, offset, owed: Vec::new(), rotated: 0, rotate_at }
    }

    fn write_all(&mut self) -> Witness {
        let begun = Instant::now();
        let end = self.next + self.plan.lines;
        let first = self.next;
        while self.next < end {
            let due = begun.elapsed().as_millis() * u128::from(self.plan.rate) / 1000;
            let due = first + u64::try_from(due).unwrap_or(u64::MAX / 2);
            while self.next < due.min(end) {
                self.burst(due.min(end));
            }
            self.rotate_what_is_due();
            self.notes.sync_data().unwrap();
            if self.next < end {
                // The rhythm of an application, not a wait for anything.
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        for log in 0..self.files.len() {
            self.pay(log);
        }
        self.notes.sync_data().unwrap();
        std::mem::take(&mut self.witness)
    }

    /// Writes some lines to one log; often the last one lacks its end for a while.
    fn burst(&mut self, end: u64) {
        let log = self.draws.place(self.files.len());
        let count = self.draws.of(1..60).min(end - self.next);
        let mut notes = String::new();
        let file = &mut self.files[log];
        let instance = &mut self.witness.instances[file.instance];
        let mut bytes = std::mem::take(&mut file.owed);
        for number in self.next..self.next + count {
            let line = Line::of(self.witness.seed, number, &self.witness.logs[log]);
            instance.lines.push((number, file.offset + bytes.len() as u64));
            bytes.extend_from_slice(&line.bytes());
            notes.push_str(&format!("{number} {} {}\n", file.instance, line.body.len()));
        }
        self.notes.write_all(notes.as_bytes()).unwrap();
        let owed = if self.draws.percent(30) { self.draws.place(bytes.len().min(40)) } else { 0 };
        let kept = bytes.split_off(bytes.len() - owed);
        file.file.write_all(&bytes).unwrap();
        file.offset += bytes.len() as u64;
        file.owed = kept;
        self.next += count;
    }

    /// Writes what is owed to a log.
    fn pay(&mut self, log: usize) {
        let file = &mut self.files[log];
        let owed = std::mem::take(&mut file.owed);
        file.file.write_all(&owed).unwrap();
        file.offset += owed.len() as u64;
    }

    fn rotate_what_is_due(&mut self) {
        for log in 0..self.files.len() {
            let is_due = Instant::now() >= self.files[log].rotate_at;
            let rotation = self.plan.logs[log].rotation;
            if !is_due || rotation == Rotation::Never {
                continue;
            }
            self.pay(log);
            let path = self.files[log].path.clone();
            let rotated = self.files[log].rotated + 1;
            rename(&path, rotation, (rotated, self.plan.kept));
            let mut current = self.open(log, path);
            current.rotated = rotated;
            self.files[log] = current;
        }
    }
}

/// Gives a file its name after rotation number `rotated`, and removes the one that is kept no longer.
fn rename(path: &Path, rotation: Rotation, (rotated, kept): (u64, u64)) {
    let numbered = |number: u64| PathBuf::from(format!("{}.{number}", path.display()));
    match rotation {
        Rotation::Shifted => {
            if rotated > kept {
                std::fs::remove_file(numbered(kept)).unwrap();
            }
            for number in (1..rotated.min(kept)).rev() {
                std::fs::rename(numbered(number), numbered(number + 1)).unwrap();
            }
            std::fs::rename(path, numbered(1)).unwrap();
        }
        Rotation::Dated => {
            let dated = path.with_extension("").display().to_string();
            let named = |number: u64| format!("{dated}-{number:04}.log");
            std::fs::rename(path, named(rotated)).unwrap();
            if rotated > kept {
                std::fs::remove_file(named(rotated - kept)).unwrap();
            }
        }
        Rotation::Never => {}
    }
}
