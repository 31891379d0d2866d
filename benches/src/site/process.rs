//! A program that runs, and what the kernel counts of it.

use std::fs::{File, read_dir, read_to_string};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A child, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Starts a program; what it says goes to a file.
    pub(crate) fn start(name: &'static str, command: &mut Command, log: &Path) -> Result<Self> {
        let said = File::create(log)?;
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { name, child })
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// If it has ended: nothing that is waited for comes any more.
    pub(crate) fn usage(&mut self) -> Result<Usage> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} has ended ({status})", self.name);
        }
        Usage::of(self.child.id()).with_context(|| format!("read what {} has used", self.name))
    }

    /// Bytes that the loopback of its namespace has carried.
    pub(crate) fn loopback_bytes(&self) -> Result<u64> {
        let text = read_to_string(format!("/proc/{}/net/dev", self.child.id()))?;
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("lo:"));
        let received = lines.filter_map(|rest| rest.split_whitespace().next()).next();
        received.and_then(|bytes| bytes.parse().ok()).context("the loopback has no counter")
    }

    /// Ends it at once, as a power cut of its own would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end and waits.
    pub(crate) fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.child.id())?;
        kill_process(Pid::from_raw(id).context("a child has an id")?, Signal::TERM)?;
        let late = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < late {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("{} does not end within {STOP_TIMEOUT:?}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended needs neither.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A clean stop takes a second or two; a minute is a hang.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// What a process has used since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all its threads, ended ones included.
    pub(crate) cpu_seconds: f64,
    /// The same, finer, of the threads that run: no tick hides in it.
    pub(crate) cpu_seconds_of_threads: f64,
    pub(crate) resident_bytes: f64,
    pub(crate) resident_bytes_peak: f64,
    /// What it caused to be written to disks.
    pub(crate) disk_bytes: f64,
    /// How often its threads that run went to sleep.
    pub(crate) sleeps: f64,
}

impl Usage {
    #[expect(clippy::cast_precision_loss, reason = "clock ticks per second: 100")]
    fn of(id: u32) -> Result<Self> {
        let stat = read_to_string(format!("/proc/{id}/stat"))?;
        // The name stands in brackets and may hold spaces. utime and stime are fields 14 and 15.
        let (_, after) = stat.rsplit_once(')').context("stat has a name")?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        let field = |at: usize| -> Result<f64> {
            Ok(fields.get(at).context("stat has 52 fields")?.parse()?)
        };
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        let status = read_to_string(format!("/proc/{id}/status"))?;
        let io = read_to_string(format!("/proc/{id}/io"))?;
        let cancelled = value(&io, "cancelled_write_bytes:")?;
        Ok(Self {
            cpu_seconds: (field(11)? + field(12)?) / ticks_per_second,
            cpu_seconds_of_threads: cpu_seconds_of_threads(id)?,
            resident_bytes: value(&status, "VmRSS:")? * 1024.0,
            resident_bytes_peak: value(&status, "VmHWM:")? * 1024.0,
            disk_bytes: value(&io, "write_bytes:")? - cancelled,
            sleeps: sleeps_of_threads(id)?,
        })
    }
}

/// The number after a word at the start of a line.
fn value(text: &str, word: &str) -> Result<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(word));
    let number = rest.and_then(|rest| rest.split_whitespace().next());
    Ok(number.with_context(|| format!("no {word}"))?.parse()?)
}

fn cpu_seconds_of_threads(id: u32) -> Result<f64> {
    let mut seconds = 0.0;
    for thread in read_dir(format!("/proc/{id}/task"))? {
        // A thread that has ended in between is no longer counted.
        let Ok(text) = read_to_string(thread?.path().join("schedstat")) else { continue };
        let nanos: f64 = text.split_whitespace().next().context("schedstat has fields")?.parse()?;
        seconds += nanos / 1e9;
    }
    Ok(seconds)
}

fn sleeps_of_threads(id: u32) -> Result<f64> {
    let mut sleeps = 0.0;
    for thread in read_dir(format!("/proc/{id}/task"))? {
        // As above.
        let Ok(text) = read_to_string(thread?.path().join("status")) else { continue };
        sleeps += value(&text, "voluntary_ctxt_switches:")?;
    }
    Ok(sleeps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_what_this_process_uses() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident_bytes > 0.0);
        assert!(usage.resident_bytes_peak >= usage.resident_bytes);
        assert!(usage.cpu_seconds >= 0.0 && usage.cpu_seconds_of_threads > 0.0);
    }
}
