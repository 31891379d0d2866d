//! One thing that was looked at.

use serde::Serialize;

/// One thing that was looked at, and how it was found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Finding {
    /// What was looked at, in a word.
    pub(super) name: &'static str,
    /// How it was found.
    pub(super) state: State,
    /// What was seen, in a line.
    pub(super) found: String,
    /// Why that is not as it should be; `None` where nothing is wrong.
    pub(super) why: Option<String>,
    /// What mends it; `None` where nothing has to be done.
    pub(super) next: Option<String>,
}

/// How something was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// The aggregator works with it; a person should look at it.
    Warning,
    /// In the way.
    Failed,
    /// Not looked at, for a reason that is told.
    Skipped,
}

impl Finding {
    fn new(name: &'static str, state: State, found: impl Into<String>) -> Self {
        Self { name, state, found: found.into(), why: None, next: None }
    }

    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Ok, found)
    }

    pub(super) fn warning(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Warning, found)
    }

    pub(super) fn failed(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Failed, found)
    }

    pub(super) fn skipped(name: &'static str, found: impl Into<String>) -> Self {
        Self::new(name, State::Skipped, found)
    }

    pub(super) fn why(self, why: impl Into<String>) -> Self {
        Self { why: Some(why.into()), ..self }
    }

    pub(super) fn next(self, next: impl Into<String>) -> Self {
        Self { next: Some(next.into()), ..self }
    }
}
