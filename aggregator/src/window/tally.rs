//! Figures of one series in one window while they are added up: 32 bytes, two of them in a line of the cache.

use super::sketch::{Sketch, bucket};
use super::{Figures, Spread};

/// Sum, count, smallest and largest. What does not fit is held apart, exactly: a sum beyond 64 bits, a count of
/// 32 bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tally {
    /// The sum; of wide figures their place among those.
    sum: i64,
    min: i64,
    max: i64,
    /// `WIDE` says that the figures are held apart, 0 that there are none.
    count: u32,
}

const WIDE: u32 = u32::MAX;

/// Tallies side by side.
#[derive(Clone, Debug, Default)]
pub(super) struct Tallies {
    all: Vec<Tally>,
    wide: Vec<Figures>,
    /// How the values of each are spread, where its figures don't tell. `None` if that is not kept.
    sketches: Option<Vec<Option<Box<Sketch>>>>,
    /// What the sketches are of the memory of tallies.
    sketched: usize,
}

impl Tally {
    /// Of no value.
    pub(super) const NONE: Self = Self { sum: 0, min: i64::MAX, max: i64::MIN, count: 0 };

    /// Adds a value. `false`: it does not fit, and nothing has changed.
    #[must_use]
    pub(super) fn add(&mut self, value: i64) -> bool {
        let (sum, is_over) = self.sum.overflowing_add(value);
        if is_over || self.count >= WIDE - 1 {
            return false;
        }
        self.sum = sum;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        self.count += 1;
        true
    }
}

impl Tallies {
    pub(super) fn with_room(room: usize) -> Self {
        Self { all: Vec::with_capacity(room), ..Self::default() }
    }

    /// Of which it is kept how their values are spread.
    pub(super) fn with_sketches(self) -> Self {
        let sketches = vec![None; self.all.len()];
        Self { sketches: Some(sketches), ..self }
    }

    pub(super) fn are_sketched(&self) -> bool {
        self.sketches.is_some()
    }

    /// Tallies that would take as much memory as the sketches.
    pub(super) fn sketched(&self) -> usize {
        self.sketched
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn extend(&mut self, more: usize) {
        self.all.resize(self.all.len() + more, Tally::NONE);
        if let Some(sketches) = &mut self.sketches {
            sketches.resize(self.all.len(), None);
        }
    }

    pub(super) fn run(&self, at: usize, len: usize) -> &[Tally] {
        &self.all[at..at + len]
    }

    pub(super) fn run_mut(&mut self, at: usize, len: usize) -> &mut [Tally] {
        &mut self.all[at..at + len]
    }

    /// Moves tallies to the end; `NONE` stays where they were.
    pub(super) fn move_to_end(&mut self, at: usize, len: usize) {
        self.all.extend_from_within(at..at + len);
        self.all[at..at + len].fill(Tally::NONE);
        if let Some(sketches) = &mut self.sketches {
            let moved: Vec<_> = sketches[at..at + len].iter_mut().map(Option::take).collect();
            sketches.extend(moved);
        }
    }

    /// Adds a value that may not fit, or of which more is kept than the figures.
    pub(super) fn add(&mut self, at: usize, value: i64) {
        if self.sketches.is_some() {
            self.sketch(at, value);
        }
        if self.all[at].add(value) {
            return;
        }
        let more = Figures::of(value);
        let figures = self.figures(self.all[at]).map_or(more, |so_far| so_far.plus(more));
        self.set(at, Some(figures));
    }

    /// Counts a value that is about to be added.
    fn sketch(&mut self, at: usize, value: i64) {
        let tally = self.all[at];
        let Some(sketches) = self.sketches.as_mut().filter(|_| tally.count >= 3) else { return };
        if let Some(sketch) = &mut sketches[at] {
            let before = tallies_of(sketch);
            sketch.add(bucket(value), 1);
            self.sketched += tallies_of(sketch) - before;
            return;
        }
        let Some(figures) = self.figures(tally) else { return };
        let mut spread = Spread::Told;
        spread.count(figures, None, Figures::of(value));
        self.set_spread(at, spread);
    }

    /// The sketches of some tallies: none where figures tell how values are spread, or it is not kept.
    pub(super) fn sketches(&self, at: usize, len: usize) -> &[Option<Box<Sketch>>] {
        self.sketches.as_ref().map_or(&[], |sketches| &sketches[at..at + len])
    }

    fn set_spread(&mut self, at: usize, spread: Spread) {
        let Some(sketches) = &mut self.sketches else { return };
        let sketch = match spread {
            Spread::Sketched(sketch) => Some(sketch),
            Spread::Unknown | Spread::Told => None,
        };
        self.sketched += sketch.as_deref().map_or(0, tallies_of);
        self.sketched -= sketches[at].as_deref().map_or(0, tallies_of);
        sketches[at] = sketch;
    }

    /// Puts figures in a place, and how their values are spread.
    pub(super) fn put(&mut self, at: usize, figures: Option<(Figures, Spread)>) {
        let (figures, spread) = figures.unzip();
        self.set(at, figures);
        self.set_spread(at, spread.unwrap_or_default());
    }

    fn set(&mut self, at: usize, figures: Option<Figures>) {
        let held = self.all[at];
        self.all[at] = match figures {
            None => Tally::NONE,
            Some(figures) => narrow(figures).unwrap_or_else(|| {
                let place = if held.count == WIDE { held.wide_place() } else { self.wide.len() };
                match self.wide.get_mut(place) {
                    Some(so_far) => *so_far = figures,
                    None => self.wide.push(figures),
                }
                let sum = i64::try_from(place).expect("there are fewer than figures of a shard");
                Tally { sum, min: 0, max: 0, count: WIDE }
            }),
        };
    }

    /// The figures of a tally; `None` if it is of no value.
    pub(super) fn figures(&self, tally: Tally) -> Option<Figures> {
        match tally.count {
            0 => None,
            WIDE => Some(self.wide[tally.wide_place()]),
            count => Some(Figures {
                sum: i128::from(tally.sum),
                count: u64::from(count),
                min: tally.min,
                max: tally.max,
            }),
        }
    }
}

impl Tally {
    fn wide_place(self) -> usize {
        usize::try_from(self.sum).expect("the place of wide figures")
    }
}

/// Tallies of 32 bytes that take as much memory as a sketch.
pub(super) fn tallies_of(sketch: &Sketch) -> usize {
    2 + sketch.len() / 4
}

fn narrow(figures: Figures) -> Option<Tally> {
    let sum = i64::try_from(figures.sum).ok()?;
    let count = u32::try_from(figures.count).ok().filter(|count| *count != WIDE)?;
    Some(Tally { sum, min: figures.min, max: figures.max, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_size_add_up_exactly() {
        let values = [i64::MAX, i64::MAX, 1, i64::MIN, i64::MIN, i64::MIN, -1, 0, i64::MAX];
        let mut tallies = Tallies::default();
        tallies.extend(2);
        let mut expected: Option<Figures> = None;
        for value in values {
            tallies.add(1, value);
            let more = Figures::of(value);
            expected = Some(expected.map_or(more, |so_far| so_far.plus(more)));
            assert_eq!(tallies.figures(tallies.run(1, 1)[0]), expected);
        }
        assert_eq!(tallies.figures(tallies.run(0, 1)[0]), None);
    }

    #[test]
    fn a_count_beyond_32_bits_is_counted_on() {
        let mut tallies = Tallies::default();
        tallies.extend(1);
        let many = Figures { sum: 7, count: u64::from(u32::MAX) - 1, min: 0, max: 7 };
        tallies.set(0, Some(many));
        for more in 1..4 {
            tallies.add(0, 1);
            let figures = tallies.figures(tallies.run(0, 1)[0]).unwrap();
            assert_eq!((figures.count, figures.sum), (many.count + more, 7 + i128::from(more)));
        }
    }
}
