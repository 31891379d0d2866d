//! What changes rarely: facts of the device, gathered once at the start.

use std::collections::BTreeMap;
use std::fs;

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Facts of this device by name. What the host does not tell is not there.
///
/// `agent.version`, `boot.id`, `cpu.cores`, `host.name`, `kernel.version`, `machine.id`,
/// `memory.total_bytes`, `os.name`, `os.version`.
#[must_use]
pub fn inventory() -> BTreeMap<String, String> {
    let memory = MemoryRefreshKind::nothing().with_ram();
    let system = System::new_with_specifics(RefreshKind::nothing().with_memory(memory)).ok();
    let total = system.map(|system| system.total_memory()).filter(|total| *total > 0);
    let cores = std::thread::available_parallelism().ok();
    let facts = [
        ("agent.version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("boot.id", line_of("/proc/sys/kernel/random/boot_id")),
        ("cpu.cores", cores.map(|cores| cores.to_string())),
        ("host.name", System::host_name().ok()),
        ("kernel.version", System::kernel_version().ok()),
        ("machine.id", line_of("/etc/machine-id").or_else(|| line_of("/var/lib/dbus/machine-id"))),
        ("memory.total_bytes", total.map(|total| total.to_string())),
        ("os.name", System::name().ok()),
        ("os.version", System::os_version().ok()),
    ];
    let known = facts.into_iter().filter_map(|(name, fact)| Some((name.to_owned(), fact?)));
    known.filter(|(_, fact)| !fact.is_empty()).collect()
}

/// The first line of a small file; `None` for a host without it.
fn line_of(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}
