//! Files of the kernel that are kept open and read anew, and what every metric is made of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_protocol::record::{Sample, Series};

use super::SampleFault;

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

    /// What a parser makes of it; `None` is a fault, and counted.
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

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
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

/// What could not be read.
#[derive(Debug, Default)]
pub(super) struct Faults {
    lasting: BTreeMap<PathBuf, u64>,
    untold: Vec<SampleFault>,
}

impl Faults {
    /// Passes a value on; an error is counted, and kept to be told if it is the first of its path.
    pub(super) fn note<T>(&mut self, path: &Path, outcome: io::Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => {
                // A look-up alone costs no allocation; nearly every tick has no fault at all.
                if !self.lasting.is_empty() {
                    self.lasting.remove(path);
                }
                Some(value)
            }
            Err(source) => {
                let count = self.lasting.entry(path.to_owned()).or_default();
                *count += 1;
                if *count == 1 && self.untold.len() < UNTOLD_MAX {
                    self.untold.push(SampleFault { path: path.to_owned(), count: 1, source });
                }
                None
            }
        }
    }

    pub(super) fn untold(&mut self) -> Vec<SampleFault> {
        let mut untold = std::mem::take(&mut self.untold);
        for fault in &mut untold {
            fault.count = self.lasting.get(&fault.path).copied().unwrap_or(fault.count);
        }
        untold
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
/// A host with 1,024 processors and 4,096 mounts stays below 1 MiB in each of them.
const KERNEL_FILE_MAX: usize = 4 << 20;
/// Faults that wait to be told: one for each mount there may be, and the files.
const UNTOLD_MAX: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_fault_is_told_once_until_it_has_recovered() {
        let mut faults = Faults::default();
        let gone = || io::Result::<()>::Err(io::ErrorKind::NotFound.into());
        let path = Path::new("/proc/x");
        assert_eq!(faults.note(path, gone()), None);
        assert_eq!(faults.note(path, gone()), None);
        let told = faults.untold();
        assert_eq!((told.len(), told[0].count), (1, 2));
        faults.note(path, gone());
        assert!(faults.untold().is_empty(), "it was told");
        faults.note(path, Ok(()));
        faults.note(path, gone());
        assert_eq!(faults.untold().len(), 1, "it had recovered");
    }
}
