//! A table for people: columns as wide as their first rows, dropped from the right where the terminal ends.

use std::io::{self, Write};

use datafusion::arrow::datatypes::Schema;

use super::cells::{Kind, kind, on_one_line};

/// Rows that are looked at before the first one is printed.
const ROWS_MEASURED: usize = 1_000;
/// Letters of a cell, at most: a line of a log would fill the screen.
const CELL_LETTERS_MAX: usize = 60;

/// A table that is being printed.
pub(super) struct Human<W> {
    out: W,
    names: Vec<String>,
    kinds: Vec<Kind>,
    wide: bool,
    columns: usize,
    waiting: Vec<Vec<String>>,
    /// Of the columns that are shown; `None` before they are measured.
    widths: Option<Vec<usize>>,
}

impl<W: Write> Human<W> {
    pub(super) fn new(out: W, schema: &Schema, wide: bool) -> Self {
        let names = schema.fields().iter().map(|field| on_one_line(field.name())).collect();
        let kinds = schema.fields().iter().map(|field| kind(field.data_type())).collect();
        let columns = terminal_size::terminal_size().map_or(120, |(width, _)| width.0.into());
        Self { out, names, kinds, wide, columns, waiting: Vec::new(), widths: None }
    }

    pub(super) fn row(&mut self, cells: Vec<Option<String>>) -> io::Result<()> {
        let cells = cells.into_iter().map(|cell| match cell {
            None => "-".to_owned(),
            Some(text) => self.shortened(&on_one_line(&text)),
        });
        let cells: Vec<String> = cells.collect();
        if self.widths.is_some() {
            return self.line(&cells);
        }
        self.waiting.push(cells);
        if self.waiting.len() < ROWS_MEASURED { Ok(()) } else { self.begin() }
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.widths.is_none() {
            self.begin()?;
        }
        let shown = self.widths.as_ref().map_or(0, Vec::len);
        if shown < self.names.len() {
            let dropped = self.names[shown..].join(", ");
            writeln!(self.out, "not shown: {dropped} · --wide shows all")?;
        }
        self.out.flush()
    }

    fn begin(&mut self) -> io::Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        let width = |at: usize| {
            let cells = waiting.iter().map(|row: &Vec<String>| letters(&row[at]));
            cells.chain([letters(&self.names[at])]).max().unwrap_or(0)
        };
        let mut widths: Vec<usize> = (0..self.names.len()).map(width).collect();
        let total = |widths: &[usize]| widths.iter().sum::<usize>() + 2 * widths.len();
        while !self.wide && widths.len() > 1 && total(&widths) > self.columns + 2 {
            widths.pop();
        }
        self.widths = Some(widths);
        let names: Vec<String> = self.names.iter().map(|name| name.to_uppercase()).collect();
        self.line(&names)?;
        waiting.iter().try_for_each(|row| self.line(row))
    }

    fn line(&mut self, cells: &[String]) -> io::Result<()> {
        let mut line = String::new();
        for ((cell, width), kind) in cells.iter().zip(self.widths.iter().flatten()).zip(&self.kinds)
        {
            let blank = " ".repeat(width.saturating_sub(letters(cell)));
            match kind {
                Kind::Number => line.extend([&blank, cell.as_str(), "  "]),
                Kind::Text => line.extend([cell.as_str(), &blank, "  "]),
            }
        }
        writeln!(self.out, "{}", line.trim_end())
    }

    fn shortened(&self, text: &str) -> String {
        if self.wide || letters(text) <= CELL_LETTERS_MAX {
            return text.to_owned();
        }
        text.chars().take(CELL_LETTERS_MAX - 1).chain(['…']).collect()
    }
}

fn letters(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::datatypes::{DataType, Field};

    use super::*;

    fn printed(columns: usize, wide: bool) -> String {
        let schema = Schema::new(vec![
            Field::new("host", DataType::Utf8, true),
            Field::new("n", DataType::Int64, true),
            Field::new("body", DataType::Utf8, true),
        ]);
        let mut out = Vec::new();
        let mut human = Human::new(&mut out, &schema, wide);
        human.columns = columns;
        human.row(vec![Some("a\tb".into()), Some("7".into()), Some("x".repeat(80))]).unwrap();
        human.row(vec![None, Some("1234".into()), None]).unwrap();
        human.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_that_do_not_fit_are_named() {
        let expected = "HOST     N\na\\tb     7\n-     1234\nnot shown: body · --wide shows all\n";
        assert_eq!(printed(40, false), expected);
        assert!(printed(100, false).contains(&format!("{}…", "x".repeat(59))));
        assert!(printed(40, true).contains(&"x".repeat(80)));
    }
}
