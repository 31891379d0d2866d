//! What the API answers, and the command line reads. Fields are only added within a major version.

mod alerts;
mod averages;
mod export;
mod ledger;
mod moment;
mod rest;
mod sinks;
mod tap;

use std::collections::BTreeMap;

use headwater_protocol::position::Stream;
use headwater_protocol::record::{Part, SourceInfo};
use serde::{Deserialize, Serialize};

pub use alerts::{
    AlertRow, AppliedRow, NoticeRow, RuleChangeRow, ThresholdRow, ThresholdsView, ThresholdsWish,
};
pub use averages::{AverageRow, AverageWindowRow, ExploreRow};
pub use export::{ExportRow, HoleRow, RunRow};
pub use ledger::{
    AuditLaneRow, AuditRow, GapRow, LaneRow, LedgerRow, ReceiptRow, StreamRow, Totals, VerifyRow,
};
pub use moment::Moment;
pub(crate) use rest::RestRow;
pub use sinks::SinkRow;
pub use tap::{BatchRow, TapRow};

/// Why a request was not answered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// What could not be done.
    pub error: String,
    /// Why.
    pub cause: Option<String>,
    /// The command that comes next.
    pub next: Option<String>,
}

/// The node itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// Its build.
    pub build: String,
    /// The id of its log, hexadecimal.
    pub log: String,
    /// How many shards the log has.
    pub shards: u16,
    /// Where intake listens (UDP).
    pub intake: String,
    /// Where enrolment listens (TCP).
    pub enrolment: String,
    /// Where the console listens (TCP).
    pub console: String,
    /// Where metrics are served (TCP).
    pub metrics: String,
    /// Files that it has open, sockets among them.
    pub open_files: u64,
    /// Files that it may have open; `null` for no limit.
    pub open_files_max: Option<u64>,
    /// From which backup it comes; `null` if from none.
    #[serde(default)]
    pub restored: Option<RestoredRow>,
}

/// A restore.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RestoredRow {
    /// When the node was restored.
    pub at: Moment,
    /// When the backup was made.
    pub backup: Moment,
    /// The highest generation that a shard went on with.
    pub generation: u64,
}

/// A device in a list.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DeviceRow {
    /// Name that people call it by.
    pub name: String,
    /// The id that its certificate names.
    pub id: String,
    /// `online`, `offline`, `new` (nothing came of it yet) or `revoked`.
    pub state: String,
    /// When the last of its batches that was applied had come; `null` if none was.
    pub seen: Option<Moment>,
    /// When it was enrolled.
    pub enrolled: Moment,
    /// Where it speaks from; `null` while it is offline.
    pub address: Option<String>,
    /// Its agent's build; `null` while it is offline.
    pub build: Option<String>,
    /// Labels and facts that it last sent.
    pub labels: BTreeMap<String, String>,
    /// The shard that holds it.
    pub shard: u16,
    /// Both lanes together.
    #[serde(flatten)]
    pub totals: Totals,
}

/// One device, closely.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct DeviceDetail {
    /// As in the list.
    #[serde(flatten)]
    pub row: DeviceRow,
    /// What it called itself when it was enrolled.
    pub host_name: String,
    /// The group of the token that it joined by.
    pub group: Option<String>,
    /// When its certificate ends.
    pub certificate_ends: Moment,
    /// When its session began; `null` while it is offline.
    pub online_since: Option<Moment>,
    /// Round trip time in seconds; `null` while it is offline.
    pub rtt_seconds: Option<f64>,
    /// The latest sample of each series.
    pub latest: Vec<SampleRow>,
}

/// A sample.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SampleRow {
    /// When it was taken, by the device's clock.
    pub time: Moment,
    /// Name of the device.
    pub device: String,
    /// The metric.
    pub metric: String,
    /// Its dimensions.
    pub labels: BTreeMap<String, String>,
    /// The value as an integer, times ten to the power of `scale`.
    pub scaled: i64,
    /// Decimal digits after the point.
    pub scale: u8,
}

/// A line of a log, as it is read back.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LineRow {
    /// When the agent read it.
    pub time: Moment,
    /// Name of the device.
    pub device: String,
    /// Path of the file when it was first read.
    pub path: String,
    /// The stream: source and run.
    pub stream: String,
    /// Where it starts in the file.
    pub position: u64,
    /// `whole`, `whole-crlf`, `continued` or `unended`.
    pub part: String,
    /// The body, if it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body in base64, if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

/// A word between the lines of an answer: a file whose rows are left out of it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOutRow {
    /// The file, and why.
    pub left_out: String,
}

/// A one-time link into the console.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ConsoleLink {
    /// Where the console listens.
    pub address: String,
    /// The link: it opens one session.
    pub url: String,
    /// For how many seconds it can be used.
    pub life_seconds: u64,
}

/// A join token, without its secret.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TokenRow {
    /// Its id.
    pub id: String,
    /// `valid`, `used`, `expired` or `locked`.
    pub state: String,
    /// Devices that may still join.
    pub uses_left: u32,
    /// When it was made.
    pub created: Moment,
    /// When it ends.
    pub expires: Moment,
    /// Who made it.
    pub creator: String,
}

/// A join token that was just made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NewToken {
    /// The token with its secret: shown once.
    pub token: String,
    /// Its id.
    pub id: String,
    /// Devices that may join.
    pub uses: u32,
    /// When it ends.
    pub expires: Moment,
    /// Where devices will enrol.
    pub addresses: Vec<String>,
}

/// What a new token shall allow.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenWish {
    /// Devices that may join.
    pub uses: std::num::NonZeroU32,
    /// How long, in seconds; `null` for what the configuration says.
    pub life_seconds: Option<u64>,
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A stream in one word: source and run.
#[must_use]
pub fn stream_word(stream: Stream) -> String {
    format!("{}.{}", stream.source, stream.run.number)
}

/// What a source is, in one word.
#[must_use]
pub fn source_word(info: &SourceInfo) -> String {
    match info {
        SourceInfo::Host => "host".to_owned(),
        SourceInfo::Device => "device".to_owned(),
        SourceInfo::File { path, .. } => String::from_utf8_lossy(path).into_owned(),
    }
}

/// Which part of a line a record holds, in one word.
#[must_use]
pub fn part_word(part: Part) -> &'static str {
    match part {
        Part::Whole => "whole",
        Part::WholeCrLf => "whole-crlf",
        Part::Continued => "continued",
        Part::Unended => "unended",
    }
}
