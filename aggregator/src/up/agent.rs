//! The agent's program, and the child that runs it.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{Instant, sleep_until, timeout};

use super::folder::{Folder, open_log};
use crate::cli::failure::{Exit, Failure};
use crate::cli::program;

/// The agent's program.
#[derive(Clone, Debug)]
pub(super) struct Program {
    path: PathBuf,
}

/// What the program is called.
const NAME: &str = "headwater-agent";

impl Program {
    /// Looks beside this program, then along the PATH.
    pub(super) fn find() -> Result<Self, Failure> {
        Ok(Self { path: program::find(NAME)? })
    }

    /// The program as it is shown.
    pub(super) fn shown(&self) -> String {
        crate::cli::output::escape::visible(&self.path.to_string_lossy())
    }

    /// Enrols the host: the token goes through a pipe, never through the list of processes.
    pub(super) async fn enrol(
        &self,
        folder: &Folder,
        name: &str,
        token: &str,
    ) -> Result<(), Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Failed, format!("cannot run {}", self.path.display()))
                .cause_of(&error)
        };
        let mut child = Command::new(&self.path)
            .args(["enrol", "--token-stdin", "--name", name, "--dir"])
            .arg(folder.path_of("agent"))
            .arg("--config")
            .arg(folder.path_of("agent.toml"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that has ended without reading says why by its status.
            let _ = stdin.write_all(format!("{token}\n").as_bytes()).await;
        }
        let done = timeout(ENROL_TIMEOUT, child.wait_with_output()).await.map_err(|_| {
            Failure::new(Exit::Unreachable, "the agent does not enrol in time").cause(format!(
                "{} did not end within {} s",
                self.path.display(),
                ENROL_TIMEOUT.as_secs()
            ))
        })?;
        let done = done.map_err(failed)?;
        if done.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
        Err(Failure::new(Exit::Failed, "the agent does not enrol")
            .fact("tried", self.path.display().to_string())
            .cause(if said.is_empty() { done.status.to_string() } else { said })
            .next("headwater up, once more"))
    }
}

/// Enrolment is one session on loopback; a key of P-256 takes milliseconds.
const ENROL_TIMEOUT: Duration = Duration::from_secs(30);

/// The child that runs the agent, started again when it ends.
#[derive(Debug)]
pub(super) struct Agent {
    program: Program,
    config: PathBuf,
    log: PathBuf,
    state: State,
    /// Times that it ended in a row, each soon after its start.
    failures: u32,
}

/// A child that runs.
#[derive(Debug)]
struct Running {
    child: Child,
    since: Instant,
    /// The pipe that it reads: it ends when the pipe does, so it never outlives this process. Held
    /// apart from the child, which would close it as soon as it is waited for.
    _stdin: Option<ChildStdin>,
}

#[derive(Debug)]
enum State {
    /// It runs.
    Runs(Box<Running>),
    /// It ended, and is started again then.
    Waits(Instant),
}

impl Agent {
    /// Starts it. What it says goes to the file `log`.
    pub(super) fn start(program: Program, config: PathBuf, log: PathBuf) -> Result<Self, Failure> {
        let state = State::Runs(Box::new(spawn(&program, &config, &log)?));
        Ok(Self { program, config, log, state, failures: 0 })
    }

    /// Waits for something that is worth telling: that it ended, that it runs again.
    pub(super) async fn next(&mut self) -> String {
        match &mut self.state {
            State::Runs(running) => {
                let status = running.child.wait().await;
                let lived = running.since.elapsed();
                self.ended(status, lived)
            }
            State::Waits(until) => {
                sleep_until(*until).await;
                match spawn(&self.program, &self.config, &self.log) {
                    Ok(running) => {
                        self.state = State::Runs(Box::new(running));
                        "runs again".to_owned()
                    }
                    Err(failure) => {
                        let wait = self.back_off();
                        format!("{}; tried again in {} s", failure.what, wait.as_secs())
                    }
                }
            }
        }
    }

    fn ended(&mut self, status: std::io::Result<ExitStatus>, lived: Duration) -> String {
        if lived > STEADY {
            self.failures = 0;
        }
        let wait = self.back_off();
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        let log = self.log.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("ended ({how}); started again in {} s · {log} says why", wait.as_secs())
    }

    fn back_off(&mut self) -> Duration {
        let wait = Duration::from_secs(1 << self.failures.min(BACK_OFF_DOUBLINGS));
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waits(Instant::now() + wait);
        wait
    }

    /// Asks it to end, waits, and ends it; says how that went.
    pub(super) async fn stop(&mut self) -> String {
        let State::Runs(running) = &mut self.state else { return "was not running".to_owned() };
        let child = &mut running.child;
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // One that is gone already is waited for below.
            let _ = kill_process(pid, Signal::TERM);
        }
        if let Ok(ended) = timeout(STOP_TIMEOUT, child.wait()).await {
            return match ended {
                Ok(status) if status.success() => "stopped".to_owned(),
                Ok(status) => format!("stopped ({status})"),
                Err(error) => format!("stopped ({error})"),
            };
        }
        // Only this very child: the spool is made for it.
        let _ = child.kill().await;
        format!(
            "killed: it did not stop within {} s; its spool holds what was not acked",
            STOP_TIMEOUT.as_secs()
        )
    }
}

/// Longest pause before a start is 2^5 s: a person who repairs something need not wait long.
const BACK_OFF_DOUBLINGS: u32 = 5;
/// An agent that ran so long did not fail at its start.
const STEADY: Duration = Duration::from_secs(60);
/// An agent stops in well under a second; longer means that something holds it.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

fn spawn(program: &Program, config: &Path, log: &Path) -> Result<Running, Failure> {
    let log = open_log(log)?;
    let mut child = Command::new(&program.path)
        .args(["run", "--until-stdin-closes", "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(log)
        // Ctrl-C reaches this process alone, which stops the agent before the node.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| {
            Failure::new(Exit::Failed, format!("cannot run {}", program.path.display()))
                .cause_of(&error)
        })?;
    let stdin = child.stdin.take();
    Ok(Running { child, since: Instant::now(), _stdin: stdin })
}
