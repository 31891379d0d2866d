//! The log that is shipped: half nginx, a third JSON with random trace ids, the rest syslog.
//!
//! The same seed makes the same bytes on every machine. The mix is shaped like the one that other agents
//! were measured with: 226 B a line, and zstd -1 gets it to a sixth (5.98 here, 5.79 there), of which
//! the random ids are the part that no encoding gets under.

mod events;
mod lines;
mod random;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use events::Events;
pub(crate) use lines::Lines;
use random::Random;

/// What was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Written {
    pub(crate) lines: u64,
    pub(crate) bytes: u64,
}

impl Written {
    /// The share of a GiB, by which everything is divided.
    #[expect(clippy::cast_precision_loss, reason = "files of less than a PiB")]
    pub(crate) fn gib(self) -> f64 {
        self.bytes as f64 / (1_u64 << 30) as f64
    }
}

/// Writes whole lines up to a size, and syncs them: no page of the input is written while the agent is
/// measured.
pub(crate) fn write(path: &Path, bytes_max: u64) -> io::Result<Written> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut lines = Lines::new(SEED);
    let mut written = Written { lines: 0, bytes: 0 };
    loop {
        let line = lines.next_line().as_bytes();
        let bytes = written.bytes + line.len() as u64;
        if bytes > bytes_max {
            break;
        }
        file.write_all(line)?;
        written = Written { lines: written.lines + 1, bytes };
    }
    file.into_inner()?.sync_all()?;
    Ok(written)
}

/// Writes whole events of 6 KB up to a size.
pub(crate) fn write_events(path: &Path, bytes_max: u64) -> io::Result<Written> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut events = Events::new(SEED + 3);
    let mut written = Written { lines: 0, bytes: 0 };
    while written.bytes < bytes_max {
        let event = events.next_line().as_bytes();
        file.write_all(event)?;
        let bytes = written.bytes + event.len() as u64;
        written = Written { lines: written.lines + 1, bytes };
    }
    file.into_inner()?.sync_all()?;
    Ok(written)
}

/// Writes lines of noise: 64 letters, none of them likelier than another, so that what is stored of so many
/// bytes is about that long.
pub(crate) fn write_noise(path: &Path, stored: u64) -> io::Result<Written> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut random = Random::new(SEED + 2);
    let mut written = Written { lines: 0, bytes: 0 };
    let mut line = Vec::with_capacity(NOISE_WORDS * 10 + 1);
    // A letter of 64 is worth six bits.
    while written.bytes < stored / 6 * 8 {
        line.clear();
        for _ in 0..NOISE_WORDS {
            let word = random.draw();
            line.extend((0..10).map(|at| LETTERS[(word >> (6 * at) & 63) as usize]));
        }
        line.push(b'\n');
        file.write_all(&line)?;
        written = Written { lines: written.lines + 1, bytes: written.bytes + line.len() as u64 };
    }
    file.into_inner()?.sync_all()?;
    Ok(written)
}

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Words of ten letters in a line of noise.
const NOISE_WORDS: usize = 30;

/// Lines one by one, for a load that trickles.
pub(crate) fn trickle() -> Lines {
    Lines::new(SEED + 1)
}

const SEED: u64 = 0x4865_6164;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_the_one_that_others_were_measured_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mix.log");
        let written = write(&path, 8 << 20).unwrap();
        let text = std::fs::read(&path).unwrap();
        assert_eq!(text.len() as u64, written.bytes);
        let share = |starts: fn(&[u8]) -> bool| {
            let found = text.split(|byte| *byte == b'\n').filter(|line| starts(line)).count();
            found as f64 / written.lines as f64
        };
        let json = share(|line| line.starts_with(b"{"));
        let syslog = share(|line| line.starts_with(b"Nov "));
        assert!((json - 0.35).abs() < 0.01, "a third is JSON: {json}");
        assert!((syslog - 0.15).abs() < 0.01, "a seventh is syslog: {syslog}");
        let average = written.bytes as f64 / written.lines as f64;
        assert!((average - 226.0).abs() < 4.0, "226 B a line: {average}");
        let ratio = text.len() as f64 / zstd::bulk::compress(&text, 1).unwrap().len() as f64;
        assert!((5.4..6.2).contains(&ratio), "zstd -1 gets it to a sixth: {ratio}");
    }

    #[test]
    fn the_same_seed_makes_the_same_bytes() {
        let mut other = Lines::new(7);
        let mut lines = Lines::new(7);
        assert!((0..1_000).all(|_| lines.next_line() == other.next_line()));
    }
}
