//! What the node counts about itself. Each stage has its own part, named after it; `/metrics` shows all.

mod alert;
mod latency;
mod merge;
mod sink;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

pub use alert::{AlertMetrics, NoticeLabel};
pub(crate) use latency::{Latency, LatencyCounts};
pub use merge::MergeMetrics;
pub use sink::{SinkErrorLabel, SinkLabel, SinkMetrics};

/// Everything that is counted, and the registry that prints it.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The log's.
    pub log: LogMetrics,
    /// The fold's.
    pub fold: FoldMetrics,
    /// The merge fold's.
    pub merge: MergeMetrics,
    /// The merge log's.
    pub merge_log: LogMetrics,
    /// The intake's.
    pub intake: IntakeMetrics,
    /// Enrolment's.
    pub enrol: EnrolMetrics,
    /// Those of alerts.
    pub alert: AlertMetrics,
    /// Those of sinks.
    pub sink: SinkMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("headwater");
        Self {
            log: LogMetrics::register(registry.sub_registry_with_prefix("log")),
            fold: FoldMetrics::register(registry.sub_registry_with_prefix("fold")),
            merge: MergeMetrics::register(registry.sub_registry_with_prefix("merge")),
            merge_log: LogMetrics::register(registry.sub_registry_with_prefix("merge_log")),
            intake: IntakeMetrics::register(registry.sub_registry_with_prefix("intake")),
            enrol: EnrolMetrics::register(registry.sub_registry_with_prefix("enrol")),
            alert: AlertMetrics::register(registry.sub_registry_with_prefix("alert")),
            sink: SinkMetrics::register(registry.sub_registry_with_prefix("sink")),
            registry,
        }
    }
}

impl Metrics {
    /// All of it in the text format of OpenMetrics.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

/// What the log counts.
#[derive(Clone, Debug)]
pub struct LogMetrics {
    /// Entries appended and durable.
    pub entries: Counter,
    /// Bytes of them.
    pub bytes: Counter,
    /// Group commits.
    pub commits: Counter,
    /// Time of a group commit.
    pub commit_seconds: Histogram,
    /// Bytes that are free on the log's disk.
    pub free_bytes: Gauge<u64, AtomicU64>,
}

impl LogMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            entries: Counter::default(),
            bytes: Counter::default(),
            commits: Counter::default(),
            commit_seconds: seconds(),
            free_bytes: Gauge::default(),
        };
        registry.register("entries", "Entries appended", metrics.entries.clone());
        registry.register_with_unit("appended", "Appended", Unit::Bytes, metrics.bytes.clone());
        registry.register("commits", "Group commits", metrics.commits.clone());
        let commit = metrics.commit_seconds.clone();
        registry.register_with_unit("commit", "Time of a group commit", Unit::Seconds, commit);
        let free = metrics.free_bytes.clone();
        registry.register_with_unit("disk_free", "Free on the disk of the log", Unit::Bytes, free);
        metrics
    }
}

/// What the fold counts.
#[derive(Clone, Debug)]
pub struct FoldMetrics {
    /// Batches by verdict.
    pub batches: Family<VerdictLabel, Counter>,
    /// Records applied.
    pub records: Counter,
    /// Bytes of batches applied, as they travelled.
    pub bytes: Counter,
    /// Records that applied gaps stand for.
    pub gap_records: Counter,
    /// Batches applied as gaps because their bodies can't be opened.
    pub dead_letters: Counter,
    /// Batches whose totals did not follow from those before.
    pub unequal: Counter,
    /// Times that the log was found to have lost a tail.
    pub regressions: Counter,
    /// Entries appended by this node that are not folded yet.
    pub lag_entries: Gauge,
    /// Age of the oldest state that no snapshot holds.
    pub snapshot_age_seconds: Gauge<f64, AtomicU64>,
    /// Batches that live subscribers were not shown because they held too much memory.
    pub live_skipped: Counter,
}

impl FoldMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            batches: Family::default(),
            records: Counter::default(),
            bytes: Counter::default(),
            gap_records: Counter::default(),
            dead_letters: Counter::default(),
            unequal: Counter::default(),
            regressions: Counter::default(),
            lag_entries: Gauge::default(),
            snapshot_age_seconds: Gauge::default(),
            live_skipped: Counter::default(),
        };
        registry.register("batches", "Batches by verdict", metrics.batches.clone());
        registry.register("records", "Records applied", metrics.records.clone());
        registry.register_with_unit(
            "applied",
            "Batches applied",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        let gaps = metrics.gap_records.clone();
        registry.register("gap_records", "Records that applied gaps stand for", gaps);
        let dead = metrics.dead_letters.clone();
        registry.register("dead_letters", "Batches applied as gaps: undecodable", dead);
        let unequal = metrics.unequal.clone();
        registry.register("ledger_unequal", "Batches whose totals do not add up", unequal);
        let regressions = metrics.regressions.clone();
        registry.register("regressions", "Times that the log had lost a tail", regressions);
        let lag = metrics.lag_entries.clone();
        registry.register("lag_entries", "Entries appended here and not folded yet", lag);
        let age = metrics.snapshot_age_seconds.clone();
        let help = "Age of the oldest state that no snapshot holds";
        registry.register_with_unit("snapshot_age", help, Unit::Seconds, age);
        let skipped = metrics.live_skipped.clone();
        registry.register("live_skipped", "Batches not shown to live subscribers", skipped);
        metrics
    }
}

/// What the fold said of a batch.
#[derive(Clone, Copy, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct VerdictLabel {
    /// The verdict.
    pub verdict: VerdictWord,
}

/// A verdict as a label.
#[derive(Clone, Copy, Debug, EncodeLabelValue, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "the words of the ledger's verdicts")]
#[expect(non_camel_case_types, reason = "labels are lower case")]
pub enum VerdictWord {
    applied,
    duplicate,
    ahead,
    fork,
    stale,
}

/// What the intake counts.
#[derive(Clone, Debug)]
pub struct IntakeMetrics {
    /// Batches that arrived.
    pub batches: Counter,
    /// Bytes of them.
    pub bytes: Counter,
    /// Time from arrival of a batch to its ack on its way.
    pub ack_seconds: Histogram,
    /// The same, for the live figures.
    pub(crate) ack_latency: Arc<Latency>,
    /// Sessions right now.
    pub sessions: Gauge,
    /// Sessions that were opened.
    pub sessions_opened: Counter,
    /// Batches that were not taken, by cause.
    pub refused: Family<CauseLabel, Counter>,
    /// Faults of peers, by kind.
    pub peer_faults: Family<KindLabel, Counter>,
    /// Bytes of batches between arrival and ack.
    pub in_flight_bytes: Gauge,
}

impl IntakeMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            batches: Counter::default(),
            bytes: Counter::default(),
            ack_seconds: seconds(),
            ack_latency: Arc::default(),
            sessions: Gauge::default(),
            sessions_opened: Counter::default(),
            refused: Family::default(),
            peer_faults: Family::default(),
            in_flight_bytes: Gauge::default(),
        };
        registry.register("batches", "Batches that arrived", metrics.batches.clone());
        registry.register_with_unit(
            "arrived",
            "Batches that arrived",
            Unit::Bytes,
            metrics.bytes.clone(),
        );
        let ack = metrics.ack_seconds.clone();
        registry.register_with_unit("ack", "From arrival to ack", Unit::Seconds, ack);
        registry.register("sessions", "Sessions right now", metrics.sessions.clone());
        let opened = metrics.sessions_opened.clone();
        registry.register("sessions_opened", "Sessions that were opened", opened);
        registry.register("refused", "Batches not taken, by cause", metrics.refused.clone());
        let faults = metrics.peer_faults.clone();
        registry.register("peer_faults", "Faults of peers, by kind", faults);
        let bytes = metrics.in_flight_bytes.clone();
        registry.register_with_unit("in_flight", "Between arrival and ack", Unit::Bytes, bytes);
        metrics
    }

    /// Counts a fault of a peer.
    pub fn fault(&self, kind: &'static str) {
        self.peer_faults.get_or_create(&KindLabel { kind }).inc();
    }

    /// Counts a batch that is not taken.
    pub fn refuse(&self, cause: &'static str) {
        self.refused.get_or_create(&CauseLabel { cause }).inc();
    }
}

/// Why a batch is not taken: one of a few words of this program.
#[derive(Clone, Copy, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct CauseLabel {
    /// The word.
    pub cause: &'static str,
}

/// What kind of fault it is: one of a few words of this program.
#[derive(Clone, Copy, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
pub struct KindLabel {
    /// The word.
    pub kind: &'static str,
}

/// What enrolment counts.
#[derive(Clone, Debug)]
pub struct EnrolMetrics {
    /// Devices enrolled.
    pub enrolled: Counter,
    /// Tries that were refused, by reason.
    pub refused: Family<CauseLabel, Counter>,
}

impl EnrolMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self { enrolled: Counter::default(), refused: Family::default() };
        registry.register("devices", "Devices enrolled", metrics.enrolled.clone());
        registry.register("refused", "Tries refused, by reason", metrics.refused.clone());
        metrics
    }

    /// Counts a try that was refused.
    pub fn refuse(&self, cause: &'static str) {
        self.refused.get_or_create(&CauseLabel { cause }).inc();
    }
}

/// From 0.1 ms to 13 s in steps of two: a disk's fsync takes 0.2 ms to 100 ms.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.000_1, 2.0, 18))
}
