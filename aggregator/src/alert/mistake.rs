//! What is wrong with a file of thresholds: everything, at once.

use std::fmt;

use crate::config::Place;

/// One mistake: what is written, what was expected, where, and what helps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// What is wrong, in one line.
    pub reason: String,
    /// Where.
    pub place: Place,
    /// What to write instead. `None` where the reason says it.
    pub help: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}\n{}", self.reason, self.place)?;
        match &self.help {
            Some(help) => writeln!(out, "  help: {help}"),
            None => Ok(()),
        }
    }
}

/// All mistakes of a file, in order of their places; at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistakes {
    /// The file.
    pub file: String,
    /// The mistakes that are shown.
    pub list: Vec<Mistake>,
    /// How many more there are.
    pub more: usize,
}

impl Mistakes {
    /// The first ones of many, in order of their places.
    pub(super) fn new(file: &str, mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| (mistake.place.line(), mistake.place.position()));
        let more = list.len().saturating_sub(MISTAKES_SHOWN_MAX);
        list.truncate(MISTAKES_SHOWN_MAX);
        Self { file: file.to_owned(), list, more }
    }

    /// How many there are, as a headline.
    #[must_use]
    pub fn headline(&self) -> String {
        match self.list.len() + self.more {
            1 => format!("{} has a mistake", self.file),
            count => format!("{} has {count} mistakes", self.file),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.list.iter().enumerate() {
            let between = if index > 0 { "\n" } else { "" };
            write!(out, "{between}{mistake}")?;
        }
        match self.more {
            0 => Ok(()),
            more => writeln!(out, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Mistakes {}

/// Mistakes that are shown at once: more than that is another format, not a typing error.
const MISTAKES_SHOWN_MAX: usize = 50;
