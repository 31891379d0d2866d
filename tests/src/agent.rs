//! An agent in a folder of its own: the real `headwater-agent`.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::aggregator::Aggregator;
use crate::process::{Done, Process, run, run_with_input};
use crate::programs::{self, AGENT};
use crate::waiting::DEADLINE;

/// An agent, running or not.
#[derive(Debug)]
pub struct Agent {
    name: String,
    folder: PathBuf,
    variables: Vec<(String, String)>,
    wrapper: Vec<String>,
    process: Option<Process>,
}

impl Agent {
    /// An agent that sends to `address`, tails the files of `patterns` from their beginning and samples
    /// each second. It is not enrolled.
    ///
    /// # Panics
    /// If its folder cannot be written to.
    #[must_use]
    pub fn new(name: &str, folder: &Path, address: &str, patterns: &[String]) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let agent = Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            variables: Vec::new(),
            wrapper: Vec::new(),
            process: None,
        };
        let at = |name: &str| folder.join(name);
        let text = format!(
            "[agent]\nname = {name:?}\nsocket = {:?}\n[identity]\ndir = {:?}\n\
             [sample]\ninterval = \"1s\"\n\
             [tail_limits]\ndeleted_grace = \"5s\"\n\
             [spool]\ndir = {:?}\nmin_free = \"1%\"\n\
             [ship]\naddresses = [{:?}]\nconnect_timeout = \"2s\"\nmax_backoff = \"1s\"\n",
            at("agent.sock"),
            agent.identity(),
            agent.spool(),
            address,
        );
        let tail =
            format!("[[tail]]\nname = \"logs\"\npaths = {patterns:?}\nstart_at = \"beginning\"\n");
        let tail = if patterns.is_empty() { String::new() } else { tail };
        std::fs::write(agent.config(), text + &tail).unwrap();
        agent
    }

    /// Sets a variable of the environment for every life from the next one on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Sets a key of the configuration by its variable, for every life from the next one on, such as
    /// `SPOOL__MAX_BYTES`.
    pub fn set_key(&mut self, key: &str, value: &str) {
        self.set_variable(&format!("HEADWATER_AGENT__{key}"), value);
    }

    /// Puts a program and its arguments before the agent's command, such as one that takes rights away.
    pub fn set_wrapper(&mut self, words: &[&str]) {
        self.wrapper = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// The folder of key and certificate.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.folder.join("identity")
    }

    /// The folder of the spool.
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.folder.join("spool")
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// Enrols with a token, whatever comes of it.
    #[must_use]
    pub fn try_enrol(&self, token: &str) -> Done {
        self.try_enrol_as(token, &[])
    }

    fn try_enrol_as(&self, token: &str, labels: &[(&str, &str)]) -> Done {
        let mut command = self.command(&["enrol", "--token-stdin", "--name", &self.name]);
        for (name, value) in labels {
            command.arg("--label").arg(format!("{name}={value}"));
        }
        run_with_input(&mut command, &format!("{token}\n"))
    }

    /// Enrols at an aggregator.
    ///
    /// # Panics
    /// If it is refused.
    pub fn enrol(&self, aggregator: &Aggregator) {
        let _ = self.try_enrol(&aggregator.token()).expect_success("enrol");
    }

    /// Enrols at an aggregator, with labels.
    ///
    /// # Panics
    /// If it is refused.
    pub fn enrol_as(&self, aggregator: &Aggregator, labels: &[(&str, &str)]) {
        let _ = self.try_enrol_as(&aggregator.token(), labels).expect_success("enrol");
    }

    /// A command with this agent's configuration.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = programs::command(AGENT, &self.folder);
        command.args(words).arg("--config").arg(self.config());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and does not wait.
    ///
    /// # Panics
    /// If it runs already.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "an agent is started when it does not run");
        let mut command = self.command(&["run"]);
        if let Some((program, words)) = self.wrapper.split_first() {
            let mut wrapped = Command::new(program);
            wrapped.args(words).arg(command.get_program()).args(command.get_args());
            wrapped.current_dir(&self.folder).env_clear();
            wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
            command = wrapped;
        }
        let log = self.folder.join("agent.log");
        self.process = Some(Process::start(&self.name, &mut command, &log));
    }

    /// Starts it again if it has ended, as a service manager does. Returns whether it had.
    pub fn start_again_if_it_ended(&mut self) -> bool {
        let has_ended = self.process().has_ended().is_some();
        if has_ended {
            self.process = None;
            self.start();
        }
        has_ended
    }

    /// Whether it answers who asks it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        UnixStream::connect(self.folder.join("agent.sock")).is_ok()
    }

    /// The process.
    ///
    /// # Panics
    /// If none was started.
    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it was started")
    }

    /// Kills it (SIGKILL). Returns whether it ran until then.
    pub fn kill(&mut self) -> bool {
        self.process.take().is_some_and(Process::kill)
    }

    /// Stops it cleanly.
    ///
    /// # Panics
    /// If it does not stop with 0 and in time.
    pub fn stop(&mut self) {
        let status = self.process.take().map(Process::stop);
        assert!(status.is_none_or(|status| status.success()), "a clean stop, not {status:?}");
    }

    /// What it says of itself; `None` if it does not answer.
    #[must_use]
    pub fn status(&self) -> Option<Value> {
        let done = run(&mut self.command(&["status", "--json"]));
        serde_json::from_str(&done.stdout).ok()
    }

    /// Whether everything that is there is read, sealed and acked: each of `files` to its present end.
    #[must_use]
    pub fn is_settled(&self, files: &[PathBuf]) -> bool {
        let Some(status) = self.status() else { return false };
        let is_quiet = ["live", "bulk"].iter().all(|lane| {
            let lane = &status[*lane];
            let waiting = ["unsent_batches", "unsent_records", "pending_records"];
            lane["balance"].is_object() && waiting.iter().all(|key| lane[*key] == 0)
        });
        let sources: Vec<Value> = status["sources"].as_array().cloned().unwrap_or_default();
        let is_read = |file: &PathBuf| {
            let size = std::fs::metadata(file).map_or(0, |found| found.len());
            let path = file.display().to_string();
            let read = |it: &Value| it["path"] == path && it["position"] == size;
            size == 0 || sources.iter().any(read)
        };
        let unread = |it: &Value| it["position"].as_u64() < it["size"].as_u64();
        is_quiet
            && status["ship"]["link"]["state"] == "connected"
            && status["bulk"]["anchored"] == true
            && files.iter().all(is_read)
            && !sources.iter().any(unread)
    }

    /// Waits until everything is read and acked, and stays so for a while.
    ///
    /// # Panics
    /// If that does not come in time, or the agent ends.
    pub fn settle(&mut self, files: &[PathBuf]) {
        let late = Instant::now() + DEADLINE;
        let mut since = None;
        while since.is_none_or(|since: Instant| since.elapsed() < QUIET) {
            let process = self.process();
            if let Some(status) = process.has_ended() {
                panic!("the agent ended: {status}\n{}", process.said());
            }
            since = self.is_settled(files).then(|| since.unwrap_or_else(Instant::now));
            if Instant::now() > late {
                let status = self.status().unwrap_or_default();
                panic!("{} does not send everything in {DEADLINE:?}: {status:#}", self.name);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// How long all must have been quiet: a sampler that ticks each second is never quiet for long.
const QUIET: Duration = Duration::from_millis(500);
