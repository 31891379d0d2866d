//! Devices that one program plays, each with a session of its own.

use std::fs::{copy, create_dir, read_dir};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::{TempDir, tempdir, tempdir_in};

use super::{Process, Site, Usage};

/// What each device of a fleet does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) devices: usize,
    /// Series that are sampled, and from tick to tick.
    pub(crate) series: usize,
    pub(crate) interval: Duration,
    /// Files whose first line was sent.
    pub(crate) files: usize,
}

/// A fleet that runs; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Fleet {
    process: Process,
    log: PathBuf,
}

impl Fleet {
    /// Starts a fleet, and waits until each device had a batch acked. The aggregator is killed, and started again
    /// once all are enrolled: over the network it would let 600 in per minute.
    pub(crate) fn start(site: &mut Site, plan: Plan) -> Result<Self> {
        let mut command = site.fleet_of(plan.devices)?;
        site.kill_aggregator()?;
        command.args(["--series", &plan.series.to_string()]);
        command.args(["--files", &plan.files.to_string()]);
        command.args(["--interval", &plan.interval.as_millis().to_string()]);
        let registry = Registry::take(&site.folder().join("data"))?;
        command.arg("--registry").arg(registry.copy.path());
        let log = site.folder().join("fleet.log");
        let process = Process::start("fleet", &mut command, &log)?;
        let mut fleet = Self { process, log };
        site.until("the fleet is enrolled", || fleet.has_said("enrolled"))?;
        registry.bring_back()?;
        site.start_aggregator()?;
        fleet.until_served(site, 1)?;
        Ok(fleet)
    }

    /// Waits until each device had a batch acked in its session of a number, the first one being 1.
    pub(crate) fn until_served(&mut self, site: &Site, session: usize) -> Result<()> {
        let line = format!("served {session}");
        site.until("each device is served", || self.has_said(&line))
    }

    fn has_said(&mut self, line: &str) -> Result<bool> {
        let said = std::fs::read_to_string(&self.log)?;
        self.process.usage().with_context(|| format!("the fleet said:\n{said}"))?;
        Ok(said.lines().any(|said| said == line))
    }

    /// What it has used so far.
    pub(crate) fn usage(&mut self) -> Result<Usage> {
        self.process.usage()
    }
}

/// Registry and authority of an aggregator that does not run, in memory: each enrolment waits for a commit, and ten
/// thousand of them on a disk take minutes.
#[derive(Debug)]
struct Registry {
    data: PathBuf,
    copy: TempDir,
}

impl Registry {
    fn take(data: &Path) -> Result<Self> {
        let copied = tempdir_in("/dev/shm").or_else(|_| tempdir())?;
        copy(data.join(FILE), copied.path().join(FILE))?;
        let (from, to) = (data.join("ca"), copied.path().join("ca"));
        create_dir(&to)?;
        for entry in read_dir(from)? {
            let entry = entry?;
            copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(Self { data: data.to_owned(), copy: copied })
    }

    fn bring_back(self) -> Result<()> {
        copy(self.copy.path().join(FILE), self.data.join(FILE))?;
        Ok(())
    }
}

const FILE: &str = "control.redb";
