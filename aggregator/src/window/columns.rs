//! The series of one window in their order: a number for each, and where it stands in the lists of devices.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::record::Series;

use super::cells::Cells;
use super::device::Devices;
use super::series::SeriesList;

/// Columns of one window: the series of all devices that have a cell in it.
pub(super) struct Columns<'a> {
    series: Vec<&'a Arc<Series>>,
    /// By address of a list, which is shared by equal lists.
    visits: BTreeMap<usize, Vec<Visit>>,
}

/// Where the figures of a column are, in a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit {
    pub(super) place: u32,
    pub(super) column: u32,
}

impl<'a> Columns<'a> {
    pub(super) fn of(cells: &Cells, devices: &'a Devices) -> Self {
        let mut lists: BTreeMap<usize, &'a SeriesList> = BTreeMap::new();
        let mut last = 0;
        for slot in devices.slots().filter(|slot| cells.contains(*slot)) {
            let list = &devices.get(slot).list;
            let address = address_of(list);
            if address != last {
                lists.insert(address, list);
                last = address;
            }
        }
        let all = lists.values().flat_map(|list| list.series());
        let once: BTreeMap<usize, &'a Arc<Series>> =
            all.map(|series| (Arc::as_ptr(series).addr(), series)).collect();
        let mut series: Vec<_> = once.into_values().collect();
        series.sort_unstable();
        let numbers: BTreeMap<usize, u32> =
            series.iter().map(|series| Arc::as_ptr(series).addr()).zip(0..).collect();
        let visits = lists.into_iter().map(|(address, list)| {
            let visits = list.sorted().iter().map(|place| {
                let series = &list.series()[*place as usize];
                Visit { place: *place, column: numbers[&Arc::as_ptr(series).addr()] }
            });
            (address, visits.collect())
        });
        let visits = visits.collect();
        Self { series, visits }
    }

    /// The figures of a device, in order of columns.
    pub(super) fn of_list(&self, list: &Arc<SeriesList>) -> &[Visit] {
        self.visits.get(&address_of(list)).map_or(&[], Vec::as_slice)
    }

    pub(super) fn series(&self, column: u32) -> &'a Arc<Series> {
        self.series[column as usize]
    }
}

fn address_of(list: &Arc<SeriesList>) -> usize {
    Arc::as_ptr(list).addr()
}
