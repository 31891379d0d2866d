//! A cardinality bomb: more values of a label than a combination may have keys.

use std::collections::BTreeMap;

use headwater_tests::aggregator::Aggregator;
use headwater_tests::forged::{Forged, Saying};
use headwater_tests::waiting::until;
use serde_json::Value;

const KEYS: usize = 3;
const DEVICES: usize = 12;

#[test]
fn more_values_than_a_combination_may_have_go_to_other_and_totals_stay_right() {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[window]\nmax_keys = {KEYS}\n");
    let aggregator = Aggregator::create_with(&folder.path().join("aggregator"), &config);
    let start = |number: usize| {
        let mut saying = Saying::new(&format!("bomb-{number}"));
        saying.facts = BTreeMap::from([("site".to_owned(), format!("random-{number:x}"))]);
        Forged::start(saying, &aggregator)
    };
    let bombs: Vec<Forged> = (0..DEVICES).map(start).collect();
    // Of the newest window that all of them are in: its devices by site, and without a label.
    let windows = |by: &str| {
        let words = ["explore", "cpu.busy_ratio", "--by", by, "--last", "10m", "--windows"];
        let told = aggregator.json(&words);
        let mut of: BTreeMap<String, (usize, u64, u64)> = BTreeMap::new();
        for row in told["rows"].as_array().unwrap() {
            for window in row["windows"].as_array().unwrap() {
                let sums = of.entry(window["start"].as_str().unwrap().to_owned()).or_default();
                sums.0 += 1;
                sums.1 += number(&window["devices"]);
                sums.2 += number(&window["sum"]);
            }
        }
        of
    };
    let mut found = None;
    until("a window that all are in is closed", || {
        let (sites, devices) = (windows("site"), windows("device"));
        found = sites.into_iter().find_map(|(start, site)| {
            let device = *devices.get(&start)?;
            (device.0 >= DEVICES && site.1 >= DEVICES as u64).then_some((site, device))
        });
        found.is_some()
    });
    let (site, device) = found.unwrap();
    assert!(site.0 <= KEYS + 1, "so many keys and the one for all others: {site:?}");
    assert_eq!((site.1, site.2), (device.1, device.2), "devices and sum are those of all");

    // Whoever runs this is told, by the alert that every node has from its beginning.
    let mut alert = None;
    until("an alert says that the combination is full", || {
        let alerts = aggregator.json(&["alerts"]);
        let of = |it: &&Value| {
            it["threshold"].as_str().is_some_and(|it| it.ends_with("combination-full"))
        };
        alert = alerts.as_array().unwrap().iter().find(of).cloned();
        alert.is_some()
    });
    let alert = alert.unwrap();
    assert_eq!(alert["key"]["combination"], "site", "{alert}");
    drop(bombs);
}

fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap()
}
