//! Which share of the time some, or all, of the tasks waited for a resource: pressure stall
//! information, where the kernel has it.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::sample::kernel::{Counters, Gauge, KernelFile, Lines, RATIO_SCALE, Tick};

/// The files of `/proc/pressure` that are there.
#[derive(Debug)]
pub(in crate::sample) struct Pressure(Vec<Resource>);

#[derive(Debug)]
struct Resource {
    file: KernelFile,
    waits: Vec<Wait>,
}

/// A line of a file: `some` of the tasks waited, or all of them (`full`).
#[derive(Debug)]
struct Wait {
    word: &'static str,
    counter: Counters<1>,
    share: Gauge,
}

impl Pressure {
    pub(in crate::sample) fn new(proc: &Path) -> Self {
        Self(
            RESOURCES
                .iter()
                .map(|(name, words)| Resource {
                    file: KernelFile::new(proc.join("pressure").join(name)),
                    waits: words.iter().map(|word| Wait::new(name, word)).collect(),
                })
                .collect(),
        )
    }

    /// A kernel that was built or started without the figures has none until it is started anew.
    pub(in crate::sample) fn take(&mut self, tick: &mut Tick<'_>) {
        self.0.retain_mut(|resource| match resource.take(tick) {
            Err(error) if is_not_there(&error) => false,
            outcome => {
                tick.faults.note(resource.file.path(), outcome);
                true
            }
        });
    }
}

fn is_not_there(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || Errno::from_io_error(error) == Some(Errno::OPNOTSUPP)
}

impl Resource {
    fn take(&mut self, tick: &mut Tick<'_>) -> io::Result<()> {
        let Lines { text, mut outcome, .. } = self.file.lines();
        let at = (tick.now)();
        let text = std::str::from_utf8(text).unwrap_or_default();
        for wait in &mut self.waits {
            let waited = total_us(text, wait.word);
            if waited.is_none() && outcome.is_ok() {
                outcome = Err(io::ErrorKind::InvalidData.into());
            }
            let share = wait.share(at, waited);
            tick.push(&wait.share, share);
        }
        outcome
    }
}

impl Wait {
    fn new(resource: &str, word: &'static str) -> Self {
        let share = Gauge::new(&format!("pressure.{resource}_{word}_ratio"), RATIO_SCALE);
        Self { word, counter: Counters::default(), share }
    }

    fn share(&mut self, at: Instant, waited: Option<u64>) -> Option<i64> {
        let Some(waited) = waited else {
            self.counter = Counters::default();
            return None;
        };
        self.counter.step(at, [waited])?.share(0, Duration::from_micros(1))
    }
}

/// Microseconds that were waited since the start, out of a line like
/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn total_us(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(word))?;
    line.split_ascii_whitespace().find_map(|field| field.strip_prefix("total="))?.parse().ok()
}

/// The files, and the lines that mean something: all tasks of a host cannot wait for a processor at
/// once, its kernel says 0.
const RESOURCES: [(&str, &[&str]); 3] =
    [("cpu", &["some"]), ("memory", &["some", "full"]), ("io", &["some", "full"])];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_found_by_their_word() {
        let text = "some avg10=0.00 avg60=0.23 avg300=0.89 total=42285967\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(total_us(text, "some"), Some(42_285_967));
        assert_eq!(total_us(text, "full"), Some(7));
        for malformed in ["", "some", "some total=", "some total=-1", "some avg10=1 total=1.5", "x"]
        {
            assert_eq!(total_us(malformed, "some"), None, "{malformed}");
        }
    }
}
