//! How many processes there are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sample::kernel::{Gauge, Tick};

/// Counts the processes of the host by the links of `/proc`: two, one for each folder that belongs to no
/// process, and one for each process, those that the agent may not see and those of containers included.
/// That is one system call, where a list takes one for each 30 processes. Where the links say nothing
/// (a `/proc` that another kernel or a container's runtime makes), the list is what counts.
#[derive(Debug)]
pub(in crate::sample) struct Processes {
    proc: PathBuf,
    count: Gauge,
    /// Folders that belong to no process; `None` until they were counted, and where links say nothing.
    other_folders: Option<u64>,
    ticks_until_list: u32,
}

impl Processes {
    pub(in crate::sample) fn new(proc: &Path) -> Self {
        Self {
            proc: proc.to_owned(),
            count: Gauge::new("processes.count", 0),
            other_folders: None,
            ticks_until_list: 0,
        }
    }

    pub(in crate::sample) fn take(&mut self, tick: &mut Tick<'_>) {
        let counted = self.count();
        let count = tick.faults.note(&self.proc, counted);
        tick.push(&self.count, count.and_then(|count| i64::try_from(count).ok()));
    }

    fn count(&mut self) -> io::Result<u64> {
        let links = fs::metadata(&self.proc)?.nlink();
        let by_links = |folders: u64| links.checked_sub(folders + 2).filter(|count| *count > 0);
        if let Some(count) =
            self.other_folders.filter(|_| self.ticks_until_list > 0).and_then(by_links)
        {
            self.ticks_until_list -= 1;
            return Ok(count);
        }
        let listed = Listed::of(&self.proc)?;
        self.ticks_until_list = LIST_INTERVAL_TICKS;
        let count = by_links(listed.other_folders);
        self.other_folders = count.map(|_| listed.other_folders);
        Ok(count.unwrap_or(listed.processes))
    }
}

/// What a list of `/proc` holds.
#[derive(Debug, Default)]
struct Listed {
    processes: u64,
    other_folders: u64,
}

impl Listed {
    fn of(proc: &Path) -> io::Result<Self> {
        let mut listed = Self::default();
        for entry in fs::read_dir(proc)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            if entry.file_name().as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                listed.processes += 1;
            } else {
                listed.other_folders += 1;
            }
        }
        Ok(listed)
    }
}

/// Ticks after which the folders are counted anew: a module of the kernel may have added one.
const LIST_INTERVAL_TICKS: u32 = 360;

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn the_links_of_this_host_count_at_least_what_is_listed_and_at_most_its_threads() {
        let proc = Path::new("/proc");
        let mut processes = Processes::new(proc);
        let deadline = Instant::now() + Duration::from_secs(20);
        // Processes come and go between the readings.
        loop {
            processes.count().expect("/proc can be listed");
            assert!(processes.other_folders.is_some(), "the links of this kernel say something");
            let by_links = processes.count().expect("/proc has links");
            let listed = Listed::of(proc).expect("/proc can be listed").processes;
            let threads = threads();
            if (listed..=threads).contains(&by_links) {
                return;
            }
            assert!(Instant::now() < deadline, "{by_links}: {listed} listed, {threads} threads");
        }
    }

    /// `0.15 0.33 0.46 1/88 21152`: 88 threads.
    fn threads() -> u64 {
        let text = fs::read_to_string("/proc/loadavg").expect("there are averages of load");
        let threads = text.split(' ').nth(3).and_then(|field| field.split_once('/'));
        threads.and_then(|(_, threads)| threads.parse().ok()).expect("threads are counted there")
    }

    #[test]
    fn a_folder_whose_links_say_nothing_is_listed_each_time() {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        for name in ["1", "22", "333", "sys", "self.not"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        fs::write(folder.path().join("4444"), "a file is no process").expect("a file");
        let listed = Listed::of(folder.path()).expect("it is there");
        assert_eq!((listed.processes, listed.other_folders), (3, 2));
        let mut processes = Processes::new(folder.path());
        assert_eq!(processes.count().ok(), Some(3));
        fs::create_dir(folder.path().join("55555")).expect("a folder");
        assert_eq!(processes.count().ok(), Some(4), "by links or by list");
    }
}
