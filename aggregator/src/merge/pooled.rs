//! How many devices are averaged under `other`: the figures of a combination that is full are right, but
//! they no longer say whose they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_protocol::record::Series;

use super::state::Keys;
use super::window::KeyOf;
use crate::window::partial::GroupRow;
use crate::window::{Combination, Figures, Key, Spread};

/// Devices that have no key of their own in a combination, because it has as many keys as it may have.
/// 0 where each has one.
const POOLED: &str = "averages.pooled_devices";

/// A figure for each combination in a window: the combination is the key.
pub(super) fn pooled(
    sums: &BTreeMap<KeyOf, Vec<GroupRow>>,
    keys: &BTreeMap<Arc<Combination>, Keys>,
) -> Vec<(KeyOf, Vec<GroupRow>)> {
    let combinations: BTreeSet<&Arc<Combination>> = sums.keys().map(|(it, _)| it).collect();
    let combinations = combinations.into_iter().filter(|combination| !combination.is_device());
    let of = Arc::new(Combination::of_combinations());
    let series = Arc::new(Series { metric: POOLED.to_owned(), labels: Vec::new(), scale: 0 });
    let row = |combination: &Arc<Combination>| {
        let other = (Arc::clone(combination), Arc::new(Key::Other));
        // Who sent something in this window counts even if its shard has not said yet that it knows it.
        let sent = sums.get(&other).into_iter().flatten().map(|row| row.devices).max();
        let known = keys.get(combination).map_or(0, |keys| keys.known(&Key::Other));
        let devices = known.max(sent.unwrap_or(0));
        let figures = Figures::of(i64::from(devices));
        let key = Arc::new(Key::Of(vec![combination.to_string()]));
        let row =
            GroupRow { series: Arc::clone(&series), figures, spread: Spread::Unknown, devices };
        ((Arc::clone(&of), key), vec![row])
    };
    combinations.map(row).collect()
}
