//! The two programs, as a release builds them.

use std::fs::create_dir_all;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Where the programs are, and where they work.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    beside: PathBuf,
    work: PathBuf,
}

impl Programs {
    /// Finds them beside this program.
    pub(crate) fn find() -> Result<Self> {
        let own = std::env::current_exe().context("find this program")?;
        let beside = own.parent().context("a program lies in a folder")?.to_owned();
        for name in ["headwater", AGENT, "fleet", "headwater-kernels"] {
            let path = path_of(&beside, name);
            let how = match name {
                AGENT => "--profile agent -p headwater-agent",
                _ => "--release --workspace --bins",
            };
            ensure!(path.is_file(), "{} is not there: cargo build {how}", path.display());
        }
        let work = std::env::var_os(WORK).map_or_else(std::env::temp_dir, PathBuf::from);
        create_dir_all(&work).with_context(|| format!("make the folder {work:?} of {WORK}"))?;
        Ok(Self { beside, work })
    }

    /// Bytes of a program's file.
    pub(crate) fn size(&self, name: &str) -> Result<u64> {
        let path = path_of(&self.beside, name);
        let found = std::fs::metadata(&path).with_context(|| format!("look at {path:?}"))?;
        Ok(found.len())
    }

    /// The folder whose disk is measured.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// What a program says of its version: its first line.
    pub(crate) fn version(&self, name: &str) -> Result<String> {
        let said = self.finish(bare(&path_of(&self.beside, name), &self.work).arg("--version"))?;
        Ok(said.lines().next().unwrap_or_default().to_owned())
    }

    /// The aggregator's program with the configuration of a folder.
    pub(super) fn headwater(&self, folder: &Path) -> Command {
        let mut command = bare(&self.beside.join("headwater"), folder);
        command.args(["--config", "headwater.toml"]);
        command
    }

    /// The agent's program with the configuration of a folder.
    pub(super) fn agent(&self, folder: &Path) -> Command {
        let mut command = bare(&path_of(&self.beside, AGENT), folder);
        command.args(["--config", "agent.toml"]);
        command
    }

    /// The program that is many devices.
    pub(super) fn fleet(&self, folder: &Path) -> Command {
        bare(&self.beside.join("fleet"), folder)
    }

    /// The program that measures parts by themselves.
    pub(crate) fn kernels(&self) -> Command {
        bare(&self.beside.join("headwater-kernels"), &self.work)
    }

    /// Runs a command to its end, and returns what it printed.
    pub(crate) fn finish(&self, command: &mut Command) -> Result<String> {
        let done = command.output().with_context(|| format!("run {command:?}"))?;
        let said = String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "{command:?} ended with {}:\n{said}", done.status);
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    }

    /// Enrols the agent of a folder. The token goes through a pipe.
    pub(super) fn enrol(&self, folder: &Path, token: &str) -> Result<()> {
        let mut command = self.agent(folder);
        command.args(["enrol", "--token-stdin", "--name", "bench"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().context("run headwater-agent enrol")?;
        let mut stdin = child.stdin.take().context("a piped child has a pipe")?;
        writeln!(stdin, "{token}")?;
        drop(stdin);
        let done = child.wait_with_output()?;
        if !done.status.success() {
            bail!("the agent does not enrol:\n{}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(())
    }
}

/// The agent's program, which is built with a profile of its own, as it is installed.
const AGENT: &str = "headwater-agent";

fn path_of(beside: &Path, name: &str) -> PathBuf {
    let profile = if name == AGENT { "../agent" } else { "" };
    beside.join(profile).join(name)
}

/// Where the benches work, if not in the folder for temporary files.
const WORK: &str = "HEADWATER_BENCH_DIR";

/// A program with nothing of the user's environment that it reads.
fn bare(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").env("TERM", "dumb");
    command
}
