//! A batch on its way into the windows: each series of its dictionary is resolved once, and ticks of one window follow
//! one another into the same cell.

use std::sync::Arc;

use headwater_protocol::record::{Content, Record, Sample, Series};

use super::clock::ClockOffset;
use super::device::Devices;
use super::held::Window;
use super::tally::Tally;

/// What a batch has brought so far.
pub(super) struct Adding {
    pub(super) slot: u32,
    pub(super) offset: ClockOffset,
    /// The newest corrected time of its records so far.
    pub(super) newest_us: i64,
    /// Samples that are in no average.
    pub(super) refused: u64,
    /// Whether the device's list of series has changed.
    pub(super) has_more_series: bool,
    places: Places,
}

/// Times of one window.
#[derive(Clone, Copy)]
pub(super) struct Pane {
    pub(super) start_us: i64,
    /// Where the next one begins.
    pub(super) next_us: i64,
}

impl Pane {
    /// The window that a time lies in.
    pub(super) fn of(time_us: i64, length_us: i64) -> Self {
        let since_us = time_us.rem_euclid(length_us);
        let start_us = time_us.saturating_sub(since_us);
        Self { start_us, next_us: time_us.saturating_add(length_us - since_us) }
    }

    fn holds(self, time_us: i64) -> bool {
        self.start_us <= time_us && time_us < self.next_us
    }
}

impl Adding {
    pub(super) fn new(slot: u32, offset: ClockOffset, first_us: i64) -> Self {
        let places = Places { known: Vec::with_capacity(SERIES_LIKELY) };
        Self { slot, offset, newest_us: first_us, refused: 0, has_more_series: false, places }
    }

    /// Adds the ticks that the records begin with, as far as they are of the first one's window. How many those are is
    /// returned.
    pub(super) fn add(
        &mut self,
        records: &[Record],
        pane: Pane,
        window: &mut Window,
        devices: &mut Devices,
    ) -> usize {
        let offset = self.offset;
        let ticks = records.iter().map_while(|record| match &record.content {
            Content::Tick(samples) => Some((offset.correct(record.time_us), samples)),
            Content::Facts(_) | Content::Event(_) | Content::Gap(_) => None,
        });
        let (mut added, mut newest_us) = (0, self.newest_us);
        let mut tallies: &mut [Tally] = &mut [];
        for (time_us, samples) in ticks {
            if added == 0 {
                window.cells.open(self.slot, samples.len());
                tallies = window.cells.tallies_mut(self.slot);
            } else if !pane.holds(time_us) {
                break;
            }
            added += 1;
            newest_us = newest_us.max(time_us);
            let known = add_known(tallies, samples, &self.places.known);
            if known < samples.len() {
                self.add_others(samples, known, window, devices);
                tallies = window.cells.tallies_mut(self.slot);
            }
        }
        self.newest_us = newest_us;
        added
    }

    /// Adds the samples of a tick from one on that is not where it was, or does not fit.
    fn add_others(
        &mut self,
        samples: &[Sample],
        from: usize,
        window: &mut Window,
        devices: &mut Devices,
    ) {
        for (at, sample) in samples.iter().enumerate().skip(from) {
            match self.place(at, &sample.series, devices) {
                Some(place) => window.cells.add(self.slot, place, sample.value),
                None => self.refused += 1,
            }
        }
    }

    /// The place of a series that stands somewhere in a tick. `None`: its device has too many.
    fn place(&mut self, at: usize, series: &Arc<Series>, devices: &mut Devices) -> Option<u32> {
        let place = self.places.of(at, series).unwrap_or_else(|| {
            let before = devices.get(self.slot).list.series().len();
            let place = devices.place(self.slot, at, series).unwrap_or(NO_PLACE);
            self.has_more_series |= devices.get(self.slot).list.series().len() > before;
            self.places.put(at, series, place);
            place
        });
        (place != NO_PLACE).then_some(place)
    }
}

/// Adds samples as long as their series are those that are known to stand there, and their values fit. How many those
/// are is returned.
fn add_known(tallies: &mut [Tally], samples: &[Sample], known: &[Known]) -> usize {
    for (number, (sample, known)) in samples.iter().zip(known).enumerate() {
        let tally = tallies.get_mut(known.place as usize);
        let tally = tally.filter(|_| known.address == address_of(&sample.series));
        if !tally.is_some_and(|tally| tally.add(sample.value)) {
            return number;
        }
    }
    samples.len().min(known.len())
}

/// Places of a batch's series in their device's list. A body has one object per series, and ticks mostly list them in
/// one order, so most look-ups compare one address.
struct Places {
    known: Vec<Known>,
}

/// A series that stands somewhere in a tick.
#[derive(Clone, Copy)]
struct Known {
    address: usize,
    place: u32,
}

/// Of a series that finds no room.
const NO_PLACE: u32 = u32::MAX;
/// Series of most ticks.
const SERIES_LIKELY: usize = 64;

impl Places {
    fn of(&self, at: usize, series: &Arc<Series>) -> Option<u32> {
        let known = self.known.get(at)?;
        (known.address == address_of(series)).then_some(known.place)
    }

    fn put(&mut self, at: usize, series: &Arc<Series>, place: u32) {
        if at >= self.known.len() {
            self.known.resize(at + 1, Known { address: 0, place: NO_PLACE });
        }
        self.known[at] = Known { address: address_of(series), place };
    }
}

fn address_of(series: &Arc<Series>) -> usize {
    Arc::as_ptr(series).addr()
}
