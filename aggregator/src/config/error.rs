//! Why a configuration was refused: what, where, and what to write instead.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

/// A configuration that cannot be used. Its text has several lines: the fault, the place with a caret,
/// and what helps.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file or folder of the configuration could not be read.
    #[error("read {path:?}")]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What was written is not TOML, or a value is of the wrong kind.
    #[error("{reason}\n{place}{}", help_line(*help))]
    Malformed {
        /// What the parser says.
        reason: Box<str>,
        /// Where.
        place: Box<Place>,
        /// What to write instead; `None` where the reason says it.
        help: Option<&'static str>,
    },
    /// A key that this version does not know.
    #[error("unknown key \"{key}\"\n{place}{}", known_line(nearest.as_deref(), known))]
    UnknownKey {
        /// The key.
        key: Box<str>,
        /// The known key that is spelt most alike; `None` if none is near.
        nearest: Option<Box<str>>,
        /// Every key that may stand there.
        known: Vec<Box<str>>,
        /// Where.
        place: Box<Place>,
    },
    /// A value outside its range.
    #[error("{key} is {found}, expected {expected}\n{place}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// What was written.
        found: Box<str>,
        /// What may be written.
        expected: Box<str>,
        /// Where.
        place: Box<Place>,
    },
    /// The host's name can't be had or is none.
    #[error(
        "node.name is not set and the host's name {name:?} can't stand for it: set node.name to letters, digits, '.', '-' or '_'"
    )]
    HostName {
        /// The host's name.
        name: String,
    },
}

/// A place in a layer of the configuration: the line, and a caret below the words at fault.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    layer: Box<str>,
    line: usize,
    column: usize,
    text: Box<str>,
    width: usize,
}

impl Place {
    /// The place of a range of bytes in the text of a layer.
    pub(crate) fn new(layer: &str, text: &str, span: Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let line_start = text[..start].rfind('\n').map_or(0, |lf| lf + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |lf| start + lf);
        let end = text.floor_char_boundary(span.end.clamp(start, line_end));
        Self {
            layer: layer.into(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            text: text[line_start..line_end].trim_end().into(),
            width: text[start..end].chars().count().max(1),
        }
    }

    /// The number of the line, from 1.
    #[must_use]
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// `file:line:column`.
    #[must_use]
    pub fn position(&self) -> String {
        format!("{}:{}:{}", self.layer, self.line, self.column)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        let indent = " ".repeat(self.column - 1);
        writeln!(out, "{margin}--> {}", self.position())?;
        writeln!(out, "{margin} |")?;
        writeln!(out, "{number} | {}", self.text)?;
        writeln!(out, "{margin} | {indent}{}", "^".repeat(self.width))
    }
}

fn help_line(help: Option<&'static str>) -> String {
    help.map(|help| format!("  help: {help}")).unwrap_or_default()
}

fn known_line(nearest: Option<&str>, known: &[Box<str>]) -> String {
    match nearest {
        Some(nearest) => format!("  help: did you mean \"{nearest}\"?"),
        None => format!("  help: known here: {}", known.join(", ")),
    }
}
