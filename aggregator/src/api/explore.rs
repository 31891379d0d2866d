//! Averages by labels.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::Refusal;
use super::rows::{AverageRow, AverageWindowRow, ExploreRow, Moment};
use crate::clock::wall_us;
use crate::node::{AverageQuery, AverageWindow, Averages, AveragesError, NodeHandle};
use crate::window::{Combination, DEVICE, Figures, NoQuantile, Quantile, Spread};

/// What is asked.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    metric: String,
    /// Labels, separated by commas; the device without.
    by: Option<String>,
    /// The last so many seconds.
    last_seconds: u64,
    /// Quantiles, separated by commas; none without.
    quantiles: Option<String>,
    /// Whether each window is shown.
    #[serde(default)]
    windows: bool,
}

/// `GET /explore`
pub(super) async fn run(
    State(node): State<NodeHandle>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<ExploreRow>, Refusal> {
    let by = wanted.by.as_deref().unwrap_or(DEVICE);
    let by: Vec<String> = by.split(',').map(|label| label.trim().to_owned()).collect();
    let to_us = wall_us();
    let last_us = i64::try_from(wanted.last_seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX);
    let from_us = to_us.saturating_sub(last_us);
    let quantiles = quantiles(wanted.quantiles.as_deref().unwrap_or_default())?;
    let metric = wanted.metric.clone();
    let query = AverageQuery { metric, by: by.clone(), from_us, to_us };
    let found = node.averages(query).await.map_err(|error| refusal(&error))?;
    let names: BTreeMap<String, String> =
        node.names().into_iter().map(|(id, name)| (id.to_string(), name)).collect();
    let shown = Shown { quantiles: &quantiles, windows: wanted.windows };
    let rows = found.iter().map(|averages| row(averages, &by, &names, shown));
    Ok(Json(ExploreRow {
        metric: wanted.metric,
        by: by.clone(),
        from: Moment(from_us),
        to: Moment(to_us),
        window_seconds: node.window_length().as_secs(),
        rows: rows.collect(),
    }))
}

/// What is shown of each row.
#[derive(Clone, Copy)]
struct Shown<'a> {
    quantiles: &'a [Quantile],
    windows: bool,
}

/// Quantiles as they are asked for.
fn quantiles(list: &str) -> Result<Vec<Quantile>, Refusal> {
    let all = list.split(',').filter(|text| !text.is_empty());
    if all.clone().count() > QUANTILES_MAX {
        let what = format!("at most {QUANTILES_MAX} quantiles at once");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, what));
    }
    let quantiles = all.map(|text| {
        text.parse().map_err(|error: NoQuantile| {
            let what = format!("\"{text}\" is no quantile: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, what)
        })
    });
    quantiles.collect()
}

/// Quantiles of one answer: more make no readable table.
const QUANTILES_MAX: usize = 16;

fn refusal(error: &AveragesError) -> Refusal {
    match error {
        AveragesError::NotKept { kept, .. } => {
            let kept: Vec<String> = kept.iter().map(Combination::to_string).collect();
            let next = format!(
                "--by {}, or add them to window.combinations in the aggregator's configuration",
                kept.join(" | --by ")
            );
            Refusal::new(StatusCode::BAD_REQUEST, error.to_string()).next(next)
        }
        AveragesError::Store(_) | AveragesError::Stopping => {
            Refusal::failed("cannot read averages", error)
        }
    }
}

fn row(
    averages: &Averages,
    by: &[String],
    names: &BTreeMap<String, String>,
    wanted: Shown<'_>,
) -> AverageRow {
    let value = |index: usize, label: &String| {
        let value = averages.key.value(index);
        let name = (label == DEVICE).then(|| names.get(value)).flatten();
        name.cloned().unwrap_or_else(|| value.to_owned())
    };
    let key = by.iter().enumerate().map(|(index, label)| (label.clone(), value(index, label)));
    let windows = &averages.windows;
    let figures = windows.iter().map(|window| window.figures).reduce(Figures::plus);
    let figures = figures.expect("averages have at least one window");
    let quantiles_of = |spread: &Spread, figures: Figures| {
        let found = wanted.quantiles.iter();
        found.map(|it| (it.to_string(), spread.quantile(figures, *it))).collect()
    };
    let scale = averages.series.scale;
    let sum = |of: fn(&AverageWindow) -> u32| -> u64 {
        windows.iter().map(|window| u64::from(of(window))).sum()
    };
    let coverage = sum(|window| window.devices) as f64 / sum(|window| window.known).max(1) as f64;
    let shown = windows.iter().filter(|_| wanted.windows).map(|window| AverageWindowRow {
        start: Moment(window.start_us),
        revision: window.revision,
        samples: window.figures.count,
        sum: window.figures.sum.to_string(),
        mean: mean_text(window.figures, scale),
        quantiles: quantiles_of(&window.spread, window.figures),
        min: window.figures.min,
        max: window.figures.max,
        devices: window.devices,
        known: window.known,
    });
    AverageRow {
        key: key.collect(),
        labels: averages.series.labels.iter().cloned().collect(),
        scale,
        samples: figures.count,
        sum: figures.sum.to_string(),
        min: figures.min,
        max: figures.max,
        mean: mean_text(figures, scale),
        quantiles: match wanted.quantiles {
            [] => BTreeMap::new(),
            _ => quantiles_of(&spread_of(windows), figures),
        },
        devices: windows.iter().map(|window| window.devices).max().unwrap_or(0),
        known: windows.iter().map(|window| window.known).max().unwrap_or(0),
        coverage: coverage.min(1.0),
        windows: shown.collect(),
    }
}

/// How the values of all windows are spread.
fn spread_of(windows: &[AverageWindow]) -> Spread {
    let [first, others @ ..] = windows else { return Spread::Unknown };
    let (mut figures, mut spread) = (first.figures, first.spread.clone());
    for window in others {
        spread.add(figures, &window.spread, window.figures);
        figures = figures.plus(window.figures);
    }
    spread
}

/// The average as a decimal, with two digits more than its samples have.
fn mean_text(figures: Figures, scale: u8) -> String {
    let digits = scale.saturating_add(2).min(18);
    let Some(mean) = figures.mean(scale, digits) else { return String::new() };
    let (sign, size) = (if mean < 0 { "-" } else { "" }, mean.unsigned_abs());
    let unit = 10_u128.pow(u32::from(digits));
    let width = usize::from(digits);
    format!("{sign}{}.{:0width$}", size / unit, size % unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_that_are_none_or_too_many_are_refused() {
        assert_eq!(quantiles("p50,p99.9").unwrap().len(), 2);
        assert!(quantiles("").unwrap().is_empty());
        assert!(quantiles("p50,95").is_err());
        let many = |count| vec!["p50"; count].join(",");
        assert_eq!(quantiles(&many(QUANTILES_MAX)).unwrap().len(), QUANTILES_MAX);
        assert!(quantiles(&many(QUANTILES_MAX + 1)).is_err());
    }

    #[test]
    fn an_average_is_written_with_two_digits_more_than_its_samples() {
        let figures = Figures::of(1).plus(Figures::of(2)).plus(Figures::of(2));
        assert_eq!(mean_text(figures, 0), "1.67");
        assert_eq!(mean_text(Figures::of(-7_031), 4), "-0.703100");
    }
}
