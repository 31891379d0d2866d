//! One aggregator, one host with an agent and log files, and what was written to them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::aggregator::Aggregator;
use crate::comparison::Comparison;
use crate::faketime::{FakeClock, Shown, true_s};
use crate::landed::Landed;
use crate::waiting::DEADLINE;
use crate::witness::Witness;
use crate::writer;

/// A running aggregator and an enrolled agent that does not run yet.
#[derive(Debug)]
pub struct Site {
    /// The aggregator.
    pub aggregator: Aggregator,
    /// The agent.
    pub agent: Agent,
    /// What was written.
    pub witness: Witness,
    folder: PathBuf,
    /// Removed last; `None` if the site lies in somebody else's folder.
    _temporary: Option<tempfile::TempDir>,
}

const HOUR_S: i64 = 3_600;
/// Between lines that are written while something is to happen: so many that it does, and no disk full of them.
const BETWEEN_LINES: Duration = Duration::from_millis(100);

impl Site {
    /// Makes a site whose logs have these names.
    ///
    /// # Panics
    /// If something of it cannot be made.
    #[must_use]
    pub fn new(seed: u64, logs: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self::within(folder.path().to_owned(), seed, logs);
        Self { _temporary: Some(folder), ..site }
    }

    /// The same, with tables of its own at the end of the aggregator's configuration.
    ///
    /// # Panics
    /// As [`Site::new`].
    #[must_use]
    pub fn configured(seed: u64, logs: &[&str], more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let aggregator = Aggregator::create_with(&folder.path().join("aggregator"), more);
        let site = Self::around(aggregator, folder.path().to_owned(), seed, logs);
        Self { _temporary: Some(folder), ..site }
    }

    /// Where the data of a site's aggregator will lie.
    #[must_use]
    pub fn data_of(folder: &Path) -> PathBuf {
        folder.join("aggregator/data")
    }

    /// Makes a site in a folder.
    ///
    /// # Panics
    /// If something of it cannot be made.
    #[must_use]
    pub fn within(folder: PathBuf, seed: u64, logs: &[&str]) -> Self {
        let aggregator = Aggregator::create(&folder.join("aggregator"));
        Self::around(aggregator, folder, seed, logs)
    }

    fn around(aggregator: Aggregator, folder: PathBuf, seed: u64, logs: &[&str]) -> Self {
        let pattern = folder.join("logs/*.log").display().to_string();
        let agent =
            Agent::new("edge-1", &folder.join("agent"), &aggregator.intake_address(), &[pattern]);
        agent.enrol(&aggregator);
        let logs = logs.iter().map(|log| (*log).to_owned()).collect();
        let witness = Witness { seed, logs, instances: Vec::new() };
        Self { aggregator, agent, witness, folder, _temporary: None }
    }

    /// Starts both by a clock that shows half past some hour to come; it is returned, with how many seconds it is off.
    ///
    /// # Panics
    /// If they do not start, or there is no library for the clock.
    #[must_use]
    pub fn start_at_half_past(&mut self) -> (FakeClock, i64) {
        let clock = FakeClock::new(&self.path("clock"));
        let words = clock.wrapper();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.agent.set_wrapper(&words);
        self.aggregator.stop();
        for (name, value) in clock.variables() {
            self.aggregator.set_variable(name, &value);
        }
        let half_past = HOUR_S + HOUR_S / 2 - true_s() % HOUR_S;
        clock.set(Shown::Off(half_past));
        self.aggregator.start_and_wait();
        self.agent.start();
        (clock, half_past)
    }

    /// A path in the site's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder of the logs.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// Writes lines to the logs.
    pub fn write(&mut self, lines: u64) {
        let logs = self.logs();
        writer::append(&mut self.witness, &logs, lines);
    }

    /// Writes lines, and waits until the agent has read and sent them.
    pub fn write_and_settle(&mut self, lines: u64) {
        self.write(lines);
        self.settle();
    }

    /// Starts the aggregator anew, and writes lines until it has ended at a kill point: its name, a colon, and how often it is
    /// passed.
    ///
    /// # Panics
    /// If it does not end there.
    pub fn end_aggregator_at(&mut self, point: &str, lines: u64) {
        self.aggregator.kill();
        self.aggregator.set_variable("HEADWATER_KILL_AT", point);
        self.aggregator.start();
        let late = Instant::now() + DEADLINE;
        while self.aggregator.process().has_ended().is_none() {
            assert!(Instant::now() < late, "{point} is never passed");
            self.write(lines);
            std::thread::sleep(BETWEEN_LINES);
        }
    }

    /// Waits until the agent has read and sent everything.
    pub fn settle(&mut self) {
        let files: Vec<PathBuf> = self.witness.files(&self.logs());
        settle(&mut self.agent, &self.aggregator, (&files, self.witness.lines()));
    }

    /// What readers see against what was written.
    #[must_use]
    pub fn compare(&self) -> Comparison {
        let dump = self.path("lines");
        self.aggregator.dump_lines(&dump);
        Comparison::of(&dump, &self.witness)
    }

    /// Stops both and reads the log's files.
    ///
    /// # Panics
    /// If what landed breaks a rule.
    pub fn stop_and_read(&mut self) -> Landed {
        self.agent.stop();
        self.aggregator.stop();
        Landed::read(&self.aggregator.data()).unwrap()
    }
}

/// Waits until an agent has read its files to their ends and sent everything, and until the ledger
/// knows of as many lines as were written. What the ledger does not come to know is for the caller to
/// find.
pub fn settle(agent: &mut Agent, aggregator: &Aggregator, written: (&[PathBuf], u64)) {
    let (files, lines) = written;
    let late = Instant::now() + LINES_TIME;
    loop {
        agent.settle(files);
        if aggregator.lines_read() >= lines || Instant::now() > late {
            return;
        }
    }
}

/// How long lines that the agent takes for sent may still be missing from the ledger.
const LINES_TIME: Duration = Duration::from_secs(20);

/// Files below a folder, in order of their paths; none, if it is not there.
///
/// # Panics
/// If what is there cannot be listed.
#[must_use]
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

/// Copies a folder with all that is in it, onto nothing.
///
/// # Panics
/// If it cannot be copied, or the target exists.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    let mode = std::fs::metadata(from).unwrap().permissions();
    std::fs::set_permissions(to, mode).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (kind, target) = (entry.file_type().unwrap(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_folder(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Puts a copy of a folder in its place, as a restore does.
///
/// # Panics
/// As [`copy_folder`].
pub fn restore_folder(copy: &Path, place: &Path) {
    std::fs::remove_dir_all(place).unwrap();
    copy_folder(copy, place);
}
