//! The application that logs: numbered lines, appended to one file at a steady pace.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use headwater_tests::draws::Draws;

/// Lines per second.
pub(crate) const RATE: u64 = 5_000;

/// How long it takes to write so many lines.
pub(crate) fn duration(lines: u64) -> Duration {
    Duration::from_millis(lines * 1_000 / RATE)
}

/// The line of a number, without its end: some 200 bytes, none of which any program would escape.
pub(crate) fn line(seed: u64, number: u64) -> String {
    let mut draws = Draws::new(seed, number + 1_000);
    let (item, took) = (draws.of(1..100_000), draws.of(1..2_000));
    let (trace, span) = ([draws.number(), draws.number()], draws.number());
    format!(
        "{number:07} GET /shop/items/{item} took {took} ms, status=200 bytes={} \
         trace={:016x}{:016x} span={span:016x} agent=Mozilla/5.0 (X11; Linux x86_64; rv:140.0) \
         Gecko/20100101 Firefox/140.0",
        draws.of(100..90_000),
        trace[0],
        trace[1],
    )
}

/// A thread that writes.
#[derive(Debug)]
pub(crate) struct Feed(JoinHandle<()>);

impl Feed {
    /// Starts to append to a file.
    pub(crate) fn start(path: &Path, seed: u64, lines: u64) -> Self {
        let path: PathBuf = path.to_owned();
        Self(std::thread::spawn(move || write(&path, seed, lines)))
    }

    /// Waits until all is written.
    pub(crate) fn finish(self) {
        self.0.join().expect("the feed does not fail");
    }
}

fn write(path: &Path, seed: u64, lines: u64) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let begun = Instant::now();
    let mut next = 0;
    while next < lines {
        let due = u64::try_from(begun.elapsed().as_millis()).unwrap() * RATE / 1_000;
        let text: String = (next..due.min(lines)).map(|number| line(seed, number) + "\n").collect();
        next = next.max(due.min(lines));
        file.write_all(text.as_bytes()).unwrap();
        std::thread::sleep(PACE);
    }
}

/// Between two writes.
const PACE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_written_once_and_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.log");
        Feed::start(&path, 5, 700).finish();
        let expected: String = (0..700).map(|number| line(5, number) + "\n").collect();
        assert_eq!(std::fs::read_to_string(path).unwrap(), expected);
    }
}
