//! `headwater explore`: averages by labels.

use crate::api::rows::{AverageRow, ExploreRow};
use crate::cli::args::Explore;
use crate::cli::client::{Client, encoded};
use crate::cli::failure::Failure;
use crate::cli::output::table::{Cell, Side, Table};
use crate::cli::output::{Output, units};

/// Shows averages.
///
/// # Errors
/// `Usage` for labels that no averages are kept by; what the aggregator says, or that it can't be reached.
pub(crate) async fn run(
    client: &Client,
    output: &Output,
    explore: &Explore,
) -> Result<(), Failure> {
    let by = encoded(&explore.by.join(","));
    let (metric, last) = (encoded(&explore.metric), explore.last.as_secs());
    let path = format!(
        "/api/v1/explore?metric={metric}&by={by}&last_seconds={last}&windows={}",
        explore.windows
    );
    let found: ExploreRow = client.get(&path).await?;
    let mut columns = vec![("key", Side::Left)];
    columns.extend(explore.windows.then_some(("start", Side::Left)));
    for column in ["mean", "min", "max", "samples", "devices", "coverage"] {
        columns.push((column, Side::Right));
    }
    let mut table = Table::new(&columns);
    for row in &found.rows {
        if explore.windows {
            by_window(row, &found.metric, &mut table);
        } else {
            table.row(of_row(row, &found.metric));
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

fn of_row(row: &AverageRow, metric: &str) -> [Cell; 7] {
    let shown = |value: i64| scaled(metric, value, row.scale);
    [
        key(row).into(),
        Cell::both(mean(metric, &row.mean, row.scale), &row.mean),
        shown(row.min),
        shown(row.max),
        Cell::number(row.samples),
        format!("{}/{}", row.devices, row.known).into(),
        Cell::both(format!("{:.0} %", row.coverage * 100.0), row.coverage),
    ]
}

fn by_window(row: &AverageRow, metric: &str, table: &mut Table) {
    let shown = |value: i64| scaled(metric, value, row.scale);
    for window in &row.windows {
        let share = f64::from(window.devices) / f64::from(window.known.max(1));
        table.row([
            key(row).into(),
            Cell::time(window.start.0),
            Cell::both(mean(metric, &window.mean, row.scale), &window.mean),
            shown(window.min),
            shown(window.max),
            Cell::number(window.samples),
            format!("{}/{}", window.devices, window.known).into(),
            Cell::both(format!("{:.0} %", share * 100.0), share),
        ]);
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
