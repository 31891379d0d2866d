//! How much the spool may hold, and whether there is room for more.
//!
//! A lane has a share of `max_bytes`, counted in bytes of the file and not of batches. The filesystem
//! keeps `min_free`. What a full lane does is written in the FAILURES page, I10: files are not read any
//! further, of the samples the oldest are dropped and declared.

mod reserve;

use std::io;
use std::path::Path;

use headwater_protocol::identity::Lane;

pub(super) use self::reserve::Reserve;
use crate::config::{ByteCount, Room, SpoolConfig};

/// The live lane's share of the spool, in percent: samples of a device take some 5 MiB a day, so that
/// a quarter of the default holds them for weeks.
const LIVE_PERCENT: u64 = 25;
/// Below this nothing is sealed at all: a commit writes pages anew before it frees the old ones.
const FREE_BYTES_LEAST: u64 = 1 << 20;

/// What one lane may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Share {
    /// Bytes of the file.
    pub(super) bytes: u64,
    /// Bytes of acked and archived batches that are kept.
    pub(super) grace_bytes: u64,
}

impl Share {
    pub(super) fn of(config: &SpoolConfig, lane: Lane) -> Self {
        let part = |whole: ByteCount| {
            let live = whole.0 / 100 * LIVE_PERCENT;
            match lane {
                Lane::Live => live,
                Lane::Bulk => whole.0 - live,
            }
        };
        Self { bytes: part(config.max_bytes), grace_bytes: part(config.grace_bytes) }
    }
}

/// What the filesystem has left, and what it is to keep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Disk {
    /// Bytes that this process may still take.
    pub free: u64,
    /// Bytes that are to stay free.
    pub keep: u64,
}

impl Disk {
    /// Asks the filesystem of a folder.
    ///
    /// # Errors
    /// If it does not say.
    pub fn of(folder: &Path, keep: Room) -> io::Result<Self> {
        let space = rustix::fs::statvfs(folder)?;
        let bytes = |blocks: u64| blocks.saturating_mul(space.f_frsize);
        let keep = keep.of(ByteCount(bytes(space.f_blocks))).0;
        Ok(Self { free: bytes(space.f_bavail), keep })
    }

    /// Whether the spool may still grow.
    #[must_use]
    pub fn may_grow(self) -> bool {
        self.free >= self.keep.max(FREE_BYTES_LEAST)
    }

    /// Whether anything can still be written.
    pub(super) fn may_write(self) -> bool {
        self.free >= FREE_BYTES_LEAST
    }
}

/// Why a lane takes nothing more for now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stall {
    /// The lane's share of the spool is full of batches that were not acked.
    SpoolFull,
    /// The filesystem has less than `spool.min_free` left.
    DiskFull,
}

impl std::fmt::Display for Stall {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::SpoolFull => {
                "the spool is full (spool.max_bytes); it empties as the aggregator acks"
            }
            Self::DiskFull => {
                "the disk of the spool is full (spool.min_free); free some space on it"
            }
        })
    }
}

/// Whether a lane that holds `footprint` may take `more`; why not, if not.
pub(super) fn stall(share: Share, disk: Disk, footprint: u64, more: u64) -> Option<Stall> {
    if !disk.may_grow() {
        return Some(Stall::DiskFull);
    }
    (footprint + more > share.bytes).then_some(Stall::SpoolFull)
}

/// About what a batch takes of the file: redb gives a large value a run of 2^n pages (LIMITS page,
/// section 4), small ones share a page that is two thirds full.
pub(super) fn footprint(batch_bytes: u64) -> u64 {
    const PAGE_BYTES: u64 = 4096;
    const ROW_BYTES: u64 = 64;
    const LINK_BYTES: u64 = 96;
    let bytes = batch_bytes + ROW_BYTES;
    let run = if bytes <= PAGE_BYTES / 2 {
        bytes * 3 / 2
    } else {
        bytes.next_power_of_two().max(PAGE_BYTES)
    };
    run + LINK_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Share = Share { bytes: 1000, grace_bytes: 0 };

    #[test]
    fn a_lane_stands_still_at_its_share_or_when_the_disk_is_nearly_full() {
        let wide = Disk { free: 1 << 40, keep: 1 << 30 };
        let narrow = Disk { free: 1 << 29, keep: 1 << 30 };
        assert_eq!(stall(SHARE, wide, 900, 100), None);
        assert_eq!(stall(SHARE, wide, 900, 101), Some(Stall::SpoolFull));
        assert_eq!(stall(SHARE, narrow, 0, 1), Some(Stall::DiskFull));
        assert!(narrow.may_write() && !Disk { free: 1000, keep: 0 }.may_write());
    }

    #[test]
    fn both_shares_are_the_whole_spool() {
        let config = crate::config::Config::default().spool;
        let [live, bulk] = Lane::ALL.map(|lane| Share::of(&config, lane));
        assert_eq!(live.bytes + bulk.bytes, config.max_bytes.0);
        assert_eq!(live.grace_bytes + bulk.grace_bytes, config.grace_bytes.0);
        assert!(live.bytes * 3 <= bulk.bytes);
    }

    #[test]
    fn a_value_of_a_whole_power_of_two_takes_twice_as_much() {
        assert_eq!(footprint(511 << 10), (512 << 10) + 96);
        assert_eq!(footprint(512 << 10), (1024 << 10) + 96);
        assert!(footprint(100) < 400);
    }
}
