//! The alert fold by tables, and against an oracle that looks at the whole history each time.

mod bounds;
mod oracle;
mod tables;

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::record::Series;

use super::*;
use crate::window::{ClosedWindow, Combination, Figures, Key, Row};

const SECOND: i64 = 1_000_000;
/// Length of the base window.
const BASE: i64 = 10 * SECOND;

fn name(text: &str) -> RuleName {
    RuleName { owner: "test".to_owned(), name: text.to_owned() }
}

/// `cpu.busy_ratio` of each device above 0.70, back below 0.60, for 30 s.
fn cpu() -> Threshold {
    Threshold {
        name: name("cpu"),
        scope: Scope {
            metric: "cpu.busy_ratio".to_owned(),
            by: Scope::by_device(),
            per: None,
            selector: Selector::default(),
            exclude: Vec::new(),
        },
        stat: Stat::Mean,
        window_us: None,
        limits: limits(When::Above, "0.7", "", "0.6"),
        for_us: 30 * SECOND,
        no_data_us: 900 * SECOND,
        note: None,
        runbook: None,
        notify: Vec::new(),
    }
}

fn limits(when: When, warn: &str, crit: &str, clear: &str) -> Limits {
    Limits::new(when, warn.parse().ok(), crit.parse().ok(), clear.parse().ok()).unwrap()
}

fn set(revision: u64, from_us: i64, rules: Vec<Threshold>) -> RuleSet {
    RuleSet { revision, from_us, rules, ..RuleSet::default() }
}

fn holding(rules: Vec<Threshold>) -> Alerts {
    let mut alerts = Alerts::default();
    assert!(alerts.publish(set(1, 0, rules)));
    alerts
}

/// A sample of a series of a device: `value` times 10^-4.
fn sample(device: &str, metric: &str, labels: &[(&str, &str)], value: i64) -> Row {
    let pairs = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Row {
        combination: Arc::new(Combination::device()),
        key: Arc::new(Key::Of(vec![device.to_owned()])),
        labels: Arc::new(BTreeMap::from([("env".to_owned(), "prod".to_owned())])),
        series: Arc::new(Series { metric: metric.to_owned(), labels: pairs.collect(), scale: 4 }),
        figures: Figures::of(value),
        devices: 1,
        known: 1,
    }
}

fn busy(value: i64) -> Vec<Row> {
    vec![sample("a", "cpu.busy_ratio", &[], value)]
}

/// The window of a number, 0 beginning at 0.
fn window(number: i64, rows: Vec<Row>) -> ClosedWindow {
    ClosedWindow { start_us: number * BASE, length_us: BASE, without: Vec::new(), rows }
}

/// A change in short: what, when (seconds), how bad.
fn short(change: &AlertChange) -> String {
    let alert = &change.alert;
    let (at, began) = (alert.changed_us / SECOND, alert.began_us / SECOND);
    format!("{} {} at {at} since {began}", change.kind.word(), alert.severity.word())
}

fn told(alerts: &mut Alerts, window: &ClosedWindow) -> Vec<String> {
    alerts.handle_window(window).iter().map(short).collect()
}

fn bytes(alerts: &Alerts) -> Vec<u8> {
    alerts.encode()
}
