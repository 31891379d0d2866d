//! Where and with what it was measured.

use std::fmt;
use std::fs::read_to_string;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde::Serialize;

use crate::site::Programs;

/// The machine, its system, and the versions.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Machine {
    /// When the measurement began.
    began: String,
    processor: String,
    memory_gib: u64,
    system: String,
    /// Filesystem and device of the folder that was worked in.
    disk: String,
    network: &'static str,
    /// The load average before and after: what else ran.
    load_before: String,
    load_after: String,
    versions: Vec<String>,
}

impl Machine {
    /// Looks around.
    pub(crate) fn look(programs: &Programs, root: &Path, alone: bool) -> Result<Self> {
        let processors = read_to_string("/proc/cpuinfo")?;
        let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.unwrap_or_default().trim_start_matches(['\t', ' ', ':']).to_owned();
        let cores = std::thread::available_parallelism()?;
        let memory = read_to_string("/proc/meminfo")?;
        let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        let release = read_to_string("/etc/os-release").unwrap_or_default();
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let commit = said("git", &["describe", "--always", "--dirty"], root);
        Ok(Self {
            began: format!("{:.0}", jiff::Timestamp::now()),
            processor: format!("{cores} × {model}"),
            memory_gib: kib.unwrap_or_default().div_ceil(1 << 20),
            system: format!("{}, Linux {kernel}", name.unwrap_or("?").trim_matches('"')),
            disk: disk_of(programs.work()),
            network: if alone { "a namespace of its own, only lo" } else { "lo of the host" },
            load_before: load(),
            load_after: String::new(),
            versions: vec![
                programs.version("headwater")?,
                programs.version("headwater-agent")?,
                format!("source {}", commit.unwrap_or_else(|| "without git".to_owned())),
                said("rustc", &["--version"], root).unwrap_or_default(),
            ],
        })
    }

    /// Notes what else ran at the end.
    pub(crate) fn look_again(&mut self) {
        self.load_after = load();
    }

    /// What it is, by name.
    pub(super) fn rows(&self) -> [(&'static str, String); 7] {
        [
            ("Date", self.began.clone()),
            ("Processors", self.processor.clone()),
            ("Memory", format!("{} GiB", self.memory_gib)),
            ("System", self.system.clone()),
            ("Disk and network", format!("{}; {}", self.disk, self.network)),
            ("Load average", format!("{} before, {} after", self.load_before, self.load_after)),
            ("Versions", self.versions.join("; ")),
        ]
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows().map(|(what, found)| format!("{what}: {found}"));
        out.write_str(&rows.join("\n"))
    }
}

fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// The filesystem whose mount point is the longest prefix of a folder.
fn disk_of(folder: &Path) -> String {
    let mounts = read_to_string("/proc/self/mounts").unwrap_or_default();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let holding = fields.filter(|fields| fields.len() > 2 && folder.starts_with(fields[1]));
    let found = holding.max_by_key(|fields| fields[1].len());
    found.map_or_else(|| "unknown".to_owned(), |fields| format!("{} on {}", fields[2], fields[0]))
}

fn said(program: &str, arguments: &[&str], folder: &Path) -> Option<String> {
    let done = Command::new(program).args(arguments).current_dir(folder).output().ok()?;
    let text = String::from_utf8(done.stdout).ok()?;
    done.status.success().then(|| text.trim().to_owned())
}
