//! A batch on its way into the windows: a list of series is resolved once for all ticks that share it, and ticks of one
//! window follow one another into the same cell.

use headwater_protocol::record::{Content, Record, Tick};

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
    /// The last tick whose list was resolved, and the places of its series in their device's list; `NO_PLACE` of those
    /// that are too many.
    resolved: Option<(Tick, Vec<u32>)>,
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
        let newest_us = first_us;
        Self { slot, offset, newest_us, refused: 0, has_more_series: false, resolved: None }
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
            Content::Tick(tick) => Some((offset.correct(record.time_us), tick)),
            Content::Facts(_) | Content::Event(_) | Content::Gap(_) => None,
        });
        let (mut added, mut newest_us) = (0, self.newest_us);
        let is_plain = !window.cells.are_sketched();
        let mut tallies: &mut [Tally] = &mut [];
        for (time_us, tick) in ticks {
            if added == 0 {
                window.cells.open(self.slot, tick.len());
                tallies = window.cells.tallies_mut(self.slot);
            } else if !pane.holds(time_us) {
                break;
            }
            added += 1;
            newest_us = newest_us.max(time_us);
            if self.resolved.as_ref().is_none_or(|(last, _)| !tick.shares_list(last)) {
                self.resolve(tick, devices);
            }
            let places = self.resolved.as_ref().map_or(&[][..], |(_, places)| places);
            let known = match is_plain {
                true => add_known(tallies, tick.values(), places),
                false => {
                    let known = window.cells.add_known(self.slot, tick.values(), places);
                    tallies = window.cells.tallies_mut(self.slot);
                    known
                }
            };
            if known < tick.len() {
                let others = tick.values().iter().zip(places).skip(known);
                self.refused += add_others(self.slot, others, window);
                tallies = window.cells.tallies_mut(self.slot);
            }
        }
        self.newest_us = newest_us;
        added
    }

    /// Looks up where the series of a tick stand in their device's list.
    fn resolve(&mut self, tick: &Tick, devices: &mut Devices) {
        let (_, mut resolved) = self.resolved.take().unwrap_or((tick.clone(), Vec::new()));
        resolved.clear();
        let before = devices.get(self.slot).list.series().len();
        let all = tick.iter().enumerate();
        resolved.extend(
            all.map(|(at, sample)| devices.place(self.slot, at, sample.series).unwrap_or(NO_PLACE)),
        );
        self.has_more_series |= devices.get(self.slot).list.series().len() > before;
        self.resolved = Some((tick.clone(), resolved));
    }
}

/// Adds values as long as there is a tally in their place, and they fit. How many those are is returned.
fn add_known(tallies: &mut [Tally], values: &[i64], places: &[u32]) -> usize {
    for (number, (value, place)) in values.iter().zip(places).enumerate() {
        let tally = tallies.get_mut(*place as usize);
        if !tally.is_some_and(|tally| tally.add(*value)) {
            return number;
        }
    }
    values.len()
}

/// Adds values that have no tally yet, or do not fit. How many have no place is returned.
fn add_others<'a>(
    slot: u32,
    others: impl Iterator<Item = (&'a i64, &'a u32)>,
    window: &mut Window,
) -> u64 {
    let mut refused = 0;
    for (value, place) in others {
        if *place == NO_PLACE {
            refused += 1;
        } else {
            window.cells.add(slot, *place, *value);
        }
    }
    refused
}

/// Of a series that finds no room.
const NO_PLACE: u32 = u32::MAX;
