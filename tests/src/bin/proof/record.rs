//! What was done: a line for each slice, for all commits.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::tier::Tier;

/// A slice that has ended.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Record {
    pub(crate) tier: String,
    /// Where it began: the first of its seeds, or the number of what was done before it.
    pub(crate) from: u64,
    /// Where the next slice of this tier begins.
    pub(crate) to: u64,
    /// What it did, in the unit of its tier.
    pub(crate) count: u64,
    pub(crate) result: Outcome,
    pub(crate) commit: String,
    /// When it ended.
    pub(crate) date: String,
    pub(crate) seconds: u64,
    /// The command that runs it again.
    pub(crate) replay: String,
}

/// How a slice ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// It passed, and did nothing that counts: this machine cannot do it.
    NotCovered,
}

impl Record {
    pub(crate) fn is_failed(&self) -> bool {
        self.result == Outcome::Failed
    }
}

impl fmt::Display for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.result {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::NotCovered => "not covered",
        };
        let Self { tier, from, to, count, seconds, .. } = self;
        write!(out, "{tier} {from}..{to}: {word}, {count} in {seconds} s")?;
        if self.is_failed() { write!(out, "\n  replay: {}", self.replay) } else { Ok(()) }
    }
}

/// Every slice that was recorded, and the file that the next ones go to.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) folder: PathBuf,
    pub(crate) commit: String,
    records: Vec<Record>,
    /// Tiers whose slice did nothing in this run: they are not tried again and again.
    idle: BTreeSet<String>,
    file: File,
}

impl Records {
    /// Opens the folder; it is made if it is not there.
    pub(crate) fn open(folder: &Path) -> Self {
        fs::create_dir_all(folder.join("logs")).expect("make the folder of the proof");
        let path = folder.join("slices.jsonl");
        let text = fs::read_to_string(&path).unwrap_or_default();
        // A line that a crash cut off is not a slice that ended.
        let records = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let mut file = file.expect("open the record of the proof");
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n").expect("write the record of the proof");
        }
        Self { folder: folder.to_owned(), commit: commit(), records, idle: BTreeSet::new(), file }
    }

    /// Adds a slice, durably.
    pub(crate) fn push(&mut self, record: Record) {
        let line =
            serde_json::to_string(&record).expect("texts and numbers have an encoding") + "\n";
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.expect("write the record of the proof");
        if record.count == 0 {
            self.idle.insert(record.tier.clone());
        }
        self.records.push(record);
    }

    pub(crate) fn of_this_commit(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.commit == self.commit)
    }

    pub(crate) fn of(&self, tier: &Tier) -> impl Iterator<Item = &Record> {
        self.of_this_commit().filter(|record| record.tier == tier.name)
    }

    /// What this commit has done of a tier.
    pub(crate) fn done(&self, tier: &Tier) -> u64 {
        self.of(tier).filter(|record| !record.is_failed()).map(|record| record.count).sum()
    }

    /// Where the next slice of a tier begins.
    pub(crate) fn next(&self, tier: &Tier) -> u64 {
        self.of(tier).map(|record| record.to).max().unwrap_or(0)
    }

    /// Seconds that a slice of a tier takes, by the last one of any commit.
    pub(crate) fn seconds(&self, tier: &Tier) -> u64 {
        let last = self.records.iter().rfind(|record| record.tier == tier.name);
        last.map_or(tier.seconds, |record| record.seconds)
    }

    /// Whether another slice of a tier is of use.
    pub(crate) fn can_go_on(&self, tier: &Tier) -> bool {
        tier.is_here() && !self.idle.contains(&tier.name)
    }
}

/// The commit that is checked out; another one for each set of changes that are not committed.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().expect("run git");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let head =
        String::from_utf8_lossy(&git(&["rev-parse", "--short=12", "HEAD"])).trim().to_owned();
    let changes = git(&["diff", "HEAD"]);
    if changes.is_empty() {
        return head;
    }
    format!("{head}+{}", &blake3::hash(&changes).to_hex()[..8])
}
