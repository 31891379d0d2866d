//! What this process may take: no query can hurt the aggregator beside it.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};

use crate::failure::{Exit, Failure};

/// Beside what the query's operators take: rows that are in no file yet (256 MiB at most), a file that is being checked or decoded
/// for each thread, the stacks, the program.
const BESIDE_BYTES: u64 = 2 << 30;
/// Niceness: intake, which has 0, goes first.
const NICE: i32 = 10;
/// How much longer the kernel lets the process run than the query: what ends a query that hears nothing.
const BEYOND: Duration = Duration::from_secs(10);

/// Bounds this process for good, as a backstop behind the limits of the query itself, which say what they are.
///
/// # Errors
/// If the kernel does not take them.
pub(crate) fn bound(memory: u64, timeout: Duration, threads: usize) -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| {
        Failure::new(Exit::Failed, "cannot limit this process")
            .cause(io::Error::from(error).to_string())
    };
    nice(NICE).map_err(failed)?;
    let data = memory.saturating_mul(2).saturating_add(BESIDE_BYTES);
    lower(Resource::Data, data).map_err(failed)?;
    let threads = u64::try_from(threads).unwrap_or(u64::MAX);
    let seconds = timeout.saturating_add(BEYOND).as_secs().saturating_mul(threads);
    lower(Resource::Cpu, seconds).map_err(failed)?;
    // A query holds every file open that it reads, so that a merge takes none away from it.
    let files = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files }).map_err(failed)
}

/// Files that may be held open: some are needed for other things.
pub(crate) fn open_files_max() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(64)
}

fn lower(resource: Resource, to: u64) -> rustix::io::Result<()> {
    let before = getrlimit(resource);
    let to = before.maximum.map_or(to, |maximum| maximum.min(to));
    setrlimit(resource, Rlimit { current: Some(to), maximum: Some(to) })
}
