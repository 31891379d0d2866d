//! Ticks as they stand in a body: what they share is there once.

use std::fmt;
use std::sync::Arc;

use super::{Sample, Series};

/// Samples taken at one moment, each of another series, in the order of the sampler.
///
/// Ticks of one body share its dictionary, and mostly their list of series as well, so that opening a body takes nothing per
/// tick, and who has looked at the list of one tick knows that of the next.
#[derive(Clone)]
pub struct Tick {
    of: Arc<Ticks>,
    at: usize,
}

/// A value of a series at a moment, in its tick.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Measured<'a> {
    /// The series, shared between its samples.
    pub series: &'a Arc<Series>,
    /// The value, times ten to the power of the series' `scale`.
    pub value: i64,
}

/// All ticks of a body.
#[derive(Default)]
pub(crate) struct Ticks {
    /// The dictionary.
    series: Vec<Arc<Series>>,
    /// Places in the dictionary, list after list.
    places: Vec<u32>,
    values: Vec<i64>,
    ticks: Vec<Extent>,
}

/// Where a tick's list and values stand.
#[derive(Clone, Copy)]
struct Extent {
    places: usize,
    values: usize,
    count: usize,
}

/// Values that room is taken for before they are seen.
const VALUES_LIKELY: usize = 4_096;

impl Tick {
    /// How many samples it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.extent().count
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its samples.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Measured<'_>> + Clone {
        let measured = |(place, value): (&u32, &i64)| Measured {
            series: &self.of.series[*place as usize],
            value: *value,
        };
        self.places().iter().zip(self.values()).map(measured)
    }

    /// Its values, in the order of its series.
    #[must_use]
    pub fn values(&self) -> &[i64] {
        let Extent { values, count, .. } = self.extent();
        &self.of.values[values..values + count]
    }

    /// Whether another one is of the same body and has the same list of series there. They may be equal where it says no.
    #[must_use]
    pub fn shares_list(&self, other: &Self) -> bool {
        let (list, other_list) = (self.extent(), other.extent());
        Arc::ptr_eq(&self.of, &other.of)
            && (list.places, list.count) == (other_list.places, other_list.count)
    }

    /// The tick with this number of a body.
    pub(crate) fn of(ticks: &Arc<Ticks>, at: usize) -> Self {
        Self { of: Arc::clone(ticks), at }
    }

    fn places(&self) -> &[u32] {
        let Extent { places, count, .. } = self.extent();
        &self.of.places[places..places + count]
    }

    fn extent(&self) -> Extent {
        self.of.ticks[self.at]
    }
}

impl Ticks {
    /// None yet, of a dictionary, with room for so many of them.
    pub(crate) fn with_room(series: Vec<Arc<Series>>, ticks: usize) -> Self {
        Self { series, ticks: Vec::with_capacity(ticks), ..Self::default() }
    }

    /// How many series the dictionary has.
    pub(crate) fn known(&self) -> usize {
        self.series.len()
    }

    /// How many samples all of them have.
    pub(crate) fn samples(&self) -> usize {
        self.values.len()
    }

    /// Begins a tick that has values of these series, places in the dictionary.
    pub(crate) fn begin(&mut self, list: impl IntoIterator<Item = u32>) {
        let places = self.places.len();
        self.places.extend(list);
        let count = self.places.len() - places;
        self.ticks.push(Extent { places, values: self.values.len(), count });
    }

    /// Begins a tick that has values of the series of the one before.
    pub(crate) fn begin_alike(&mut self) {
        let Extent { places, count, .. } =
            self.ticks.last().copied().unwrap_or(Extent { places: 0, values: 0, count: 0 });
        self.ticks.push(Extent { places, values: self.values.len(), count });
    }

    /// Adds the values of the tick that was begun, each from the place of its series.
    ///
    /// # Errors
    /// The first one of `value`.
    pub(crate) fn fill<E>(&mut self, value: impl FnMut(&u32) -> Result<i64, E>) -> Result<(), E> {
        let Some(Extent { places, count, .. }) = self.ticks.last().copied() else { return Ok(()) };
        if self.values.capacity() == 0 {
            // The others will be as long.
            self.values.reserve(count.saturating_mul(self.ticks.capacity()).min(VALUES_LIKELY));
        }
        let mut values = self.places[places..places + count].iter().map(value);
        values.try_for_each(|value| value.map(|value| self.values.push(value)))
    }
}

impl From<Vec<Sample>> for Tick {
    fn from(samples: Vec<Sample>) -> Self {
        samples.into_iter().collect()
    }
}

impl FromIterator<Sample> for Tick {
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Self {
        let (series, values): (Vec<_>, Vec<_>) =
            samples.into_iter().map(|sample| (sample.series, sample.value)).unzip();
        let count = u32::try_from(series.len()).expect("samples of a tick are counted in 32 bits");
        let mut ticks = Ticks { series, values, ..Ticks::default() };
        ticks.begin(0..count);
        ticks.ticks[0].values = 0;
        Self { of: Arc::new(ticks), at: 0 }
    }
}

impl PartialEq for Tick {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Tick {}

impl fmt::Debug for Tick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
