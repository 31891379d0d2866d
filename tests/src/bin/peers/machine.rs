//! Where and with what it was run.

use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use crate::contender;

/// The machine, its system, and the versions.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    rows: Vec<(&'static str, String)>,
}

impl Machine {
    /// Looks around.
    pub(crate) fn look(programs: &Path) -> Self {
        let processors = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.unwrap_or_default().trim_start_matches(['\t', ' ', ':']);
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let memory = read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        let release = read_to_string("/etc/os-release").unwrap_or_default();
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let load = read_to_string("/proc/loadavg").unwrap_or_default();
        let load: Vec<&str> = load.split_whitespace().take(3).collect();
        let mut versions = contender::versions(programs);
        versions.push(format!("source {}", commit()));
        let rows = vec![
            ("Date", format!("{:.0}", jiff::Timestamp::now())),
            ("Processors", format!("{cores} × {model}")),
            ("Memory", format!("{} GiB", kib.unwrap_or_default().div_ceil(1 << 20))),
            ("System", format!("{}, Linux {kernel}", name.unwrap_or("?").trim_matches('"'))),
            ("Load average before", load.join(" ")),
            ("Versions", versions.join("; ")),
        ];
        Self { rows }
    }

    /// What it is, by name.
    pub(crate) fn rows(&self) -> &[(&'static str, String)] {
        &self.rows
    }
}

fn commit() -> String {
    let done = Command::new("git").args(["describe", "--always", "--dirty"]).output().ok();
    let text = done.filter(|done| done.status.success()).map(|done| done.stdout);
    text.map_or_else(
        || "without git".to_owned(),
        |text| String::from_utf8_lossy(&text).trim().into(),
    )
}
