//! Points of charts: a grid with the mean, the smallest, the largest and the count of each, of a window or of several.
//! A point without samples is a hole in the grid, and stays one on the page.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::super::access::plain;
use super::super::page::{bits, bytes, clock, percent, plain_text, rate, three};
use super::plan::{PLANS, Plan, Unit};
use super::range::Range;
use crate::clock::wall_us;
use crate::node::{DeviceView, DeviceWindows, NodeHandle, SeriesPoints};
use crate::window::SERIES_PER_DEVICE_MAX;

/// Points of a line. Source: CONSOLE page, section 2.
pub(super) const WINDOWS_MAX: i64 = 600;
/// Bytes of a label in a legend.
const LABEL_BYTES_MAX: usize = 48;

/// All charts of a device over one span of time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plotted {
    /// Start of the first window, milliseconds since 1970 UTC.
    pub(crate) from: i64,
    /// How long a point is, in milliseconds.
    pub(crate) step: i64,
    /// Series that the device may have in averages; `None` while it has fewer.
    #[serde(skip)]
    pub(crate) series_most: Option<usize>,
    pub(crate) charts: Vec<Chart>,
}

impl Plotted {
    /// How long a point is, in words.
    pub(super) fn step_text(&self) -> String {
        match (self.step / 60_000, self.step % 60_000) {
            (minutes, 0) => format!("{minutes} min"),
            _ => format!("{} s", self.step / 1_000),
        }
    }
}

/// A chart.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Chart {
    pub(crate) metric: &'static str,
    #[serde(skip)]
    pub(crate) title: &'static str,
    #[serde(skip)]
    pub(crate) about: &'static str,
    pub(crate) unit: Unit,
    pub(crate) band: bool,
    /// How many more there are than are shown.
    pub(crate) others: usize,
    pub(crate) lines: Vec<Line>,
    /// What it shows, in words.
    pub(crate) summary: String,
}

/// A line: one entry per point of the grid, `null` where nothing was sampled.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) mean: Vec<Option<f64>>,
    pub(crate) min: Vec<Option<f64>>,
    pub(crate) max: Vec<Option<f64>>,
    pub(crate) n: Vec<u64>,
}

/// The charts of a device over a range.
pub(in super::super) async fn plotted(
    node: &NodeHandle,
    device: &DeviceView,
    range: Range,
) -> Result<Plotted, Response> {
    spanned(node, device, (range.span_us(), range)).await
}

/// Their newest points: those of the last minute, and the one before the open one.
pub(in super::super) async fn recent(
    node: &NodeHandle,
    device: &DeviceView,
    range: Range,
) -> Result<Plotted, Response> {
    let window_us = signed(node.window_length());
    let span_us = RECENT_US.max(2 * range.step_us(window_us));
    spanned(node, device, (span_us, range)).await
}

/// Windows that a stream sends each second: the open one, and those that late samples may still change.
const RECENT_US: i64 = 60 * 1_000_000;

fn signed(length: Duration) -> i64 {
    i64::try_from(length.as_micros()).expect("a window is at most an hour")
}

async fn spanned(
    node: &NodeHandle,
    device: &DeviceView,
    (span_us, range): (i64, Range),
) -> Result<Plotted, Response> {
    let now_us = wall_us();
    let grid = Grid::new(now_us, span_us, range.step_us(signed(node.window_length())));
    // The open window may begin a little after our clock.
    let to_us = now_us.saturating_add(AHEAD_US);
    let windows = node.device_windows(device.id, (grid.from_us, to_us), grid.step_us).await;
    let windows = windows.map_err(|error| {
        tracing::warn!(%error, cause = crate::api::chain(&error), "read windows for a chart");
        plain(StatusCode::SERVICE_UNAVAILABLE, "The averages can't be read; the log says why.\n")
    })?;
    let charts = PLANS.iter().filter_map(|plan| chart(plan, &windows, &grid)).collect();
    let series_most = windows.is_full.then_some(SERIES_PER_DEVICE_MAX);
    Ok(Plotted { from: grid.from_us / 1_000, step: grid.step_us / 1_000, series_most, charts })
}

/// How far ahead of ours the corrected time of a window may be and still be drawn.
const AHEAD_US: i64 = 60 * 1_000_000;

/// Points by their place.
#[derive(Clone, Copy, Debug)]
struct Grid {
    from_us: i64,
    step_us: i64,
    windows: usize,
}

impl Grid {
    fn new(now_us: i64, span_us: i64, step_us: i64) -> Self {
        let step_us = step_us.max(1);
        let count = (span_us / step_us).clamp(1, WINDOWS_MAX);
        let last = now_us.div_euclid(step_us);
        let windows = usize::try_from(count).expect("the count is clamped");
        Self { from_us: (last - count + 1).saturating_mul(step_us), step_us, windows }
    }

    fn place(&self, start_us: i64) -> Option<usize> {
        let place = start_us.checked_sub(self.from_us)?.div_euclid(self.step_us);
        usize::try_from(place).ok().filter(|place| *place < self.windows)
    }
}

/// A chart. `None` if the device has none of its metrics.
fn chart(plan: &Plan, windows: &DeviceWindows, grid: &Grid) -> Option<Chart> {
    let mut found: BTreeMap<&str, Vec<(&str, &SeriesPoints)>> = BTreeMap::new();
    for (metric, word) in plan.metrics {
        let of = windows.series.iter().filter(|it| it.series.metric == *metric);
        for points in of {
            let value = plan.apart.map_or("", |label| label_of(points, label));
            found.entry(value).or_default().push((word, points));
        }
    }
    let all = found.len();
    let mut ranked: Vec<(&str, Vec<(&str, &SeriesPoints)>)> = found.into_iter().collect();
    // The order is stable, so that names decide between equals.
    ranked.sort_by(|one, other| newest(&other.1).total_cmp(&newest(&one.1)));
    ranked.truncate(plan.apart_max());
    ranked.sort_by(|one, other| one.0.cmp(other.0));
    let mut lines = Vec::new();
    for (value, members) in &ranked {
        for (word, points) in members.iter().take(super::plan::SERIES_MAX) {
            lines.push(line(&legend(value, word), points, grid));
        }
    }
    lines.truncate(super::plan::SERIES_MAX);
    if lines.iter().all(|line| line.n.iter().all(|n| *n == 0)) {
        return None;
    }
    let (shown, unit) = (plan.apart_max().min(all), plan.unit);
    let others = if plan.apart.is_some() { all - shown } else { 0 };
    let summary = summary(&lines, unit, others, grid);
    let (metric, title, about) = (plan.metric, plan.title, plan.about);
    Some(Chart { metric, title, about, unit, band: plan.band, others, lines, summary })
}

fn label_of<'a>(points: &'a SeriesPoints, name: &str) -> &'a str {
    let found = points.series.labels.iter().find(|(key, _)| key == name);
    found.map_or("", |(_, value)| value.as_str())
}

fn newest(members: &[(&str, &SeriesPoints)]) -> f64 {
    let means = members.iter().filter_map(|(_, points)| {
        points.points.last().map(|point| mean(point.figures, points.series.scale))
    });
    means.sum()
}

fn legend(value: &str, word: &str) -> String {
    let (value, more) = plain_text(value.as_bytes(), LABEL_BYTES_MAX);
    let value = if more > 0 { format!("{value}\u{2026}") } else { value };
    match (value.is_empty(), word.is_empty()) {
        (true, _) => word.to_owned(),
        (false, true) => value,
        (false, false) => format!("{value} {word}"),
    }
}

fn line(label: &str, points: &SeriesPoints, grid: &Grid) -> Line {
    let hole = || vec![None; grid.windows];
    let mut line = Line {
        label: label.to_owned(),
        mean: hole(),
        min: hole(),
        max: hole(),
        n: vec![0; grid.windows],
    };
    let scale = points.series.scale;
    for point in &points.points {
        let Some(place) = grid.place(point.start_us) else { continue };
        let of = |value: i64| Some(rounded(value as f64 / 10_f64.powi(i32::from(scale))));
        line.mean[place] = Some(rounded(mean(point.figures, scale)));
        line.min[place] = of(point.figures.min);
        line.max[place] = of(point.figures.max);
        line.n[place] = point.figures.count;
    }
    line
}

/// The mean as a number to draw; what is counted with is exact and elsewhere.
fn mean(figures: crate::window::Figures, scale: u8) -> f64 {
    figures.sum as f64 / figures.count.max(1) as f64 / 10_f64.powi(i32::from(scale))
}

/// Six significant digits: more than a chart has pixels, and few bytes.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the logarithm of a double is below 400")]
    let places = 5 - value.abs().log10().floor() as i32;
    let factor = 10_f64.powi(places.clamp(-300, 300));
    (value * factor).round() / factor
}

/// What a chart shows, in words: for those who do not see it.
fn summary(lines: &[Line], unit: Unit, others: usize, grid: &Grid) -> String {
    let mut text = String::new();
    for line in lines {
        let samples: u64 = line.n.iter().sum();
        if samples == 0 {
            continue;
        }
        // Of all samples: points may hold as many as they like.
        let sums = line.mean.iter().zip(&line.n).filter_map(|(mean, n)| Some((*mean)? * *n as f64));
        let mean = sums.sum::<f64>() / samples as f64;
        let least = line.min.iter().flatten().copied().fold(f64::INFINITY, f64::min);
        let most = line.max.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
        let at = line.max.iter().position(|max| *max == Some(most)).unwrap_or(0);
        let at_us = grid.from_us + grid.step_us.saturating_mul(i64::try_from(at).unwrap_or(0));
        let name = &line.label;
        text.push_str(&format!(
            "{name}: mean {}, min {}, max {} at {}. ",
            written(mean, unit),
            written(least, unit),
            written(most, unit),
            clock(at_us),
        ));
    }
    if others > 0 {
        text.push_str(&format!("{others} more not shown. "));
    }
    text.trim_end().to_owned()
}

pub(super) fn written(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Ratio | Unit::Share => percent(value),
        Unit::Bytes => bytes(value),
        Unit::Rate => rate(value),
        Unit::Bits => bits(value),
        Unit::Number => three(value),
        Unit::Celsius => format!("{}\u{202f}\u{b0}C", three(value)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use headwater_protocol::record::Series;

    use super::*;
    use crate::node::Point;
    use crate::window::Figures;

    const STEP: i64 = 10_000_000;

    fn series(metric: &str, labels: &[(&str, &str)], starts: &[(i64, i64)]) -> SeriesPoints {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let series = Series { metric: metric.to_owned(), labels: labels.collect(), scale: 4 };
        let point = |(start, value): &(i64, i64)| Point {
            start_us: start * STEP,
            figures: Figures::of(*value),
            open: false,
        };
        SeriesPoints { series: Arc::new(series), points: starts.iter().map(point).collect() }
    }

    fn windows(series: Vec<SeriesPoints>) -> DeviceWindows {
        DeviceWindows { series, ..DeviceWindows::default() }
    }

    #[test]
    fn a_window_without_samples_stays_a_hole() {
        let busy = series("cpu.busy_ratio", &[], &[(1, 1000), (2, 2000), (4, 4000)]);
        let grid = Grid::new(4 * STEP + 5, 5 * STEP, STEP);
        let chart = chart(&PLANS[0], &windows(vec![busy]), &grid).unwrap();
        let line = &chart.lines[0];
        assert_eq!(line.mean, [None, Some(0.1), Some(0.2), None, Some(0.4)]);
        assert_eq!(line.n, [0, 1, 1, 0, 1]);
        assert!(chart.summary.contains("max 40.0\u{202f}% at 00:00:40"), "{}", chart.summary);
    }

    #[test]
    fn the_mean_in_words_is_that_of_all_samples() {
        let mut busy = series("cpu.busy_ratio", &[], &[(1, 1000), (2, 4000)]);
        let more = Figures::of(1000).plus(Figures::of(1000));
        busy.points[0].figures = busy.points[0].figures.plus(more);
        let grid = Grid::new(2 * STEP + 5, 2 * STEP, STEP);
        let chart = chart(&PLANS[0], &windows(vec![busy]), &grid).unwrap();
        assert!(chart.summary.contains("mean 17.5\u{202f}%"), "{}", chart.summary);
    }

    #[test]
    fn ten_thousand_mounts_make_three_lines_and_a_count() {
        let mount = |number: usize| {
            let value = i64::try_from(number).unwrap() % 9_999;
            series("disk.used_ratio", &[("mount", &format!("/m/{number:05}"))], &[(0, value)])
        };
        let grid = Grid::new(5, STEP, STEP);
        let plan = PLANS.iter().find(|plan| plan.metric == "disk.used_ratio").unwrap();
        let chart = chart(plan, &windows((0..10_000).map(mount).collect()), &grid).unwrap();
        assert_eq!((chart.lines.len(), chart.others), (3, 9_997));
        let labels: Vec<&str> = chart.lines.iter().map(|line| line.label.as_str()).collect();
        assert_eq!(labels, ["/m/09996", "/m/09997", "/m/09998"], "the fullest ones");
    }

    #[test]
    fn the_grid_is_bounded_whatever_clock_a_window_has() {
        let grid = Grid::new(i64::MAX, i64::MAX, STEP);
        assert_eq!(grid.windows, 600);
        for start_us in [i64::MIN, -1, 0, i64::MAX] {
            assert!(grid.place(start_us).is_none_or(|place| place < 600));
        }
    }

    #[test]
    fn points_keep_six_digits() {
        assert_eq!(rounded(123_456_789.0), 123_457_000.0);
        assert_eq!(rounded(0.000_123_456_789), 0.000_123_457);
        assert_eq!(rounded(f64::NAN), 0.0);
        assert_eq!(rounded(f64::MAX), f64::MAX.min(rounded(f64::MAX)));
    }

    #[test]
    fn a_long_or_hostile_label_is_cut_and_plain() {
        assert_eq!(legend("/data\x1b", ""), "/data\u{241b}");
        assert_eq!(legend("sda", "read"), "sda read");
        assert!(legend(&"x".repeat(500), "").len() < 60);
    }
}
