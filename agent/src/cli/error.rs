//! Errors as people read them: what, where, why, and what to do next.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use crate::AgentError;
use crate::config::ConfigError;
use crate::ship::ShipError;
use crate::spool::OpenError;
use crate::status::StatusError;

/// Exit codes of the CLI page, section 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Code {
    Failed = 1,
    Usage = 2,
    Config = 3,
    Unreachable = 4,
    NotAllowed = 5,
    Conflict = 7,
    CheckFailed = 9,
    Unsafe = 10,
    Interrupted = 130,
}

/// An error on its way to stderr.
#[derive(Debug)]
pub(super) struct CliError {
    code: Code,
    what: String,
    /// Labelled lines: where, why, next.
    lines: Vec<(&'static str, String)>,
}

impl CliError {
    pub(super) fn new(code: Code, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), lines: Vec::new() }
    }

    /// A code alone: what there is to say was printed.
    pub(super) fn silent(code: Code) -> Self {
        Self::new(code, "")
    }

    /// An error with its causes.
    pub(super) fn of(code: Code, error: &dyn Error) -> Self {
        let mut new = Self::new(code, error.to_string());
        let mut source = error.source();
        while let Some(cause) = source {
            new = new.line("cause", cause.to_string());
            source = cause.source();
        }
        new
    }

    pub(super) fn line(mut self, label: &'static str, text: impl Into<String>) -> Self {
        self.lines.push((label, text.into()));
        self
    }

    pub(super) fn next(self, step: &str) -> Self {
        self.line("next", step)
    }

    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(self.code as u8)
    }

    pub(super) fn print(&self) {
        if self.what.is_empty() {
            return;
        }
        // Nobody reads a closed stderr.
        let _ = anstream::stderr().write_all(self.text().as_bytes());
    }

    fn text(&self) -> String {
        let mut text = format!("error: {}\n", self.what);
        let mut before = "";
        for (label, line) in &self.lines {
            let shown = if *label == before { "" } else { *label };
            let _ = writeln!(text, "  {shown:<6} {line}");
            before = *label;
        }
        text
    }

    /// A configuration that can't be used; its text has place and help already.
    pub(super) fn config(error: &ConfigError) -> Self {
        Self::new(Code::Config, error.to_string().trim_end())
    }

    /// A running agent that can't be asked.
    pub(super) fn status(error: &StatusError) -> Self {
        match error {
            StatusError::Ask { .. } => Self::of(Code::Unreachable, error)
                .next("is the agent running? systemctl status headwater-agent"),
            StatusError::Answer { .. } => Self::of(Code::Failed, error)
                .next("the running agent may be of another version: restart it"),
            StatusError::Listen { .. } | StatusError::Taken { .. } => Self::of(Code::Failed, error),
        }
    }

    /// A spool that can't be opened.
    pub(super) fn open(error: &OpenError) -> Self {
        match error {
            OpenError::Locked { .. } => Self::of(Code::Conflict, error),
            OpenError::Newer { .. } => Self::of(Code::Unsafe, error),
            OpenError::Folder { .. } | OpenError::File { .. } => Self::of(Code::Failed, error)
                .next("check spool.dir: its owner is the user that runs the agent, and its disk works"),
            OpenError::Database { .. }
            | OpenError::OtherDevice { .. }
            | OpenError::Salvage { .. }
            | OpenError::Aside { .. } => Self::of(Code::Failed, error),
        }
    }

    /// An agent that could not go on.
    pub(super) fn agent(error: &AgentError) -> Self {
        match error {
            AgentError::Identity(load) if load.is_missing() => Self::of(Code::NotAllowed, error)
                .next("headwater-agent enrol, with a token from: headwater tokens create"),
            AgentError::Identity(_) => Self::of(Code::NotAllowed, error)
                .next("headwater-agent enrol --force makes a new identity"),
            AgentError::Open(error) => Self::open(error),
            AgentError::Spool(_) => Self::of(Code::Failed, error)
                .next("start the agent again: what was committed is there; if it fails again, check the disk"),
            AgentError::Ship(ShipError::OtherDevice { .. }) => Self::of(Code::Conflict, error),
            AgentError::Enrolment(_)
            | AgentError::Ship(ShipError::Spool(_))
            | AgentError::Tail(_)
            | AgentError::Thread { .. }
            | AgentError::Ended { .. } => Self::of(Code::Failed, error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_where_why_and_what_next() {
        let error = CliError::new(Code::Unreachable, "cannot reach any aggregator")
            .line("tried", "a:1  timed out")
            .line("tried", "b:1  refused")
            .next("headwater-agent doctor");
        let text = "error: cannot reach any aggregator\n  tried  a:1  timed out\n         b:1  refused\n  next   headwater-agent doctor\n";
        assert_eq!(error.text(), text);
    }
}
