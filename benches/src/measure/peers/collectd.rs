//! collectd: seven plugins, and values over UDP to nobody in particular.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::site::{Others, Process};

const CONFIGURATION: &str = include_str!("collectd.conf");

/// What it took while it had little to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    pub(super) cpu_seconds_per_hour: f64,
    pub(super) peak_megabytes: f64,
}

/// Watches it for a while, at an interval in seconds.
pub(super) fn watch(others: &Others, work: &Path, interval: u32, seconds: u32) -> Result<Idle> {
    eprintln!("peers: collectd, {seconds} s, every {interval} s");
    let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(work)?;
    let root = others.collectd_root();
    let text = CONFIGURATION.replace("@SECONDS@", &interval.to_string());
    let text = text.replace("@D@", &folder.path().to_string_lossy());
    let text = text.replace("@PLUGINS@", &root.join("usr/lib/collectd").to_string_lossy());
    let types = root.join("usr/share/collectd/types.db");
    let path = folder.path().join("collectd.conf");
    std::fs::write(&path, text.replace("@TYPES@", &types.to_string_lossy()))?;
    let mut command = others.collectd();
    command.args(["-f", "-C"]).arg(&path);
    let mut process = Process::start("collectd", &mut command, &path.with_extension("log"))?;
    std::thread::sleep(SETTLED);
    let (before, begun) = (process.usage()?, Instant::now());
    std::thread::sleep(Duration::from_secs(seconds.into()));
    let after = process.usage()?;
    let hours = begun.elapsed().as_secs_f64() / 3600.0;
    // As of our own agent: ticks of 10 ms are coarse for so little.
    let cpu_seconds = (after.cpu_seconds_of_threads - before.cpu_seconds_of_threads)
        .max(after.cpu_seconds - before.cpu_seconds - 0.01);
    Ok(Idle {
        cpu_seconds_per_hour: cpu_seconds / hours,
        peak_megabytes: after.resident_bytes_peak / 1e6,
    })
}

/// Plugins are loaded and the first values are read by then.
const SETTLED: Duration = Duration::from_secs(15);

/// What it says of its version.
pub(super) fn version(others: &Others) -> Result<String> {
    let said = others.said(others.collectd().arg("-h"))?;
    let line = said.lines().find_map(|line| line.trim().strip_prefix("collectd "));
    let version = line.and_then(|rest| rest.split([',', ' ']).next());
    Ok(format!("collectd {}", version.unwrap_or("of an unknown version")))
}
