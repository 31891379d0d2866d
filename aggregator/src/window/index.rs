//! Where a device's slot is found with one look into a table, however many devices there are.

use headwater_protocol::identity::DeviceId;

/// Slots by ids. It may lack some, which its owner finds elsewhere: however ids are chosen, a look takes no more steps
/// than `STEPS_MAX`. Nothing is ever read from it in its own order.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// As many as a power of two, at least twice as many as there are slots.
    places: Vec<Place>,
    count: usize,
}

/// A slot, with some bits of its device's id.
#[derive(Clone, Copy, Debug)]
struct Place {
    mark: u32,
    slot: u32,
}

/// What an index knows of an id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Found {
    Slot(u32),
    /// There is no such device.
    Nobody,
    /// It may be elsewhere.
    Unsure,
}

const EMPTY: u32 = u32::MAX;
const STEPS_MAX: usize = 8;
const PLACES_MIN: usize = 16;

impl Index {
    /// Looks for a device; `id_of` says whose slot one is.
    pub(super) fn find(&self, id: DeviceId, id_of: impl Fn(u32) -> DeviceId) -> Found {
        let hash = hash(id);
        for place in self.steps(hash).map(|at| self.places[at]) {
            if place.slot == EMPTY {
                return Found::Nobody;
            }
            if place.mark == mark(hash) && id_of(place.slot) == id {
                return Found::Slot(place.slot);
            }
        }
        Found::Unsure
    }

    /// Takes a device that is not there; `all` are the devices by slot, this one the last of them.
    pub(super) fn insert(&mut self, id: DeviceId, slot: u32, all: impl Iterator<Item = DeviceId>) {
        self.count += 1;
        if self.count * 2 <= self.places.len() {
            self.put(id, slot);
            return;
        }
        let places = (self.count * 4).next_power_of_two().max(PLACES_MIN);
        self.places = vec![Place { mark: 0, slot: EMPTY }; places];
        (0..).zip(all).for_each(|(slot, id)| self.put(id, slot));
    }

    fn put(&mut self, id: DeviceId, slot: u32) {
        let hash = hash(id);
        let free = self.steps(hash).find(|at| self.places[*at].slot == EMPTY);
        if let Some(at) = free {
            self.places[at] = Place { mark: mark(hash), slot };
        }
    }

    fn steps(&self, hash: u64) -> impl Iterator<Item = usize> + use<> {
        let last = self.places.len().wrapping_sub(1);
        let first = usize::try_from(hash & 0xffff_ffff).expect("32 bits");
        let steps = if self.places.is_empty() { 0 } else { STEPS_MAX };
        (0..steps).map(move |step| first.wrapping_add(step) & last)
    }
}

fn mark(hash: u64) -> u32 {
    u32::try_from(hash >> 32).expect("32 bits")
}

/// Ids mostly are even as they are; whatever they are, only the number of steps depends on it.
fn hash(id: DeviceId) -> u64 {
    let id = u128::from_le_bytes(id.0);
    let halves = u64::try_from(id >> 64).expect("64 bits")
        ^ u64::try_from(id & u128::from(u64::MAX)).expect("64 bits");
    let mixed = halves.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ids: &[DeviceId]) -> usize {
        let mut index = Index::default();
        for (slot, id) in (0..).zip(ids) {
            assert_ne!(index.find(*id, |slot| ids[slot as usize]), Found::Slot(slot));
            index.insert(*id, slot, ids[..=slot as usize].iter().copied());
        }
        let found = (0..).zip(ids).map(|(slot, id)| (slot, index.find(*id, |at| ids[at as usize])));
        found
            .filter(|(slot, found)| match found {
                Found::Slot(found) => found == slot,
                Found::Nobody => panic!("a device that is there is never denied"),
                Found::Unsure => false,
            })
            .count()
    }

    #[test]
    fn every_device_is_found_or_left_to_its_owner() {
        let ids: Vec<DeviceId> =
            (0..5_000_u128).map(|it| DeviceId((it * it).to_le_bytes())).collect();
        assert!(check(&ids) > 4_900);
        // Halves that cancel each other out: all are the same to the index.
        let alike = (0..500_u128).map(|it| DeviceId((it | it << 64).to_le_bytes()));
        assert_eq!(check(&alike.collect::<Vec<_>>()), STEPS_MAX);
    }
}
