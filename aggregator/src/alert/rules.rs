//! Sets of rules, as they are published.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::threshold::Threshold;
use crate::limits::RULES_MAX;

/// What a threshold is called: unique together.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct RuleName {
    /// Whose it is: a file changes thresholds of its own owner only.
    pub owner: String,
    /// Its name.
    pub name: String,
}

impl RuleName {
    /// Whether a text can be an owner or a name: 1 to 63 letters, digits, `.`, `-` or `_`.
    #[must_use]
    pub fn is_word(text: &str) -> bool {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
        (1..=WORD_BYTES_MAX).contains(&text.len()) && text.chars().all(plain)
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.owner, self.name)
    }
}

/// Bytes of a name: as many as a DNS label has, for the same reason: they are typed and printed.
const WORD_BYTES_MAX: usize = 63;

/// All thresholds of one revision: what a control entry carries.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RuleSet {
    /// Grows by one with each change; 0 is the empty set before the first.
    pub revision: u64,
    /// The start of the first window that it holds for, microseconds since 1970 UTC.
    pub from_us: i64,
    /// When it was published, microseconds since 1970 UTC.
    pub published_us: i64,
    /// Who published it.
    pub actor: String,
    /// What for. `None` if nobody said.
    pub message: Option<String>,
    /// The thresholds, in order of names, each name once.
    pub rules: Vec<Threshold>,
}

/// Why a set can't be published.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PublishError {
    /// It has too many thresholds.
    #[error("{0} thresholds, at most {RULES_MAX} are evaluated")]
    TooMany(usize),
    /// A name stands twice in it.
    #[error("two thresholds are called {0}")]
    Twice(RuleName),
}

/// Why bytes are no set of rules.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// They are not in the format.
    #[error("read a set of thresholds")]
    Format(#[from] rmp_serde::decode::Error),
    /// They are a set that can't be evaluated.
    #[error("read a set of thresholds")]
    Publish(#[source] PublishError),
}

impl RuleSet {
    /// Puts the thresholds in order, and refuses a set that can't be evaluated.
    ///
    /// # Errors
    /// If there are too many, or a name stands twice.
    pub fn checked(mut self) -> Result<Self, PublishError> {
        if self.rules.len() > RULES_MAX {
            return Err(PublishError::TooMany(self.rules.len()));
        }
        self.rules.sort_by(|one, other| one.name.cmp(&other.name));
        let mut names = BTreeSet::new();
        match self.rules.iter().find(|rule| !names.insert(&rule.name)) {
            Some(rule) => Err(PublishError::Twice(rule.name.clone())),
            None => Ok(self),
        }
    }

    /// The bytes of a control entry.
    ///
    /// # Panics
    /// Never: numbers and texts have an encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rmp_serde::to_vec_named(self).expect("numbers and texts have an encoding")
    }

    /// Reads the bytes of a control entry.
    ///
    /// # Errors
    /// For every malformed input, and a set that can't be evaluated.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        rmp_serde::from_slice::<Self>(bytes)?.checked().map_err(DecodeError::Publish)
    }

    /// The threshold of a name.
    #[must_use]
    pub fn rule(&self, name: &RuleName) -> Option<&Threshold> {
        let found = self.rules.binary_search_by(|rule| rule.name.cmp(name));
        found.ok().and_then(|at| self.rules.get(at))
    }
}
