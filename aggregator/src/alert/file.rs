//! The file of thresholds: TOML, as people and repositories keep it.
//!
//! Every mistake is found in one go, each with its line and column. What was written is read as text,
//! so that a limit is the number that stands there and not the float next to it.

mod fields;
mod rule;

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Mistakes};
use super::rules::RuleName;
use super::threshold::Threshold;
use crate::config::Place;
use crate::limits::{RULES_MAX, THRESHOLD_FILE_BYTES_MAX};
use crate::window::Combination;
use fields::{Fields, Source};

/// A file of thresholds without a mistake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ThresholdFile {
    /// Whose thresholds it has.
    pub owner: String,
    /// They, in the order in which they stand there, each name once.
    pub rules: Vec<Threshold>,
}

/// What is known where the file is read; `None` where it is not, and can't be checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The combinations that are added up.
    pub combinations: Option<&'a [Combination]>,
    /// Length of the base window in microseconds.
    pub base_us: Option<i64>,
    /// Names of the webhooks of the configuration.
    pub webhooks: Option<&'a [String]>,
}

impl ThresholdFile {
    /// Reads a file; its name is what mistakes call it.
    ///
    /// # Errors
    /// All mistakes of the file.
    pub fn parse(name: &str, text: &str, known: Known<'_>) -> Result<Self, Mistakes> {
        if text.len() > THRESHOLD_FILE_BYTES_MAX {
            let reason = format!(
                "the file has {} bytes, expected at most {THRESHOLD_FILE_BYTES_MAX}",
                text.len()
            );
            let mistake = Mistake { reason, place: Place::new(name, "", 0..0), help: None };
            return Err(Mistakes::new(name, vec![mistake]));
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        let syntax: Vec<Mistake> =
            errors.iter().map(|error| unreadable(name, text, error)).collect();
        let mut source = Source::new(name, text, !syntax.is_empty());
        let file = read(&mut source, table.get_ref(), known);
        let mut mistakes = syntax;
        // What a line means that can't be read is a guess.
        let lines: Vec<usize> = mistakes.iter().map(|mistake| mistake.place.line()).collect();
        let found = source.mistakes.into_iter();
        mistakes.extend(found.filter(|mistake| !lines.contains(&mistake.place.line())));
        if mistakes.is_empty() { Ok(file) } else { Err(Mistakes::new(name, mistakes)) }
    }
}

fn unreadable(name: &str, text: &str, error: &toml::de::Error) -> Mistake {
    let place = Place::new(name, text, error.span().unwrap_or(0..0));
    Mistake { reason: error.message().to_owned(), place, help: None }
}

fn read(source: &mut Source<'_>, table: &DeTable<'_>, known: Known<'_>) -> ThresholdFile {
    let mut fields = Fields::new(source, table, 0..0);
    fields.only(&["owner", "threshold"]);
    let owner = fields.word("owner");
    if owner.is_none() && !fields.has("owner") {
        let help = "whose thresholds these are, as in owner = \"gitops\"";
        fields.missing(&["owner"], "owner is missing", Some(help));
    }
    let owner = owner.unwrap_or_default();
    let Some((list, span)) = fields.find("threshold") else {
        return ThresholdFile { owner, rules: Vec::new() };
    };
    let DeValue::Array(list) = list else {
        source.mistake(span, "threshold is one table", Some("each begins with [[threshold]]"));
        return ThresholdFile { owner, rules: Vec::new() };
    };
    if list.len() > RULES_MAX {
        let reason = format!("{} thresholds, expected at most {RULES_MAX}", list.len());
        source.mistake(span, reason, None);
    }
    let mut rules = Vec::new();
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for item in list.iter().take(RULES_MAX) {
        let DeValue::Table(table) = item.get_ref() else {
            let help = Some("each begins with [[threshold]]");
            source.mistake(item.span(), "a threshold is a table", help);
            continue;
        };
        let mut fields = Fields::new(source, table, item.span());
        let (name, rule) = rule::read(&mut fields, known);
        if let Some((name, span)) = name {
            let line = source.line_of(span.clone());
            match lines.get(&name) {
                Some(first) => {
                    let reason = format!("two thresholds are called \"{name}\"");
                    source.mistake(
                        span,
                        reason,
                        Some(&format!("the first one is in line {first}")),
                    );
                }
                None => _ = lines.insert(name.clone(), line),
            }
            let name = RuleName { owner: owner.clone(), name };
            rules.extend(rule.map(|rule| Threshold { name, ..rule }));
        }
    }
    ThresholdFile { owner, rules }
}

#[cfg(test)]
mod tests;
