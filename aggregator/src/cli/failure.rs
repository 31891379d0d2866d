//! Why a command ended without having done what it was asked: one message, one exit code.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use super::output::escape;
use crate::api::chain;

/// What the process answers to the shell. The same for both binaries; `docs` and man pages list it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Something unexpected.
    Failed = 1,
    /// The words of the command line make no command.
    Usage = 2,
    /// The configuration is invalid.
    Config = 3,
    /// Nobody answers, or not in time.
    Unreachable = 4,
    /// Not allowed.
    Denied = 5,
    /// There is no such thing.
    NotFound = 6,
    /// It exists already, or moved on in the meantime.
    Conflict = 7,
    /// Some of it was done.
    Partly = 8,
    /// A check was made, and its answer is no.
    CheckSaysNo = 9,
    /// It would have lost data.
    Refused = 10,
    /// Ended by the user.
    Interrupted = 130,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Why a command ended, in the order in which people ask: what, where, why, what next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What the process answers to the shell.
    pub exit: Exit,
    /// What could not be done, one line without a full stop.
    pub what: String,
    /// Lines below it: a word such as `where`, `cause` or `next`, and its text.
    pub facts: Vec<(&'static str, String)>,
}

impl Failure {
    /// A failure that says only what.
    #[must_use]
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), facts: Vec::new() }
    }

    /// Adds a line such as `where`, `tried` or `known`.
    #[must_use]
    pub fn fact(mut self, word: &'static str, text: impl Into<String>) -> Self {
        self.facts.push((word, text.into()));
        self
    }

    /// Adds why.
    #[must_use]
    pub fn cause(self, text: impl Into<String>) -> Self {
        self.fact("cause", text)
    }

    /// Adds why, by an error with its chain of sources.
    #[must_use]
    pub fn cause_of(self, error: &dyn std::error::Error) -> Self {
        self.fact("cause", chain(error))
    }

    /// Adds the command that comes next.
    #[must_use]
    pub fn next(self, text: impl Into<String>) -> Self {
        self.fact("next", text)
    }

    /// Writes it to standard error. Where that is closed there is nobody left to tell.
    pub fn report(&self) {
        let mut out = anstream::stderr().lock();
        let _ = write!(out, "{}", self.styled());
    }

    fn styled(&self) -> String {
        use anstyle::{AnsiColor, Style};
        let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        let bold = Style::new().bold();
        let mut text = format!("{red}error:{red:#} {}\n", escape::visible(&self.what));
        let width = self.facts.iter().map(|(word, _)| word.len()).max().unwrap_or(0).max(5);
        let mut last = "";
        for (word, fact) in &self.facts {
            let shown = if *word == last { "" } else { word };
            for (index, line) in fact.lines().enumerate() {
                let shown = if index == 0 { shown } else { "" };
                let line = escape::visible(line);
                text.push_str(&format!("  {bold}{shown:<width$}{bold:#}  {line}\n"));
            }
            last = word;
        }
        text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", anstream::adapter::strip_str(&self.styled()))
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_what_where_why_and_what_next() {
        let failure = Failure::new(Exit::Unreachable, "cannot reach any aggregator")
            .fact("tried", "one")
            .fact("tried", "two")
            .cause("nobody listens")
            .next("headwater serve");
        let text = "error: cannot reach any aggregator\n  tried  one\n         two\n  \
                    cause  nobody listens\n  next   headwater serve\n";
        assert_eq!(failure.to_string(), text);
    }

    #[test]
    fn a_failure_cannot_forge_a_line_or_move_the_cursor() {
        let failure = Failure::new(Exit::NotFound, "no device \"a\u{1b}[2Jb\"");
        assert_eq!(failure.to_string(), "error: no device \"a\\x1b[2Jb\"\n");
    }
}
