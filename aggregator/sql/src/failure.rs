//! Why a query was not answered: one message, one exit code. The codes are those of `headwater`.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// What the process answers to the shell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// Something unexpected.
    Failed = 1,
    /// The words of the command line, or of the query, are wrong.
    Usage = 2,
    /// Nobody answers, or not in time.
    Unreachable = 4,
    /// Not allowed.
    Denied = 5,
    /// There is no such thing.
    NotFound = 6,
    /// Answered without something that should be in it.
    Partly = 8,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Why a query was not answered, in the order in which people ask: what, where, why, what next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    /// What the process answers to the shell.
    pub(crate) exit: Exit,
    what: String,
    facts: Vec<(&'static str, String)>,
}

impl Failure {
    /// A failure that says only what.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), facts: Vec::new() }
    }

    /// Adds a line such as `where` or `tried`.
    pub(crate) fn fact(mut self, word: &'static str, text: impl Into<String>) -> Self {
        self.facts.push((word, text.into()));
        self
    }

    /// Adds why.
    pub(crate) fn cause(self, text: impl Into<String>) -> Self {
        self.fact("cause", text)
    }

    /// Adds the command that comes next.
    pub(crate) fn next(self, text: impl Into<String>) -> Self {
        self.fact("next", text)
    }

    /// Writes it to standard error. Where that is closed there is nobody left to tell.
    pub(crate) fn report(&self) {
        let mut out = anstream::stderr().lock();
        let _ = write!(out, "{self}");
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "error: {}", visible(&self.what))?;
        let width = self.facts.iter().map(|(word, _)| word.len()).max().unwrap_or(0).max(5);
        let mut last = "";
        for (word, fact) in &self.facts {
            for (at, line) in fact.lines().enumerate() {
                let shown = if at > 0 || *word == last { "" } else { word };
                writeln!(out, "  {shown:<width$}  {}", visible(line))?;
            }
            last = word;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// An error and its sources as one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        // Some libraries repeat their source in their own text.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

/// Text of a stranger, as a terminal may have it: nothing moves the cursor.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\t' => shown.push_str("\\t"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            _ if letter.is_control() => shown.extend(letter.escape_unicode()),
            _ => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_what_why_and_what_next_and_moves_no_cursor() {
        let failure = Failure::new(Exit::Usage, "no such table \"a\u{1b}[2J\"")
            .cause("one\ntwo")
            .next("SHOW TABLES");
        let text = "error: no such table \"a\\u{1b}[2J\"\n  cause  one\n         two\n  \
                    next   SHOW TABLES\n";
        assert_eq!(failure.to_string(), text);
    }
}
