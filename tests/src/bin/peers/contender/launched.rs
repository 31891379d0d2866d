//! A program that is started, killed and started again with the same command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use headwater_tests::process::{Process, Signal};

/// A program with its arguments, running or not.
#[derive(Debug)]
pub(super) struct Launched {
    program: PathBuf,
    words: Vec<String>,
    /// Where its shared libraries lie; `None` if they are the system's.
    libraries: Option<PathBuf>,
    log: PathBuf,
    process: Option<Process>,
}

impl Launched {
    /// A program that does not run yet; what it says goes to a file.
    pub(super) fn new(program: &Path, words: Vec<String>, log: PathBuf) -> Self {
        assert!(
            program.is_file(),
            "missing: {}. packaging/dev/peers fetches it and prints the folder for --programs",
            program.display()
        );
        Self { program: program.to_owned(), words, libraries: None, log, process: None }
    }

    /// The same with libraries of its own.
    pub(super) fn with_libraries(self, folder: &Path) -> Self {
        Self { libraries: Some(folder.to_owned()), ..self }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.words).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command.envs(self.libraries.iter().map(|folder| ("LD_LIBRARY_PATH", folder)));
        command
    }

    /// The first line that it prints.
    pub(super) fn first_line(&self) -> String {
        let done = self.command().output().expect("the program starts");
        let text = String::from_utf8_lossy(&done.stdout).into_owned();
        text.lines().next().unwrap_or_default().to_owned()
    }

    pub(super) fn start(&mut self) {
        let what = self.program.display().to_string();
        self.process = Some(Process::start(&what, &mut self.command(), &self.log));
    }

    pub(super) fn kill(&mut self) -> bool {
        self.process.take().is_some_and(Process::kill)
    }

    /// Asks it to stop, and kills it if it does not. Returns whether it stopped.
    pub(super) fn stop(&mut self) -> bool {
        let Some(mut process) = self.process.take() else { return true };
        process.signal(Signal::TERM);
        let late = Instant::now() + STOP_TIME;
        while process.has_ended().is_none() && Instant::now() < late {
            std::thread::sleep(Duration::from_millis(50));
        }
        !process.kill()
    }
}

/// How long an orderly end may take.
const STOP_TIME: Duration = Duration::from_secs(60);
