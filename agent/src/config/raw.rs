//! What was written: one file, or one variable of the environment. Unknown keys are refused here; what
//! the values mean is decided in `config.rs`, where the layers meet.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

/// A key that one layer may set; `None` leaves it to the layers below.
pub(super) type Key<T> = Option<Spanned<T>>;

/// The whole of a layer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) agent: RawAgent,
    pub(super) identity: RawIdentity,
    pub(super) sample: RawSample,
    pub(super) tail: Vec<Spanned<RawTail>>,
    pub(super) tail_limits: RawTailLimits,
    pub(super) spool: RawSpool,
    pub(super) ship: RawShip,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAgent {
    pub(super) name: Key<String>,
    pub(super) log_level: Key<String>,
    pub(super) socket: Key<String>,
    pub(super) labels: BTreeMap<String, Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawIdentity {
    pub(super) dir: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSample {
    pub(super) interval: Key<String>,
    pub(super) align: Key<bool>,
    pub(super) cpu: Key<bool>,
    pub(super) per_cpu: Key<bool>,
    pub(super) memory: Key<bool>,
    pub(super) disk: Key<bool>,
    pub(super) disk_exclude_fstype: Key<Vec<String>>,
    pub(super) disk_exclude_mount: Key<Vec<String>>,
    pub(super) disk_io: Key<bool>,
    pub(super) network: Key<bool>,
    pub(super) network_exclude: Key<Vec<String>>,
    pub(super) load: Key<bool>,
    pub(super) pressure: Key<bool>,
    pub(super) temperature: Key<bool>,
    pub(super) processes: Key<String>,
    pub(super) host: RawSampleHost,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSampleHost {
    pub(super) proc: Key<String>,
    pub(super) sys: Key<String>,
    pub(super) root: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTail {
    pub(super) name: Key<String>,
    pub(super) r#type: Key<String>,
    pub(super) paths: Key<Vec<String>>,
    pub(super) exclude: Key<Vec<String>>,
    pub(super) start_at: Key<String>,
    pub(super) multiline: Key<String>,
    pub(super) labels: BTreeMap<String, Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTailLimits {
    pub(super) max_line: Key<String>,
    pub(super) long_line: Key<String>,
    pub(super) deleted_grace: Key<String>,
    pub(super) max_files: Key<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSpool {
    pub(super) dir: Key<String>,
    pub(super) max_bytes: Key<String>,
    pub(super) min_free: Key<String>,
    pub(super) reserve: Key<String>,
    pub(super) grace_bytes: Key<String>,
    pub(super) live_seal_after: Key<String>,
    pub(super) bulk_seal_after: Key<String>,
    pub(super) seal_bytes: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawShip {
    pub(super) addresses: Key<Vec<String>>,
    pub(super) connect_timeout: Key<String>,
    pub(super) keep_alive: Key<String>,
    pub(super) idle_timeout: Key<String>,
    pub(super) max_backoff: Key<String>,
    pub(super) compression_level: Key<u64>,
    pub(super) max_in_flight: Key<u64>,
    pub(super) budget: Key<String>,
}
