//! What a node shows of itself: plain values, copied out of the stages that own them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_protocol::header::Counts;
use headwater_protocol::identity::{DeviceId, Generation, Lane, Offset, ShardId, Tip};
use headwater_protocol::ledger::{Dead, LaneLedger, Tallies};
use headwater_protocol::position::{Mark, Stream};
use headwater_protocol::record::{Series, SourceInfo};

/// An enrolled device, with what its shard's fold knows of it.
#[derive(Clone, Debug)]
pub struct DeviceView {
    /// Its id.
    pub id: DeviceId,
    /// Its name, unique on this node: its host name, with `-2`, `-3` after a name that is taken.
    pub name: String,
    /// What it called itself when it was enrolled. From a stranger: escape it before it is shown.
    pub host_name: String,
    /// The group of the token it joined by. `None` if it joined none.
    pub group: Option<String>,
    /// Its shard.
    pub shard: ShardId,
    /// When it was enrolled, microseconds since 1970 UTC.
    pub enrolled_at_us: i64,
    /// When it was revoked. `None` while it is served.
    pub revoked_at_us: Option<i64>,
    /// When two running hosts were found to use its identity. `None` if a person need not decide.
    pub cloned_at_us: Option<i64>,
    /// The end of its certificate, microseconds since 1970 UTC.
    pub certificate_ends_at_us: i64,
    /// When the entry with its last applied batch was appended. `None` if nothing was applied.
    pub last_seen_us: Option<i64>,
    /// Labels and facts that it last sent.
    pub facts: BTreeMap<String, String>,
    /// Its lanes that have applied something, `live` before `bulk`.
    pub lanes: Vec<LaneView>,
    /// The latest sample of each series, in order of series.
    pub latest: Vec<Latest>,
    /// Its session with this node. `None` if there is none right now.
    pub session: Option<SessionView>,
}

/// One lane of a device, as the ledger has it.
#[derive(Clone, Debug)]
pub struct LaneView {
    /// Which lane.
    pub lane: Lane,
    /// The last batch that was applied; `Tip::GENESIS` if only refused ones came.
    pub tip: Tip,
    /// Where the tip was applied; without meaning at genesis.
    pub applied_at: (Generation, Offset),
    /// Everything up to the tip.
    pub totals: Counts,
    /// What of it could not be decoded.
    pub dead: Dead,
    /// How often each verdict fell.
    pub tallies: Tallies,
    /// How far each stream was applied, in order of streams.
    pub streams: Vec<StreamView>,
}

/// How far a stream was applied.
#[derive(Clone, Debug)]
pub struct StreamView {
    /// The stream.
    pub stream: Stream,
    /// The end of what was applied.
    pub mark: Mark,
    /// What its source is. `None` if the agent never said.
    pub source: Option<SourceInfo>,
}

/// The latest sample of a series.
#[derive(Clone, Debug)]
pub struct Latest {
    /// The series; it has the scale of `value`.
    pub series: Arc<Series>,
    /// The value, times ten to the power of the series' scale.
    pub value: i64,
    /// When it was sampled, by the device's clock, microseconds since 1970 UTC.
    pub time_us: i64,
}

/// A session of a device with this node.
#[derive(Clone, Debug)]
pub struct SessionView {
    /// Where the device is.
    pub address: SocketAddr,
    /// When the session began, microseconds since 1970 UTC.
    pub since_us: i64,
    /// Round trip time.
    pub rtt: Duration,
    /// The agent's build. From a stranger: escape it before it is shown.
    pub build: String,
    /// Whether the device opened too many epochs within a day: its host goes back again and again.
    pub unstable: bool,
}

/// A join token, without its secret.
#[derive(Clone, Debug)]
pub struct TokenView {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// How many more devices may join.
    pub uses_left: u32,
    /// Whether too many wrong secrets were shown.
    pub locked: bool,
    /// Last second at which it can be used, microseconds since 1970 UTC.
    pub expires_at_us: i64,
    /// When it was made, microseconds since 1970 UTC.
    pub created_at_us: i64,
    /// Who made it.
    pub creator: String,
    /// The group that its devices join. `None` if they join none.
    pub group: Option<String>,
}

/// A join token that was just made: the only time that its secret is shown.
#[derive(Clone)]
pub struct CreatedToken {
    /// Its id, 32 hexadecimal digits.
    pub id: String,
    /// The text that enrols a device. A secret: never logged.
    pub text: String,
    /// Last second at which it can be used, microseconds since 1970 UTC.
    pub expires_at_us: i64,
}

impl std::fmt::Debug for CreatedToken {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("CreatedToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What flowed since the last time that this was asked.
#[derive(Clone, Debug)]
pub struct LiveView {
    /// How long ago that was.
    pub elapsed: Duration,
    /// Records applied in that time.
    pub records: u64,
    /// Bytes of the batches applied in that time, as they travelled.
    pub bytes: u64,
    /// Batches applied in that time.
    pub batches: u64,
    /// Time from the arrival of a batch to its ack, half of them. `None` if there was none.
    pub ack_p50: Option<Duration>,
    /// The same, 99 of 100.
    pub ack_p99: Option<Duration>,
    /// Sessions right now.
    pub sessions: usize,
    /// The ledger since the log began.
    pub ledger: LedgerView,
}

/// All lanes of all devices together.
#[derive(Clone, Copy, Debug, Default)]
pub struct LedgerView {
    /// Everything applied.
    pub totals: Counts,
    /// What of it could not be decoded.
    pub dead: Dead,
    /// How often each verdict fell.
    pub tallies: Tallies,
}

impl LedgerView {
    /// Adds a lane.
    pub(crate) fn add(&mut self, lane: &LaneLedger) {
        self.merge(Self { totals: lane.totals(), dead: lane.dead(), tallies: lane.tallies() });
    }

    /// Adds another sum.
    pub(crate) fn merge(&mut self, other: Self) {
        self.totals = self.totals.plus(other.totals);
        self.dead.batches += other.dead.batches;
        self.dead.records = self.dead.records.saturating_add(other.dead.records);
        let (ours, theirs) = (&mut self.tallies, other.tallies);
        ours.applied += theirs.applied;
        ours.duplicate += theirs.duplicate;
        ours.ahead += theirs.ahead;
        ours.fork += theirs.fork;
        ours.stale += theirs.stale;
        ours.epochs += theirs.epochs;
        ours.unequal += theirs.unequal;
    }

    /// Whether the totals of every batch followed from those before: the ledger adds up.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        self.tallies.unequal == 0
    }
}
