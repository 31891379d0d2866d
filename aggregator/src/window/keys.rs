//! Which keys devices have, by numbers: labels are compared when they change, not when windows close.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::identity::DeviceId;

use super::device::Devices;
use super::partial::Facts;
use super::rules::Version;
use super::{Combination, DEVICE, Key};

/// Keys of one combination that may be numbered, beside twice as many as there are devices. Beyond that labels have
/// changed so often that most keys are of the past: all are numbered anew.
const KEYS_MORE: usize = 1024;
/// Of a device that has none of a combination's labels: it belongs to no group then.
pub(super) const NO_KEY: u32 = u32::MAX;
/// Of a device whose labels were not looked at.
const UNKNOWN: u32 = u32::MAX - 1;

/// Numbers of the keys of all devices by the combinations of one version of the rules: a cache of their labels.
#[derive(Clone, Debug, Default)]
pub(super) struct DeviceKeys {
    /// `None` before the first version.
    version: Option<u64>,
    tables: Vec<KeyTable>,
    /// By slot: the number of the device's key in each combination.
    numbers: Vec<u32>,
    /// By slot: the key of the combination that keeps devices apart.
    own: Vec<Arc<Key>>,
    /// Devices that are to be looked at.
    unknown: Vec<(DeviceId, u32)>,
}

/// Keys of one combination, each with its number.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyTable {
    numbers: BTreeMap<Arc<Key>, u32>,
}

impl DeviceKeys {
    /// A device is new, or its labels have changed.
    pub(super) fn forget(&mut self, id: DeviceId, slot: u32) {
        let width = self.tables.len();
        let from = slot as usize * width;
        if self.version.is_none() || width == 0 || self.numbers.get(from) == Some(&UNKNOWN) {
            return;
        }
        if self.numbers.len() < from + width {
            self.numbers.resize(from + width, UNKNOWN);
        }
        self.numbers[from..from + width].fill(UNKNOWN);
        self.unknown.push((id, slot));
    }

    /// Looks at the labels of all devices that have changed.
    pub(super) fn prepare(&mut self, version: &Version, devices: &Devices) {
        let most = devices.len() * 2 + KEYS_MORE;
        let is_of_past = self.tables.iter().any(|table| table.len() > most);
        if self.version != Some(version.rules.version) || is_of_past {
            *self = Self { version: Some(version.rules.version), ..Self::default() };
            self.tables.resize(version.combinations.len(), KeyTable::default());
            self.numbers.resize(devices.len() * self.tables.len(), UNKNOWN);
            self.unknown = devices.iter().map(|(id, slot, _)| (*id, slot)).collect();
            if version.combinations.iter().any(|it| it.is_device()) {
                let mut own: Vec<_> = devices.iter().map(|(id, slot, _)| (slot, *id)).collect();
                own.sort_unstable();
                self.own = own.into_iter().map(|(_, id)| own_key(id)).collect();
            }
        }
        let unknown = std::mem::take(&mut self.unknown);
        for (id, slot) in unknown {
            let numbers = self.look_up(version, id, &devices.get(slot).facts);
            let from = slot as usize * numbers.len();
            self.numbers[from..from + numbers.len()].copy_from_slice(&numbers);
            if version.combinations.iter().any(|it| it.is_device())
                && slot as usize == self.own.len()
            {
                self.own.push(own_key(id));
            }
        }
    }

    /// The numbers of the keys that some labels give a device.
    pub(super) fn look_up(&mut self, version: &Version, id: DeviceId, facts: &Facts) -> Vec<u32> {
        let combinations = version.combinations.iter().zip(&mut self.tables);
        let numbers = combinations.map(|(combination, table)| {
            if combination.is_device() {
                return NO_KEY;
            }
            key_of(combination, id, facts).map_or(NO_KEY, |key| table.number(key))
        });
        numbers.collect()
    }

    /// The numbers of a device's keys, by combination.
    pub(super) fn of(&self, slot: u32) -> &[u32] {
        let width = self.tables.len();
        &self.numbers[slot as usize * width..][..width]
    }

    /// The key of the combination that keeps devices apart; there is one.
    pub(super) fn own(&self, slot: u32) -> &Arc<Key> {
        &self.own[slot as usize]
    }

    /// The keys of a combination.
    pub(super) fn table(&self, combination: usize) -> &KeyTable {
        &self.tables[combination]
    }
}

impl KeyTable {
    /// How many there are; numbers are below it.
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// All of them, in order of keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<Key>, u32)> {
        self.numbers.iter().map(|(key, number)| (key, *number))
    }

    fn number(&mut self, key: Key) -> u32 {
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let number = u32::try_from(self.numbers.len()).expect("keys are bounded by devices");
        self.numbers.insert(Arc::new(key), number);
        number
    }
}

fn own_key(id: DeviceId) -> Arc<Key> {
    Arc::new(Key::Of(vec![id.to_string()]))
}

/// The key of a device. `None` if it has none of the labels.
fn key_of(
    combination: &Combination,
    id: DeviceId,
    facts: &BTreeMap<String, String>,
) -> Option<Key> {
    let value = |label: &String| match label.as_str() {
        DEVICE => id.to_string(),
        label => facts.get(label).cloned().unwrap_or_default(),
    };
    let values: Vec<String> = combination.labels().iter().map(value).collect();
    values.iter().any(|value| !value.is_empty()).then_some(Key::Of(values))
}
