//! Conditions on labels, as people write them: `env:prod,stage role:db* -site:lab`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Conditions that must all hold. None of them: everything fits. As bytes it is its text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selector(Vec<Condition>);

/// One condition on one label.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Condition {
    negated: bool,
    key: String,
    /// Any of them; `*` stands for any run of letters.
    values: Vec<String>,
}

/// Why a text is no selector.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SelectorError {
    /// A word of it is no condition.
    #[error("conditions such as \"env:prod\" or \"-site:lab,test\", not {0:?}")]
    Word(String),
    /// It is longer than a person reads.
    #[error("at most {CONDITIONS_MAX} conditions with {VALUES_MAX} values each")]
    TooLong,
}

impl Selector {
    /// Whether every condition holds for the labels that `value_of` finds by key; one that is missing or
    /// empty fits no value.
    pub(super) fn fits<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.0.iter().all(|condition| {
            let value = value_of(&condition.key).filter(|value| !value.is_empty());
            let held =
                value.is_some_and(|value| condition.values.iter().any(|it| is_like(it, value)));
            held != condition.negated
        })
    }

    /// Whether it has no condition.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let mut conditions = Vec::new();
        for word in text.split_whitespace() {
            let (negated, rest) = match word.strip_prefix('-') {
                Some(rest) => (true, rest),
                None => (false, word),
            };
            let malformed = || SelectorError::Word(word.chars().take(WORD_SHOWN_MAX).collect());
            let (key, values) = rest.split_once(':').ok_or_else(malformed)?;
            let values: Vec<String> = values.split(',').map(str::to_owned).collect();
            if key.is_empty() || values.iter().any(String::is_empty) {
                return Err(malformed());
            }
            if values.len() > VALUES_MAX {
                return Err(SelectorError::TooLong);
            }
            conditions.push(Condition { negated, key: key.to_owned(), values });
        }
        if conditions.len() > CONDITIONS_MAX {
            return Err(SelectorError::TooLong);
        }
        Ok(Self(conditions))
    }
}

/// Whether a text is like a pattern. Goes back to the last star only, so it takes at most the product of
/// both lengths.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, seen));
                at += 1;
            }
            (Some(byte), _) if *byte == text[seen] => {
                at += 1;
                seen += 1;
            }
            (_, Some((place, taken))) => {
                star = Some((place, taken + 1));
                at = place + 1;
                seen = taken + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

impl fmt::Display for Selector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Condition { negated, key, values }) in self.0.iter().enumerate() {
            let (space, sign) = (if index > 0 { " " } else { "" }, if *negated { "-" } else { "" });
            write!(out, "{space}{sign}{key}:{}", values.join(","))?;
        }
        Ok(())
    }
}

impl Serialize for Selector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Conditions of one selector, and values of one condition: they are checked for each series of each
/// window, and nobody reads more.
const CONDITIONS_MAX: usize = 32;
const VALUES_MAX: usize = 64;
/// Letters of a wrong word that are shown.
const WORD_SHOWN_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(text: &str) -> bool {
        let labels = [("env", "prod"), ("role", "db-1"), ("mount", "/var"), ("none", "")];
        let selector: Selector = text.parse().unwrap();
        assert_eq!(selector.to_string().parse::<Selector>().unwrap(), selector);
        selector.fits(|key| labels.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
    }

    #[test]
    fn every_condition_must_hold() {
        for text in ["", "env:prod", "env:lab,prod role:db-*", "-env:lab", "-site:x", "env:*"] {
            assert!(fits(text), "{text}");
        }
        for text in ["env:lab", "env:prod role:web", "-env:prod", "site:*", "none:*", "-role:*-1"] {
            assert!(!fits(text), "{text}");
        }
    }

    #[test]
    fn a_star_stands_for_any_run_of_letters() {
        for (pattern, text) in [("*", "a"), ("a*c", "abbc"), ("*a*", "xax"), ("a*b*c", "a.b.b.c")] {
            assert!(is_like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "b"), ("a*c", "ab"), ("ab", "abc"), ("*b", "bc")] {
            assert!(!is_like(pattern, text), "{pattern} {text}");
        }
        assert!(!is_like(&"*a".repeat(200), &"a".repeat(199)), "it ends");
    }

    #[test]
    fn what_is_no_condition_is_named() {
        for text in ["env", ":prod", "env:", "env:a,,b", "-", "ok:1 env"] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
        let long = "a:b ".repeat(CONDITIONS_MAX + 1);
        assert_eq!(long.parse::<Selector>(), Err(SelectorError::TooLong));
    }
}
