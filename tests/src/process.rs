//! A program that runs: what it says, how it ends, and that it does end.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::waiting::{DEADLINE, wait_for};

/// A program that runs until it is told to stop. It never outlives this value; what it said is shown
/// if the test fails.
#[derive(Debug)]
pub struct Process {
    what: String,
    child: Child,
    log: PathBuf,
    /// Where in the log this process began to speak.
    from: u64,
    /// Whether it was waited for, so that its id may be another program's by now.
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts a program. Both its streams are appended to the file `log`.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(what: &str, command: &mut Command, log: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log).unwrap();
        let from = file.metadata().unwrap().len();
        command.stdout(file.try_clone().unwrap()).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("start {what}: {error}"));
        Self { what: what.to_owned(), child, log: log.to_owned(), from, ended: None }
    }

    /// What it said since it was started.
    ///
    /// # Panics
    /// If the file of its words cannot be read.
    #[must_use]
    pub fn said(&self) -> String {
        let mut file = File::open(&self.log).unwrap();
        file.seek(SeekFrom::Start(self.from)).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a line that contains a text.
    ///
    /// # Panics
    /// If the program ends before it says it, or does not say it in time.
    pub fn line(&mut self, text: &str) -> String {
        let what = format!("{} says {text:?}", self.what);
        wait_for(&what, DEADLINE, || {
            let said = self.said();
            let found = said.lines().find(|line| line.contains(text)).map(str::to_owned);
            if found.is_none() && self.has_ended().is_some() && !self.said().contains(text) {
                panic!("{} ended without saying {text:?}:\n{}", self.what, self.said());
            }
            found
        })
    }

    /// Its id. It is its own as long as this value has not seen it end.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended; `None` while it runs.
    ///
    /// # Panics
    /// If the system does not tell.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// Sends it a signal; nothing if it has ended.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub fn signal(&mut self, signal: Signal) {
        if self.has_ended().is_none() {
            let id = i32::try_from(self.child.id()).unwrap();
            kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("{} ends", self.what);
        wait_for(&what, deadline, || self.has_ended())
    }

    /// Asks it to stop, and waits for that.
    ///
    /// # Panics
    /// If it does not stop in time.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(DEADLINE)
    }

    /// Kills it (SIGKILL) and waits until it is gone. Returns whether it ran until then.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill(mut self) -> bool {
        let ran = self.has_ended().is_none();
        if ran {
            self.child.kill().unwrap();
            self.ended = Some(self.child.wait().unwrap());
        }
        ran
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // What is gone already is what is wanted.
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
        }
        if std::thread::panicking() {
            let said = self.said();
            let lines: Vec<&str> = said.lines().collect();
            let last = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            eprintln!("--- {} said, at last:\n{}", self.what, last.join("\n"));
        }
    }
}

/// Lines of a program that are shown when a test fails.
const LINES_SHOWN: usize = 60;

/// What a program said and how it ended.
#[derive(Clone, Debug)]
pub struct Done {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it told.
    pub stderr: String,
}

impl Done {
    /// The same, if it ended with 0.
    ///
    /// # Panics
    /// If it did not.
    #[must_use]
    pub fn expect_success(self, what: &str) -> Self {
        assert_eq!(self.code, Some(0), "{what}:\n{}{}", self.stdout, self.stderr);
        self
    }

    /// What it printed, as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.stdout, self.stderr))
    }

    /// That it ended with a code and one message that holds all of `texts`.
    ///
    /// # Panics
    /// If it did not.
    pub fn expect_refusal(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "the exit code of:\n{}{}", self.stdout, self.stderr);
        for text in texts {
            assert!(self.stderr.contains(text), "{text:?} is in the message:\n{}", self.stderr);
        }
        let messages = self.stderr.lines().filter(|line| line.starts_with("error:")).count();
        assert_eq!(messages, 1, "there is one message:\n{}", self.stderr);
    }
}

/// Runs a command to its end, with `input` on its standard input.
///
/// # Panics
/// If it cannot be started, or does not end in time.
pub fn run_with_input(command: &mut Command, input: &str) -> Done {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input");
    std::fs::write(&path, input).unwrap();
    let (stdout, stderr) = (folder.path().join("stdout"), folder.path().join("stderr"));
    command.stdin(File::open(path).unwrap());
    let status = run_into(command, &stdout, &stderr);
    let text = |path: &Path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    Done { code: status.code(), stdout: text(&stdout), stderr: text(&stderr) }
}

/// Runs a command to its end.
///
/// # Panics
/// As [`run_with_input`].
pub fn run(command: &mut Command) -> Done {
    run_with_input(command, "")
}

/// What is read into a file may be millions of lines.
const INTO_DEADLINE: Duration = Duration::from_secs(600);

/// Runs a command to its end, its two streams into files.
///
/// # Panics
/// As [`run_with_input`].
pub fn run_into(command: &mut Command, stdout: &Path, stderr: &Path) -> ExitStatus {
    command.stdout(File::create(stdout).unwrap()).stderr(File::create(stderr).unwrap());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let mut ended = None;
    let late = std::time::Instant::now() + INTO_DEADLINE;
    while ended.is_none() && std::time::Instant::now() < late {
        ended = child.try_wait().unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    ended.unwrap_or_else(|| {
        child.kill().unwrap();
        child.wait().unwrap();
        let said = std::fs::read_to_string(stderr).unwrap_or_default();
        panic!("{command:?} does not end within {INTO_DEADLINE:?}:\n{said}")
    })
}
