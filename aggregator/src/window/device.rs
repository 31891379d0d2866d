//! What the shard fold knows of devices: their labels, and which series they have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::record::Series;

use super::index::{Found, Index};
use super::partial::Facts;
use super::series::{SeriesList, SeriesPool};

/// Series of one device whose figures are kept: 256 mounts with 16 series each, like a batch's dictionary.
pub const SERIES_PER_DEVICE_MAX: usize = headwater_protocol::limits::SERIES_PER_BATCH_MAX;

/// A device. Each of its series has a place.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) id: DeviceId,
    pub(super) facts: Facts,
    /// The newest corrected time of any of its records.
    pub(super) seen_us: i64,
    /// What its clock is off by, as measured last.
    pub(super) shift_us: i64,
    pub(super) list: Arc<SeriesList>,
}

/// The devices of a shard. Each has a slot, a number that it keeps, in the order in which they came first.
#[derive(Clone, Debug, Default)]
pub(super) struct Devices {
    slots: BTreeMap<DeviceId, u32>,
    index: Index,
    all: Vec<Device>,
    /// Devices whose present labels the merge fold has not been told.
    untold: BTreeSet<DeviceId>,
    /// Devices with as many series as are kept.
    full: BTreeSet<u32>,
    pool: SeriesPool,
}

impl Devices {
    /// How many there are; slots are below it.
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn slot(&self, id: DeviceId) -> Option<u32> {
        match self.index.find(id, |slot| self.get(slot).id) {
            Found::Slot(slot) => Some(slot),
            Found::Nobody => None,
            Found::Unsure => self.slots.get(&id).copied(),
        }
    }

    /// Takes a device that is not there.
    pub(super) fn insert(&mut self, device: Device) -> u32 {
        let id = device.id;
        let slot = u32::try_from(self.all.len()).expect("devices of a shard are far fewer");
        self.all.push(device);
        self.slots.insert(id, slot);
        self.index.insert(id, slot, self.all.iter().map(|device| device.id));
        self.untold.insert(id);
        slot
    }

    pub(super) fn get(&self, slot: u32) -> &Device {
        &self.all[slot as usize]
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> &mut Device {
        &mut self.all[slot as usize]
    }

    /// The slots of all of them.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        (0_u32..).take(self.all.len())
    }

    /// All of them, in order of their ids.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (&DeviceId, u32, &Device)> {
        self.slots.iter().map(|(id, slot)| (id, *slot, self.get(*slot)))
    }

    /// Takes labels; the merge fold is to be told.
    pub(super) fn learn(&mut self, id: DeviceId, slot: u32, facts: Facts) {
        self.get_mut(slot).facts = facts;
        self.untold.insert(id);
    }

    pub(super) fn is_told(&self, id: &DeviceId) -> bool {
        !self.untold.contains(id)
    }

    /// The labels of some devices, in order of their ids, where the merge fold was not told them. It is now.
    pub(super) fn tell(&mut self, is_of: impl Fn(u32) -> bool) -> Vec<(DeviceId, Facts)> {
        let Self { slots, all, untold, .. } = self;
        let told = untold.extract_if(.., |id| is_of(slots[id]));
        told.map(|id| (id, Facts::clone(&all[slots[&id] as usize].facts))).collect()
    }

    /// The place of a series of a device, which mostly is `likely`; a new one if there is room. `None`: it has too
    /// many, and this one is in no average. `share` has to follow a new one.
    pub(super) fn place(&mut self, slot: u32, likely: usize, series: &Arc<Series>) -> Option<u32> {
        let list = &mut self.all[slot as usize].list;
        if list.series().get(likely).is_some_and(|there| there == series) {
            return u32::try_from(likely).ok();
        }
        if let Some(place) = list.find(series) {
            return Some(place);
        }
        let place = list.series().len();
        if place >= SERIES_PER_DEVICE_MAX {
            return None;
        }
        self.pool.push(list, series);
        u32::try_from(place).ok()
    }

    /// Lets a device share its list of series with those that have the same.
    pub(super) fn share(&mut self, slot: u32) {
        let list = &mut self.all[slot as usize].list;
        self.pool.share(list);
        // Worth looking which series nobody holds figures of any more.
        match list.series().len() >= SERIES_PER_DEVICE_MAX {
            true => self.full.insert(slot),
            false => self.full.remove(&slot),
        };
    }

    /// Devices with as many series as are kept.
    pub(super) fn full(&self) -> Vec<u32> {
        self.full.iter().copied().collect()
    }

    pub(super) fn is_full(&self, slot: u32) -> bool {
        self.full.contains(&slot)
    }

    /// Keeps the series of a device that stand at some places, in this order.
    pub(super) fn keep(&mut self, slot: u32, places: &[usize]) {
        let before = Arc::clone(&self.get(slot).list);
        let mut list = Arc::default();
        for place in places {
            self.pool.push(&mut list, &before.series()[*place]);
        }
        self.get_mut(slot).list = list;
        self.share(slot);
    }

    /// Takes a device as a snapshot has it, which has each but once.
    pub(super) fn restore(&mut self, device: Device, is_told: bool) {
        let id = device.id;
        let mut list = Arc::default();
        device.list.series().iter().for_each(|series| self.pool.push(&mut list, series));
        let device = Device { list, ..device };
        let slot = match self.slot(id) {
            None => self.insert(device),
            Some(slot) => {
                *self.get_mut(slot) = device;
                slot
            }
        };
        if is_told {
            self.untold.remove(&id);
        }
        self.share(slot);
    }
}

impl Device {
    /// A device that has some series.
    pub(super) fn with_series(id: DeviceId, series: Vec<Arc<Series>>) -> Self {
        let list = Arc::new(SeriesList::of(series));
        Self { id, facts: Facts::default(), seen_us: 0, shift_us: 0, list }
    }
}
