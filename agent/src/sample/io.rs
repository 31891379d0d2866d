//! What goes through disks and network interfaces, as rates between two readings.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kernel::{Figure, Form, Roster, Tick, Told};
use crate::config::{Globs, SampleConfig};
use crate::limits::{DISKS_MAX, INTERFACES_MAX};

/// `/proc/diskstats`.
#[derive(Debug)]
pub(super) struct DiskIo {
    roster: Roster<5>,
    /// `/sys/block`, which knows what is a disk.
    block: PathBuf,
    block_was_read: bool,
}

impl DiskIo {
    pub(super) fn new(config: &SampleConfig) -> Self {
        Self {
            roster: Roster::new(config.host.proc.join("diskstats"), &DISKS),
            block: config.host.sys.join("block"),
            block_was_read: false,
        }
    }

    pub(super) fn take(&mut self, tick: &mut Tick<'_>) {
        if !self.block_was_read {
            let found = fs::metadata(&self.block).map(drop);
            self.block_was_read = tick.faults.note(&self.block, found).is_some();
        }
        if self.block_was_read {
            self.roster.take(|name| is_disk(&self.block, name), tick);
        }
    }
}

/// Whether a name of `/proc/diskstats` is a disk that is counted: a whole one (partitions are not in
/// `/sys/block`) with a device behind it. What has none is made of memory or files (ram, zram, loop),
/// comes from the network by a program (nbd), or stands on other disks (dm, md, bcache), where what
/// goes through it would be counted twice. Neither are paths hidden below a multipath disk, nor
/// drives for floppies and optical discs, which rest.
fn is_disk(block: &Path, name: &str) -> bool {
    // The kernel writes `cciss/c0d0` as `cciss!c0d0` in names of files.
    let file_name = name.replace('/', "!");
    let is_named =
        file_name.bytes().all(|byte| byte.is_ascii_graphic()) && !file_name.starts_with('.');
    let folder = block.join(&file_name);
    let rests = ["fd", "sr"].iter().any(|drive| {
        name.strip_prefix(drive).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    });
    let is_hidden = || fs::read(folder.join("hidden")).is_ok_and(|text| text.starts_with(b"1"));
    is_named && !rests && folder.join("device").exists() && !is_hidden()
}

/// `   8       0 sda 88005 9972 9564490 …`: major, minor, name, columns.
fn split_disk(line: &str) -> Option<(&str, &str)> {
    let (major, rest) = line.trim_ascii_start().split_once(' ')?;
    let (minor, rest) = rest.trim_ascii_start().split_once(' ')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (name, columns) = rest.split_once(' ')?;
    (is_number(major) && is_number(minor) && !name.is_empty()).then_some((name, columns))
}

/// Columns after the name. Source: the kernel's Documentation/admin-guide/iostats.rst: reads completed,
/// reads merged, sectors read, ms of reading, the same four of writing, requests in flight, ms in which
/// there was one, and what is not read here. A sector there is 512 bytes, whatever the disk's own are.
static DISKS: Form<5> = Form {
    headings: 0,
    split: split_disk,
    label: "disk",
    figures: [
        per_second("disk.read_bytes_per_second", 2, 512, 0),
        per_second("disk.write_bytes_per_second", 6, 512, 0),
        per_second("disk.reads_per_second", 0, 1, 2),
        per_second("disk.writes_per_second", 4, 1, 2),
        Figure {
            metric: "disk.busy_ratio",
            column: 9,
            told: Told::ShareOfTime { unit: Duration::from_millis(1) },
        },
    ],
    most: DISKS_MAX,
};

/// `/proc/net/dev`.
#[derive(Debug)]
pub(super) struct Network {
    roster: Roster<6>,
    exclude: Globs,
}

impl Network {
    pub(super) fn new(config: &SampleConfig) -> Self {
        // `net` belongs to a process. Below a mounted /proc of the host, `self` is this process, which
        // may have a network of its own.
        let host = config.host.proc != Path::new("/proc");
        let process = if host { "1/net/dev" } else { "self/net/dev" };
        Self {
            roster: Roster::new(config.host.proc.join(process), &INTERFACES),
            exclude: config.network_exclude.clone(),
        }
    }

    pub(super) fn take(&mut self, tick: &mut Tick<'_>) {
        self.roster.take(|name| !self.exclude.matches(name), tick);
    }
}

/// `  eth0: 128533572    4912 …`
fn split_interface(line: &str) -> Option<(&str, &str)> {
    let (name, columns) = line.trim_ascii_start().split_once(':')?;
    (!name.is_empty()).then_some((name, columns))
}

/// Columns after the name: bytes, packets, errors, drops, fifo, frame, compressed and multicast of what
/// is received, then bytes, packets, errors and five more of what is sent. Errors are told to four
/// places, so that one in an hour, the longest interval, is not rounded to none.
static INTERFACES: Form<6> = Form {
    headings: 2,
    split: split_interface,
    label: "interface",
    figures: [
        per_second("network.receive_bytes_per_second", 0, 1, 0),
        per_second("network.transmit_bytes_per_second", 8, 1, 0),
        per_second("network.receive_packets_per_second", 1, 1, 2),
        per_second("network.transmit_packets_per_second", 9, 1, 2),
        per_second("network.receive_errors_per_second", 2, 1, 4),
        per_second("network.transmit_errors_per_second", 10, 1, 4),
    ],
    most: INTERFACES_MAX,
};

const fn per_second(metric: &'static str, column: usize, unit: u32, scale: u8) -> Figure {
    Figure { metric, column, told: Told::PerSecond { unit, scale } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_into_name_and_columns_or_refused() {
        let disk = "   8       0 sda 88005 9972";
        assert_eq!(split_disk(disk), Some(("sda", "88005 9972")));
        for line in ["", "8 0 sda", "a 0 sda 1", "8 0  1", "8", "sda 1 2 3"] {
            assert_eq!(split_disk(line), None, "{line}");
        }
        assert_eq!(split_interface("  eth0: 12  49"), Some(("eth0", " 12  49")));
        assert_eq!(split_interface("eth0.100:12 49"), Some(("eth0.100", "12 49")));
        for line in ["", "eth0 12 49", " : 12"] {
            assert_eq!(split_interface(line), None, "{line}");
        }
    }
}
