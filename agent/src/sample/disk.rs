//! Space and inodes of each mounted filesystem, once per device.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use headwater_protocol::limits::TEXT_BYTES_MAX;
use rustix::fs::{StatVfs, statvfs};

use super::kernel::{Faults, Gauge, KernelFile, Lines, RATIO_SCALE, Tick, ratio};
use crate::config::{Globs, SampleConfig};
use crate::limits::MOUNTS_MAX;

#[derive(Debug)]
pub(super) struct Disk {
    mountinfo: KernelFile,
    /// What `mountinfo` said when `mounts` was made of it.
    seen: Vec<u8>,
    /// Ticks until the table is read although the kernel says that it is the same.
    table_rests: u32,
    mounts: Vec<Mount>,
    root: PathBuf,
    exclude_fstype: Globs,
    exclude_mount: Globs,
}

/// A mount that is sampled, and its series.
#[derive(Debug)]
struct Mount {
    path: PathBuf,
    sizes: [Gauge; 3],
    used_ratio: Gauge,
    inodes_used_ratio: Gauge,
    /// Ticks until it is asked again; 0 but for one that had no blocks.
    rests: u32,
}

impl Disk {
    pub(super) fn new(config: &SampleConfig) -> Self {
        // Below a mounted /proc of the host, `self` is this process, which has its own mounts.
        let host = config.host.proc != Path::new("/proc");
        let process = if host { "1/mountinfo" } else { "self/mountinfo" };
        Self {
            mountinfo: KernelFile::new(config.host.proc.join(process)),
            seen: Vec::new(),
            table_rests: 0,
            mounts: Vec::new(),
            root: config.host.root.clone(),
            exclude_fstype: config.disk_exclude_fstype.clone(),
            exclude_mount: config.disk_exclude_mount.clone(),
        }
    }

    pub(super) fn take(&mut self, tick: &mut Tick<'_>) {
        self.refresh(tick.faults);
        for mount in &mut self.mounts {
            if mount.rests > 0 {
                mount.rests -= 1;
            } else if let Some(figures) = tick.faults.note(&mount.path, figures(&mount.path)) {
                mount.sample(&figures, tick);
            }
        }
    }

    /// Reads the table of mounts unless the kernel says that it is the same, and parses it if it has changed.
    fn refresh(&mut self, faults: &mut Faults) {
        if self.mountinfo.is_unchanged() && self.table_rests > 0 {
            self.table_rests -= 1;
            return;
        }
        self.table_rests = REST_TICKS;
        let Lines { path, text, outcome } = self.mountinfo.lines();
        if text != self.seen {
            self.seen.clear();
            self.seen.extend_from_slice(text);
            let wanted = parse(text).into_iter().filter(|entry| {
                !self.exclude_fstype.matches(&entry.fstype)
                    && !self.exclude_mount.matches(&entry.point)
            });
            let mut chosen = once_per_device(wanted);
            let wanted = chosen.len();
            chosen.retain(|entry| entry.point.len() <= TEXT_BYTES_MAX);
            chosen.truncate(MOUNTS_MAX);
            faults.note_left_out(path, wanted - chosen.len(), MOUNTS_MAX);
            for mount in &self.mounts {
                faults.forget(&mount.path);
            }
            self.mounts = chosen.iter().map(|entry| Mount::new(entry, &self.root)).collect();
        }
        faults.note(path, outcome);
    }
}

impl Mount {
    fn new(entry: &Entry, root: &Path) -> Self {
        let labels = || {
            [("fstype", &entry.fstype), ("mount", &entry.point)]
                .map(|(name, value)| (name.to_owned(), value.clone()))
                .to_vec()
        };
        let gauge = |name: &str, scale| Gauge::labelled(&format!("disk.{name}"), scale, labels());
        Self {
            path: root.join(entry.point.trim_start_matches('/')),
            sizes: ["total_bytes", "used_bytes", "free_bytes"].map(|name| gauge(name, 0)),
            used_ratio: gauge("used_ratio", RATIO_SCALE),
            inodes_used_ratio: gauge("inodes_used_ratio", RATIO_SCALE),
            rests: 0,
        }
    }

    /// Free is what an ordinary user may still take, and the ratio is of what is used to what an
    /// ordinary user has: the figures of `df`. A filesystem without inodes has no ratio of them, and
    /// one without blocks (devpts, cgroup) has no space to tell of, and is left alone for a while.
    fn sample(&mut self, figures: &StatVfs, tick: &mut Tick<'_>) {
        if figures.f_blocks == 0 {
            self.rests = REST_TICKS;
            return;
        }
        let unit = figures.f_frsize;
        let used = figures.f_blocks.saturating_sub(figures.f_bfree);
        for (gauge, blocks) in self.sizes.iter().zip([figures.f_blocks, used, figures.f_bavail]) {
            let bytes = blocks.checked_mul(unit).and_then(|bytes| i64::try_from(bytes).ok());
            tick.push(gauge, bytes);
        }
        tick.push(&self.used_ratio, ratio(used, used.saturating_add(figures.f_bavail)));
        let inodes = ratio(figures.f_files.saturating_sub(figures.f_ffree), figures.f_files);
        tick.push(&self.inodes_used_ratio, inodes);
    }
}

fn figures(path: &Path) -> io::Result<StatVfs> {
    Ok(statvfs(path)?)
}

/// Ticks for which a filesystem without blocks is not asked, and a table of mounts that is told to be the
/// same not read. Most of what a host mounts is the kernel's own and never has blocks, but what a program
/// makes may get some; a folder above a mount may be renamed, of which nothing is told.
const REST_TICKS: u32 = 60;

/// A line of `mountinfo`.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Entry {
    device: String,
    /// The folder of the filesystem that is mounted: `/` unless it is a bind mount.
    folder: String,
    point: String,
    fstype: String,
}

/// The table of mounts; lines that are not UTF-8 or not of its form are left out.
fn parse(table: &[u8]) -> Vec<Entry> {
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter_map(|line| parse_line(std::str::from_utf8(line).ok()?)).collect()
}

fn parse_line(line: &str) -> Option<Entry> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(2);
    let (device, folder, point) = (fields.next()?, fields.next()?, fields.next()?);
    Some(Entry {
        device: device.to_owned(),
        folder: unescape(folder)?,
        point: unescape(point)?,
        fstype: unescape(filesystem.split(' ').next()?)?,
    })
}

/// The kernel writes space, tab, line feed and backslash as a backslash and three octal digits.
fn unescape(text: &str) -> Option<String> {
    let mut parts = text.split('\\');
    let mut plain = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (octal, rest) = part.split_at_checked(3)?;
        plain.push(u8::from_str_radix(octal, 8).ok()?);
        plain.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(plain).ok()
}

/// One mount of each device, the one of its root folder if there is one; of several mounts at one
/// point the last, which hides the others. Sorted by mount point.
fn once_per_device(entries: impl Iterator<Item = Entry>) -> Vec<Entry> {
    let mut by_point: BTreeMap<String, Entry> = BTreeMap::new();
    for entry in entries {
        by_point.insert(entry.point.clone(), entry);
    }
    let mut by_device: BTreeMap<String, Entry> = BTreeMap::new();
    for entry in by_point.into_values() {
        let is_better = by_device
            .get(&entry.device)
            .is_none_or(|other| other.folder != "/" && entry.folder == "/");
        if is_better {
            by_device.insert(entry.device.clone(), entry);
        }
    }
    let mut chosen: Vec<Entry> = by_device.into_values().collect();
    chosen.sort_by(|left, right| left.point.cmp(&right.point));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 8:1 /var/lib/x /srv/bind rw - ext4 /dev/sda1 rw
24 22 0:5 / /dev rw,nosuid shared:2 master:1 - devtmpfs udev rw
25 22 8:2 / /mnt/with\\040space rw - xfs /dev/sdb rw
26 22 8:3 / /mnt/with\\040space rw - btrfs /dev/sdc rw
this is no mount
27 22 8:4 /part /only/bind rw - ext4 /dev/sdd rw
";

    #[test]
    fn each_device_is_sampled_once_at_its_root() {
        let chosen = once_per_device(parse(TABLE.as_bytes()).into_iter());
        let points: Vec<_> = chosen.iter().map(|e| (e.point.as_str(), e.fstype.as_str())).collect();
        let expected = [
            ("/", "ext4"),
            ("/dev", "devtmpfs"),
            ("/mnt/with space", "btrfs"),
            ("/only/bind", "ext4"),
        ];
        assert_eq!(points, expected);
    }

    #[test]
    fn escapes_of_the_kernel_are_undone_and_broken_ones_refused() {
        assert_eq!(unescape("a\\040b\\134c").as_deref(), Some("a b\\c"));
        assert_eq!(unescape("a\\04"), None);
        assert_eq!(unescape("a\\999"), None);
        assert_eq!(unescape("a\\0é"), None);
    }
}
