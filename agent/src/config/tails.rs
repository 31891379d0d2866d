//! The blocks `[[tail]]` and what all of them share.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::error::ConfigError;
use super::layer::Layer;
use super::raw::RawTail;
use super::read::{self, Found, Layers};
use super::sections::globs;
use super::{ByteCount, ConfigWarning, Globs};

/// Files that are tailed alike.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TailConfig {
    /// Unique among the tails.
    pub name: String,
    /// Which files: absolute patterns, at least one.
    pub paths: Globs,
    /// Which of them not.
    pub exclude: Globs,
    /// Where to begin in files that are there when the block is read for the first time.
    pub start_at: StartAt,
    /// Labels of what is read.
    pub labels: BTreeMap<String, String>,
}

/// Where to begin in files that are there when a tail is read for the first time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StartAt {
    /// At their end.
    End,
    /// At their beginning.
    Beginning,
}

/// Bounds that all tails share.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TailLimits {
    /// Bytes of a line, without its end.
    pub max_line: ByteCount,
    /// What happens to a longer one.
    pub long_line: LongLine,
    /// How long the end of a deleted or renamed file must have stood still before it is closed.
    pub deleted_grace: Duration,
    /// Files that are open at a time.
    pub max_files: usize,
}

/// What happens to a line above the limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LongLine {
    /// It travels in parts.
    Split,
    /// Its rest becomes a declared gap.
    Cut,
}

pub(super) fn read_limits(layers: &Layers<'_>) -> Result<TailLimits, ConfigError> {
    let long_line = layers.get("tail_limits.long_line", |raw| &raw.tail_limits.long_line);
    Ok(TailLimits {
        max_line: layers
            .get("tail_limits.max_line", |raw| &raw.tail_limits.max_line)
            .bytes(ByteCount::kib(1)..=ByteCount::kib(256))?,
        long_line: long_line.one_of(&[("split", LongLine::Split), ("cut", LongLine::Cut)])?,
        deleted_grace: layers
            .get("tail_limits.deleted_grace", |raw| &raw.tail_limits.deleted_grace)
            .duration(Duration::from_secs(1)..=Duration::from_secs(86_400))?,
        max_files: layers
            .get("tail_limits.max_files", |raw| &raw.tail_limits.max_files)
            .number(1..=FILES_MAX)?,
    })
}

/// The tails of all layers; a block replaces one of the same name in a weaker layer.
pub(super) fn read(
    layers: &Layers<'_>,
    warnings: &mut Vec<ConfigWarning>,
) -> Result<Vec<TailConfig>, ConfigError> {
    let mut tails: Vec<(usize, TailConfig)> = Vec::new();
    for (rank, layer) in layers.0.iter().enumerate() {
        for block in &layer.raw.tail {
            let tail = read_tail(layer, block)?;
            match tails.iter_mut().find(|(_, other)| other.name == tail.name) {
                Some((other_rank, _)) if *other_rank == rank => {
                    return Err(name_of(layer, block)?.refuse("a name that no other block has"));
                }
                Some(weaker) => *weaker = (rank, tail),
                None => tails.push((rank, tail)),
            }
        }
    }
    let tails: Vec<TailConfig> = tails.into_iter().map(|(_, tail)| tail).collect();
    warn_of_patterns_twice(&tails, warnings);
    Ok(tails)
}

fn read_tail(layer: &Layer, block: &toml::Spanned<RawTail>) -> Result<TailConfig, ConfigError> {
    let raw = block.get_ref();
    let name = name_of(layer, block)?;
    if name.value.is_empty() || name.value.len() > 64 || name.value.contains(char::is_control) {
        return Err(name.refuse("1 to 64 bytes without control characters"));
    }
    if let Some(kind) = Found::in_layer("tail.type", layer, &raw.r#type) {
        kind.one_of(&[("file", ())])?;
    }
    let paths = Found::in_layer("tail.paths", layer, &raw.paths)
        .ok_or_else(|| missing("tail.paths", "paths = [\"/var/log/nginx/*.log\"]", layer, block))?;
    let absolute = |pattern: &String| {
        let path = Path::new(pattern);
        path.is_absolute()
            && !pattern.ends_with('/')
            && !path.components().any(|c| c.as_os_str() == "..")
    };
    if paths.value.is_empty() || !paths.value.iter().all(absolute) {
        return Err(paths.refuse("at least one absolute path of files, without \"..\""));
    }
    let start_at = Found::in_layer("tail.start_at", layer, &raw.start_at)
        .map(|start_at| {
            start_at.one_of(&[("end", StartAt::End), ("beginning", StartAt::Beginning)])
        })
        .transpose()?;
    let exclude = Found::in_layer("tail.exclude", layer, &raw.exclude);
    Ok(TailConfig {
        name: name.value.clone(),
        paths: globs(&paths)?,
        exclude: exclude.map_or_else(|| Ok(none()), |exclude| globs(&exclude))?,
        start_at: start_at.unwrap_or(StartAt::End),
        labels: read::labels(std::iter::once((layer, &raw.labels)))?,
    })
}

fn name_of<'a>(
    layer: &'a Layer,
    block: &'a toml::Spanned<RawTail>,
) -> Result<Found<'a, String>, ConfigError> {
    Found::in_layer("tail.name", layer, &block.get_ref().name)
        .ok_or_else(|| missing("tail.name", "name = \"nginx\"", layer, block))
}

fn missing(
    key: &'static str,
    help: &'static str,
    layer: &Layer,
    block: &toml::Spanned<RawTail>,
) -> ConfigError {
    ConfigError::Missing { key, help, place: layer.place(block.span()) }
}

fn none() -> Globs {
    Globs::new(&[]).expect("no pattern is malformed where there is none")
}

fn warn_of_patterns_twice(tails: &[TailConfig], warnings: &mut Vec<ConfigWarning>) {
    for (index, second) in tails.iter().enumerate() {
        for first in &tails[..index] {
            for pattern in second.paths.patterns() {
                if first.paths.patterns().contains(pattern) {
                    warnings.push(ConfigWarning::PatternTwice {
                        first: first.name.clone(),
                        second: second.name.clone(),
                        pattern: pattern.clone(),
                    });
                }
            }
        }
    }
}

/// Files open at a time: the sources that one device may have. Source: FAILURES page, section 5.
const FILES_MAX: u64 = 256;
