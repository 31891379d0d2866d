//! An aggregator in a folder of its own: the real `headwater`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde_json::Value;

use crate::process::{Done, Process, run, run_into};
use crate::programs::{self, HEADWATER};

/// An aggregator, running or not. Its ports stay the same over all its lives.
#[derive(Debug)]
pub struct Aggregator {
    folder: PathBuf,
    ports: Ports,
    /// What stands in its configuration beside what every test needs.
    more: String,
    variables: Vec<(String, String)>,
    process: Option<Process>,
}

/// Ports on loopback.
#[derive(Clone, Copy, Debug, Default)]
struct Ports {
    intake: u16,
    enrol: u16,
    console: u16,
    metrics: u16,
}

impl Aggregator {
    /// Makes a node in a folder and starts it, on ports that the kernel picks.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn create(folder: &Path) -> Self {
        Self::create_with(folder, "")
    }

    /// The same, with tables of its own at the end of its configuration.
    ///
    /// # Panics
    /// If it does not become ready.
    #[must_use]
    pub fn create_with(folder: &Path, more: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let mut aggregator = Self {
            folder: folder.to_owned(),
            ports: Ports::default(),
            more: more.to_owned(),
            variables: Vec::new(),
            process: None,
        };
        aggregator.write_config();
        let _ = aggregator.ask(&["init"]).expect_success("init");
        // Once on any ports, to learn free ones; from then on always on those.
        let ready = aggregator.start_and_wait();
        aggregator.ports = Ports::of(&ready);
        aggregator.stop();
        aggregator.write_config();
        aggregator.start_and_wait();
        aggregator
    }

    /// Sets a variable of the environment for every life from the next one on.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    fn write_config(&self) {
        let Ports { intake, enrol, console, metrics } = self.ports;
        let data = self.data();
        let text = format!(
            "[node]\nname = \"agg-test\"\ndata_dir = {data:?}\n\
             [intake]\nlisten = \"127.0.0.1:{intake}\"\nadvertise = \"127.0.0.1:{intake}\"\n\
             min_free = \"1%\"\n\
             [intake.enrol]\nlisten = \"127.0.0.1:{enrol}\"\n\
             [console]\nlisten = \"127.0.0.1:{console}\"\n[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n\
             [log]\nsnapshot_every = \"1s\"\n{}",
            self.more
        );
        // While the port is not known there is none to advertise.
        let unknown = "advertise = \"127.0.0.1:0\"\n";
        std::fs::write(self.config(), text.replace(unknown, "")).unwrap();
    }

    /// The folder of authority and log.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("headwater.toml")
    }

    /// Where agents send to.
    #[must_use]
    pub fn intake_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.intake)
    }

    /// Where devices enrol.
    #[must_use]
    pub fn enrol_address(&self) -> String {
        format!("127.0.0.1:{}", self.ports.enrol)
    }

    /// A command with this aggregator's configuration.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = programs::command(HEADWATER, &self.folder);
        command.arg("-c").arg(self.config()).args(words);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it and does not wait.
    ///
    /// # Panics
    /// If it runs already.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "an aggregator is started when it does not run");
        let mut command = self.command(&["serve"]);
        let log = self.folder.join("aggregator.log");
        self.process = Some(Process::start("the aggregator", &mut command, &log));
    }

    /// Starts it and waits until it is ready; the line that says so.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn start_and_wait(&mut self) -> String {
        self.start();
        self.process().line(READY)
    }

    /// Whether it said that it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.said().contains(READY))
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
        let status: Option<ExitStatus> = self.process.take().map(Process::stop);
        assert!(status.is_none_or(|status| status.success()), "a clean stop, not {status:?}");
    }

    /// Runs a command to its end.
    #[must_use]
    pub fn ask(&self, words: &[&str]) -> Done {
        run(&mut self.command(words))
    }

    /// Runs a command that succeeds, and reads the JSON that it prints.
    #[must_use]
    pub fn json(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().copied().chain(["--json"]).collect();
        self.ask(&words).expect_success(&words.join(" ")).json()
    }

    /// A join token for one device.
    #[must_use]
    pub fn token(&self) -> String {
        let token = self.json(&["tokens", "create"]);
        token["token"].as_str().expect("a token is text").to_owned()
    }

    /// Lines that the ledger knows of, stored or declared missing: all of the bulk lanes.
    #[must_use]
    pub fn lines_read(&self) -> u64 {
        let ledger = self.json(&["ledger", "show"]);
        let devices = ledger.as_array().cloned().unwrap_or_default();
        let lanes = devices.iter().filter_map(|device| device["lanes"].as_array()).flatten();
        let bulk = lanes.filter(|lane| lane["lane"] == "bulk");
        bulk.filter_map(|lane| lane["records_read"].as_u64()).sum()
    }

    /// Writes every line that is stored to a file, as NDJSON.
    ///
    /// # Panics
    /// If it cannot be had.
    pub fn dump_lines(&self, to: &Path) {
        let stderr = self.folder.join("logs.stderr");
        let status = run_into(&mut self.command(&["logs", "--ndjson"]), to, &stderr);
        let said = std::fs::read_to_string(stderr).unwrap();
        assert!(status.success(), "read the lines back: {status}\n{said}");
    }

    /// What an audit of the whole log says, whatever it says.
    #[must_use]
    pub fn audit(&self) -> Value {
        self.ask(&["ledger", "verify", "--all", "--gaps", "--json"]).json()
    }

    /// That an audit finds nothing missing, nothing repeated and every sum equal; the audit.
    ///
    /// # Panics
    /// If it finds something.
    #[must_use]
    pub fn expect_clean_audit(&self) -> Value {
        let audit = self.audit();
        let wrong = ["missing", "repeated"].map(|key| audit[key].as_u64());
        assert_eq!(wrong, [Some(0), Some(0)], "missing, repeated: {audit:#}");
        assert_eq!(audit["clean"], true, "{audit:#}");
        audit
    }

    /// The present value of a metric, 0 if there is none: the sum over its labels.
    #[must_use]
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.scrape();
        let values = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// The metrics as text.
    ///
    /// # Panics
    /// If they cannot be had.
    #[must_use]
    pub fn scrape(&self) -> String {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", self.ports.metrics)).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }
}

impl Ports {
    /// The ports that a line names: `ready: intake quic A:1 · enrolment tcp A:2 · console http://A:3 ·
    /// metrics http://A:4/`.
    fn of(ready: &str) -> Self {
        let mut ports = ready.split("127.0.0.1:").skip(1).map(|rest| {
            let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next();
            digits.and_then(|digits| digits.parse().ok()).expect("a port is a number")
        });
        let mut next = || ports.next().expect("the line that says ready names four ports");
        Self { intake: next(), enrol: next(), console: next(), metrics: next() }
    }
}

/// What it says once agents can come.
const READY: &str = "ready: intake quic ";
