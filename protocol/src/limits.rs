//! Every bound that both sides keep, with the reason for it. Source: FAILURES page, section 5, unless
//! another is given.

/// Bytes of a batch, compressed, header included: what a frame, a spool row and a log entry may hold.
pub const BATCH_BYTES_MAX: usize = 2 << 20;
/// Bytes of a batch's body before compression. What compresses well is sealed by this limit, and
/// nothing larger is ever decompressed.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Bytes that a compressed batch aims at: just under 512 KiB, because redb takes a run of 2^(n+1)
/// bytes for a value of exactly 2^n.
pub const BATCH_BYTES_AIM: usize = 511 << 10;
/// The largest window that a zstd frame may ask for: 2^22 = 4 MiB, the largest body.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 22;
/// Records (ticks, events, facts, gaps) in one batch. 65,536 lines of 64 bytes fill the largest body;
/// a decoded record takes about 130 bytes, so a decoded batch stays below 16 MiB.
pub const RECORDS_PER_BATCH_MAX: usize = 65_536;
/// Samples in one batch: at 24 bytes each when decoded, 6 MiB.
pub const SAMPLES_PER_BATCH_MAX: usize = 262_144;
/// Facts (name and value) in one batch: short ones take 120 to 160 bytes each when decoded, all of them
/// 2.5 MiB. They are told once an hour, some 20 at a time.
pub const FACTS_PER_BATCH_MAX: usize = 16_384;
/// Bytes of one body inside a batch; larger ones are split by their source.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// Streams that one batch covers. 256 sources per device, and each may change its run within a batch.
pub const SPANS_PER_BATCH_MAX: usize = 512;
/// Bytes of a body that travels by how it differs from the one before, and of what is remembered of that: a
/// minute of samples of 256 series.
pub const CODED_BYTES_MAX: usize = 32 << 10;
/// Series of such a body; each takes some 250 bytes of memory on both sides.
pub const CODED_SERIES_MAX: usize = 512;
/// Bytes of a definition as it travels: what an event of 64 KiB has in common with others of its kind.
pub const DEFINITION_BYTES_MAX: usize = 16 << 10;
/// Definitions in one batch: of as many templates as a field may have, and of all its streams.
pub const DEFINITIONS_PER_BATCH_MAX: usize = 4096 + SPANS_PER_BATCH_MAX;
/// Bytes of definitions that a node remembers of a lane in a session: those of 45 kinds of events of 6 KB take 80 KiB.
pub const DEFINITIONS_BYTES_MAX: usize = 256 << 10;
/// Definitions that a node remembers of a lane in a session.
pub const DEFINITIONS_MAX: usize = 1024;
/// Bytes of what is not definitions in a body that travels by what is like it in those before. Such a body is not packed.
pub const ECHOED_BYTES_MAX: usize = 16 << 10;
/// Bytes of such bodies that both ends remember.
pub const ECHOES_BYTES_MAX: usize = 16 << 10;
/// Series in one batch's dictionary: 256 mounts with 16 series each.
pub const SERIES_PER_BATCH_MAX: usize = 4096;
/// Labels of one series or one device.
pub const LABELS_MAX: usize = 64;
/// Bytes of a metric's name, of a label's name or value, and of a fact.
pub const TEXT_BYTES_MAX: usize = 1024;
/// Bytes of a path. Source: `PATH_MAX` of Linux.
pub const PATH_BYTES_MAX: usize = 4096;
/// Streams whose positions the ledger keeps for one lane of a device. 256 sources, and four runs of
/// each; the one that was quiet longest is forgotten first, and the horizon rises to its number.
pub const STREAMS_PER_LANE_MAX: usize = 1024;
/// Bytes of a control frame: a lane's whole state (1,024 streams of about 70 bytes) fits twice.
pub const CONTROL_FRAME_BYTES_MAX: usize = 192 << 10;
/// Batches of one lane that are on their way at once.
pub const IN_FLIGHT_MAX: usize = 8;
/// Combinations that samples are added up by: each costs a row per key and series in every window.
pub const COMBINATIONS_MAX: usize = 64;
/// Longest window, and longest wait for what is late, in microseconds: one hour.
pub const WINDOW_US_MAX: u64 = 3_600_000_000;
/// Bytes of a snapshot's chunk.
pub const SNAPSHOT_CHUNK_BYTES_MAX: usize = 512 << 10;
