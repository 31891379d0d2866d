//! What the sensors of `/sys/class/hwmon` say, where there are any.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::kernel::{Faults, Gauge, Tick};
use crate::limits::{NAME_BYTES_MAX, SENSORS_MAX};

#[derive(Debug)]
pub(super) struct Temperature {
    class: PathBuf,
    /// The chips that were there when `sensors` was made.
    chips: Vec<String>,
    sensors: Vec<Sensor>,
    ticks_until_scan: u32,
    /// A sensor could not be read: it may be gone, or another.
    has_failed: bool,
}

#[derive(Debug)]
struct Sensor {
    path: PathBuf,
    file: Option<File>,
    celsius: Gauge,
}

impl Temperature {
    pub(super) fn new(sys: &Path) -> Self {
        Self {
            class: sys.join("class/hwmon"),
            chips: Vec::new(),
            sensors: Vec::new(),
            ticks_until_scan: 0,
            has_failed: false,
        }
    }

    pub(super) fn take(&mut self, tick: &mut Tick<'_>) {
        match self.ticks_until_scan.checked_sub(1) {
            Some(ticks) => self.ticks_until_scan = ticks,
            None => self.scan(tick.faults),
        }
        for sensor in &mut self.sensors {
            let read = sensor.read();
            self.has_failed |= read.is_err();
            // One that sleeps, or has nothing to say yet, is left out without a word.
            if !read.as_ref().is_err_and(is_asleep)
                && let Some(celsius) = tick.faults.note(&sensor.path, read)
            {
                tick.push(&sensor.celsius, Some(celsius));
            }
        }
    }

    /// Looks which sensors there are, if there are other chips or one could not be read.
    fn scan(&mut self, faults: &mut Faults) {
        self.ticks_until_scan = SCAN_INTERVAL_TICKS;
        let chips = match chips(&self.class) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            found => faults.note(&self.class, found).unwrap_or_default(),
        };
        if chips == self.chips && !self.has_failed {
            return;
        }
        let found: Vec<Found> =
            chips.iter().flat_map(|chip| Found::on_chip(&self.class.join(chip), chip)).collect();
        let mut former: BTreeMap<PathBuf, Sensor> =
            self.sensors.drain(..).map(|sensor| (sensor.path.clone(), sensor)).collect();
        let named = named(&found);
        faults.note_left_out(&self.class, found.len() - named.len(), SENSORS_MAX);
        for (name, found) in named {
            let celsius = Gauge::labelled(
                "temperature.celsius",
                CELSIUS_SCALE,
                vec![("sensor".to_owned(), name)],
            );
            let file = former.remove(&found.path).and_then(|sensor| sensor.file);
            self.sensors.push(Sensor { path: found.path.clone(), file, celsius });
        }
        for path in former.keys() {
            faults.forget(path);
        }
        (self.chips, self.has_failed) = (chips, false);
    }
}

impl Sensor {
    /// Thousandths of a degree.
    fn read(&mut self) -> io::Result<i64> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(File::open(&self.path)?),
        };
        let mut text = [0; VALUE_BYTES_MAX];
        let read = file.read_at(&mut text, 0);
        if read.is_err() {
            self.file = None;
        }
        parse(&text[..read?]).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }
}

fn is_asleep(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::AGAIN | Errno::NODATA))
}

fn parse(text: &[u8]) -> Option<i64> {
    let value: i64 = std::str::from_utf8(text).ok()?.trim_ascii().parse().ok()?;
    (COLDEST..=HOTTEST).contains(&value).then_some(value)
}

/// The folders of the chips, in order of their numbers.
fn chips(class: &Path) -> io::Result<Vec<String>> {
    let mut chips = Vec::new();
    for entry in fs::read_dir(class)? {
        if let Ok(name) = entry?.file_name().into_string() {
            chips.push(name);
        }
    }
    chips.sort_by(|left, right| (left.len(), left).cmp(&(right.len(), right)));
    Ok(chips)
}

/// A sensor that was found.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    /// Names to choose from, the plainest first, the last one of its own.
    names: [String; 4],
}

impl Found {
    /// The sensors of a chip, in order of their numbers.
    fn on_chip(folder: &Path, chip: &str) -> Vec<Self> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut numbers: Vec<u32> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                name.strip_prefix("temp")?.strip_suffix("_input")?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        let name = line_of(&folder.join("name")).unwrap_or_else(|| chip.to_owned());
        let device = fs::read_link(folder.join("device")).ok();
        let device = device.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
        let device = device.as_deref().unwrap_or(chip);
        let found = numbers.into_iter().map(|number| {
            let input = format!("temp{number}");
            let label = line_of(&folder.join(format!("{input}_label")));
            let label = label.unwrap_or_else(|| input.clone());
            let names = [
                format!("{name}/{label}"),
                format!("{name}@{device}/{label}"),
                format!("{name}@{device}/{input}"),
                format!("{chip}/{input}"),
            ];
            Self { path: folder.join(format!("{input}_input")), names }
        });
        found.collect()
    }
}

/// The first line of a small file; `None` for one that is not there, is empty, or is no text.
fn line_of(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned)
}

/// The sensors that are sampled, each under the plainest name that no other could bear. The names of a
/// chip's kind and of the sensor's place on it last over a new start; where there are two chips of a
/// kind, the device tells them apart.
fn named(found: &[Found]) -> Vec<(String, &Found)> {
    let mut bearers: BTreeMap<&str, usize> = BTreeMap::new();
    for name in found.iter().flat_map(|found| found.names.iter().collect::<BTreeSet<_>>()) {
        *bearers.entry(name).or_default() += 1;
    }
    let mut taken = BTreeSet::new();
    let mut named = Vec::new();
    for found in found {
        let name = found.names.iter().find(|name| bearers[name.as_str()] == 1);
        if let Some(name) = name
            && name.len() <= NAME_BYTES_MAX
            && named.len() < SENSORS_MAX
            && taken.insert(name)
        {
            named.push((name.clone(), found));
        }
    }
    named
}

/// The kernel counts in thousandths of a degree.
const CELSIUS_SCALE: u8 = 3;
/// No temperature is below this one, -273.15 °C; sensors that are not connected say so.
const COLDEST: i64 = -273_150;
/// 1,000 °C: above it a sensor is broken, no host is that hot.
const HOTTEST: i64 = 1_000_000;
/// A number of 64 bits, its sign and the line's end.
const VALUE_BYTES_MAX: usize = 32;
/// Ticks after which sensors are looked for: disks and cards are plugged in seldom.
const SCAN_INTERVAL_TICKS: u32 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_thousandths_of_a_degree_within_reason() {
        let cases: [(&[u8], Option<i64>); 8] = [
            (b"41850\n", Some(41_850)),
            (b"-5000\n", Some(-5_000)),
            (b"0\n", Some(0)),
            (b"-273151\n", None),
            (b"65261850\n", None),
            (b"41.8\n", None),
            (b"", None),
            (b"\xff\xff", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }

    #[test]
    fn each_sensor_has_the_plainest_name_that_is_its_own() {
        let sensor = |names: [&str; 4]| Found {
            path: PathBuf::from(names[3]),
            names: names.map(str::to_owned),
        };
        let found = [
            sensor([
                "coretemp/Core 0",
                "coretemp@c.0/Core 0",
                "coretemp@c.0/temp2",
                "hwmon0/temp2",
            ]),
            sensor(["nvme/Composite", "nvme@nvme0/Composite", "nvme@nvme0/temp1", "hwmon1/temp1"]),
            sensor(["nvme/Composite", "nvme@nvme1/Composite", "nvme@nvme1/temp1", "hwmon2/temp1"]),
            sensor(["x/a", "x@d/a", "x@d/temp1", "hwmon3/temp1"]),
            sensor(["x/a", "x@d/a", "x@d/temp2", "hwmon3/temp2"]),
            sensor(["y/a", "y@hwmon4/a", "y@hwmon4/temp1", "hwmon4/temp1"]),
            sensor(["temp/temp1", "temp/temp1", "temp/temp1", "temp/temp1"]),
        ];
        let names: Vec<String> = named(&found).into_iter().map(|(name, _)| name).collect();
        let expected = [
            "coretemp/Core 0",
            "nvme@nvme0/Composite",
            "nvme@nvme1/Composite",
            "x@d/temp1",
            "x@d/temp2",
            "y/a",
            "temp/temp1",
        ];
        assert_eq!(names, expected);
    }
}
