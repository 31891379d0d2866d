//! Series, each held once in a shard, and the lists of them that devices share.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use headwater_protocol::record::Series;

/// Series of a device in the order in which they came first: each has a place. Equal lists are one.
#[derive(Clone, Debug, Default)]
pub(super) struct SeriesList {
    series: Vec<Arc<Series>>,
    /// Places in order of series.
    sorted: Vec<u32>,
}

/// What the devices of a shard measure, each series and each list once. Equal series that are held are one.
#[derive(Clone, Debug, Default)]
pub(super) struct SeriesPool {
    series: BTreeSet<Arc<Series>>,
    lists: BTreeSet<Arc<SeriesList>>,
    /// Series in all lists of the pool.
    listed: usize,
    /// How many may be listed until it is looked which lists nobody has any more.
    listed_max: usize,
}

/// Series of lists that may lie unused in a shard, beside as many as are in use: 200 KiB.
const UNUSED: usize = 1 << 14;

impl SeriesList {
    pub(super) fn of(series: Vec<Arc<Series>>) -> Self {
        let mut list = Self::default();
        series.into_iter().for_each(|series| list.push(series));
        list
    }

    pub(super) fn series(&self) -> &[Arc<Series>] {
        &self.series
    }

    /// Places in order of series.
    pub(super) fn sorted(&self) -> &[u32] {
        &self.sorted
    }

    pub(super) fn find(&self, series: &Series) -> Option<u32> {
        self.search(series).ok().map(|at| self.sorted[at])
    }

    fn search(&self, series: &Series) -> Result<usize, usize> {
        self.sorted.binary_search_by(|place| (*self.series[*place as usize]).cmp(series))
    }

    fn push(&mut self, series: Arc<Series>) {
        let place = u32::try_from(self.series.len()).expect("series of a device are far fewer");
        if let Err(at) = self.search(&series) {
            self.sorted.insert(at, place);
            self.series.push(series);
        }
    }
}

impl PartialEq for SeriesList {
    fn eq(&self, other: &Self) -> bool {
        self.series == other.series
    }
}

impl Eq for SeriesList {}

impl PartialOrd for SeriesList {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SeriesList {
    fn cmp(&self, other: &Self) -> Ordering {
        self.series.cmp(&other.series)
    }
}

impl SeriesPool {
    /// Appends a series to a list that `share` has to see afterwards.
    pub(super) fn push(&mut self, list: &mut Arc<SeriesList>, series: &Arc<Series>) {
        let series = match self.series.get(series) {
            Some(known) => Arc::clone(known),
            None => {
                self.series.insert(Arc::clone(series));
                Arc::clone(series)
            }
        };
        Arc::make_mut(list).push(series);
    }

    /// The same list, held once.
    pub(super) fn share(&mut self, list: &mut Arc<SeriesList>) {
        if let Some(known) = self.lists.get(list) {
            *list = Arc::clone(known);
            return;
        }
        self.listed += list.series.len();
        self.lists.insert(Arc::clone(list));
        if self.listed > self.listed_max {
            self.lists.retain(|list| Arc::strong_count(list) > 1);
            self.series.retain(|series| Arc::strong_count(series) > 1);
            self.listed = self.lists.iter().map(|list| list.series.len()).sum();
            self.listed_max = self.listed * 2 + UNUSED;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(number: usize) -> Arc<Series> {
        Arc::new(Series { metric: format!("m{number}"), labels: Vec::new(), scale: 0 })
    }

    #[test]
    fn equal_lists_are_one_and_each_series_has_its_place() {
        let mut pool = SeriesPool::default();
        let mut lists = [Arc::default(), Arc::default()];
        for list in &mut lists {
            [7, 3, 9].into_iter().for_each(|number| pool.push(list, &series(number)));
            pool.share(list);
        }
        assert!(Arc::ptr_eq(&lists[0], &lists[1]), "devices of one kind share a list");
        assert_eq!(
            [7, 3, 9, 4].map(|it| lists[0].find(&series(it))),
            [Some(0), Some(1), Some(2), None]
        );
        assert_eq!(lists[0].sorted(), [1, 0, 2]);
        pool.push(&mut lists[1], &series(4));
        assert_eq!(lists[0].series().len(), 3, "a list that is shared does not change");
    }

    #[test]
    fn what_no_device_has_any_more_is_let_go() {
        let mut pool = SeriesPool::default();
        let mut list = Arc::default();
        for number in 0..400 {
            pool.push(&mut list, &series(number));
            pool.share(&mut list);
        }
        assert!(pool.listed <= 3 * 400 + UNUSED, "{} are listed", pool.listed);
    }
}
