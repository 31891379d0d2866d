//! Files of the kernel that are kept open and read anew, and what every metric is made of.

mod faults;
mod growth;
mod roster;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use headwater_protocol::record::{Sample, Series};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub(super) use self::faults::Faults;
pub(super) use self::growth::{Counters, Growth};
pub(super) use self::roster::{Figure, Form, Roster, Told};

/// A tick while it is taken.
pub(super) struct Tick<'a> {
    /// Monotonic time: rates are over what passes between two readings of one file.
    pub(super) now: &'a dyn Fn() -> Instant,
    pub(super) samples: Vec<Sample>,
    pub(super) faults: &'a mut Faults,
}

impl Tick<'_> {
    /// Adds a value; `None` is left out.
    pub(super) fn push(&mut self, gauge: &Gauge, value: Option<i64>) {
        self.samples.extend(value.map(|value| gauge.sample(value)));
    }
}

/// A file below `/proc`: opened once, read from its start at each tick.
#[derive(Debug)]
pub(super) struct KernelFile {
    path: PathBuf,
    file: Option<File>,
    text: Vec<u8>,
}

impl KernelFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: None, text: Vec::new() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file says at this moment.
    pub(super) fn read(&mut self) -> io::Result<&[u8]> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(File::open(&self.path)?),
        };
        let read = read_whole(file, &mut self.text);
        if read.is_err() {
            self.file = None;
        }
        read.map(|length| &self.text[..length])
    }

    /// Whether the kernel says that nothing has changed since this was asked last, as it does for a table of
    /// mounts. `false` where it does not say, and before the first reading.
    pub(super) fn is_unchanged(&self) -> bool {
        let Some(file) = &self.file else { return false };
        // A table that has changed is urgent; a file of which nothing is told is always ready for writing.
        let mut asked = [PollFd::new(file, PollFlags::PRI | PollFlags::OUT)];
        poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) == Ok(0)
    }

    /// What a parser makes of it; `None` is a fault, and noted.
    pub(super) fn parse<T>(
        &mut self,
        faults: &mut Faults,
        parser: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let malformed = || io::Error::from(io::ErrorKind::InvalidData);
        let parsed = self
            .read()
            .and_then(|text| std::str::from_utf8(text).ok().and_then(parser).ok_or_else(malformed));
        faults.note(&self.path, parsed)
    }

    /// The whole lines of the file, those that fit at least; what went wrong is for the caller to
    /// note, who may find more.
    pub(super) fn lines(&mut self) -> Lines<'_> {
        let outcome = self.read().map(<[u8]>::len);
        let length = match &outcome {
            Ok(length) => *length,
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                self.text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0)
            }
            Err(_) => 0,
        };
        Lines { path: &self.path, text: &self.text[..length], outcome: outcome.map(drop) }
    }
}

/// What a file that is read line by line says.
pub(super) struct Lines<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a [u8],
    pub(super) outcome: io::Result<()>,
}

/// Reads a file from its start into a buffer that keeps its size from tick to tick.
fn read_whole(file: &File, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut length = 0;
    loop {
        if length == buffer.len() {
            buffer.resize((length * 2).clamp(FIRST_READ, KERNEL_FILE_MAX), 0);
        }
        match file.read_at(&mut buffer[length..], length as u64) {
            Ok(0) => return Ok(length),
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if length == KERNEL_FILE_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}

/// A series and its scale.
#[derive(Clone, Debug)]
pub(super) struct Gauge(Arc<Series>);

impl Gauge {
    pub(super) fn new(metric: &str, scale: u8) -> Self {
        Self::labelled(metric, scale, Vec::new())
    }

    /// A series with dimensions, which are sorted by name.
    pub(super) fn labelled(metric: &str, scale: u8, labels: Vec<(String, String)>) -> Self {
        debug_assert!(labels.is_sorted(), "labels are sorted by name");
        Self(Arc::new(Series { metric: metric.to_owned(), labels, scale }))
    }

    pub(super) fn sample(&self, value: i64) -> Sample {
        Sample { series: Arc::clone(&self.0), value }
    }
}

/// A share at [`RATIO_SCALE`], rounded to the nearest; `None` where there is nothing to have a share of.
pub(super) fn ratio(part: u64, whole: u64) -> Option<i64> {
    if whole == 0 {
        return None;
    }
    let scaled = (u128::from(part) * 10_000 * 2 + u128::from(whole)) / (u128::from(whole) * 2);
    i64::try_from(scaled).ok()
}

/// Decimal digits of a ratio: a hundredth of a percent.
pub(super) const RATIO_SCALE: u8 = 4;
/// Most files that are read here are shorter than a page.
const FIRST_READ: usize = 4096;
/// A host with 1,024 processors, 4,096 mounts and 10,000 interfaces stays below 2 MiB in each of them.
const KERNEL_FILE_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_table_of_mounts_is_known_to_be_unchanged_and_a_plain_file_is_not() {
        let mut table = KernelFile::new("/proc/self/mountinfo".into());
        assert!(!table.is_unchanged(), "it was not read");
        let deadline = Instant::now() + Duration::from_secs(10);
        while table.read().is_err() || !table.is_unchanged() {
            assert!(Instant::now() < deadline, "something is mounted all the time");
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mountinfo"), "text").unwrap();
        let mut plain = KernelFile::new(folder.path().join("mountinfo"));
        plain.read().unwrap();
        assert!(!plain.is_unchanged());
    }

    #[test]
    fn ratios_are_rounded_to_the_nearest_and_never_made_of_nothing() {
        let cases = [
            (0, 0, None),
            (0, 7, Some(0)),
            (1, 3, Some(3_333)),
            (2, 3, Some(6_667)),
            (1, 20_000, Some(1)),
            (1, 20_001, Some(0)),
            (7, 7, Some(10_000)),
            (u64::MAX, u64::MAX, Some(10_000)),
        ];
        for (part, whole, expected) in cases {
            assert_eq!(ratio(part, whole), expected, "{part} of {whole}");
        }
    }
}
