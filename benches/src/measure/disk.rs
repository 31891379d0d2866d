//! What the disk and the processor cost without us: the limits that figures stand beside.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

/// A file that 4 KiB are appended to at a time, each followed by fdatasync.
#[derive(Debug)]
pub(crate) struct Probe(File);

impl Probe {
    /// A new file in a folder.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        Ok(Self(OpenOptions::new().create(true).append(true).open(folder.join("probe"))?))
    }

    /// One append, in seconds.
    pub(crate) fn append(&mut self) -> Result<f64> {
        let begun = Instant::now();
        self.0.write_all(&[0x68; 4096])?;
        self.0.sync_data()?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Appends at a pace for a while, and returns the seconds that each took.
    pub(crate) fn append_for(&mut self, span: Duration, pace: Duration) -> Result<Vec<f64>> {
        let begun = Instant::now();
        let mut seconds = Vec::new();
        while begun.elapsed() < span {
            let next = Instant::now() + pace;
            seconds.push(self.append()?);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(seconds)
    }
}

/// What zstd alone makes of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compressed {
    pub(crate) cpu_seconds: f64,
    pub(crate) bytes: u64,
}

/// Compresses a file in pieces as large as a batch of lines, in one thread, and writes nothing.
pub(crate) fn compress(path: &Path, level: i32) -> Result<Compressed> {
    let mut file = File::open(path)?;
    let mut zstd = zstd::bulk::Compressor::new(level)?;
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    let mut done = Compressed { cpu_seconds: 0.0, bytes: 0 };
    loop {
        piece.clear();
        Read::by_ref(&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(done);
        }
        let begun = thread_seconds();
        done.bytes += zstd.compress(&piece)?.len() as u64;
        done.cpu_seconds += thread_seconds() - begun;
    }
}

/// Of log text, a batch of 511 KiB holds about as much.
pub(crate) const PIECE_BYTES: usize = 3 << 20;

/// Processor time of this thread.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of minutes")]
fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
