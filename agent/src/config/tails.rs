//! The blocks `[[tail]]` and what all of them share.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::{Regex, RegexBuilder};

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
    /// Which lines make one record.
    pub multiline: Multiline,
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

/// Which lines make one record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Multiline {
    /// Each line is one.
    None,
    /// A line that begins with a space or a tab belongs to the record before.
    Indent,
    /// A line that fits begins a record, any other belongs to the record before.
    Begins(Pattern),
}

/// What the first line of a record looks like. Two patterns are equal if their texts are.
#[derive(Clone, Debug)]
pub struct Pattern {
    // Shared, because each copy of the engine would have scratch memory of its own.
    engine: Arc<Regex>,
}

impl Pattern {
    /// Compiles a pattern for bytes, whose classes are those of ASCII. Matching takes time in proportion
    /// to the text.
    ///
    /// # Errors
    /// A sentence: what is wrong with the pattern, or that it is too large.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("it has {} bytes", text.len()));
        }
        let mut builder = RegexBuilder::new(text);
        builder.unicode(false).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(CACHE_BYTES_MAX);
        match builder.build() {
            Ok(engine) => Ok(Self { engine: Arc::new(engine) }),
            // Several lines, the last of which says what is wrong.
            Err(error) => {
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                Err(last.trim_start_matches("error: ").to_owned())
            }
        }
    }

    /// Whether it fits somewhere in a line.
    #[must_use]
    pub fn fits(&self, line: &[u8]) -> bool {
        self.engine.is_match(line)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.engine.as_str() == other.engine.as_str()
    }
}

impl Eq for Pattern {}

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
    let multiline = Found::in_layer("tail.multiline", layer, &raw.multiline)
        .map_or(Ok(Multiline::None), |multiline| read_multiline(&multiline))?;
    let exclude = Found::in_layer("tail.exclude", layer, &raw.exclude);
    Ok(TailConfig {
        name: name.value.clone(),
        paths: globs(&paths)?,
        exclude: exclude.map_or_else(|| Ok(none()), |exclude| globs(&exclude))?,
        start_at: start_at.unwrap_or(StartAt::End),
        multiline,
        labels: read::labels(std::iter::once((layer, &raw.labels)))?,
    })
}

fn read_multiline(found: &Found<'_, String>) -> Result<Multiline, ConfigError> {
    let Some(pattern) = found.value.strip_prefix("regex:") else {
        let word = found.value.as_str();
        return match word {
            "none" => Ok(Multiline::None),
            "indent" => Ok(Multiline::Indent),
            _ => Err(found.refuse(r#""none" or "indent" or 'regex:^\d{4}-'"#)),
        };
    };
    Pattern::new(pattern).map(Multiline::Begins).map_err(|reason| {
        let most = PATTERN_BYTES_MAX;
        found.refuse(format_args!("regex: and a pattern of at most {most} bytes ({reason})"))
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
/// Bytes of a pattern. Source: SECURITY page, section 6, as the two below.
const PATTERN_BYTES_MAX: usize = 1 << 10;
/// Memory of a compiled pattern.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// Scratch memory of a pattern that is in use.
const CACHE_BYTES_MAX: usize = 8 << 20;
