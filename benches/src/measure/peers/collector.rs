//! The OpenTelemetry Collector: filelog, a persistent queue, OTLP over HTTP to a receiver of this program.

use std::path::Path;

use anyhow::Result;

use super::otlp::Receiver;
use super::{Shipped, check};
use crate::site::{Others, Process, await_file};
use crate::workload::Written;

const CONFIGURATION: &str = include_str!("collector.yaml");

pub(super) fn ship(
    others: &Others,
    folder: &Path,
    (file, written): (&Path, Written),
    sync: bool,
) -> Result<Shipped> {
    for kept in ["offsets", "queue"] {
        std::fs::create_dir(folder.join(kept))?;
    }
    let received = folder.join("received");
    let receiver = Receiver::start(&received)?;
    let text = CONFIGURATION.replace("@PORT@", &receiver.port().to_string());
    let text = text.replace("@FILE@", &file.to_string_lossy());
    let text = text.replace("@FSYNC@", &sync.to_string());
    let path = folder.join("collector.yaml");
    std::fs::write(&path, text.replace("@D@", &folder.to_string_lossy()))?;
    let mut command = others.collector();
    command.arg("--config").arg(&path);
    let mut sender = Process::start("collector", &mut command, &folder.join("collector.log"))?;
    let before = sender.loopback_bytes()?;
    await_file(&received, written.bytes, &mut sender)?;
    let shipped = Shipped::by(&mut sender, before)?;
    sender.stop()?;
    receiver.stop()?;
    check(&received, written)?;
    Ok(shipped)
}

/// What it says of its version.
pub(super) fn version(others: &Others) -> Result<String> {
    let said = others.first_line(others.collector().arg("--version"))?;
    Ok(said.replace("otelcol-peer version", "OpenTelemetry Collector (core and contrib)"))
}
