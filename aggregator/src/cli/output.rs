//! What goes to standard output, and in which shape.
//!
//! Data goes to standard output, words go to standard error. A terminal gets aligned tables with
//! colours and every control character made visible; a pipe gets tab-separated lines, whole and
//! without colours; `--json` is one document and `--ndjson` one per line, whoever reads.

pub mod escape;
pub mod table;
pub mod units;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::failure::{Exit, Failure};
use table::{Shape, Table};

/// The shape of what a command prints.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// For people at a terminal.
    Human,
    /// Tab-separated lines, for pipes.
    Plain,
    /// One JSON document.
    Json,
    /// One JSON document per line.
    Ndjson,
}

/// How the user wants to see what a command prints.
#[derive(Clone, Debug)]
pub struct Output {
    /// The shape.
    pub format: Format,
    /// Tables keep all columns, however wide the terminal is.
    pub wide: bool,
    /// The columns of tables and the keys of rows; empty for all.
    pub columns: Vec<String>,
    /// Nothing on standard error but errors.
    pub quiet: bool,
    /// How many times more was asked for.
    pub verbose: u8,
}

impl Output {
    /// Whether standard output is for people.
    #[must_use]
    pub fn is_human(&self) -> bool {
        self.format == Format::Human
    }

    /// Whether standard output is JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        matches!(self.format, Format::Json | Format::Ndjson)
    }

    /// Prints one thing: a table about it, or the thing as JSON.
    ///
    /// # Errors
    /// `Usage` for a column that it does not have.
    pub fn one<T: Serialize>(&self, value: &T, table: Table) -> Result<(), Failure> {
        if self.is_json() { self.document(value) } else { self.table(table) }
    }

    /// Prints rows: a table, or the same rows as JSON.
    ///
    /// # Errors
    /// `Usage` for a column that the rows do not have.
    pub fn rows<T: Serialize>(&self, rows: &[T], table: Table) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.document(&rows),
            Format::Ndjson => rows.iter().try_for_each(|row| self.line(row)),
            Format::Human | Format::Plain => self.table(table),
        }
    }

    /// Prints a table.
    ///
    /// # Errors
    /// `Usage` for a column that it does not have.
    pub fn table(&self, mut table: Table) -> Result<(), Failure> {
        table.select(&self.columns)?;
        let shape = match (self.format, self.wide) {
            (Format::Human, false) => Shape::Fit(terminal_width()),
            (Format::Human, true) => Shape::Aligned,
            _ => Shape::Tabs,
        };
        let shown = table.render(shape);
        self.text(&shown.text)?;
        if shown.dropped > 0 {
            let columns = units::count(shown.dropped as u64, "column");
            self.note(&format!("{columns} not shown: --wide shows all"));
        }
        Ok(())
    }

    /// Prints a value as one JSON document, indented for a person and in one line for a program.
    ///
    /// # Errors
    /// `Failed` if standard output can't be written.
    pub fn document<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let value = self.picked(value);
        let text = if self.format == Format::Json && io::stdout().is_terminal() {
            serde_json::to_string_pretty(&value)
        } else {
            serde_json::to_string(&value)
        };
        let text = text.expect("rows of text and numbers always have a JSON form");
        self.text(&(escape::json(&text) + "\n"))
    }

    /// Prints a value as one line of JSON.
    ///
    /// # Errors
    /// `Failed` if standard output can't be written.
    pub fn line<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        self.text(&(escape::json(&self.picked(value).to_string()) + "\n"))
    }

    /// The value with the keys that were asked for alone.
    fn picked<T: Serialize>(&self, value: &T) -> serde_json::Value {
        let mut value =
            serde_json::to_value(value).expect("rows of text and numbers always have a JSON form");
        if !self.columns.is_empty() {
            match &mut value {
                serde_json::Value::Array(rows) => rows.iter_mut().for_each(|row| self.pick(row)),
                row => self.pick(row),
            }
        }
        value
    }

    fn pick(&self, row: &mut serde_json::Value) {
        if let serde_json::Value::Object(row) = row {
            row.retain(|key, _| self.columns.contains(key));
        }
    }

    /// Prints text as it is; styles are taken out where they would not be understood.
    ///
    /// # Errors
    /// `Failed` if standard output can't be written.
    pub fn text(&self, text: &str) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(closed)
    }

    /// Prints bytes exactly as they are.
    ///
    /// # Errors
    /// `Failed` if standard output can't be written.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).map_err(closed)
    }

    /// Says something to the user that is not the data, unless asked to be quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            let mut out = anstream::stderr().lock();
            let _ = writeln!(out, "{text}");
        }
    }
}

/// Standard output can't be written. A reader that has seen enough (`| head`) is no failure worth a
/// message: the failure has no text, and its exit code is the one of a writer whose pipe broke.
fn closed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::new(Exit::Failed, ""),
        _ => Failure::new(Exit::Failed, "cannot write to standard output").cause_of(&error),
    }
}

/// The width of the terminal, 80 where it does not say.
fn terminal_width() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0))
}

/// Signs for state, in the alphabet that the terminal has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Signs {
    /// It is as it should be.
    pub good: &'static str,
    /// It survives, and should be looked at.
    pub warn: &'static str,
    /// It is not as it should be.
    pub bad: &'static str,
    /// It works.
    pub healthy: &'static str,
    /// Nothing is heard of it.
    pub stale: &'static str,
    /// Between parts of a line.
    pub dot: &'static str,
}

impl Signs {
    /// The signs of a terminal that shows UTF-8.
    pub const UTF8: Self =
        Self { good: "✓", warn: "▲", bad: "✗", healthy: "■", stale: "○", dot: "·" };
    /// The signs of any terminal.
    pub const ASCII: Self =
        Self { good: "ok", warn: "!", bad: "!!", healthy: ".", stale: "?", dot: "-" };

    /// The signs of this process's locale, by the variables that every C library goes by.
    #[must_use]
    pub fn of_locale() -> Self {
        let said = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .filter_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        Self::of(said.into_iter().next().as_deref())
    }

    /// A host that says nothing of its locale is a container more often than a terminal of the
    /// eighties: it gets UTF-8. One that says `C` or `POSIX` means it.
    fn of(locale: Option<&str>) -> Self {
        let Some(locale) = locale else { return Self::UTF8 };
        let locale = locale.to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") { Self::UTF8 } else { Self::ASCII }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_follow_the_locale() {
        assert_eq!(Signs::of(Some("en_GB.UTF-8")), Signs::UTF8);
        assert_eq!(Signs::of(Some("C.utf8")), Signs::UTF8);
        assert_eq!(Signs::of(Some("C")), Signs::ASCII);
        assert_eq!(Signs::of(Some("de_DE.ISO-8859-1")), Signs::ASCII);
        assert_eq!(Signs::of(None), Signs::UTF8);
    }

    #[test]
    fn columns_pick_the_keys_of_json_rows() {
        let output = Output {
            format: Format::Json,
            wide: false,
            columns: vec!["b".to_owned()],
            quiet: false,
            verbose: 0,
        };
        let rows = serde_json::json!([{"a": 1, "b": 2}, {"b": 3}]);
        assert_eq!(output.picked(&rows).to_string(), r#"[{"b":2},{"b":3}]"#);
    }
}
