//! Bounds of the agent's memory, with the sums that justify them. Those that both sides keep are
//! `headwater_protocol::limits`.
//!
//! At rest an agent holds some 6 MB (LIMITS page, section 6). Under load it adds what is listed here:
//! 6 MiB that wait in the spool's thread, some 11 MiB while a batch of the largest body is packed
//! (columns, body, zstd's buffers), 2 MiB that QUIC sends, 1 MiB of pages: some 26 MB in all. Two rotated
//! logs that are unpacked at a time take 1.2 MiB more, a pattern of records of several lines a few.

use headwater_protocol::limits::{SERIES_PER_BATCH_MAX, STREAMS_PER_LANE_MAX};

/// Bytes of chunks that wait for the spool's thread or for a seal: one batch of the largest body that
/// fills while another is packed. Beyond it the reading of files waits.
pub const CHUNK_BYTES_WAITING_MAX: usize = 6 << 20;
/// What a chunk counts for at least: its lines' list and its place in the queue.
pub const CHUNK_BYTES_LEAST: usize = 1 << 10;
/// Messages that wait for the spool's thread: each producer has a few at most, chunks are bounded by
/// their bytes.
pub const SPOOL_INPUTS_MAX: usize = 64;

/// Bytes of a batch that the spool keeps in memory until the next one of its lane is sealed: one of a host's
/// samples has some hundreds. A larger one is read from the file when it is sent.
pub const NEWEST_BYTES_MAX: usize = 16 << 10;

/// Runs of ended sources that a lane remembers, the newest: twice as many as the ledger. Some 700 bytes each, in
/// the spool's thread and the tail's.
pub const RUNS_KEPT: usize = 2 * STREAMS_PER_LANE_MAX;
/// Runs beyond those, until the oldest are let go: the headers of all that the spool holds are read for it.
pub const RUNS_STEP: usize = 512;

/// Runs that a lane remembers for the sake of the grace buffer, and of files whose folder shows nothing: where it speaks of more, its oldest batches are
/// trimmed. 6 MiB of a lane at most.
pub const RUNS_MAX: usize = 4 * RUNS_KEPT;

/// Processors that are sampled one by one: two of 192 cores with two threads each are 768.
pub const CORES_MAX: usize = 1024;
/// Mounts that are sampled, with 5 series each.
pub const MOUNTS_MAX: usize = 256;
/// Disks whose traffic is sampled, with 5 series each: a shelf of 102 and those of its server.
pub const DISKS_MAX: usize = 128;
/// Network interfaces that are sampled, with 6 series each. Those of containers are left out by name.
pub const INTERFACES_MAX: usize = 128;
/// Sensors that are sampled: one for each core of two large processors, and 64 more. Each keeps a file
/// open, which together with 256 tailed files stays well below the usual limit of 1,024.
pub const SENSORS_MAX: usize = 256;
/// Bytes of the name of a disk, an interface or a sensor. The kernel's own end at 31 and 15; a sensor's
/// is put together of three.
pub const NAME_BYTES_MAX: usize = 128;
/// Series of the host as a whole: processors 8, memory 5, swap 2, load and uptime 4, pressure 5,
/// processes 1.
const HOST_SERIES: usize = 25;

// A tick is never split: all its series must fit into one batch's dictionary. Names included it stays
// below 2.5 MiB, when each of 256 mounts has a path of 1,024 bytes.
const _: () = assert!(
    HOST_SERIES + CORES_MAX + 5 * MOUNTS_MAX + 5 * DISKS_MAX + 6 * INTERFACES_MAX + SENSORS_MAX
        <= SERIES_PER_BATCH_MAX
);
