//! Averages as they are shown: what the store holds, and the windows that are not closed yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::record::Series;

use super::NodeHandle;
use crate::merge::{KeyWindow, Store, StoreError};
use crate::window::{Combination, DeviceHeld, Figures, HeldWindow, Key, Spread};

/// Windows of one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceWindows {
    /// What is added to the device's times, in microseconds: positive for a clock that is behind.
    pub shift_us: i64,
    /// Whether the device has as many series as are kept: those beyond are in no average.
    pub is_full: bool,
    /// In order of series.
    pub series: Vec<SeriesPoints>,
}

/// Windows of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesPoints {
    /// What was measured.
    pub series: Arc<Series>,
    /// In order of time; one that is missing is a gap.
    pub points: Vec<Point>,
}

/// The figures of one window, or of several that follow one another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Point {
    /// Where the first window begins, microseconds since 1970 UTC.
    pub start_us: i64,
    /// The figures.
    pub figures: Figures,
    /// Whether a window is not closed yet: figures so far.
    pub open: bool,
}

/// What is asked of the averages.
#[derive(Clone, Debug)]
pub struct AverageQuery {
    /// The metric.
    pub metric: String,
    /// What to average by: a combination that is kept.
    pub by: Vec<String>,
    /// Where the first window begins at the earliest, microseconds since 1970 UTC.
    pub from_us: i64,
    /// Where the last one begins before.
    pub to_us: i64,
}

/// Averages of one series of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct Averages {
    /// The key.
    pub key: Key,
    /// What was measured.
    pub series: Arc<Series>,
    /// The closed windows, in order.
    pub windows: Vec<AverageWindow>,
}

/// One window of an average.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AverageWindow {
    /// Where it begins, microseconds since 1970 UTC.
    pub start_us: i64,
    /// Which revision it is: 1 is the first, later ones hold what came late.
    pub revision: u32,
    /// The figures.
    pub figures: Figures,
    /// How the samples' values are spread.
    pub spread: Spread,
    /// Devices that sent at least one of the samples.
    pub devices: u32,
    /// Devices of this key that were known.
    pub known: u32,
}

/// Why there are no averages.
#[derive(Debug, thiserror::Error)]
pub enum AveragesError {
    /// They are not kept by these labels.
    #[error("averages by {wished} are not kept")]
    NotKept {
        /// The labels that were asked for.
        wished: Combination,
        /// What is kept.
        kept: Vec<Combination>,
    },
    /// They can't be read.
    #[error("read averages")]
    Store(#[source] StoreError),
    /// The node is stopping.
    #[error("read averages: the node is stopping")]
    Stopping,
}

impl NodeHandle {
    /// Windows of a device whose start lies in `[from_us, to_us)`, the open one included; those that begin within the same
    /// `step_us`, a multiple of their length, are one point.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn device_windows(
        &self,
        device: DeviceId,
        range: (i64, i64),
        step_us: i64,
    ) -> Result<DeviceWindows, AveragesError> {
        let store = self.stages().merge.store().clone();
        // What is held first: a window that is let go in between has been in the store for a while.
        let held = self.stages().fold.windows(device).await;
        if held.length_us == 0 {
            return Ok(DeviceWindows::default());
        }
        let read = move || {
            let key = Key::Of(vec![device.to_string()]);
            let DeviceHeld { length_us, shift_us, is_full, mut windows } = held;
            let (from_us, to_us) = range;
            windows.retain(|it| !it.is_addition && (from_us..to_us).contains(&it.start_us));
            let mut points = Points::beside(&windows, step_us);
            store.visit((&Combination::device(), &key), range, length_us, |window| {
                points.add_stored(&window);
            })?;
            points.add_held(&windows);
            Ok(DeviceWindows { shift_us, is_full, series: points.into_series() })
        };
        let windows = tokio::task::spawn_blocking(read).await;
        windows.map_err(|_| AveragesError::Stopping)?.map_err(AveragesError::Store)
    }

    /// Averages of a metric by key, from closed windows. Runs long for many keys and windows.
    ///
    /// # Errors
    /// If they are not kept by these labels, or can't be read.
    pub async fn averages(&self, mut query: AverageQuery) -> Result<Vec<Averages>, AveragesError> {
        let wished = Combination::new(query.by.clone());
        let config = &self.stages().config.window;
        let kept = Combination::kept(&config.combinations);
        if !kept.contains(&wished) {
            return Err(AveragesError::NotKept { wished, kept });
        }
        let length_us = i64::try_from(config.length.as_micros()).unwrap_or(i64::MAX);
        // Nothing older is kept, and each window that is asked for is looked up.
        let keep_us = i64::try_from(config.keep.as_micros()).unwrap_or(i64::MAX);
        query.from_us = query.from_us.max(query.to_us.saturating_sub(keep_us));
        let store = self.stages().merge.store().clone();
        let read = move || averages(&store, &wished, &query, length_us);
        let found = tokio::task::spawn_blocking(read).await;
        found.map_err(|_| AveragesError::Stopping)?.map_err(AveragesError::Store)
    }

    /// How long a window is.
    #[must_use]
    pub fn window_length(&self) -> std::time::Duration {
        self.stages().config.window.length
    }

    /// Changes whenever averages have: a number that grows.
    #[must_use]
    pub fn averages_changed(&self) -> tokio::sync::watch::Receiver<u64> {
        self.stages().merge.changed()
    }
}

/// Points of a device's series, as they are added up.
struct Points {
    step_us: i64,
    /// Windows of which the shard still holds all: newer than what is stored of them.
    held: BTreeMap<i64, BTreeSet<Arc<Series>>>,
    places: BTreeMap<Arc<Series>, usize>,
    all: Vec<SeriesPoints>,
    /// Of each row of the last stored window its series, and its place: the next one mostly has the same.
    last: Vec<(Arc<Series>, usize)>,
}

impl Points {
    /// None yet, where the shard holds some windows.
    fn beside(held: &[HeldWindow], step_us: i64) -> Self {
        let of = |window: &HeldWindow| {
            let series = window.figures.iter().map(|(series, _)| Arc::clone(series));
            (window.start_us, series.collect())
        };
        Self {
            step_us: step_us.max(1),
            held: held.iter().map(of).collect(),
            places: BTreeMap::new(),
            all: Vec::new(),
            last: Vec::new(),
        }
    }

    fn add_stored(&mut self, window: &KeyWindow) {
        for (number, row) in window.rows.iter().enumerate() {
            let held = self.held.get(&window.start_us);
            if held.is_some_and(|held| held.contains(&row.series)) {
                continue;
            }
            let known = self.last.get(number).filter(|it| Arc::ptr_eq(&it.0, &row.series));
            let place = known.map(|(_, place)| *place);
            let place = place.unwrap_or_else(|| {
                let place = self.place(&row.series);
                self.last.truncate(number);
                if self.last.len() == number {
                    self.last.push((Arc::clone(&row.series), place));
                }
                place
            });
            self.add(place, window.start_us, (row.figures, false));
        }
    }

    /// Adds what the shard holds. Of an addition it holds a part only, which the store has with the rest.
    fn add_held(&mut self, windows: &[HeldWindow]) {
        for window in windows {
            for (series, figures) in &window.figures {
                let place = self.place(series);
                self.add(place, window.start_us, (*figures, window.is_open));
            }
        }
    }

    fn place(&mut self, series: &Arc<Series>) -> usize {
        let next = self.all.len();
        let place = *self.places.entry(Arc::clone(series)).or_insert(next);
        if place == next {
            self.all.push(SeriesPoints { series: Arc::clone(series), points: Vec::new() });
        }
        place
    }

    fn add(&mut self, place: usize, start_us: i64, (figures, open): (Figures, bool)) {
        let start_us = start_us.saturating_sub(start_us.rem_euclid(self.step_us));
        let points = &mut self.all[place].points;
        // Windows come in order, so it is the last one, or behind it.
        let at = match points.last() {
            Some(last) if last.start_us == start_us => Ok(points.len() - 1),
            Some(last) if last.start_us > start_us => {
                points.binary_search_by_key(&start_us, |point| point.start_us)
            }
            Some(_) | None => Err(points.len()),
        };
        match at {
            Ok(at) => {
                points[at].figures = points[at].figures.plus(figures);
                points[at].open |= open;
            }
            Err(at) => points.insert(at, Point { start_us, figures, open }),
        }
    }

    /// In order of series.
    fn into_series(mut self) -> Vec<SeriesPoints> {
        self.all.sort_by(|one, other| one.series.cmp(&other.series));
        self.all
    }
}

fn averages(
    store: &Store,
    by: &Combination,
    query: &AverageQuery,
    length_us: i64,
) -> Result<Vec<Averages>, StoreError> {
    let mut all = Vec::new();
    for key in store.keys(by)? {
        let mut series: BTreeMap<Arc<Series>, Vec<AverageWindow>> = BTreeMap::new();
        for window in store.windows((by, &key), (query.from_us, query.to_us), length_us)? {
            let rows = window.rows.into_iter().filter(|row| row.series.metric == query.metric);
            for row in rows {
                let of = series.entry(row.series).or_default();
                of.push(AverageWindow {
                    start_us: window.start_us,
                    revision: window.revision,
                    figures: row.figures,
                    spread: row.spread.or_told_by(row.figures),
                    devices: row.devices,
                    known: window.known,
                });
            }
        }
        let key = |(series, windows)| Averages { key: key.clone(), series, windows };
        all.extend(series.into_iter().map(key));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::StoredRow;

    const WINDOW: i64 = 10_000_000;

    fn series(metric: &str) -> Arc<Series> {
        Arc::new(Series { metric: metric.to_owned(), labels: Vec::new(), scale: 0 })
    }

    fn stored(start: i64, values: &[(&str, i64)]) -> KeyWindow {
        let row = |(metric, value): &(&str, i64)| StoredRow {
            series: series(metric),
            figures: Figures::of(*value),
            spread: Spread::Unknown,
            devices: 1,
        };
        let rows = values.iter().map(row).collect();
        KeyWindow { start_us: start * WINDOW, revision: 1, known: 1, rows }
    }

    fn held(start: i64, values: &[(&str, i64)]) -> HeldWindow {
        let figures = values.iter().map(|(metric, value)| (series(metric), Figures::of(*value)));
        let figures = figures.collect();
        let (start_us, is_open) = (start * WINDOW, start > 11);
        HeldWindow { start_us, is_open, is_addition: false, figures }
    }

    #[test]
    fn a_point_is_the_sum_of_its_windows_each_once_and_the_newest_of_each() {
        let windows = [held(11, &[("a", 5), ("c", 70)]), held(12, &[("a", 6)])];
        let mut points = Points::beside(&windows, 6 * WINDOW);
        points.add_stored(&stored(5, &[("a", 1)]));
        points.add_stored(&stored(6, &[("a", 2), ("b", 20)]));
        points.add_stored(&stored(10, &[("b", 1), ("a", 0)]));
        // The shard knows more of this one by now.
        points.add_stored(&stored(11, &[("a", 4), ("b", 40)]));
        points.add_held(&windows);
        let told: Vec<_> = points
            .into_series()
            .into_iter()
            .flat_map(|it| {
                let metric = it.series.metric.clone();
                let told = it.points.into_iter().map(move |point| {
                    let Point { start_us, figures, open } = point;
                    (metric.clone(), start_us / WINDOW, figures.sum, figures.count, open)
                });
                told.collect::<Vec<_>>()
            })
            .collect();
        let expected = [
            ("a", 0, 1, 1, false),
            ("a", 6, 7, 3, false),
            ("a", 12, 6, 1, true),
            ("b", 6, 61, 3, false),
            ("c", 6, 70, 1, false),
        ];
        let expected = expected
            .map(|(metric, start, sum, count, open)| (metric.to_owned(), start, sum, count, open));
        assert_eq!(told, expected);
    }
}
