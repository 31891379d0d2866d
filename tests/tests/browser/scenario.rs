//! A scenario: a program in `tests/browser/` that visits the console of a running aggregator in a real,
//! headless Chromium.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use headwater_tests::aggregator::Aggregator;
use headwater_tests::process::Process;
use serde_json::{Value, json};

/// Longest time of a scenario. Its own expectations have shorter ones.
const SCENARIO_TIME: Duration = Duration::from_secs(240);

/// A scenario that runs.
#[derive(Debug)]
pub(crate) struct Scenario {
    process: Process,
    name: String,
    /// The home of the browser, removed once it has ended.
    _home: tempfile::TempDir,
}

impl Scenario {
    /// Starts a scenario by the name of its file, with `links` one-time links, and with what else it is
    /// given: the fields of an object.
    pub(crate) fn start(name: &str, aggregator: &Aggregator, links: usize, more: Value) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
        expect_tools(&folder);
        let links: Vec<String> = (0..links).map(|_| one_time_link(aggregator)).collect();
        let mut given = json!({
            "links": links,
            "chromium": in_path("chromium"),
            "screenshots": screenshots(),
        });
        let fields = given.as_object_mut().unwrap();
        fields.extend(more.as_object().cloned().unwrap_or_default());

        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new(in_path("node").unwrap());
        command.arg(folder.join(format!("{name}.mjs"))).arg(given.to_string());
        command.env("HOME", home.path()).env("TMPDIR", home.path());
        let log = home.path().join("scenario.log");
        let process = Process::start(&format!("browser/{name}.mjs"), &mut command, &log);
        Self { process, name: name.to_owned(), _home: home }
    }

    /// Waits until it is so far.
    pub(crate) fn reach(&mut self, step: &str) {
        self.process.line(&format!("step: {step}"));
    }

    /// Waits for its end; everything that it expects came true.
    pub(crate) fn finish(mut self) {
        let status = self.process.wait(SCENARIO_TIME);
        let said = self.process.said();
        assert!(status.success(), "{}: {status}\n{said}", self.name);
    }
}

/// What `headwater console` prints: an address that lets one browser in.
fn one_time_link(aggregator: &Aggregator) -> String {
    let done = aggregator.ask(&["console"]).expect_success("console");
    let link = done.stdout.split_whitespace().find(|word| word.contains("setup="));
    link.unwrap_or_else(|| panic!("a one-time link is in:\n{}", done.stdout)).to_owned()
}

/// `target/browser`, beside the folder of the profile that the test was built with.
fn screenshots() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(3).unwrap().join("browser")
}

/// Where a command lies, `None` if there is none.
fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// That all that a scenario takes is there.
fn expect_tools(folder: &Path) {
    let install = "packaging/dev/need chromium node npm && packaging/dev/browser-modules";
    for tool in ["chromium", "node"] {
        assert!(in_path(tool).is_some(), "{tool} is missing. Get it with: {install}");
    }
    let modules = folder.join("node_modules/playwright-core/package.json");
    assert!(modules.is_file(), "the browser's modules are missing. Get them with: {install}");
}
