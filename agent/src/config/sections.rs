//! The sections, one by one: which keys each has, and their ranges.

use std::time::Duration;

use super::error::ConfigError;
use super::read::{self, Found, Layers};
use super::tails;
use super::units::{Budget, ByteCount, Room};
use super::{
    AgentConfig, Config, ConfigWarning, Globs, IdentityConfig, LogLevel, ProcessDetail,
    SampleConfig, SampleHost, ShipConfig, SpoolConfig,
};

pub(super) fn read(
    layers: &Layers<'_>,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<Config, ConfigError> {
    Ok(Config {
        agent: read_agent(layers)?,
        identity: IdentityConfig {
            dir: layers.get("identity.dir", |raw| &raw.identity.dir).path()?,
        },
        sample: read_sample(layers)?,
        tails: tails::read(layers, warnings)?,
        tail_limits: tails::read_limits(layers)?,
        spool: read_spool(layers, warnings)?,
        ship: read_ship(layers)?,
    })
}

fn read_agent(layers: &Layers<'_>) -> Result<AgentConfig, ConfigError> {
    let name = layers.find("agent.name", |raw| &raw.agent.name);
    if let Some(name) = &name
        && (name.value.is_empty() || name.value.len() > 64 || name.value.contains(char::is_control))
    {
        return Err(name.refuse("1 to 64 bytes without control characters"));
    }
    let labels = layers.0.iter().map(|layer| (layer, &layer.raw.agent.labels));
    Ok(AgentConfig {
        name: name.map(|name| name.value.clone()),
        log_level: layers.get("agent.log_level", |raw| &raw.agent.log_level).one_of(&LOG_LEVELS)?,
        socket: layers.get("agent.socket", |raw| &raw.agent.socket).path()?,
        labels: read::labels(labels)?,
    })
}

fn read_sample(layers: &Layers<'_>) -> Result<SampleConfig, ConfigError> {
    let fstypes = layers.get("sample.disk_exclude_fstype", |raw| &raw.sample.disk_exclude_fstype);
    let mounts = layers.get("sample.disk_exclude_mount", |raw| &raw.sample.disk_exclude_mount);
    let interfaces = layers.get("sample.network_exclude", |raw| &raw.sample.network_exclude);
    let interval = layers.get("sample.interval", |raw| &raw.sample.interval);
    let processes = layers.get("sample.processes", |raw| &raw.sample.processes);
    Ok(SampleConfig {
        interval: interval.duration(Duration::from_secs(1)..=Duration::from_secs(3600))?,
        align: *layers.get("sample.align", |raw| &raw.sample.align).value,
        cpu: *layers.get("sample.cpu", |raw| &raw.sample.cpu).value,
        per_cpu: *layers.get("sample.per_cpu", |raw| &raw.sample.per_cpu).value,
        memory: *layers.get("sample.memory", |raw| &raw.sample.memory).value,
        disk: *layers.get("sample.disk", |raw| &raw.sample.disk).value,
        disk_exclude_fstype: globs(&fstypes)?,
        disk_exclude_mount: globs(&mounts)?,
        disk_io: *layers.get("sample.disk_io", |raw| &raw.sample.disk_io).value,
        network: *layers.get("sample.network", |raw| &raw.sample.network).value,
        network_exclude: globs(&interfaces)?,
        load: *layers.get("sample.load", |raw| &raw.sample.load).value,
        pressure: *layers.get("sample.pressure", |raw| &raw.sample.pressure).value,
        temperature: *layers.get("sample.temperature", |raw| &raw.sample.temperature).value,
        processes: match processes.value.as_str() {
            top if top.starts_with("top:") => {
                return Err(processes.refuse("\"off\" or \"count\": top:N is not supported yet"));
            }
            _ => processes.one_of(&PROCESS_DETAILS)?,
        },
        host: SampleHost {
            proc: layers.get("sample.host.proc", |raw| &raw.sample.host.proc).path()?,
            sys: layers.get("sample.host.sys", |raw| &raw.sample.host.sys).path()?,
            root: layers.get("sample.host.root", |raw| &raw.sample.host.root).path()?,
        },
    })
}

/// The patterns of a key.
///
/// # Errors
/// `Value` for a malformed one.
pub(super) fn globs(found: &Found<'_, Vec<String>>) -> Result<Globs, ConfigError> {
    Globs::new(found.value).map_err(|error| found.refuse(format_args!("patterns: {error}")))
}

fn read_spool(
    layers: &Layers<'_>,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<SpoolConfig, ConfigError> {
    let most = ByteCount::gib(1024);
    let seal = Duration::from_millis(10)..=Duration::from_secs(60);
    let max_bytes = layers
        .get("spool.max_bytes", |raw| &raw.spool.max_bytes)
        .bytes(ByteCount::mib(64)..=most)?;
    let min_free = layers.get("spool.min_free", |raw| &raw.spool.min_free);
    let grace = layers.get("spool.grace_bytes", |raw| &raw.spool.grace_bytes);
    let half = ByteCount(max_bytes.0 / 2);
    let mut grace_bytes = grace.bytes(ByteCount(0)..=most)?;
    if grace_bytes > half {
        grace_bytes = half;
        warnings.push(ConfigWarning::GraceHeld { held: half });
    }
    Ok(SpoolConfig {
        dir: layers.get("spool.dir", |raw| &raw.spool.dir).path()?,
        max_bytes,
        min_free: Room::parse(min_free.value)
            .ok_or_else(|| min_free.refuse("\"0%\" to \"50%\", or bytes as in \"1GiB\""))?,
        reserve: layers
            .get("spool.reserve", |raw| &raw.spool.reserve)
            .bytes(ByteCount::mib(1)..=ByteCount::gib(1))?,
        grace_bytes,
        live_seal_after: layers
            .get("spool.live_seal_after", |raw| &raw.spool.live_seal_after)
            .duration(seal.clone())?,
        bulk_seal_after: layers
            .get("spool.bulk_seal_after", |raw| &raw.spool.bulk_seal_after)
            .duration(seal)?,
        seal_bytes: layers
            .get("spool.seal_bytes", |raw| &raw.spool.seal_bytes)
            .bytes(ByteCount::kib(16)..=ByteCount::kib(1024))?,
    })
}

fn read_ship(layers: &Layers<'_>) -> Result<ShipConfig, ConfigError> {
    let addresses = layers.get("ship.addresses", |raw| &raw.ship.addresses);
    if !addresses.value.iter().all(|address| is_address(address)) {
        return Err(addresses.refuse("host:port, as in \"agg.example.com:4433\" or \"[::1]:4433\""));
    }
    let second = Duration::from_secs(1);
    let idle = layers.get("ship.idle_timeout", |raw| &raw.ship.idle_timeout);
    let idle_timeout = idle.duration(second * 5..=second * 600)?;
    let keep_alive = layers.get("ship.keep_alive", |raw| &raw.ship.keep_alive);
    let keep_alive = match keep_alive.value.as_str() {
        "off" => None,
        _ => Some(keep_alive.duration(second..=idle_timeout / 2)?),
    };
    Ok(ShipConfig {
        addresses: addresses.value.clone(),
        connect_timeout: layers
            .get("ship.connect_timeout", |raw| &raw.ship.connect_timeout)
            .duration(Duration::from_millis(100)..=second * 60)?,
        keep_alive,
        idle_timeout,
        max_backoff: layers
            .get("ship.max_backoff", |raw| &raw.ship.max_backoff)
            .duration(second..=second * 3600)?,
        compression_level: layers
            .get("ship.compression_level", |raw| &raw.ship.compression_level)
            .number(1..=19)?,
        max_in_flight: layers
            .get("ship.max_in_flight", |raw| &raw.ship.max_in_flight)
            .number(1..=8)?,
        budget: read_budget(&layers.get("ship.budget", |raw| &raw.ship.budget))?,
    })
}

fn read_budget(found: &Found<'_, String>) -> Result<Option<Budget>, ConfigError> {
    if found.value == "off" {
        return Ok(None);
    }
    let budget = Budget::parse(found.value)
        .filter(|budget| (BUDGET_LEAST..=BUDGET_MOST).contains(&budget.bytes));
    let forms = "\"off\", or 1MB to 1TB per hour or day as in \"50MB/day\" and \"2MB/hour\"";
    budget.map(Some).ok_or_else(|| found.refuse(forms))
}

/// Half of the largest batch, so that two periods are enough for any.
const BUDGET_LEAST: ByteCount = ByteCount(1_000_000);
/// More than any link that is paid by the byte.
const BUDGET_MOST: ByteCount = ByteCount(1_000_000_000_000);

/// A name or an address, and a port that is not 0; an IPv6 address stands in brackets.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let bracketed = host.starts_with('[') && host.ends_with(']');
    let host_is_fine = !host.is_empty() && !host.contains(['/', ' ']);
    host_is_fine
        && (bracketed || !host.contains(':'))
        && port.parse().is_ok_and(|port: u16| port != 0)
}

/// The words for what is told of processes.
const PROCESS_DETAILS: [(&str, ProcessDetail); 2] =
    [("off", ProcessDetail::Off), ("count", ProcessDetail::Count)];

/// The words for what is logged.
pub(super) const LOG_LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];
