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
        let raw = toml::from_str(text).map_err(|error| malformed(name, text, &error))?;
        Ok(Self { name: name.into(), text: text.into(), raw })
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
pub(super) fn files(main: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = vec![main.to_owned()];
    let folder = main.with_extension("d");
    let failed = |source| ConfigError::Read { path: folder.clone(), source };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(failed(error)),
    };
    let mut beside = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            beside.push(path);
        }
    }
    beside.sort();
    files.append(&mut beside);
    Ok(files)
}

/// The layer of a file.
pub(super) fn of_file(path: &Path) -> Result<Layer, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    Layer::parse(&path.display().to_string(), &text)
}

/// The layer of a variable of the environment; `None` for one that is not ours.
///
/// `HEADWATER__INTAKE__LISTEN=[::]:4433` is `intake.listen = "[::]:4433"`. A value that is not a text is
/// written as in TOML.
pub(super) fn of_variable(name: &OsString, value: &OsString) -> Result<Option<Layer>, ConfigError> {
    let path = name.to_str().and_then(|name| name.strip_prefix(ENVIRONMENT_PREFIX));
    let Some(path) = path else { return Ok(None) };
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
const ENVIRONMENT_PREFIX: &str = "HEADWATER__";

fn malformed(name: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let place = Box::new(Place::new(name, text, error.span().unwrap_or(0..0)));
    let reason = error.message();
    let mut quoted = reason.split('`').skip(1).step_by(2).map(Box::<str>::from);
    if reason.starts_with("unknown field")
        && let Some(key) = quoted.next()
    {
        let known: Vec<Box<str>> = quoted.collect();
        let nearest = nearest(&key, known.iter().map(AsRef::as_ref)).map(Box::from);
        return ConfigError::UnknownKey { key, nearest, known, place };
    }
    let wants_text = reason.starts_with("invalid type") && reason.contains("expected a string");
    let help = wants_text
        .then_some("texts, sizes and durations stand in quotes, as in \"64MiB\" or \"10s\"");
    ConfigError::Malformed { reason: reason.into(), place, help }
}

/// The known key that is spelt most alike, if at most a third of it differs.
pub(crate) fn nearest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = |name: &&str| distance(key, name);
    let names = known.into_iter();
    names.min_by_key(far).filter(|name| far(name) * 3 <= key.len().max(name.len()))
}

/// How many letters must be added, left out or changed; two that are swapped count as two.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, letter) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (place, other) in right.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(row[place] + 1).min(row[place + 1] + 1);
        }
    }
    row[right.len()]
}
