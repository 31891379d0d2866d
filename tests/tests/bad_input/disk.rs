//! Disks that are full: a small file system in memory under the spool, and under the log.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use headwater_protocol::identity::Lane;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::site::Site;
use headwater_tests::waiting::until;
use rustix::fs::{FallocateFlags, fallocate, statvfs};
use rustix::process::{Pid, Resource, Rlimit};

#[test]
fn a_full_disk_under_the_spool_loses_no_line_and_declares_every_sample() {
    let mut site = Site::new(5, &["alpha"]);
    let Some(disk) = SmallDisk::mount(&site.agent.spool(), 64) else { return };
    site.agent.start();
    site.write_and_settle(2_000);
    site.write(5_000);
    until("the agent says that its disk is full", || {
        // Somebody else takes what the agent lets go of its reserve.
        disk.fill();
        site.agent.start_again_if_it_ended();
        site.agent.status().is_some_and(|status| status["bulk"]["stall"] == "disk_full")
    });
    site.write(5_000);
    disk.free();
    until("the agent goes on", || {
        site.agent.start_again_if_it_ended();
        site.agent.status().is_some_and(|status| status["bulk"]["stall"].is_null())
    });
    site.settle();
    site.compare().expect_exactly_once(&site.witness);
    let _ = site.aggregator.expect_clean_audit();
    let landed = site.stop_and_read();
    assert_eq!(
        landed.only_device().gap_records(Lane::Bulk),
        0,
        "files are read when there is room"
    );
}

#[test]
fn a_full_disk_under_the_log_makes_agents_wait_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("site");
    let data = Site::data_of(&home);
    std::fs::create_dir_all(&data).unwrap();
    // The aggregator wants 128 MiB free before it takes anything.
    let Some(disk) = SmallDisk::mount(&data, 200) else { return };
    let mut site = Site::within(home, 6, &["alpha"]);
    site.agent.start();
    site.write_and_settle(2_000);
    disk.fill_up_to(64 << 20);
    site.write(5_000);
    until("the agent is told to wait for the disk", || {
        let status = site.agent.status().unwrap_or_default();
        status["ship"]["lane_paused"].as_str().is_some_and(|why| why.contains("disk"))
    });
    // Then there is no room at all: what can't be written ends the process, which is started again.
    disk.fill();
    let waiting =
        |site: &Site| site.agent.status().and_then(|it| it["live"]["unsent_batches"].as_u64());
    let before = waiting(&site);
    let mut ended = 0;
    until("three more samples wait in the spool", || {
        ended += u32::from(start_again_if_it_ended(&mut site.aggregator));
        waiting(&site) >= before.map(|before| before + 3)
    });
    eprintln!("with no room at all the aggregator ended {ended} times");
    disk.free();
    until("it is ready again", || {
        start_again_if_it_ended(&mut site.aggregator);
        site.aggregator.is_ready()
    });
    site.settle();
    site.compare().expect_exactly_once(&site.witness);
    let audit = site.aggregator.expect_clean_audit();
    assert_eq!(audit["gaps"], 0, "the spool held it all: {audit:#}");
}

#[test]
fn a_limit_on_the_size_of_files_ends_a_program_and_loses_nothing() {
    let mut site = Site::new(7, &["alpha"]);
    site.agent.start();
    site.write_and_settle(2_000);
    // The agent's spool grows while nobody takes what is in it.
    site.aggregator.kill();
    limit(site.agent.process().id(), &site.agent.spool());
    until("the agent ends at the limit", || {
        site.write(2_000);
        site.agent.process().has_ended().is_some()
    });
    site.aggregator.start_and_wait();
    assert!(site.agent.start_again_if_it_ended());
    site.settle();
    site.compare().expect_exactly_once(&site.witness);

    limit(site.aggregator.process().id(), &site.aggregator.data().join("log"));
    until("the aggregator ends at the limit", || {
        site.write(2_000);
        site.aggregator.process().has_ended().is_some()
    });
    site.aggregator.kill();
    site.aggregator.start_and_wait();
    site.settle();
    site.compare().expect_exactly_once(&site.witness);
    let audit = site.aggregator.expect_clean_audit();
    assert_eq!(audit["gaps"], 0, "nothing was lost: {audit:#}");
}

/// Lets a process make no file larger than the largest of a folder.
fn limit(id: u32, folder: &Path) {
    let sizes = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata());
    let largest = sizes.map(|it| it.unwrap().len()).max().unwrap();
    let limit = Rlimit { current: Some(largest), maximum: None };
    let id = Pid::from_raw(i32::try_from(id).unwrap());
    let _ = rustix::process::prlimit(id, Resource::Fsize, limit).unwrap();
}

fn start_again_if_it_ended(aggregator: &mut Aggregator) -> bool {
    let has_ended = aggregator.process().has_ended().is_some();
    if has_ended {
        aggregator.kill();
        aggregator.start();
    }
    has_ended
}

/// A file system in memory, mounted as long as this lives.
struct SmallDisk {
    place: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many MiB; `None` without the right to, which is said.
    fn mount(place: &Path, mib: u32) -> Option<Self> {
        std::fs::create_dir_all(place).unwrap();
        let size = format!("size={mib}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(place);
        let mounted = mount.output().unwrap();
        if mounted.status.success() {
            return Some(Self { place: place.to_owned() });
        }
        eprintln!("needs root: not run, {}", String::from_utf8_lossy(&mounted.stderr));
        None
    }

    /// Takes all room.
    fn fill(&self) {
        self.fill_up_to(0);
    }

    /// Takes all room but so many bytes.
    fn fill_up_to(&self, left: u64) {
        let filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        let mut step: u64 = 1 << 20;
        while step >= 4096 {
            let space = statvfs(&self.place).unwrap();
            let free = (space.f_bavail * space.f_frsize).saturating_sub(left);
            let length = filler.metadata().unwrap().len();
            let take = if free > step { free } else { step };
            let taken = free > 0 && {
                let flags = FallocateFlags::empty();
                fallocate(filler.as_fd(), flags, length, take).is_ok()
            };
            if !taken {
                step /= 2;
            }
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: processes that are about to be killed may still use it.
        let _ = Command::new("umount").arg("--lazy").arg(&self.place).status();
    }
}
