//! What the shard fold knows of a device: its labels, and the places of its series.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::record::Series;

use super::Figures;
use super::partial::Facts;

/// Series of one device whose figures are kept: 256 mounts with 16 series each, like a batch's dictionary.
pub const SERIES_PER_DEVICE_MAX: usize = headwater_protocol::limits::SERIES_PER_BATCH_MAX;

/// A device, with a table in which each of its series has a place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Device {
    pub(super) facts: Facts,
    /// Whether the merge fold has been told these facts.
    pub(super) told: bool,
    /// The newest corrected time of any of its records.
    pub(super) seen_us: i64,
    /// What its clock is off by, as measured last.
    pub(super) shift_us: i64,
    pub(super) series: Vec<Arc<Series>>,
    places: BTreeMap<Arc<Series>, u32>,
}

/// Figures of one device in one window, by the places of its series.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Cell {
    /// The labels that held when the window began for the device: a change takes effect at the next one.
    pub(super) facts: Facts,
    pub(super) figures: Vec<Option<Figures>>,
}

impl Device {
    pub(super) fn with_series(series: Vec<Arc<Series>>) -> Self {
        let places = (0..).zip(&series).map(|(place, series)| (Arc::clone(series), place));
        let places = places.collect();
        Self { series, places, ..Self::default() }
    }

    /// Takes labels and facts; the merge fold is told if they changed.
    pub(super) fn learn(&mut self, facts: &BTreeMap<String, String>) {
        if *self.facts != *facts {
            self.facts = Arc::new(facts.clone());
            self.told = false;
        }
    }

    /// The place of a series, a new one if there is room. `None`: the device has too many, and this one is
    /// in no average.
    pub(super) fn place(&mut self, series: &Arc<Series>) -> Option<u32> {
        if let Some(place) = self.places.get(series) {
            return Some(*place);
        }
        if self.series.len() >= SERIES_PER_DEVICE_MAX {
            return None;
        }
        let place = u32::try_from(self.series.len()).ok()?;
        self.series.push(Arc::clone(series));
        self.places.insert(Arc::clone(series), place);
        Some(place)
    }

    /// Whether the table is full: worth looking which series nobody holds figures of any more.
    pub(super) fn is_full(&self) -> bool {
        self.series.len() >= SERIES_PER_DEVICE_MAX
    }

    /// Keeps the series of which a cell holds figures, and moves the figures to their new places.
    pub(super) fn compact<'c>(&mut self, cells: impl Iterator<Item = &'c mut Cell>) {
        let mut cells: Vec<&mut Cell> = cells.collect();
        let holds =
            |cell: &&mut Cell, place: usize| cell.figures.get(place).is_some_and(Option::is_some);
        let mut kept = Vec::new();
        for place in 0..self.series.len() {
            if cells.iter().any(|cell| holds(cell, place)) {
                kept.push(place);
            }
        }
        for cell in &mut cells {
            cell.figures =
                kept.iter().map(|place| cell.figures.get(*place).copied().flatten()).collect();
        }
        let series = kept.into_iter().map(|place| Arc::clone(&self.series[place])).collect();
        let with_less = Self::with_series(series);
        (self.series, self.places) = (with_less.series, with_less.places);
    }
}

impl Cell {
    /// Adds a value of the series with a place.
    pub(super) fn add(&mut self, place: u32, value: i64) {
        let place = place as usize;
        if place >= self.figures.len() {
            self.figures.resize(place + 1, None);
        }
        let figures = &mut self.figures[place];
        *figures =
            Some(figures.map_or(Figures::of(value), |so_far| so_far.plus(Figures::of(value))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(number: usize) -> Arc<Series> {
        Arc::new(Series { metric: format!("m{number}"), labels: Vec::new(), scale: 0 })
    }

    #[test]
    fn a_full_table_makes_room_of_what_nobody_holds() {
        let mut device = Device::default();
        for number in 0..SERIES_PER_DEVICE_MAX {
            assert!(device.place(&series(number)).is_some());
        }
        assert_eq!(device.place(&series(SERIES_PER_DEVICE_MAX)), None);
        assert!(device.is_full());
        let mut cells = [Cell::default(), Cell::default()];
        cells[0].add(7, 70);
        cells[1].add(4_000, 40);
        device.compact(cells.iter_mut());
        assert_eq!(device.series, [series(7), series(4_000)]);
        assert_eq!(cells[1].figures, [None, Some(Figures::of(40))]);
        assert_eq!(device.place(&series(4_000)), Some(1));
        assert_eq!(device.place(&series(SERIES_PER_DEVICE_MAX)), Some(2));
    }
}
