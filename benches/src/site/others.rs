//! Programs of others, as `packaging/dev/peers` left them in a folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::Process;

/// Where the others lie.
#[derive(Clone, Debug)]
pub(crate) struct Others(PathBuf);

impl Others {
    /// The folder that [`FOLDER`] names; `None` if it names none.
    pub(crate) fn find() -> Result<Option<Self>> {
        let Some(folder) = std::env::var_os(FOLDER).filter(|folder| !folder.is_empty()) else {
            return Ok(None);
        };
        let others = Self(PathBuf::from(folder));
        for program in ["collector", RSYSLOG, COLLECTD] {
            let path = others.0.join(program);
            ensure!(path.is_file(), "missing: {}; packaging/dev/peers gets it", path.display());
        }
        Ok(Some(others))
    }

    /// The OpenTelemetry Collector's command.
    pub(crate) fn collector(&self) -> Command {
        bare(&self.0.join("collector"), None)
    }

    /// rsyslog's command, with the modules that were unpacked with it.
    pub(crate) fn rsyslog(&self) -> Command {
        let libraries = self.libraries("rsyslog");
        let mut command = bare(&self.0.join(RSYSLOG), Some(&libraries));
        command.arg("-M").arg(libraries.join("rsyslog"));
        command
    }

    /// collectd's command.
    pub(crate) fn collectd(&self) -> Command {
        bare(&self.0.join(COLLECTD), Some(&self.libraries("collectd")))
    }

    /// Where collectd's packages were unpacked.
    pub(crate) fn collectd_root(&self) -> PathBuf {
        self.0.join("collectd")
    }

    /// The folder of libraries that is named for the processor.
    fn libraries(&self, of: &str) -> PathBuf {
        let folder = self.0.join(of).join("usr/lib");
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut entries = entries.map(|entry| entry.path());
        let is_it = |path: &PathBuf| path.to_string_lossy().ends_with("-linux-gnu");
        entries.find(is_it).unwrap_or(folder)
    }

    /// What a command prints.
    pub(crate) fn said(&self, command: &mut Command) -> Result<String> {
        let done = command.output().with_context(|| format!("run {command:?}"))?;
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }

    /// The first line that a command prints.
    pub(crate) fn first_line(&self, command: &mut Command) -> Result<String> {
        Ok(self.said(command)?.lines().next().unwrap_or_default().to_owned())
    }
}

/// The variable with the folder that `packaging/dev/peers` prints.
const FOLDER: &str = "HEADWATER_BENCH_PEERS";
const RSYSLOG: &str = "rsyslog/usr/sbin/rsyslogd";
const COLLECTD: &str = "collectd/usr/sbin/collectd";

fn bare(program: &Path, libraries: Option<&Path>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.envs(libraries.map(|folder| ("LD_LIBRARY_PATH", folder)));
    command
}

/// Waits until a file that a sender fills has so many bytes.
pub(crate) fn await_file(file: &Path, bytes: u64, sender: &mut Process) -> Result<()> {
    let late = Instant::now() + PATIENCE;
    loop {
        let found = std::fs::metadata(file).map_or(0, |found| found.len());
        if found >= bytes {
            return Ok(());
        }
        sender.usage()?;
        if Instant::now() > late {
            bail!("{found} of {bytes} bytes arrived within {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The slowest of them takes three minutes for 128 MiB on a busy machine.
const PATIENCE: Duration = Duration::from_secs(1_200);
