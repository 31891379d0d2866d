//! Layers: the defaults, the main file, the files beside it, the environment. Each is parsed alone, so
//! that an error names the place where it was written.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Place};
use super::raw::RawConfig;

/// One text that sets keys, and what it says.
#[derive(Debug)]
pub(super) struct Layer {
    name: Box<str>,
    text: Box<str>,
    pub(super) raw: RawConfig,
}

impl Layer {
    /// Parses a text; its name is what errors call it.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        match toml::from_str(text) {
            Ok(raw) => Ok(Self { name: name.into(), text: text.into(), raw }),
            Err(error) => Err(malformed(name, text, &error)),
        }
    }

    /// Where in this layer something stands.
    pub(super) fn place(&self, span: Range<usize>) -> Box<Place> {
        Box::new(Place::new(&self.name, &self.text, span))
    }

    /// What was written there, as it was written.
    pub(super) fn written(&self, span: Range<usize>) -> Box<str> {
        self.text.get(span).unwrap_or_default().into()
    }
}

/// Which files there are: the main file, and the `.toml` files of its folder `.d`, sorted by name.
///
/// # Errors
/// `Read` if the folder is there and cannot be listed.
pub(super) fn files(main: &Path, main_must_exist: bool) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = Vec::new();
    if main_must_exist || main.exists() {
        files.push(main.to_owned());
    }
    let folder = main.with_extension("d");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(source) => {
            return Err(ConfigError::Read { path: folder, source });
        }
    };
    let mut beside = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| ConfigError::Read { path: folder.clone(), source })?;
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            beside.push(path);
        }
    }
    beside.sort();
    files.append(&mut beside);
    Ok(files)
}

/// The layer of a file.
///
/// # Errors
/// `Read` if it cannot be read or is not UTF-8, else what the parser says.
pub(super) fn of_file(path: &Path) -> Result<Layer, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    Layer::parse(&path.display().to_string(), &text)
}

/// The layer of a variable of the environment; `None` for one that is not ours.
///
/// `HEADWATER_AGENT__SPOOL__MAX_BYTES=2GiB` is `spool.max_bytes = "2GiB"`. A value that is not a text
/// (a number, a list) is written as in TOML.
///
/// # Errors
/// As for a file.
pub(super) fn of_variable(name: &OsString, value: &OsString) -> Result<Option<Layer>, ConfigError> {
    let Some(path) = name.to_str().and_then(|name| name.strip_prefix(ENVIRONMENT_PREFIX)) else {
        return Ok(None);
    };
    let key = path.to_ascii_lowercase().replace("__", ".");
    let value = value.to_string_lossy();
    let name = format!("environment variable {ENVIRONMENT_PREFIX}{path}");
    let quoted = format!("{key} = {}", toml::Value::String(value.clone().into_owned()));
    let as_text = match Layer::parse(&name, &quoted) {
        Ok(layer) => return Ok(Some(layer)),
        Err(error @ ConfigError::UnknownKey { .. }) => return Err(error),
        Err(error) => error,
    };
    match Layer::parse(&name, &format!("{key} = {value}")) {
        Ok(layer) => Ok(Some(layer)),
        Err(_) => Err(as_text),
    }
}

/// What the variables of the environment begin with that set a key.
const ENVIRONMENT_PREFIX: &str = "HEADWATER_AGENT__";

fn malformed(name: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let place = Box::new(Place::new(name, text, error.span().unwrap_or(0..0)));
    let reason = error.message();
    let mut quoted = reason.split('`').skip(1).step_by(2).map(Box::<str>::from);
    if reason.starts_with("unknown field")
        && let Some(key) = quoted.next()
    {
        let known: Vec<Box<str>> = quoted.collect();
        let nearest = nearest(&key, &known).map(Box::from);
        return ConfigError::UnknownKey { key, nearest, known, place };
    }
    let wants_text = reason.starts_with("invalid type") && reason.contains("expected a string");
    let help = wants_text
        .then_some("texts, sizes and durations stand in quotes, as in \"64MiB\" or \"10s\"");
    ConfigError::Malformed { reason: reason.into(), place, help }
}

/// The known key that is spelt most alike, if at most a third of it differs.
fn nearest<'a>(key: &str, known: &'a [Box<str>]) -> Option<&'a str> {
    let far = |name: &&str| distance(key, name);
    known
        .iter()
        .map(AsRef::as_ref)
        .min_by_key(far)
        .filter(|name| far(name) * 3 <= key.len().max(name.len()))
}

/// How many letters must be added, left out, changed or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut next = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let changed = row[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            next[j] = changed.min(row[j] + 1).min(next[j - 1] + 1);
            let swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if swapped {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_suggested_and_a_far_one_is_not() {
        let known: Vec<Box<str>> = ["interval", "align", "cpu", "memory"].map(Box::from).to_vec();
        let cases = [
            ("intervall", Some("interval")),
            ("inetrval", Some("interval")),
            ("memroy", Some("memory")),
            ("network", None),
            ("x", None),
        ];
        for (key, expected) in cases {
            assert_eq!(nearest(key, &known), expected, "{key}");
        }
    }
}
