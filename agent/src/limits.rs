//! Bounds of the agent's memory, with the sums that justify them. Those that both sides keep are
//! `headwater_protocol::limits`.
//!
//! At rest an agent holds some 6 MB (LIMITS page, section 6). Under load it adds what is listed here:
//! 6 MiB that wait in the spool's thread, some 11 MiB while a batch of the largest body is packed
//! (columns, body, zstd's buffers), 2 MiB that QUIC sends, 1 MiB of pages: some 26 MB in all. Two rotated
//! logs that are unpacked at a time take 1.2 MiB more, a pattern of records of several lines a few.

/// Bytes of chunks that wait for the spool's thread or for a seal: one batch of the largest body that
/// fills while another is packed. Beyond it the reading of files waits.
pub const CHUNK_BYTES_WAITING_MAX: usize = 6 << 20;
/// What a chunk counts for at least: its lines' list and its place in the queue.
pub const CHUNK_BYTES_LEAST: usize = 1 << 10;
/// Messages that wait for the spool's thread: each producer has a few at most, chunks are bounded by
/// their bytes.
pub const SPOOL_INPUTS_MAX: usize = 64;
