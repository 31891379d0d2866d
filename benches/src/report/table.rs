//! Rows of figures.

use super::Figure;

/// What stands above the cells.
pub(super) const HEAD: [&str; 8] =
    ["figure", "unit", "min", "median", "max", "limit", "goal", "best of the others"];

/// The cells of a figure, in the order of the head.
pub(super) fn cells(figure: &Figure) -> [String; 8] {
    let goal = figure.goal.map_or_else(String::new, |goal| {
        let verdict = if figure.is_met() == Some(true) { "met" } else { "MISSED" };
        format!("≤ {goal}: {verdict}")
    });
    let peer = figure.peer.as_ref().map_or_else(String::new, |peer| {
        let place = if figure.is_ahead() == Some(true) { "" } else { ": better than ours" };
        format!("{} {}{place}", number(peer.value), peer.name)
    });
    let several = |value: f64| match figure.runs.len() {
        0 | 1 => String::new(),
        _ => number(value),
    };
    [
        figure.name.to_string(),
        figure.unit.to_owned(),
        several(figure.min),
        number(figure.median),
        several(figure.max),
        figure.limit.clone().unwrap_or_default(),
        goal,
        peer,
    ]
}

/// A table for a terminal.
pub(super) fn aligned(figures: &[Figure]) -> String {
    let head = HEAD.map(str::to_owned);
    let rows: Vec<[String; 8]> = std::iter::once(head).chain(figures.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..HEAD.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, (width, column)) in row.iter().zip(widths.iter().zip(0..)) {
            match column {
                NUMBERS_FROM..NUMBERS_TO => line.push_str(&format!("{cell:>width$}  ")),
                _ => line.push_str(&format!("{cell:<width$}  ")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The columns of numbers stand to the right.
const NUMBERS_FROM: usize = 2;
const NUMBERS_TO: usize = 5;

/// Three digits that say something, thousands grouped.
pub(super) fn number(value: f64) -> String {
    let places = match value.abs() {
        0.0..1.0 => 3,
        1.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.places$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && digit.is_ascii_digit() && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Better;

    #[test]
    fn numbers_have_three_digits_that_say_something() {
        for (value, text) in [
            (0.4321, "0.432"),
            (4.321, "4.32"),
            (43.21, "43.2"),
            (432.1, "432"),
            (1_432_100.0, "1,432,100"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn a_loss_stays_in() {
        let figure = Figure::new("RSS", "MB", vec![9.0, 21.0, 30.0]).at_most(20.0);
        let text = aligned(&[figure.peer(3.2, "collectd", Better::Less)]);
        let row = text.lines().nth(1).unwrap();
        assert!(row.contains("≤ 20: MISSED") && row.ends_with("3.20 collectd: better than ours"));
    }
}
