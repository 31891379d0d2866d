//! From what was written to what is meant: each key is looked up from the strongest layer down, parsed
//! and checked against its range.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;

use super::error::ConfigError;
use super::layer::Layer;
use super::raw::{Key, RawConfig};
use super::units::{ByteCount, Written, parse_duration};

/// The layers, weakest first.
pub(super) struct Layers<'a>(pub(super) &'a [Layer]);

/// Where a key is found in a layer.
pub(super) type Field<T> = fn(&RawConfig) -> &Key<T>;

impl<'a> Layers<'a> {
    /// A key by its name; `None` if no layer sets it.
    pub(super) fn find<T>(&self, key: &'a str, field: Field<T>) -> Option<Found<'a, T>> {
        self.0.iter().rev().find_map(|layer| Found::in_layer(key, layer, field(&layer.raw)))
    }

    /// A key that the defaults set.
    pub(super) fn get<T>(&self, key: &'a str, field: Field<T>) -> Found<'a, T> {
        self.find(key, field).expect("the file of defaults sets every key that needs one")
    }
}

/// A value and where it was written.
#[derive(Clone)]
pub(super) struct Found<'a, T> {
    key: &'a str,
    pub(super) value: &'a T,
    layer: &'a Layer,
    span: Range<usize>,
}

impl<'a, T> Found<'a, T> {
    pub(super) fn in_layer(key: &'a str, layer: &'a Layer, field: &'a Key<T>) -> Option<Self> {
        field.as_ref().map(|spanned| Self::at(key, layer, spanned))
    }

    pub(super) fn at(key: &'a str, layer: &'a Layer, spanned: &'a Spanned<T>) -> Self {
        Self { key, value: spanned.get_ref(), layer, span: spanned.span() }
    }

    /// The error that says what was expected instead.
    pub(super) fn refuse(&self, expected: impl fmt::Display) -> ConfigError {
        ConfigError::Value {
            key: self.key.into(),
            found: self.layer.written(self.span.clone()),
            expected: expected.to_string().into(),
            place: self.layer.place(self.span.clone()),
        }
    }
}

impl Found<'_, String> {
    pub(super) fn bytes(&self, range: RangeInclusive<ByteCount>) -> Result<ByteCount, ConfigError> {
        ByteCount::parse(self.value).filter(|bytes| range.contains(bytes)).ok_or_else(|| {
            self.refuse(format_args!("\"{}\" to \"{}\"", range.start(), range.end()))
        })
    }

    pub(super) fn duration(
        &self,
        range: RangeInclusive<Duration>,
    ) -> Result<Duration, ConfigError> {
        parse_duration(self.value).filter(|duration| range.contains(duration)).ok_or_else(|| {
            let (least, most) = (Written(*range.start()), Written(*range.end()));
            self.refuse(format_args!("\"{least}\" to \"{most}\""))
        })
    }

    /// A path that does not depend on the folder the agent is started in.
    pub(super) fn path(&self) -> Result<PathBuf, ConfigError> {
        let path = PathBuf::from(self.value);
        if path.is_absolute() { Ok(path) } else { Err(self.refuse("an absolute path")) }
    }

    /// One of a few words.
    pub(super) fn one_of<W: Copy>(&self, words: &[(&str, W)]) -> Result<W, ConfigError> {
        words.iter().find(|(word, _)| word == self.value).map(|(_, meaning)| *meaning).ok_or_else(
            || {
                let words: Vec<String> =
                    words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                self.refuse(words.join(" or "))
            },
        )
    }
}

impl Found<'_, u64> {
    pub(super) fn number<N: TryFrom<u64>>(
        &self,
        range: RangeInclusive<u64>,
    ) -> Result<N, ConfigError> {
        let number = Some(*self.value).filter(|number| range.contains(number));
        number
            .and_then(|number| N::try_from(number).ok())
            .ok_or_else(|| self.refuse(format_args!("{} to {}", range.start(), range.end())))
    }
}

/// Labels of all layers, key by key; a stronger layer's value replaces a weaker one's.
///
/// # Errors
/// `Value` for a name or value that could not become a dimension.
pub(super) fn labels<'a>(
    written: impl Iterator<Item = (&'a Layer, &'a BTreeMap<String, Spanned<String>>)>,
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut labels = BTreeMap::new();
    for (layer, label) in written.flat_map(|(layer, map)| map.iter().map(move |one| (layer, one))) {
        let (name, value) = label;
        let found = Found::at(name, layer, value);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if name.is_empty() || name.len() > LABEL_BYTES_MAX || !name.bytes().all(plain) {
            return Err(found.refuse("a name of letters, digits, _ - or . before the ="));
        }
        if value.get_ref().len() > LABEL_BYTES_MAX || value.get_ref().contains(char::is_control) {
            return Err(found.refuse("at most 256 bytes without control characters"));
        }
        labels.insert(name.clone(), value.get_ref().clone());
        if labels.len() > LABELS_MAX {
            return Err(found.refuse(format_args!("at most {LABELS_MAX} labels")));
        }
    }
    Ok(labels)
}

/// Bytes of a label's name or value: what fits into a cell of a table. The wire would take 1,024.
const LABEL_BYTES_MAX: usize = 256;
/// Labels of a device or a source: half of what the wire takes, the rest is for facts.
const LABELS_MAX: usize = 32;
