//! A host made of files, and a clock that stands still until it is told to go on.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headwater_agent::config::{Config, SampleConfig};
use headwater_agent::sample::Sampler;
use headwater_protocol::record::Sample;
use tempfile::TempDir;

/// A host with two processors, one disk with a partition, and one interface.
pub(crate) struct Host {
    folder: TempDir,
    now: Cell<Instant>,
}

impl Host {
    pub(crate) fn new() -> Self {
        let host = Self { folder: TempDir::new().unwrap(), now: Cell::new(Instant::now()) };
        host.write("proc/stat", "cpu  100 0 50 1000 10 0 0 0 0 0\ncpu0 1\ncpu1 1\nintr 1\n");
        host.write(
            "proc/meminfo",
            "MemTotal: 100 kB\nMemAvailable: 60 kB\nCached: 5 kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\n",
        );
        host.write("proc/loadavg", "1.23 0.04 10.00 1/100 5\n");
        host.write("proc/uptime", "987.65 1.00\n");
        host.write("proc/1/mountinfo", "1 1 8:1 / / rw - ext4 a rw\n");
        host.write("proc/diskstats", "");
        host.network(&[]);
        fs::create_dir_all(host.path("root")).unwrap();
        fs::create_dir_all(host.path("sys/block")).unwrap();
        host
    }

    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes a whole disk with a device behind it.
    pub(crate) fn add_disk(&self, name: &str) {
        let folder = self.path("sys/block").join(name.replace('/', "!"));
        fs::create_dir_all(folder.join("device")).unwrap();
    }

    /// Writes `/proc/net/dev` with a name, bytes and packets received, and bytes sent of each.
    pub(crate) fn network(&self, interfaces: &[(&str, [u64; 3])]) {
        let mut text = "Inter-|   Receive |  Transmit\n face |bytes packets |bytes\n".to_owned();
        for (name, [received, packets, sent]) in interfaces {
            text += &format!("{name:>6}: {received} {packets} 0 0 0 0 0 0 {sent} 0 0 0 0 0 0 0\n");
        }
        self.write("proc/1/net/dev", text);
    }

    /// Makes a chip with one sensor.
    pub(crate) fn add_sensor(&self, chip: &str, name: &str, device: &str, value: &str) {
        let folder = Path::new("sys/class/hwmon").join(chip);
        self.write(folder.join("name"), format!("{name}\n"));
        self.write(folder.join("temp1_input"), format!("{value}\n"));
        symlink(format!("../{device}"), self.path(folder.join("device"))).unwrap();
    }

    pub(crate) fn config(&self) -> SampleConfig {
        let mut config = Config::default().sample;
        config.host.proc = self.path("proc");
        config.host.sys = self.path("sys");
        config.host.root = self.path("root");
        config
    }

    pub(crate) fn sampler(&self) -> Sampler {
        Sampler::new(&self.config())
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, span: Duration) {
        self.now.set(self.now.get() + span);
    }

    pub(crate) fn take(&self, sampler: &mut Sampler) -> Vec<Sample> {
        sampler.take(|| self.now.get())
    }
}

/// Values by metric; of several series of one metric the last.
pub(crate) fn by_name(samples: &[Sample]) -> BTreeMap<String, i64> {
    samples.iter().map(|sample| (sample.series.metric.clone(), sample.value)).collect()
}

/// `metric{name=value}` with the scaled value, of the metrics that begin with some word.
pub(crate) fn of(samples: &[Sample], word: &str) -> Vec<(String, i64)> {
    let wanted = samples.iter().filter(|sample| sample.series.metric.starts_with(word));
    wanted
        .map(|sample| {
            let labels = &sample.series.labels;
            let labels: Vec<_> =
                labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            (format!("{}{{{}}}", sample.series.metric, labels.join(",")), sample.value)
        })
        .collect()
}

/// What is told, one line each: the fault and the system's word for its cause.
pub(crate) fn told(sampler: &mut Sampler) -> Vec<String> {
    let told = sampler.faults();
    let text = |fault: &dyn std::error::Error| match fault.source() {
        Some(source) => format!("{fault}: {source}"),
        None => fault.to_string(),
    };
    told.iter().map(|fault| text(fault)).collect()
}
