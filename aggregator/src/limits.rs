//! Every bound of the aggregator on memory, disk and peers, with the sums that justify them.
//!
//! **Memory.** Batches between arrival and ack: `IN_FLIGHT_BYTES_MAX`, each held twice (as a batch and
//! as the entry that is being appended) = 128 MiB. Each fold worker opens one body at a time: 16 MiB
//! decoded and 4 MiB unpacked. Live subscribers hold `LIVE_BYTES_MAX` at most. Page cache of the log:
//! `LOG_CACHE_BYTES` per file = 16 MiB. An idle session takes 75 KiB (measured), a busy one up to the
//! receive window of its connection.

use std::fmt;
use std::time::Duration;

use headwater_protocol::limits::{BATCH_BYTES_MAX, IN_FLIGHT_MAX};

/// A size in bytes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ByteCount(pub u64);

impl fmt::Display for ByteCount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1_u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match units.into_iter().find(|(unit, _)| self.0 >= *unit) {
            Some((unit, name)) if self.0.is_multiple_of(unit) => {
                write!(out, "{} {name}", self.0 / unit)
            }
            Some((unit, name)) => {
                write!(out, "{}.{} {name}", self.0 / unit, self.0 % unit * 10 / unit)
            }
            None => write!(out, "{} B", self.0),
        }
    }
}

/// Bytes of an entry of the log: a batch, and room for what stands before it. The same as a record of
/// a Kafka log may have, so that one log can become the other.
pub const ENTRY_BYTES_MAX: usize = BATCH_BYTES_MAX + (64 << 10);
/// Files of an embedded log that is made, each with a writer thread of its own: two fsyncs can overlap on most disks.
/// A commit takes a millisecond of processor time whatever is in it, so what comes from many agents had better share
/// few: with 5,000 devices a batch took 1.26 ms in two files, 1.44 in four and 1.35 in one (measured in turn).
/// A log of fewer shards has as many files as shards; one that is there keeps those that it was made with.
pub const LOG_FILES: u16 = 2;
/// Files that a log may have been made with.
pub const LOG_FILES_MAX: u16 = 64;
/// Page cache of each file of the log. The fold reads from memory what it appended, so the cache holds
/// the upper pages of the trees only.
pub const LOG_CACHE_BYTES: usize = 4 << 20;
/// Bytes of one group commit. A longer transaction would make its first entry wait for the last.
pub const GROUP_BYTES_MAX: usize = 8 << 20;
/// Free bytes of the disk below which nothing is taken, whatever the share says: twice what is in
/// flight, so that what was taken can always be written.
pub const FREE_BYTES_MIN: u64 = 2 * IN_FLIGHT_BYTES_MAX;
/// Snapshots that are kept of each shard: one may fail its tip check. One more is that which sinks go on from.
pub const SNAPSHOTS_KEPT: usize = 2;
/// Batches after which a snapshot is due, whatever the clock says.
pub const SNAPSHOT_BATCHES: u64 = 10_000;
/// Bytes read from the log at once, at recovery and for replays.
pub const READ_BYTES: ByteCount = ByteCount(4 << 20);
/// Dead letters that are kept of each shard, the newest ones; each is a batch of at most 2 MiB.
pub const DEAD_LETTERS_MAX: u64 = 64;

/// Records that a sink takes at once: 32 bytes a sample, so 16 MiB of them while their file is made.
pub const SINK_RECORDS_MAX: u64 = 500_000;
/// Bytes of unpacked bodies that a sink takes at once. Lines are held twice while their file is made: as rows, and packed.
pub const SINK_BYTES_MAX: u64 = 16 << 20;

/// Bytes of files that the rest of the history may have: what its reader holds in memory. A sink that keeps up leaves the rows of
/// a minute and a quarter; at 2.3 B a sample 256 MiB are a hundred million.
pub const REST_BYTES_MAX: u64 = 256 << 20;
/// Who may read the rest at once: each has a fold of its own, and a range in memory. Others wait.
pub const REST_READERS_MAX: usize = 2;

/// Bytes of batches between arrival and ack, all sessions together.
pub const IN_FLIGHT_BYTES_MAX: u64 = 64 << 20;
/// Bytes of batches between arrival and ack, of one session: both lanes at their aim of 511 KiB.
pub const SESSION_BYTES_MAX: u64 = 8 << 20;
/// What the smallest batch is charged: its entry, its answer and its place in two queues.
pub const BATCH_CHARGE_MIN: u64 = 16 << 10;
/// Batches between arrival and ack, all sessions together.
pub const IN_FLIGHT_BATCHES_MAX: usize = (IN_FLIGHT_BYTES_MAX / BATCH_CHARGE_MIN) as usize;
/// Batches and hellos of one lane that are not answered yet.
pub const LANE_SLOTS: usize = IN_FLIGHT_MAX + 1;
/// Inputs that wait for one fold worker: all batches in flight twice (as they come and once they are
/// durable), so that a log writer never waits for a fold worker that waits for it; the rest is for
/// hellos and questions, whose senders wait.
pub const FOLD_INPUTS_MAX: usize = 2 * IN_FLIGHT_BATCHES_MAX + 1024;
/// Requests that wait for one log writer: all batches in flight, and a snapshot, a dead letter and a
/// control entry of every shard.
pub const LOG_REQUESTS_MAX: usize = IN_FLIGHT_BATCHES_MAX + 4096;
/// Applied batches that wait for the slowest live subscriber.
pub const LIVE_BATCHES_MAX: usize = 1024;
/// Bytes of decoded batches that live subscribers may hold. Beyond it they are not shown to anyone.
pub const LIVE_BYTES_MAX: u64 = 64 << 20;

/// Bytes that the latest samples of one device take, and as much for the names of its sources: 4,096
/// series of 256 bytes, where a host with 20 mounts has about 100.
pub const KNOWN_BYTES_MAX: usize = 1 << 20;
/// Times that receipts may raise the generation of one shard between two starts. A log loses its tail
/// while no node has it open; more claims than this are lies.
pub const REGRESSIONS_PER_START_MAX: u32 = 8;
/// How far ahead of ours the generation of a receipt may be. A log is restored a few times in its life.
pub const GENERATIONS_AHEAD_MAX: u64 = 1024;

/// Connections whose handshake is under way. Source: FAILURES page, section 7, like all of this block.
pub const HANDSHAKES_MAX: usize = 256;
/// Handshakes under way above which a stranger has to prove its address first.
pub const HANDSHAKES_BEFORE_RETRY: usize = 64;
/// Longest handshake, and longest wait for the first frame after it.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a session is waited for that is asked whether its process is alive. FAILURES page, F2.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a newer session waits for what an older one answers: some round trips around the world. A
/// host that was killed waits no longer than this before it is served again.
pub const CLONE_HOLD: Duration = Duration::from_millis(250);
/// Epochs that a device may open within a day before it is slowed down and shown as unstable: four times both
/// lanes, so a host that is restored every six hours. FAILURES page, section 5.
pub const EPOCHS_PER_DAY_MAX: u32 = 8;
/// Longest wait of such a device before it may open the next.
pub const OPENING_WAIT_MAX: Duration = Duration::from_secs(60);
/// Silence after which a session is over.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
/// Interval between keep-alives: two fit into the 30 s after which many middleboxes forget a flow.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(14);
/// Streams that an agent may open: one for the session, one per lane, one to spare.
pub const BIDI_STREAMS_MAX: u32 = 4;
/// Bytes that may wait in one stream.
pub const STREAM_WINDOW_BYTES: u32 = 512 << 10;
/// Bytes that may wait in one connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 2 << 20;
/// Bytes of answers that may wait for an agent that does not read: eight lane states.
pub const SEND_WINDOW_BYTES: u64 = 2 << 20;
/// Shortest interval between two resets, by which peers learn that their connection is of a process that has ended.
/// All agents of a node that was killed are told as they come; at the library's 20 ms, ten thousand found out by
/// silence. Garbage gets none, and a reset is smaller than what asks for it. Source: FAILURES page, F18.
pub const RESET_INTERVAL_MIN: Duration = Duration::from_micros(100);
/// Smallest receive buffer of the socket that is not worth a warning.
pub const RECEIVE_BUFFER_BYTES_MIN: u64 = 1 << 20;
/// How long a stopping node waits for agents to hear that it stops.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// How long an agent waits before it asks again whether the disk has room.
pub const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Enrolments under way. Each takes 64 KiB at most, for 5 s at most.
pub const ENROLMENTS_MAX: usize = 64;
/// Longest enrolment, handshake included.
pub const ENROL_TIMEOUT: Duration = Duration::from_secs(5);
/// Tries to enrol from one address per minute. A group of hosts behind one address joins in minutes.
pub const ENROL_TRIES_PER_ADDRESS: u32 = 30;
/// Tries to enrol from all addresses per minute: a signature and an fsync each.
pub const ENROL_TRIES: u32 = 600;
/// Addresses whose tries are counted. When there are more, the minute is over for all of them.
pub const ENROL_ADDRESSES_MAX: usize = 4096;

/// Thresholds of all owners together: each looks at every series of its metric in every window.
pub const RULES_MAX: usize = 500;
/// Series that one threshold watches at once: those that pass its limit, and those it adds up. Ten times
/// the mounts of 1,000 hosts.
pub const ALERT_SERIES_PER_RULE_MAX: usize = 50_000;
/// Series that all thresholds watch at once: 400 bytes each = 80 MB, and as much in a snapshot.
pub const ALERT_SERIES_MAX: usize = 200_000;
/// Changes of alerts that wait for notices: 1 KiB each. A destination that is further behind misses some,
/// and is told how many.
pub const ALERT_CHANGES_MAX: usize = 10_000;
/// Ended alerts that are kept to be shown: 1 KiB each.
pub const ALERTS_ENDED_MAX: usize = 1_000;
/// Sets of rules that wait for their first window. They hold two windows after they are published, so
/// there are more only where the clocks of devices stand still.
pub const RULE_SETS_WAITING_MAX: usize = 8;
/// Bytes of a file of thresholds: `RULES_MAX` of them with a sentence each.
pub const THRESHOLD_FILE_BYTES_MAX: usize = 1 << 20;
/// Revisions of thresholds that are kept: the audit keeps what each one changed for good.
pub const RULE_SETS_KEPT: u64 = 1_000;
/// Longest wait for a webhook, from its name to its answer. Source: SECURITY page, section 9, like the next.
pub const NOTICE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer's head that are read; its body is not.
pub const NOTICE_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Tries after which a notice is given up: waits of 2.5 min on average make it more than an hour, in which
/// a receiver is mended or somebody knows.
pub const NOTICE_TRIES_MAX: u32 = 40;
/// The longest first wait of a notice that was not taken.
pub const NOTICE_WAIT_FIRST: Duration = Duration::from_secs(1);
/// The longest wait of a notice that was not taken.
pub const NOTICE_WAIT_MAX: Duration = Duration::from_secs(300);
/// Bytes of a webhook's secret or roots.
pub const NOTICE_FILE_BYTES_MAX: u64 = 1 << 20;
/// Webhooks of a configuration: a task and a cursor each.
pub const WEBHOOKS_MAX: usize = 64;
