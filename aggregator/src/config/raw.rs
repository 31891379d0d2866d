//! What was written: one file, or one variable of the environment. Unknown keys are refused here.

use serde::Deserialize;
use toml::Spanned;

/// A key that one layer may set; `None` leaves it to the layers below.
pub(super) type Key<T> = Option<Spanned<T>>;

/// The whole of a layer.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) node: RawNode,
    pub(super) intake: RawIntake,
    pub(super) log: RawLog,
    pub(super) window: RawWindow,
    pub(super) history: RawHistory,
    pub(super) console: RawConsole,
    pub(super) metrics: RawMetrics,
    pub(super) alert: RawAlert,
    /// It has no key yet; a configuration may have the section.
    #[serde(rename = "limits")]
    pub(super) _limits: RawLimits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawNode {
    pub(super) name: Key<String>,
    pub(super) data_dir: Key<String>,
    pub(super) log_level: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawIntake {
    pub(super) listen: Key<String>,
    pub(super) advertise: Key<String>,
    pub(super) max_connections: Key<u64>,
    pub(super) receive_buffer: Key<String>,
    pub(super) min_free: Key<String>,
    pub(super) enrol: RawEnrol,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawEnrol {
    pub(super) listen: Key<String>,
    pub(super) token_life: Key<String>,
    pub(super) token_uses: Key<u64>,
    pub(super) certificate_life: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) mode: Key<String>,
    pub(super) shards: Key<u64>,
    pub(super) snapshot_every: Key<String>,
    pub(super) group_commit: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawWindow {
    pub(super) length: Key<String>,
    pub(super) lateness: Key<String>,
    pub(super) combinations: Key<Vec<Vec<String>>>,
    pub(super) quantiles: Key<Vec<Vec<String>>>,
    pub(super) max_keys: Key<u64>,
    pub(super) keep: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawHistory {
    pub(super) location: Key<String>,
    pub(super) every: Key<String>,
    pub(super) keep: Key<String>,
    pub(super) max_bytes: Key<String>,
    pub(super) samples: RawTable,
    pub(super) events: RawTable,
    pub(super) gaps: RawTable,
    pub(super) averages: RawTable,
    pub(super) alerts: RawTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTable {
    pub(super) keep: Key<String>,
    pub(super) max_bytes: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawConsole {
    pub(super) listen: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAlert {
    pub(super) webhook: Key<Vec<RawWebhook>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWebhook {
    pub(super) name: Spanned<String>,
    pub(super) url: Spanned<String>,
    pub(super) secret_file: Key<String>,
    pub(super) ca_file: Key<String>,
    #[serde(default)]
    pub(super) allow_http: bool,
    #[serde(default)]
    pub(super) allow_private: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawMetrics {
    pub(super) listen: Key<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLimits {}
