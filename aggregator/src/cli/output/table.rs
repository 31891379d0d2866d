//! Tables: aligned for people, tab-separated for programs.

use anstyle::{AnsiColor, Style};
use std::borrow::Cow;

use super::{escape, units};
use crate::cli::failure::{Exit, Failure};

/// On which side of a column its cells stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Side {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// What a cell says of its row.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Tone {
    /// Nothing.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// To be looked at.
    Warn,
    /// Not as it should be.
    Bad,
}

impl Tone {
    /// The style of the tone, in the colours of the user's own theme.
    #[must_use]
    pub fn style(self) -> Style {
        let coloured = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Good => coloured(AnsiColor::Green),
            Self::Warn => coloured(AnsiColor::Yellow).bold(),
            Self::Bad => coloured(AnsiColor::Red).bold(),
        }
    }
}

/// A cell.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cell {
    text: String,
    /// What a program gets; `None` if that is the text.
    plain: Option<String>,
    tone: Tone,
}

impl Cell {
    /// A cell that reads `text` for people and `plain` for programs.
    #[must_use]
    pub fn both(text: impl Into<String>, plain: impl ToString) -> Self {
        Self { text: text.into(), plain: Some(plain.to_string()), tone: Tone::Plain }
    }

    /// A number, its digits grouped for people.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self::both(units::grouped(number), number)
    }

    /// A moment in microseconds since 1970 UTC, to the second for people.
    #[must_use]
    pub fn time(micros: i64) -> Self {
        Self::both(units::time_to_second(micros), units::time(micros))
    }

    /// The cell with a tone.
    #[must_use]
    pub fn toned(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), plain: None, tone: Tone::Plain }
    }
}

/// Rows under named columns.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(Cow<'static, str>, Side)>,
    rows: Vec<Vec<Cell>>,
    head: bool,
}

/// How a table is laid out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shape {
    /// Aligned; columns on the right that do not fit into so many characters are left out.
    Fit(usize),
    /// Aligned, all columns.
    Aligned,
    /// Separated by tabs, all columns.
    Tabs,
}

/// A table as text.
#[derive(Debug, Eq, PartialEq)]
pub struct Rendered {
    /// The lines, each with its end.
    pub text: String,
    /// How many columns were left out.
    pub dropped: usize,
}

impl Table {
    /// An empty table. Columns are named in lower case, as `--columns` takes them.
    #[must_use]
    pub fn new<N: Into<Cow<'static, str>> + Clone>(columns: &[(N, Side)]) -> Self {
        let columns = columns.iter().map(|(name, side)| (name.clone().into(), *side)).collect();
        Self { columns, rows: Vec::new(), head: true }
    }

    /// The table without its head where people read it: for one whose first column says it all.
    #[must_use]
    pub fn headless(self) -> Self {
        Self { head: false, ..self }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If it has more or fewer cells than there are columns: a caller's mistake.
    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let cells = cells.into();
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Keeps the named columns, in the order in which they are named. None named keeps all.
    ///
    /// # Errors
    /// `Usage` for a column that the table does not have.
    pub fn select(&mut self, names: &[String]) -> Result<(), Failure> {
        if names.is_empty() {
            return Ok(());
        }
        let place = |name: &String| self.columns.iter().position(|(known, _)| known == name);
        let mut places = Vec::with_capacity(names.len());
        for name in names {
            places.push(place(name).ok_or_else(|| self.unknown(name))?);
        }
        self.columns = places.iter().map(|place| self.columns[*place].clone()).collect();
        for row in &mut self.rows {
            *row = places.iter().map(|place| row[*place].clone()).collect();
        }
        Ok(())
    }

    fn unknown(&self, name: &str) -> Failure {
        let known: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_ref()).collect();
        Failure::new(Exit::Usage, format!("no column \"{name}\""))
            .fact("known", known.join(", "))
            .next("--columns with some of these, separated by commas")
    }

    /// Lays the table out.
    #[must_use]
    pub fn render(&self, shape: Shape) -> Rendered {
        if shape == Shape::Tabs {
            return Rendered { text: self.tabs(), dropped: 0 };
        }
        let escaped: Vec<Vec<Cell>> = self.rows.iter().map(|row| visible(row)).collect();
        let widths = self.widths(&escaped);
        let kept = match shape {
            Shape::Fit(most) => fitting(&widths, most),
            Shape::Aligned | Shape::Tabs => widths.len(),
        };
        let heading = Style::new().bold();
        let mut text = String::new();
        let head = self.columns.iter().map(|(name, _)| (name.to_uppercase(), heading));
        if self.head {
            self.line(head.take(kept), &widths, &mut text);
        }
        for row in &escaped {
            let cells = row.iter().map(|cell| (cell.text.clone(), cell.tone.style()));
            self.line(cells.take(kept), &widths, &mut text);
        }
        Rendered { text, dropped: widths.len() - kept }
    }

    fn tabs(&self) -> String {
        let names: Vec<String> = self.columns.iter().map(|(name, _)| name.to_uppercase()).collect();
        let mut text = names.join("\t") + "\n";
        for row in &self.rows {
            let cells = row.iter().map(|cell| cell.plain.as_ref().unwrap_or(&cell.text));
            let cells: Vec<String> = cells.map(|text| escape::visible(text)).collect();
            text.push_str(&cells.join("\t"));
            text.push('\n');
        }
        text
    }

    fn widths(&self, rows: &[Vec<Cell>]) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|(name, _)| name.len()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.text.chars().count());
            }
        }
        widths
    }

    fn line(
        &self,
        cells: impl Iterator<Item = (String, Style)>,
        widths: &[usize],
        out: &mut String,
    ) {
        let start = out.len();
        for (index, (text, style)) in cells.enumerate() {
            let padding = " ".repeat(widths[index] - text.chars().count());
            if index > 0 {
                out.push_str(BETWEEN);
            }
            match self.columns[index].1 {
                Side::Left => out.push_str(&format!("{style}{text}{style:#}{padding}")),
                Side::Right => out.push_str(&format!("{padding}{style}{text}{style:#}")),
            }
        }
        let end = start + out[start..].trim_end_matches(' ').len();
        out.truncate(end);
        out.push('\n');
    }
}

/// What stands between two columns.
const BETWEEN: &str = "  ";

fn visible(row: &[Cell]) -> Vec<Cell> {
    let shown = |cell: &Cell| Cell { text: escape::visible(&cell.text), ..cell.clone() };
    row.iter().map(shown).collect()
}

/// How many columns fit, from the left; the first one always does.
fn fitting(widths: &[usize], most: usize) -> usize {
    let mut taken = 0;
    for (index, width) in widths.iter().enumerate() {
        taken += width + if index > 0 { BETWEEN.len() } else { 0 };
        if taken > most && index > 0 {
            return index;
        }
    }
    widths.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table =
            Table::new(&[("name", Side::Left), ("records", Side::Right), ("note", Side::Left)]);
        table.row(["edge-1".into(), "12".into(), Cell::from("fine").toned(Tone::Good)]);
        table.row(["ü\tb\x1b[0m".into(), Cell::number(1200), "".into()]);
        table
    }

    fn plain(shape: Shape) -> String {
        anstream::adapter::strip_str(&table().render(shape).text).to_string()
    }

    #[test]
    fn a_table_is_aligned_for_people() {
        let text = "NAME         RECORDS  NOTE\nedge-1            12  fine\n\
                    ü\\tb\\x1b[0m    1,200\n";
        assert_eq!(plain(Shape::Aligned), text);
    }

    #[test]
    fn a_narrow_terminal_loses_columns_from_the_right_and_no_cell_is_cut() {
        assert_eq!(table().render(Shape::Fit(22)).dropped, 1);
        assert_eq!(plain(Shape::Fit(5)).lines().next(), Some("NAME"));
        assert_eq!(table().render(Shape::Fit(80)).dropped, 0);
    }

    #[test]
    fn a_pipe_gets_a_cell_per_tab_whatever_stands_in_it() {
        let text = "NAME\tRECORDS\tNOTE\nedge-1\t12\tfine\nü\\tb\\x1b[0m\t1200\t\n";
        assert_eq!(table().render(Shape::Tabs).text, text);
    }

    #[test]
    fn columns_are_selected_by_name_and_in_order() {
        let mut table = table();
        table.select(&["note".to_owned(), "name".to_owned()]).unwrap();
        let text = table.render(Shape::Tabs).text;
        assert_eq!(text.lines().next(), Some("NOTE\tNAME"));
        let unknown = table.select(&["nam".to_owned()]).unwrap_err();
        assert_eq!(unknown.exit, Exit::Usage);
        assert!(unknown.to_string().contains("note, name"), "{unknown}");
    }
}
