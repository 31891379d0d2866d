//! rsyslog: imfile, a disk queue and RELP, to a second rsyslog that writes a file.

use std::path::Path;

use anyhow::Result;

use super::{Shipped, check, free_port};
use crate::site::{Others, Process, await_file};
use crate::workload::Written;

const SENDER: &str = include_str!("rsyslog-sender.conf");
const RECEIVER: &str = include_str!("rsyslog-receiver.conf");

pub(super) fn ship(
    others: &Others,
    folder: &Path,
    file: &Path,
    written: Written,
) -> Result<Shipped> {
    let port = free_port()?.to_string();
    let start = |name: &'static str, template: &str| -> Result<Process> {
        std::fs::create_dir(folder.join(name))?;
        let text = template.replace("@PORT@", &port).replace("@FILE@", &file.to_string_lossy());
        let path = folder.join(name).with_extension("conf");
        std::fs::write(&path, text.replace("@D@", &folder.to_string_lossy()))?;
        let mut command = others.rsyslog();
        command.args(["-n", "-iNONE", "-f"]).arg(&path);
        Process::start(name, &mut command, &path.with_extension("log"))
    };
    let receiver = start("receiver", RECEIVER)?;
    let before = receiver.loopback_bytes()?;
    let mut sender = start("sender", SENDER)?;
    let received = folder.join("received");
    await_file(&received, written.bytes, &mut sender)?;
    let shipped = Shipped::by(&mut sender, before)?;
    check(&received, written)?;
    Ok(shipped)
}

/// What it says of its version.
pub(super) fn version(others: &Others) -> Result<String> {
    let said = others.first_line(others.rsyslog().arg("-v"))?;
    let version = said.split_whitespace().nth(1).unwrap_or("of an unknown version");
    Ok(format!("rsyslog {version}"))
}
