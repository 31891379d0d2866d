//! Sample: what the host is doing, read from the kernel at each tick.
//!
//! A [`Sampler`] keeps the kernel's files open and reads them anew (LIMITS page, section 6: some 25 µs
//! per tick, a fifth of what a general library takes). Values are exact integers of a fixed decimal
//! scale. **What cannot be read is left out, never zero**, and is told once through
//! [`Sampler::faults`]. When to sample is decided by [`Schedule`], which holds no clock.

mod cpu;
mod disk;
mod inventory;
mod kernel;
mod memory;
mod schedule;

use std::path::PathBuf;

use headwater_protocol::record::Sample;

pub use self::inventory::inventory;
use self::kernel::{Faults, Gauge};
pub use self::schedule::Schedule;
use crate::config::SampleConfig;

/// Reads the host's figures.
#[derive(Debug)]
pub struct Sampler {
    cpu: Option<cpu::Cpu>,
    memory: Option<memory::Memory>,
    disk: Option<disk::Disk>,
    load: Option<Load>,
    faults: Faults,
}

impl Sampler {
    /// A sampler that has read nothing; the shares of processor time need two readings.
    #[must_use]
    pub fn new(config: &SampleConfig) -> Self {
        let proc = &config.host.proc;
        Self {
            cpu: config.cpu.then(|| cpu::Cpu::new(proc)),
            memory: config.memory.then(|| memory::Memory::new(proc)),
            disk: config.disk.then(|| disk::Disk::new(config)),
            load: config.load.then(|| Load::new(proc)),
            faults: Faults::default(),
        }
    }

    /// Reads everything once, in a fixed order.
    pub fn take(&mut self) -> Vec<Sample> {
        let mut samples = Vec::with_capacity(64);
        if let Some(cpu) = &mut self.cpu {
            cpu.take(&mut samples, &mut self.faults);
        }
        if let Some(memory) = &mut self.memory {
            memory.take(&mut samples, &mut self.faults);
        }
        if let Some(disk) = &mut self.disk {
            disk.take(&mut samples, &mut self.faults);
        }
        if let Some(load) = &mut self.load {
            load.take(&mut samples, &mut self.faults);
        }
        samples
    }

    /// What could not be read and was not told before. What recovers and fails again is told again.
    pub fn faults(&mut self) -> Vec<SampleFault> {
        self.faults.untold()
    }
}

/// A figure that could not be read; its metrics are left out as long as it lasts.
#[derive(Debug, thiserror::Error)]
#[error("read {}", path.display())]
pub struct SampleFault {
    /// The kernel's file, or the mount point.
    pub path: PathBuf,
    /// How often it has failed without a success between.
    pub count: u64,
    /// What the system says; a file that says something else than expected is `InvalidData`.
    pub source: std::io::Error,
}

/// `/proc/loadavg` and `/proc/uptime`.
#[derive(Debug)]
struct Load {
    averages: kernel::KernelFile,
    uptime: kernel::KernelFile,
    gauges: [Gauge; 3],
    uptime_gauge: Gauge,
}

impl Load {
    fn new(proc: &std::path::Path) -> Self {
        Self {
            averages: kernel::KernelFile::new(proc.join("loadavg")),
            uptime: kernel::KernelFile::new(proc.join("uptime")),
            gauges: ["load.1m", "load.5m", "load.15m"].map(|metric| Gauge::new(metric, 2)),
            uptime_gauge: Gauge::new("uptime.seconds", 2),
        }
    }

    fn take(&mut self, samples: &mut Vec<Sample>, faults: &mut Faults) {
        let averages = self.averages.parse(faults, |text| {
            let mut fields = text.split_ascii_whitespace().map(hundredths);
            Some([fields.next()??, fields.next()??, fields.next()??])
        });
        for (gauge, average) in self.gauges.iter().zip(averages.into_iter().flatten()) {
            samples.push(gauge.sample(average));
        }
        let uptime = self.uptime.parse(faults, |text| hundredths(text.split_whitespace().next()?));
        samples.extend(uptime.map(|uptime| self.uptime_gauge.sample(uptime)));
    }
}

/// A decimal number with two digits after the point, as the kernel prints it, times 100.
fn hundredths(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.')?;
    if part.len() != 2 {
        return None;
    }
    let (whole, part): (i64, u8) = (whole.parse().ok()?, part.parse().ok()?);
    whole.checked_mul(100)?.checked_add(i64::from(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundredths_are_exact() {
        let cases = [
            ("0.00", Some(0)),
            ("1.07", Some(107)),
            ("12345678.90", Some(1_234_567_890)),
            ("1.5", None),
            ("x.00", None),
            ("1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(hundredths(text), expected, "{text}");
        }
    }
}
