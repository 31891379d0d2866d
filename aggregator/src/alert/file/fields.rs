//! Keys of a table, each with its place.

use std::ops::Range;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::alert::decimal::Decimal;
use crate::alert::mistake::Mistake;
use crate::alert::rules::RuleName;
use crate::config::{self, Place};

/// A range of bytes of the file.
pub(super) type Span = Range<usize>;

/// The text that is read, and what is wrong with it so far.
#[derive(Debug)]
pub(super) struct Source<'a> {
    name: &'a str,
    text: &'a str,
    /// Whether lines could not be read: then what is missing may stand in one of them.
    broken: bool,
    pub(super) mistakes: Vec<Mistake>,
}

impl<'a> Source<'a> {
    pub(super) fn new(name: &'a str, text: &'a str, broken: bool) -> Self {
        Self { name, text, broken, mistakes: Vec::new() }
    }

    pub(super) fn mistake(&mut self, span: Span, reason: impl Into<String>, help: Option<&str>) {
        let place = Place::new(self.name, self.text, span);
        self.mistakes.push(Mistake { reason: reason.into(), place, help: help.map(str::to_owned) });
    }

    pub(super) fn line_of(&self, span: Span) -> usize {
        Place::new(self.name, self.text, span).line()
    }

    fn written(&self, span: Span) -> &str {
        let text = self.text.get(span).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        line.get(..line.floor_char_boundary(WRITTEN_SHOWN_MAX)).unwrap_or_default()
    }
}

/// The keys of one table.
#[derive(Debug)]
pub(super) struct Fields<'s, 'a, 't> {
    source: &'s mut Source<'a>,
    table: &'t DeTable<'t>,
    /// Where it begins, for what is missing in it.
    head: Span,
    /// Known keys that unknown ones were probably meant to be.
    meant: Vec<String>,
}

impl<'s, 'a, 't> Fields<'s, 'a, 't> {
    pub(super) fn new(source: &'s mut Source<'a>, table: &'t DeTable<'t>, head: Span) -> Self {
        Self { source, table, head, meant: Vec::new() }
    }

    pub(super) fn mistake(&mut self, span: Span, reason: impl Into<String>, help: Option<&str>) {
        self.source.mistake(span, reason, help);
    }

    /// One of these keys must stand in the table and does not; one that is misspelt was told already.
    pub(super) fn missing(&mut self, keys: &[&str], reason: &str, help: Option<&str>) {
        let is_misspelt = keys.iter().any(|key| self.meant.iter().any(|meant| meant == key));
        if !self.source.broken && !is_misspelt {
            self.source.mistake(self.head.clone(), reason, help);
        }
    }

    /// A value that may not stand there.
    pub(super) fn wrong(&mut self, key: &str, span: Span, expected: &str) {
        let written = self.source.written(span.clone()).to_owned();
        self.source.mistake(span, format!("{key} is {written}, expected {expected}"), None);
    }

    /// Refuses every key but these.
    pub(super) fn only(&mut self, known: &[&str]) {
        for key in self.table.keys() {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let help = match config::nearest(name, known.iter().copied()) {
                Some(nearest) => {
                    self.meant.push(nearest.to_owned());
                    format!("did you mean \"{nearest}\"?")
                }
                None => format!("known here: {}", known.join(", ")),
            };
            self.source.mistake(key.span(), format!("unknown key \"{name}\""), Some(&help));
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// A value and its place.
    pub(super) fn find(&self, key: &str) -> Option<(&'t DeValue<'t>, Span)> {
        let mut pairs = self.table.iter();
        let (_, value) = pairs.find(|(name, _)| name.get_ref().as_ref() == key)?;
        Some((value.get_ref(), value.span()))
    }

    /// A text.
    pub(super) fn text(&mut self, key: &str) -> Option<(String, Span)> {
        let (value, span) = self.find(key)?;
        if let DeValue::String(text) = value {
            return Some((text.to_string(), span));
        }
        self.wrong(key, span, "a text in quotes");
        None
    }

    /// A text of so many bytes at most.
    pub(super) fn prose(&mut self, key: &str) -> Option<(String, Span)> {
        let (text, span) = self.text(key)?;
        if !text.is_empty() && text.len() <= PROSE_BYTES_MAX {
            return Some((text, span));
        }
        let reason = format!("{key} has {} bytes, expected 1 to {PROSE_BYTES_MAX}", text.len());
        self.mistake(span, reason, None);
        None
    }

    /// A name.
    pub(super) fn word(&mut self, key: &str) -> Option<String> {
        let (text, span) = self.text(key)?;
        if RuleName::is_word(&text) {
            return Some(text);
        }
        self.wrong(key, span, "1 to 63 letters, digits, '.', '-' or '_'");
        None
    }

    /// One of a few words.
    pub(super) fn one_of<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        let (text, span) = self.text(key)?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*meaning);
        }
        let quoted: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let written = self.source.written(span.clone()).to_owned();
        let reason = format!("{key} is {written}, expected {}", alternatives(&quoted));
        let nearest = config::nearest(&text, words.iter().map(|(word, _)| *word));
        let help = nearest.map(|nearest| format!("did you mean \"{nearest}\"?"));
        self.mistake(span, reason, help.as_deref());
        None
    }

    /// A list of texts, each with its place.
    pub(super) fn texts(&mut self, key: &str) -> Option<Vec<(String, Span)>> {
        let (value, span) = self.find(key)?;
        let DeValue::Array(list) = value else {
            self.wrong(key, span, "a list of texts, as in [\"one\", \"two\"]");
            return None;
        };
        if list.len() > LIST_MAX {
            let reason = format!("{key} has {} entries, expected at most {LIST_MAX}", list.len());
            self.mistake(span, reason, None);
            return None;
        }
        let mut texts = Vec::new();
        for item in list.iter() {
            match item.get_ref() {
                DeValue::String(text) => texts.push((text.to_string(), item.span())),
                _ => self.wrong(key, item.span(), "texts in quotes"),
            }
        }
        (texts.len() == list.len()).then_some(texts)
    }

    /// A number, as it stands there.
    pub(super) fn number(&mut self, key: &str) -> Option<(Decimal, Span)> {
        let (value, span) = self.find(key)?;
        let written = match value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => {
                self.wrong(key, span, "a decimal number, as in 0.85, without quotes");
                return None;
            }
        };
        match written.parse() {
            Ok(number) => Some((number, span)),
            Err(error) => {
                let expected = match error {
                    crate::alert::DecimalError::NotANumber => "a finite number".to_owned(),
                    error => error.to_string(),
                };
                self.wrong(key, span, &expected);
                None
            }
        }
    }

    /// A span of time between two others, in microseconds.
    pub(super) fn time(
        &mut self,
        key: &str,
        range: (Duration, Duration),
        expected: &str,
    ) -> Option<(i64, Span)> {
        let (text, span) = self.text(key)?;
        let found = config::duration(&text).filter(|it| (range.0..=range.1).contains(it));
        let micros = found.and_then(|it| i64::try_from(it.as_micros()).ok());
        if micros.is_none() {
            self.wrong(key, span.clone(), expected);
        }
        micros.map(|micros| (micros, span))
    }
}

/// `"one", "two" or "three"`.
fn alternatives(words: &[String]) -> String {
    match words {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        words => words.join(""),
    }
}

/// Bytes of a value that are shown again.
const WRITTEN_SHOWN_MAX: usize = 80;
/// Bytes of a note or a link: a sentence or two, which every notice carries.
const PROSE_BYTES_MAX: usize = 500;
/// Entries of a list of a threshold.
const LIST_MAX: usize = 64;
