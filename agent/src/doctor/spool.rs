//! The spool: its folder, its disk, and its file as far as nobody has it open.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use headwater_certs::identity::DeviceIdentity;
use headwater_protocol::identity::DeviceId;
use rustix::fs::{FsWord, statfs};

use super::finding::Finding;
use super::{AS_ITS_USER, parted, shown};
use crate::config::{Config, SpoolConfig};
use crate::spool::audit::{FileState, Outline, outline};
use crate::spool::{Disk, HostFacts};
use crate::status::Status;

pub(super) fn look(
    config: &Config,
    identity: Option<&DeviceIdentity>,
    status: Option<&Status>,
) -> Vec<Finding> {
    let spool = &config.spool;
    // Before its first start a spool is made in the nearest folder that is there.
    let nearest = spool.dir.ancestors().find(|folder| folder.is_dir());
    let nearest = nearest.unwrap_or(Path::new("/")).to_owned();
    let device = identity.map(|identity| DeviceId(identity.device().to_bytes()));
    let mut findings =
        vec![folder(&spool.dir, &nearest), room(spool, &nearest), filesystem(&nearest)];
    let facts = HostFacts::of(&config.sample.host.root, &config.sample.host.sys);
    match outline(&spool.dir, &facts) {
        Ok(outline) => {
            findings.extend(file(&outline, device, status.is_some()));
            findings.push(host(&outline.state, status));
        }
        Err(error) => findings.push(
            Finding::failed("spool file", format!("{} can't be read", shown(&spool.dir)))
                .why(error.to_string())
                .next(AS_ITS_USER),
        ),
    }
    findings
}

/// Whether the folder can be written to, and whether its disk keeps what it was told to.
fn folder(dir: &Path, nearest: &Path) -> Finding {
    let (dir, is_there) = (shown(dir), dir == nearest);
    match sync_a_file(nearest) {
        Ok(took) if is_there => {
            Finding::ok("spool folder", format!("{dir} is writable, fsync took {}", millis(took)))
        }
        Ok(took) => Finding::ok(
            "spool folder",
            format!("{dir} is made at the first start, fsync there took {}", millis(took)),
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Finding::failed("spool folder", format!("{dir} can't be written to"))
                .why(error.to_string())
                .next(format!(
                    "as the user that runs the agent; or make it that user's: chown -R USER '{}'",
                    shown(nearest)
                ))
        }
        Err(error) => Finding::failed("spool folder", format!("no file can be kept in {dir}"))
            .why(error.to_string())
            .next("look at the disk: df, mount, dmesg"),
    }
}

/// Writes a file of one page, has it synced, and takes it away again.
fn sync_a_file(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!("doctor.{}", std::process::id()));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
    let started = Instant::now();
    let synced = file.write_all(&[0; 4096]).and_then(|()| file.sync_all());
    let took = started.elapsed();
    fs::remove_file(&path)?;
    synced.map(|()| took)
}

/// What is left on the disk, against what is to stay free.
fn room(spool: &SpoolConfig, nearest: &Path) -> Finding {
    let disk = match Disk::of(nearest, spool.min_free) {
        Ok(disk) => disk,
        Err(error) => {
            let found = format!("the filesystem of {} does not tell", shown(nearest));
            return Finding::failed("spool room", found)
                .why(error.to_string())
                .next("look at the disk: df, mount, dmesg");
        }
    };
    let found = format!("{} free, {} of it stay free", bytes(disk.free), bytes(disk.keep));
    if !disk.may_grow() {
        return Finding::failed("spool room", found)
            .why("the disk is full: files are not read any further, of the samples the oldest go and are declared")
            .next(format!("make room on the disk of {}; what stays free is spool.min_free", shown(nearest)));
    }
    let held = fs::metadata(spool.dir.join("reserve")).map_or(0, |file| file.len());
    let used = fs::metadata(spool.dir.join("spool.redb")).map_or(0, |file| file.len());
    let reserve = spool.reserve.0.saturating_sub(held);
    let may_take = disk.free.saturating_sub(disk.keep).saturating_sub(reserve);
    let wanted = spool.max_bytes.0.saturating_sub(used);
    if may_take < wanted {
        return Finding::warning("spool room", found)
            .why(format!(
                "the spool may take {} more (spool.max_bytes), the disk gives it {}",
                bytes(wanted),
                bytes(may_take)
            ))
            .next("make room, or lower spool.max_bytes");
    }
    Finding::ok("spool room", format!("{found}, the spool may take {} more", bytes(wanted)))
}

/// Whether the filesystem is one that outlives the host's power and the container.
fn filesystem(nearest: &Path) -> Finding {
    let kind = match statfs(nearest) {
        Ok(found) => found.f_type,
        Err(error) => {
            return Finding::skipped("spool disk", format!("its kind is not told: {error}"));
        }
    };
    let (name, why) = match kind {
        TMPFS => ("in memory (tmpfs)", "it is gone when the host restarts"),
        OVERLAY => ("a container's own (overlay)", "it is gone when the container is made anew"),
        NFS => ("a network's (nfs)", "locks and fsync are the server's there, and it may be away"),
        _ => return Finding::ok("spool disk", "its filesystem is a disk's"),
    };
    Finding::warning("spool disk", format!("its filesystem is {name}"))
        .why(format!("{why}: what was not sent until then is lost"))
        .next("set spool.dir to a folder of a local disk, in a container to a volume")
}

fn file(outline: &Outline, device: Option<DeviceId>, is_running: bool) -> Vec<Finding> {
    let path = shown(&outline.file);
    let found = match &outline.state {
        FileState::Missing => Finding::ok("spool file", "there is none yet"),
        FileState::InUse if is_running => {
            Finding::skipped("spool file", "not looked into: the running agent has it open")
        }
        FileState::InUse => {
            Finding::failed("spool file", format!("{path} is open, and no agent answers"))
                .why("another process has it, or an agent that does not serve its socket")
                .next(format!("fuser -v '{path}' names it"))
        }
        FileState::Closed { device: owner, .. } if device.is_some_and(|it| it != *owner) => {
            Finding::warning("spool file", format!("it belongs to the device {owner}"))
                .why("this host was enrolled again: the next start sets it aside and begins another")
                .next(format!("what it holds: headwater-agent spool export --device {owner}"))
        }
        FileState::Closed { .. } => {
            Finding::ok("spool file", "closed and readable; headwater-agent spool verify reads all of it")
        }
        FileState::Unclosed => {
            Finding::ok("spool file", "it was not closed: the next start puts it in order")
        }
        FileState::Unusable(why) => Finding::failed("spool file", format!("{path} can't be used"))
            .why(why.escape_debug().to_string())
            .next("start the agent: it takes over what can be read, reads files again and declares the rest"),
    };
    let mut findings = vec![found];
    if let Some(last) = outline.set_aside.last() {
        let count = outline.set_aside.len();
        findings.push(
            Finding::warning("set aside", format!("{count} spool files, the last {}", shown(last)))
                .why("they were damaged or of another device; what could be read was taken over")
                .next(format!(
                    "look into it: headwater-agent spool export '{}'; then delete it",
                    shown(last)
                )),
        );
    }
    findings
}

/// Whether this is still the host that the spool was filled on.
fn host(state: &FileState, status: Option<&Status>) -> Finding {
    let copied = match (status, state) {
        (Some(status), _) => status.copied.as_ref(),
        (None, FileState::Closed { copied, .. }) => copied.as_ref(),
        (None, _) => {
            return Finding::skipped("host", "not compared: the spool was not looked into");
        }
    };
    let Some(copied) = copied else {
        return Finding::ok("host", "the one that the spool was filled on");
    };
    let sentence = copied.sentence();
    let (why, next) = parted(&sentence);
    Finding::warning("host", format!("its {} is another than the spool's", copied.what))
        .why(format!("{why}, or its hardware was exchanged"))
        .next(next.unwrap_or_default())
}

fn millis(took: Duration) -> String {
    format!("{}.{} ms", took.as_millis(), took.as_micros() / 100 % 10)
}

fn bytes(count: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.iter().find(|(_, shift)| count >> shift > 0);
    unit.map_or_else(
        || format!("{count} B"),
        |(unit, shift)| {
            format!("{}.{} {unit}", count >> shift, (count >> (shift - 3)) * 10 / 8 % 10)
        },
    )
}

// Source: the kernel's linux/magic.h.
const TMPFS: FsWord = 0x0102_1994;
const OVERLAY: FsWord = 0x794c_7630;
const NFS: FsWord = 0x6969;
