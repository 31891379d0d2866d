//! The figures of one window by devices: a run of tallies for each device that sent, found by its slot.

use std::collections::BTreeMap;

use super::partial::Facts;
use super::sketch::Sketch;
use super::tally::{Tallies, Tally};
use super::{Figures, SERIES_PER_DEVICE_MAX, Spread};

/// Slots of a page. A window that one device opens alone, of a backlog or a wrong clock, takes a page and not a
/// table of all devices.
const PAGE: usize = 64;

/// Cells of one window.
#[derive(Clone, Debug, Default)]
pub(super) struct Cells {
    pages: Vec<Option<Box<[Run; PAGE]>>>,
    count: usize,
    held: usize,
    tallies: Tallies,
    /// The labels that held when the window began for a device, where those of the device have changed since.
    facts: BTreeMap<u32, Facts>,
}

/// Where the tallies of a device are: `len` of them are in use, `room` are its own.
#[derive(Clone, Copy, Debug)]
struct Run {
    at: u32,
    len: u16,
    room: u16,
}

impl Run {
    const NONE: Self = Self { at: u32::MAX, len: 0, room: 0 };

    fn is_some(&self) -> bool {
        self.at != u32::MAX
    }
}

impl Cells {
    /// Of a window that will hold about as many figures.
    pub(super) fn with_room(room: usize) -> Self {
        Self { tallies: Tallies::with_room(room), ..Self::default() }
    }

    /// Of which it is kept how values are spread.
    pub(super) fn with_sketches(self) -> Self {
        Self { tallies: self.tallies.with_sketches(), ..self }
    }

    pub(super) fn are_sketched(&self) -> bool {
        self.tallies.are_sketched()
    }

    /// How many devices have a cell.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Places for figures of all cells, those of series that sent nothing included, and what sketches take of them.
    pub(super) fn held(&self) -> usize {
        self.held + self.tallies.sketched()
    }

    pub(super) fn contains(&self, slot: u32) -> bool {
        self.find(slot).is_some()
    }

    /// The labels of a cell, where they are not those that its device has.
    pub(super) fn facts(&self, slot: u32) -> Option<&Facts> {
        self.facts.get(&slot)
    }

    /// All of those.
    pub(super) fn changed_facts(&self) -> impl Iterator<Item = (u32, &Facts)> {
        self.facts.iter().map(|(slot, facts)| (*slot, facts))
    }

    /// A device's labels change: its cell, if there is one, keeps those that it began with.
    pub(super) fn keep_facts(&mut self, slot: u32, before: &Facts) {
        if self.contains(slot) {
            self.facts.entry(slot).or_insert_with(|| Facts::clone(before));
        }
    }

    /// Opens a device's cell, if it is not open, with room for some figures.
    pub(super) fn open(&mut self, slot: u32, room: usize) {
        let (page, place) = place(slot);
        if page >= self.pages.len() {
            self.pages.resize(page + 1, None);
        }
        let page = self.pages[page].get_or_insert_with(|| Box::new([Run::NONE; PAGE]));
        if page[place].is_some() {
            return;
        }
        let at = u32::try_from(self.tallies.len()).expect("figures of a window are far fewer");
        let room = u16::try_from(room.min(SERIES_PER_DEVICE_MAX)).unwrap_or(0);
        page[place] = Run { at, len: 0, room };
        self.count += 1;
        self.tallies.extend(usize::from(room));
    }

    /// The tallies of a device, by places of its series; those of a cell that is not open are none.
    pub(super) fn tallies(&self, slot: u32) -> &[Tally] {
        let run = self.find(slot).copied().unwrap_or(Run { at: 0, ..Run::NONE });
        self.tallies.run(run.at as usize, usize::from(run.len))
    }

    pub(super) fn tallies_mut(&mut self, slot: u32) -> &mut [Tally] {
        let run = self.find(slot).copied().unwrap_or(Run { at: 0, ..Run::NONE });
        self.tallies.run_mut(run.at as usize, usize::from(run.len))
    }

    /// The figures of a device, by places of its series.
    pub(super) fn figures(&self, slot: u32) -> impl ExactSizeIterator<Item = Option<Figures>> {
        self.tallies(slot).iter().map(|tally| self.tallies.figures(*tally))
    }

    /// The sketches of a device's series, by places; empty if none are kept.
    pub(super) fn sketches(&self, slot: u32) -> &[Option<Box<Sketch>>] {
        let run = self.find(slot).copied().unwrap_or(Run { at: 0, ..Run::NONE });
        self.tallies.sketches(run.at as usize, usize::from(run.len))
    }

    /// The figures of a tally of this window.
    pub(super) fn figures_of(&self, tally: Tally) -> Option<Figures> {
        self.tallies.figures(tally)
    }

    /// Adds values as long as their series have places. How many those are is returned.
    pub(super) fn add_known(&mut self, slot: u32, values: &[i64], places: &[u32]) -> usize {
        let run = self.find(slot).copied().unwrap_or(Run { at: 0, ..Run::NONE });
        for (number, (value, place)) in values.iter().zip(places).enumerate() {
            if *place >= u32::from(run.len) {
                return number;
            }
            self.tallies.add((run.at + place) as usize, *value);
        }
        values.len()
    }

    /// Adds a value of the series with a place. The cell is open.
    pub(super) fn add(&mut self, slot: u32, place: u32, value: i64) {
        self.lengthen(slot, place as usize + 1);
        let at = self.find(slot).map_or(0, |run| run.at) + place;
        self.tallies.add(at as usize, value);
    }

    /// All that is held of a device, by places of its series.
    pub(super) fn all(
        &self,
        slot: u32,
    ) -> impl ExactSizeIterator<Item = Option<(Figures, Spread)>> {
        let sketches = self.sketches(slot);
        self.figures(slot).enumerate().map(move |(place, figures)| {
            let spread = sketches.get(place).map(|sketch| Spread::of(sketch.as_deref()));
            Some((figures?, spread.unwrap_or_default()))
        })
    }

    /// Puts figures in place of those of a device. The cell is open.
    pub(super) fn set(&mut self, slot: u32, mut figures: Vec<Option<(Figures, Spread)>>) {
        self.lengthen(slot, figures.len());
        let Some(run) = self.find_mut(slot) else { return };
        let (at, before) = (run.at as usize, usize::from(run.len));
        run.len = u16::try_from(figures.len()).expect("series of a device are far fewer");
        self.held -= before - figures.len();
        for place in 0..before {
            self.tallies.put(at + place, figures.get_mut(place).and_then(Option::take));
        }
    }

    /// Makes a cell's figures at least as many, moving them to where there is room.
    fn lengthen(&mut self, slot: u32, len: usize) {
        let Some(run) = self.find(slot).copied() else { return };
        let before = usize::from(run.len);
        if len <= before {
            return;
        }
        let mut moved = run;
        moved.len = u16::try_from(len).expect("series of a device are far fewer");
        if len > usize::from(run.room) {
            moved.at = u32::try_from(self.tallies.len()).expect("figures are far fewer");
            moved.room = moved.len.max(run.room.saturating_mul(2));
            self.tallies.move_to_end(run.at as usize, before);
            self.tallies.extend(usize::from(moved.room) - before);
        }
        self.held += len - before;
        if let Some(run) = self.find_mut(slot) {
            *run = moved;
        }
    }

    fn find(&self, slot: u32) -> Option<&Run> {
        let (page, place) = place(slot);
        self.pages.get(page)?.as_ref().map(|page| &page[place]).filter(|run| run.is_some())
    }

    fn find_mut(&mut self, slot: u32) -> Option<&mut Run> {
        let (page, place) = place(slot);
        self.pages.get_mut(page)?.as_mut().map(|page| &mut page[place]).filter(|run| run.is_some())
    }
}

fn place(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE, slot as usize % PAGE)
}
