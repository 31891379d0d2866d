//! From what was written to what is meant: each key is looked up from the strongest layer down, parsed
//! and checked against its range.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use headwater_certs::name::NodeId;
use headwater_protocol::identity::ShardCount;
use headwater_protocol::limits::{COMBINATIONS_MAX, TEXT_BYTES_MAX};

use super::error::ConfigError;
use super::layer::Layer;
use super::raw::{Key, RawConfig};
use super::{
    Config, ConsoleConfig, EnrolConfig, HistoryConfig, IntakeConfig, LogConfig, MetricsConfig,
    NodeConfig, WindowConfig,
};
use super::{retention, units, webhooks};
use crate::limits::ByteCount;
use crate::window::{COMBINATION, DEVICE};

/// The layers, weakest first; the first one sets every key that has a default.
pub(super) struct Layers<'a>(pub(super) &'a [Layer]);

impl TryFrom<Layers<'_>> for Config {
    type Error = ConfigError;

    fn try_from(layers: Layers<'_>) -> Result<Self, ConfigError> {
        layers.get("log.mode", |raw| &raw.log.mode).check(
            |mode| (mode == "embedded").then_some(()),
            "\"embedded\": this version has no other log",
        )?;
        let node = node(&layers)?;
        Ok(Self {
            history: history(&layers, &node.data_dir)?,
            node,
            intake: intake(&layers)?,
            enrol: enrol(&layers)?,
            log: log(&layers)?,
            window: window(&layers)?,
            console: ConsoleConfig {
                listen: layers.get("console.listen", |raw| &raw.console.listen).loopback()?,
            },
            alert: webhooks::read(&layers)?,
            metrics: MetricsConfig {
                listen: layers.get("metrics.listen", |raw| &raw.metrics.listen).address()?,
            },
        })
    }
}

fn node(layers: &Layers<'_>) -> Result<NodeConfig, ConfigError> {
    let label = |name: &String| name.parse::<NodeId>().ok().map(|_| name.clone());
    let name = match layers.find("node.name", |raw| &raw.node.name) {
        Some(found) => found.check(label, "1 to 63 letters, digits, '.', '-' or '_'")?,
        None => {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            label(&name).ok_or(ConfigError::HostName { name })?
        }
    };
    Ok(NodeConfig {
        name,
        data_dir: layers.get("node.data_dir", |raw| &raw.node.data_dir).check(
            |path| Some(PathBuf::from(path)).filter(|path| path.is_absolute()),
            "an absolute path",
        )?,
        log_level: layers.get("node.log_level", |raw| &raw.node.log_level).check(
            |word| match word.as_str() {
                "error" => Some(tracing::Level::ERROR),
                "warn" => Some(tracing::Level::WARN),
                "info" => Some(tracing::Level::INFO),
                "debug" => Some(tracing::Level::DEBUG),
                "trace" => Some(tracing::Level::TRACE),
                _ => None,
            },
            "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"",
        )?,
    })
}

fn intake(layers: &Layers<'_>) -> Result<IntakeConfig, ConfigError> {
    let advertise = layers.find("intake.advertise", |raw| &raw.intake.advertise);
    let address = |text: &String| text.parse().ok();
    Ok(IntakeConfig {
        listen: layers.get("intake.listen", |raw| &raw.intake.listen).address()?,
        advertise: advertise
            .map(|found| {
                found.check(address, "a host and a port, as in \"agg-1.example.com:4433\"")
            })
            .transpose()?,
        max_connections: layers
            .get("intake.max_connections", |raw| &raw.intake.max_connections)
            .number(1..=1_000_000)?,
        receive_buffer: layers
            .get("intake.receive_buffer", |raw| &raw.intake.receive_buffer)
            .bytes(ByteCount(64 << 10)..=ByteCount(1 << 30), "\"64KiB\" to \"1GiB\"")?,
        min_free: layers
            .get("intake.min_free", |raw| &raw.intake.min_free)
            .check(|text| units::min_free(text), "\"0%\" to \"50%\", or bytes as in \"10GiB\"")?,
    })
}

fn enrol(layers: &Layers<'_>) -> Result<EnrolConfig, ConfigError> {
    let day = Duration::from_secs(86_400);
    Ok(EnrolConfig {
        listen: layers.get("intake.enrol.listen", |raw| &raw.intake.enrol.listen).address()?,
        token_life: layers
            .get("intake.enrol.token_life", |raw| &raw.intake.enrol.token_life)
            .duration(Duration::from_secs(60)..=365 * day, "\"1m\" to \"365d\"")?,
        token_uses: layers
            .get("intake.enrol.token_uses", |raw| &raw.intake.enrol.token_uses)
            .number::<u32>(1..=1_000_000)
            .map(|uses| NonZeroU32::new(uses).expect("the range begins at 1"))?,
        certificate_life: layers
            .get("intake.enrol.certificate_life", |raw| &raw.intake.enrol.certificate_life)
            .duration(Duration::from_secs(3_600)..=365 * day, "\"1h\" to \"365d\"")?,
    })
}

fn log(layers: &Layers<'_>) -> Result<LogConfig, ConfigError> {
    let shards: u16 = layers.get("log.shards", |raw| &raw.log.shards).number(1..=1024)?;
    Ok(LogConfig {
        shards: ShardCount::new(shards).expect("the range is that of a shard count"),
        snapshot_every: layers.get("log.snapshot_every", |raw| &raw.log.snapshot_every).duration(
            Duration::from_millis(100)..=Duration::from_secs(3_600),
            "\"100ms\" to \"1h\"",
        )?,
        group_commit: layers
            .get("log.group_commit", |raw| &raw.log.group_commit)
            .duration(Duration::ZERO..=Duration::from_secs(1), "\"0ms\" to \"1s\"")?,
    })
}

fn window(layers: &Layers<'_>) -> Result<WindowConfig, ConfigError> {
    let second = Duration::from_secs(1);
    let kept = layers.get("window.combinations", |raw| &raw.window.combinations).check(
        |lists| combinations(lists),
        "up to 63 lists of 1 to 8 different labels, as in [[\"site\"], [\"site\", \"role\"]]",
    )?;
    let are_combinations = |lists: &Vec<Vec<String>>| {
        let are_all = lists.iter().all(|list| kept.contains(list));
        are_all.then(|| BTreeSet::from_iter(lists.clone()).into_iter().collect())
    };
    Ok(WindowConfig {
        quantiles: layers
            .get("window.quantiles", |raw| &raw.window.quantiles)
            .check(are_combinations, "lists that stand in window.combinations, or [\"device\"]")?,
        length: layers
            .get("window.length", |raw| &raw.window.length)
            .duration(second..=3_600 * second, "\"1s\" to \"1h\"")?,
        lateness: layers
            .get("window.lateness", |raw| &raw.window.lateness)
            .duration(Duration::ZERO..=3_600 * second, "\"0s\" to \"1h\"")?,
        combinations: kept,
        max_keys: layers
            .get("window.max_keys", |raw| &raw.window.max_keys)
            .number(1..=1_000_000)?,
        keep: layers
            .get("window.keep", |raw| &raw.window.keep)
            .duration(600 * second..=Duration::from_secs(31 * 86_400), "\"10m\" to \"31d\"")?,
    })
}

fn history(layers: &Layers<'_>, data_dir: &Path) -> Result<HistoryConfig, ConfigError> {
    let second = Duration::from_secs(1);
    let folder = |text: &String| match text.as_str() {
        "off" => Some(None),
        _ => match text.strip_prefix("{data_dir}/") {
            Some(below) if !below.is_empty() => Some(Some(data_dir.join(below))),
            Some(_) => None,
            None => Some(Some(PathBuf::from(text))).filter(|_| Path::new(text).is_absolute()),
        },
    };
    Ok(HistoryConfig {
        folder: layers
            .get("history.location", |raw| &raw.history.location)
            .check(folder, "an absolute path, \"{data_dir}/history\" or \"off\"")?,
        every: layers
            .get("history.every", |raw| &raw.history.every)
            .duration(second..=3_600 * second, "\"1s\" to \"1h\"")?,
        retention: retention::read(layers)?,
    })
}

/// Lists of labels to add up by, the device always among them. The combination of combinations is made by itself.
fn combinations(lists: &[Vec<String>]) -> Option<Vec<Vec<String>>> {
    let device = vec![DEVICE.to_owned()];
    let mut all = vec![device.clone()];
    for list in lists.iter().filter(|list| **list != device) {
        let fits = |label: &String| !label.is_empty() && label.len() <= TEXT_BYTES_MAX;
        let differ = list.iter().enumerate().all(|(at, label)| !list[..at].contains(label));
        if list.is_empty() || list.len() > LABELS_PER_COMBINATION_MAX || all.contains(list) {
            return None;
        }
        if !differ || !list.iter().all(fits) || *list == [COMBINATION] {
            return None;
        }
        all.push(list.clone());
    }
    (all.len() <= COMBINATIONS_MAX).then_some(all)
}

/// Labels of one combination: more of them leave hardly two devices together.
const LABELS_PER_COMBINATION_MAX: usize = 8;

/// Where a key is found in a layer.
pub(super) type Field<T> = fn(&RawConfig) -> &Key<T>;

impl<'a> Layers<'a> {
    /// A key by its name; `None` if no layer sets it.
    pub(super) fn find<T>(&self, key: &'static str, field: Field<T>) -> Option<Found<'a, T>> {
        let (layer, spanned) = self.0.iter().rev().find_map(|layer| {
            let spanned = field(&layer.raw).as_ref()?;
            Some((layer, spanned))
        })?;
        Some(Found { key, value: spanned.get_ref(), layer, span: spanned.span() })
    }

    /// A key that the defaults set.
    pub(super) fn get<T>(&self, key: &'static str, field: Field<T>) -> Found<'a, T> {
        self.find(key, field).expect("the file of defaults sets every key that needs one")
    }
}

/// A value and where it was written.
pub(super) struct Found<'a, T> {
    pub(super) key: &'static str,
    pub(super) value: &'a T,
    pub(super) layer: &'a Layer,
    pub(super) span: Range<usize>,
}

impl<T> Found<'_, T> {
    /// The value as what it means, or what was expected instead.
    pub(super) fn check<M>(
        &self,
        meaning: impl FnOnce(&T) -> Option<M>,
        expected: impl fmt::Display,
    ) -> Result<M, ConfigError> {
        meaning(self.value).ok_or_else(|| ConfigError::Value {
            key: self.key,
            found: self.layer.written(self.span.clone()),
            expected: expected.to_string().into(),
            place: self.layer.place(self.span.clone()),
        })
    }
}

impl Found<'_, String> {
    fn address(&self) -> Result<SocketAddr, ConfigError> {
        let expected = "an address and a port, as in \"[::]:4433\" or \"127.0.0.1:4433\"";
        self.check(|text| text.parse().ok(), expected)
    }

    fn loopback(&self) -> Result<SocketAddr, ConfigError> {
        let loopback = |address: &SocketAddr| address.ip().is_loopback();
        let expected = "an address on loopback, as in \"127.0.0.1:7080\": until users and roles come, \
                        the console listens on loopback only";
        self.check(|text| text.parse().ok().filter(loopback), expected)
    }

    fn bytes(
        &self,
        range: RangeInclusive<ByteCount>,
        expected: &str,
    ) -> Result<ByteCount, ConfigError> {
        self.check(|text| units::bytes(text).filter(|bytes| range.contains(bytes)), expected)
    }

    fn duration(
        &self,
        range: RangeInclusive<Duration>,
        expected: &str,
    ) -> Result<Duration, ConfigError> {
        self.check(|text| units::duration(text).filter(|it| range.contains(it)), expected)
    }
}

impl Found<'_, u64> {
    fn number<N: TryFrom<u64>>(&self, range: RangeInclusive<u64>) -> Result<N, ConfigError> {
        let number = |number: &u64| {
            Some(*number).filter(|it| range.contains(it)).and_then(|it| N::try_from(it).ok())
        };
        self.check(number, format_args!("{} to {}", range.start(), range.end()))
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn with(name: &str, text: &str) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let config = Config::from_layers(Some(&file), []);
        let root = folder.path().display().to_string();
        config.map_err(|error| error.to_string().replace(&root, ""))
    }

    #[test]
    fn the_defaults_are_those_of_the_handbook() {
        let config = Config::from_layers(None, []).unwrap();
        assert_eq!(config.intake.listen.port(), 4433);
        assert_eq!(config.enrol.token_life, Duration::from_secs(86_400));
        assert_eq!(config.log.shards.number(), 64);
        assert_eq!(config.log.group_commit, Duration::from_millis(2));
        assert!(!config.node.name.is_empty());
        let labels =
            |list: &[&str]| list.iter().map(|label| (*label).to_owned()).collect::<Vec<_>>();
        let lists = [&["device"][..], &["site"], &["role"], &["customer", "product_version"]];
        assert_eq!(config.window.combinations, lists.map(labels));
    }

    #[test]
    fn what_is_refused_names_key_value_range_and_place() {
        let error = with("a.toml", "[log]\ngroup_commit = \"2 s\"\n").unwrap_err();
        let expected = "log.group_commit is \"2 s\", expected \"0ms\" to \"1s\"\n --> /a.toml:2:16\n  \
                        |\n2 | group_commit = \"2 s\"\n  |                ^^^^^\n";
        assert_eq!(error, expected);
        let error = with("a.toml", "[intake]\nlisen = \"[::]:1\"\n").unwrap_err();
        assert!(
            error.contains("unknown key \"lisen\"") && error.contains("/a.toml:2:1"),
            "{error}"
        );
        assert!(error.contains("did you mean \"listen\"?"), "{error}");
        let error = with("a.toml", "[log]\nmode = \"kafka\"\n").unwrap_err();
        assert!(error.starts_with("log.mode is \"kafka\", expected \"embedded\""), "{error}");
        let error = with("a.toml", "[console]\nlisten = \"0.0.0.0:7080\"\n").unwrap_err();
        assert!(error.starts_with("console.listen is \"0.0.0.0:7080\""), "{error}");
        assert!(error.contains("loopback only"), "{error}");
        let error = with("a.toml", "[log]\nshards = 0\n").unwrap_err();
        assert!(error.starts_with("log.shards is 0, expected 1 to 1024"), "{error}");
        let text = "[window]\ncombinations = [[\"site\", \"site\"]]\n";
        let error = with("a.toml", text).unwrap_err();
        assert!(error.contains("window.combinations is [[\"site\", \"site\"]]"), "{error}");
        let text = "[window]\ncombinations = [[\"combination\"]]\n";
        assert!(with("a.toml", text).is_err(), "its figures are the merge fold's own");
        let error = with("a.toml", "[intake]\nreceive_buffer = 8\n").unwrap_err();
        assert!(error.contains("stand in quotes"), "{error}");
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let variables = |value: &str| {
            [("HEADWATER__INTAKE__ENROL__TOKEN_USES", value), ("HOME", "x")]
                .map(|(name, value)| (OsString::from(name), OsString::from(value)))
        };
        let config = Config::from_layers(None, variables("3")).unwrap();
        assert_eq!(config.enrol.token_uses.get(), 3);
        let error = Config::from_layers(None, variables("0")).unwrap_err().to_string();
        assert!(
            error.contains("environment variable HEADWATER__INTAKE__ENROL__TOKEN_USES"),
            "{error}"
        );
    }
}
