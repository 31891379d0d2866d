//! `headwater explore`: averages by labels.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::api::rows::{AverageRow, ExploreRow};
use crate::cli::args::Explore;
use crate::cli::client::{Client, encoded};
use crate::cli::failure::Failure;
use crate::cli::output::table::{Cell, Side, Table};
use crate::cli::output::{Output, units};
use crate::window::Quantile;

/// Shows averages.
///
/// # Errors
/// `Usage` for labels that no averages are kept by; what the aggregator says, or that it can't be reached.
pub(crate) async fn run(
    client: &Client,
    output: &Output,
    explore: &Explore,
) -> Result<(), Failure> {
    let quantiles: Vec<String> = explore.quantiles.iter().map(Quantile::to_string).collect();
    let by = encoded(&explore.by.join(","));
    let (metric, last) = (encoded(&explore.metric), explore.last.as_secs());
    let path = format!(
        "/api/v1/explore?metric={metric}&by={by}&last_seconds={last}&windows={}&quantiles={}",
        explore.windows,
        quantiles.join(","),
    );
    let found: ExploreRow = client.get(&path).await?;
    let mut columns = vec![(Cow::from("key"), Side::Left)];
    columns.extend(explore.windows.then_some(("start".into(), Side::Left)));
    columns.extend(["mean", "min"].map(|name| (name.into(), Side::Right)));
    columns.extend(quantiles.iter().map(|name| (name.clone().into(), Side::Right)));
    let after = ["max", "samples", "devices", "coverage"];
    columns.extend(after.map(|name| (name.into(), Side::Right)));
    let mut table = Table::new(&columns);
    for row in &found.rows {
        if explore.windows {
            by_window(row, (&found.metric, &quantiles), &mut table);
        } else {
            table.row(of_row(row, (&found.metric, &quantiles)));
        }
    }
    output.one(&found, table)?;
    if found.rows.is_empty() {
        output.note(&format!(
            "no sample of \"{}\" in a window that closed in the last {} · next: headwater tap metrics",
            found.metric,
            units::duration(explore.last)
        ));
    } else if output.is_human() {
        output.note(&format!(
            "{} of {} s, {} to {} UTC · n and coverage beside every average",
            if explore.windows { "windows" } else { "all windows" },
            found.window_seconds,
            units::time_to_second(found.from.0),
            units::time_to_second(found.to.0),
        ));
    }
    let is_missing = |row: &AverageRow| row.quantiles.values().any(Option::is_none);
    if output.is_human() && found.rows.iter().any(is_missing) {
        output.note(&format!(
            "– is not kept · next: add {:?} to window.quantiles of the aggregator; it holds from then on",
            found.by
        ));
    }
    Ok(())
}

fn key(row: &AverageRow) -> String {
    let pairs = row.key.iter().map(|(label, value)| {
        let value = if value.is_empty() { "(none)" } else { value };
        format!("{label}={value}")
    });
    let mut text = pairs.collect::<Vec<_>>().join(" ");
    if !row.labels.is_empty() {
        let labels: Vec<String> =
            row.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        text.push_str(&format!(" {{{}}}", labels.join(",")));
    }
    text
}

fn of_row(row: &AverageRow, (metric, quantiles): (&str, &[String])) -> Vec<Cell> {
    let shown = |value: i64| scaled(metric, value, row.scale);
    let mut cells = vec![
        key(row).into(),
        Cell::both(mean(metric, &row.mean, row.scale), &row.mean),
        shown(row.min),
    ];
    cells.extend(quantiles.iter().map(|name| quantile(&row.quantiles, name, shown)));
    cells.extend([
        shown(row.max),
        Cell::number(row.samples),
        format!("{}/{}", row.devices, row.known).into(),
        Cell::both(format!("{:.0} %", row.coverage * 100.0), row.coverage),
    ]);
    cells
}

fn quantile(all: &BTreeMap<String, Option<i64>>, name: &str, shown: impl Fn(i64) -> Cell) -> Cell {
    all.get(name).copied().flatten().map_or_else(|| "–".into(), shown)
}

fn by_window(row: &AverageRow, (metric, quantiles): (&str, &[String]), table: &mut Table) {
    let shown = |value: i64| scaled(metric, value, row.scale);
    for window in &row.windows {
        let share = f64::from(window.devices) / f64::from(window.known.max(1));
        let mut cells = vec![
            key(row).into(),
            Cell::time(window.start.0),
            Cell::both(mean(metric, &window.mean, row.scale), &window.mean),
            shown(window.min),
        ];
        cells.extend(quantiles.iter().map(|name| quantile(&window.quantiles, name, shown)));
        cells.extend([
            shown(window.max),
            Cell::number(window.samples),
            format!("{}/{}", window.devices, window.known).into(),
            Cell::both(format!("{:.0} %", share * 100.0), share),
        ]);
        table.row(cells);
    }
}

fn scaled(metric: &str, value: i64, scale: u8) -> Cell {
    Cell::both(units::reading(metric, value, scale), units::decimal(value, scale))
}

/// The average as its metric's last word says that it is to be read: what is written has two digits more
/// than the samples.
fn mean(metric: &str, written: &str, scale: u8) -> String {
    let digits: String = written.chars().filter(|letter| *letter != '.').collect();
    let value = digits.parse::<i64>().ok();
    value.map_or_else(|| written.to_owned(), |value| units::reading(metric, value, scale + 2))
}
