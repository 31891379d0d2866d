//! Averages as they are shown: what the store holds, and the windows that are not closed yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::record::Series;

use super::NodeHandle;
use crate::merge::{Store, StoreError};
use crate::window::{Combination, DeviceHeld, Figures, Key, Spread};

/// Windows of one device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceWindows {
    /// How long each window is, in microseconds.
    pub length_us: i64,
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
    /// In order of time; a window that is missing is a gap.
    pub points: Vec<Point>,
}

/// The figures of one window.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Point {
    /// Where the window begins, microseconds since 1970 UTC.
    pub start_us: i64,
    /// The figures.
    pub figures: Figures,
    /// Whether the window is not closed yet: figures so far.
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
    /// Windows of a device whose start lies in `[from_us, to_us)`, the open one included.
    ///
    /// # Errors
    /// If the store can't be read.
    pub async fn device_windows(
        &self,
        device: DeviceId,
        from_us: i64,
        to_us: i64,
    ) -> Result<DeviceWindows, AveragesError> {
        // The store first: a window that closes in between is in both, and never in none.
        let store = self.stages().merge.store().clone();
        let held = self.stages().fold.windows(device).await;
        let length_us = held.length_us;
        if length_us == 0 {
            return Ok(DeviceWindows::default());
        }
        let read = move || stored_windows(&store, device, (from_us, to_us), length_us);
        let stored = tokio::task::spawn_blocking(read).await;
        let stored = stored.map_err(|_| AveragesError::Stopping)?.map_err(AveragesError::Store)?;
        Ok(joined(stored, held, (from_us, to_us)))
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

type ByStart = BTreeMap<i64, Point>;

fn stored_windows(
    store: &Store,
    device: DeviceId,
    range: (i64, i64),
    length_us: i64,
) -> Result<BTreeMap<Arc<Series>, ByStart>, StoreError> {
    let key = Key::Of(vec![device.to_string()]);
    let mut series: BTreeMap<Arc<Series>, ByStart> = BTreeMap::new();
    for window in store.windows((&Combination::device(), &key), range, length_us)? {
        let start_us = window.start_us;
        for row in window.rows {
            let point = Point { start_us, figures: row.figures, open: false };
            series.entry(row.series).or_default().insert(start_us, point);
        }
    }
    Ok(series)
}

/// What is stored, with what the shard still holds in its place: that is newer, and whole unless it is an
/// addition.
fn joined(
    mut series: BTreeMap<Arc<Series>, ByStart>,
    held: DeviceHeld,
    (from_us, to_us): (i64, i64),
) -> DeviceWindows {
    let DeviceHeld { length_us, shift_us, is_full, windows } = held;
    let wanted = windows.into_iter().filter(|it| (from_us..to_us).contains(&it.start_us));
    for window in wanted.filter(|window| !window.is_addition) {
        let (start_us, open) = (window.start_us, window.is_open);
        for (of, figures) in window.figures {
            let point = Point { start_us, figures, open };
            series.entry(of).or_default().insert(start_us, point);
        }
    }
    let series = series
        .into_iter()
        .map(|(series, points)| SeriesPoints { series, points: points.into_values().collect() });
    DeviceWindows { length_us, shift_us, is_full, series: series.collect() }
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
