//! Sample: what the host is doing, read from the kernel at each tick.
//!
//! A [`Sampler`] keeps the kernel's files open and reads them anew (LIMITS page, section 6: a fifth of
//! what a general library takes). Values are exact integers of a fixed decimal scale. Rates are what a
//! counter grew by over the time that passed between two readings of its file; a first reading has none,
//! and neither has a counter that went back. **What cannot be read is left out, never zero**, and is
//! told once through [`Sampler::faults`], and so is what exceeds a bound of [`crate::limits`]. When to
//! sample is decided by [`Schedule`], which holds no clock.

mod cpu;
mod disk;
mod inventory;
mod io;
mod kernel;
mod load;
mod memory;
mod schedule;
mod temperature;

use std::path::PathBuf;
use std::time::Instant;

use headwater_protocol::record::Sample;

pub use self::inventory::inventory;
use self::kernel::{Faults, Tick};
pub use self::schedule::Schedule;
use crate::config::{ProcessDetail, SampleConfig, SampleHost};

/// Reads the host's figures.
#[derive(Debug)]
pub struct Sampler {
    cpu: Option<cpu::Cpu>,
    memory: Option<memory::Memory>,
    load: Option<load::Load>,
    pressure: Option<load::Pressure>,
    processes: Option<load::Processes>,
    disk_io: Option<io::DiskIo>,
    network: Option<io::Network>,
    disk: Option<disk::Disk>,
    temperature: Option<temperature::Temperature>,
    faults: Faults,
    /// Samples of the last tick: the next one will hardly have more.
    expected: usize,
}

impl Sampler {
    /// A sampler that has read nothing; rates and shares of time need two readings.
    #[must_use]
    pub fn new(config: &SampleConfig) -> Self {
        let SampleHost { proc, sys, .. } = &config.host;
        let counts_processes = config.processes == ProcessDetail::Count;
        Self {
            cpu: config.cpu.then(|| cpu::Cpu::new(proc, config.per_cpu)),
            memory: config.memory.then(|| memory::Memory::new(proc)),
            load: config.load.then(|| load::Load::new(proc)),
            pressure: config.pressure.then(|| load::Pressure::new(proc)),
            processes: counts_processes.then(|| load::Processes::new(proc)),
            disk_io: config.disk_io.then(|| io::DiskIo::new(config)),
            network: config.network.then(|| io::Network::new(config)),
            disk: config.disk.then(|| disk::Disk::new(config)),
            temperature: config.temperature.then(|| temperature::Temperature::new(sys)),
            faults: Faults::default(),
            expected: 0,
        }
    }

    /// Reads everything once, in a fixed order: what may keep the reader waiting, a mount or a sensor,
    /// comes last. `now` is monotonic time, and is asked once for each file of counters.
    pub fn take(&mut self, now: impl Fn() -> Instant) -> Vec<Sample> {
        let samples = Vec::with_capacity(self.expected);
        let tick = &mut Tick { now: &now, samples, faults: &mut self.faults };
        self.cpu.iter_mut().for_each(|cpu| cpu.take(tick));
        self.memory.iter_mut().for_each(|memory| memory.take(tick));
        self.load.iter_mut().for_each(|load| load.take(tick));
        self.pressure.iter_mut().for_each(|pressure| pressure.take(tick));
        self.processes.iter_mut().for_each(|processes| processes.take(tick));
        self.disk_io.iter_mut().for_each(|disk_io| disk_io.take(tick));
        self.network.iter_mut().for_each(|network| network.take(tick));
        self.disk.iter_mut().for_each(|disk| disk.take(tick));
        self.temperature.iter_mut().for_each(|temperature| temperature.take(tick));
        let samples = std::mem::take(&mut tick.samples);
        self.expected = samples.len();
        samples
    }

    /// What could not be read, or had no room, and was not told before. What recovers and fails again
    /// is told again.
    pub fn faults(&mut self) -> Vec<SampleFault> {
        self.faults.untold()
    }
}

/// Figures that are left out for as long as it lasts.
#[derive(Debug, thiserror::Error)]
pub enum SampleFault {
    /// A figure could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The kernel's file, or the mount point.
        path: PathBuf,
        /// How often it has failed without a success between.
        count: u64,
        /// What the system says; a file that says something else than expected is `InvalidData`.
        source: std::io::Error,
    },
    /// There is more than a tick has room for.
    #[error(
        "{left} entries of {} are left out: at most {most} are sampled, none with an overlong name",
        path.display()
    )]
    LeftOut {
        /// What lists them.
        path: PathBuf,
        /// How many.
        left: usize,
        /// How many there may be.
        most: usize,
    },
}
