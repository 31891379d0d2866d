//! Averages by two roads: computed again here from the samples that landed, and as `headwater explore`
//! tells them. The two share no code.

use std::collections::{BTreeMap, BTreeSet};

use headwater_protocol::identity::DeviceId;
use headwater_protocol::record::Series;
use serde::Deserialize;

use crate::aggregator::Aggregator;
use crate::landed::Landed;

/// What an average is of.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// The metric.
    pub metric: String,
    /// Labels that it is averaged by, with their values; of the device its name.
    pub key: Vec<(String, String)>,
    /// Dimensions of the series.
    pub labels: Vec<(String, String)>,
    /// Decimal digits of its values.
    pub scale: u8,
    /// Where its window begins, microseconds since 1970 UTC.
    pub start_us: i64,
}

/// An average, with all that it is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Average {
    /// How many samples.
    pub samples: u64,
    /// Their sum, times ten to the power of the scale.
    pub sum: i128,
    /// The smallest.
    pub min: i64,
    /// The largest.
    pub max: i64,
    /// How many devices sent them.
    pub devices: usize,
    /// The average in decimal, to two digits more than the samples have.
    pub mean: String,
}

/// Averages of windows.
pub type Averages = BTreeMap<Place, Average>;

/// A device's name and labels.
pub type Names = BTreeMap<DeviceId, (String, BTreeMap<String, String>)>;

/// Length of a window.
const WINDOW_US: i64 = 10_000_000;

/// Computes all averages by some labels from what landed.
///
/// # Panics
/// If a device landed that has no name.
#[must_use]
pub fn computed(landed: &Landed, names: &Names, by: &[&str]) -> Averages {
    let average = |(place, (values, devices)): (Place, (Vec<i64>, BTreeSet<DeviceId>))| {
        let sum: i128 = values.iter().map(|value| i128::from(*value)).sum();
        let average = Average {
            samples: values.len() as u64,
            sum,
            min: *values.iter().min().expect("a place has a value"),
            max: *values.iter().max().expect("a place has a value"),
            devices: devices.len(),
            mean: mean(sum, values.len() as u64, place.scale),
        };
        (place, average)
    };
    measured(landed, names, by).into_iter().map(average).collect()
}

/// The values that landed, and the devices that sent them.
///
/// # Panics
/// As [`computed`].
#[must_use]
pub fn measured(
    landed: &Landed,
    names: &Names,
    by: &[&str],
) -> BTreeMap<Place, (Vec<i64>, BTreeSet<DeviceId>)> {
    let mut values: BTreeMap<Place, (Vec<i64>, BTreeSet<DeviceId>)> = BTreeMap::new();
    for (id, device) in &landed.devices {
        let (name, labels) = names.get(id).expect("each device that landed has a name");
        let value = |label: &str| match label {
            "device" => name.clone(),
            label => labels.get(label).cloned().unwrap_or_default(),
        };
        let key: Vec<(String, String)> =
            by.iter().map(|label| ((*label).to_owned(), value(label))).collect();
        // Without any of the labels a device is in no key.
        if key.iter().all(|(_, value)| value.is_empty()) {
            continue;
        }
        for (time_us, samples) in &device.measured {
            let start_us = time_us.div_euclid(WINDOW_US) * WINDOW_US;
            for sample in samples.iter() {
                let Series { metric, labels, scale } = Series::clone(sample.series);
                let place = Place { metric, key: key.clone(), labels, scale, start_us };
                let (values, devices) = values.entry(place).or_default();
                values.push(sample.value);
                devices.insert(*id);
            }
        }
    }
    values
}

/// The quotient by long division, digit by digit as on paper, and rounded by the digit after the last.
fn mean(sum: i128, samples: u64, scale: u8) -> String {
    let count = u128::from(samples);
    let mut digits = (sum.unsigned_abs() / count).to_string();
    let mut rest = sum.unsigned_abs() % count;
    for _ in 0..2 {
        digits.push_str(&(rest * 10 / count).to_string());
        rest = rest * 10 % count;
    }
    let mut number: u128 = digits.parse().expect("digits are a number");
    if rest * 10 / count >= 5 {
        number += 1;
    }
    let places = usize::from(scale) + 2;
    let digits = format!("{number:0width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    let sign = if sum < 0 && number > 0 { "-" } else { "" };
    format!("{sign}{whole}.{fraction}")
}

/// What `headwater explore` tells of a metric in all windows that are closed, with the revision of each.
///
/// # Panics
/// If it does not tell, or tells something twice, or its totals are not those of its windows.
#[must_use]
pub fn explored(
    aggregator: &Aggregator,
    metric: &str,
    by: &[&str],
) -> BTreeMap<Place, (u32, Average)> {
    explored_since(aggregator, metric, by, "2h")
}

/// The same, of all windows that began so long ago or later.
///
/// # Panics
/// As [`explored`].
#[must_use]
pub fn explored_since(
    aggregator: &Aggregator,
    metric: &str,
    by: &[&str],
    last: &str,
) -> BTreeMap<Place, (u32, Average)> {
    let by = by.join(",");
    let words = ["explore", metric, "--by", &by, "--last", last, "--windows"];
    let told: Told = serde_json::from_value(aggregator.json(&words)).unwrap();
    let mut averages = BTreeMap::new();
    for row in told.rows {
        let key = told.by.iter().map(|label| (label.clone(), row.key[label].clone())).collect();
        let labels = row.labels.into_iter().collect();
        let any = Place { metric: metric.to_owned(), key, labels, scale: row.scale, start_us: 0 };
        let mut total = (0, 0);
        for window in row.windows {
            let start: jiff::Timestamp = window.start.parse().unwrap();
            let place = Place { start_us: start.as_microsecond(), ..any.clone() };
            let sum: i128 = window.sum.parse().unwrap();
            total = (total.0 + window.samples, total.1 + sum);
            let average = Average {
                samples: window.samples,
                sum,
                min: window.min,
                max: window.max,
                devices: window.devices,
                mean: window.mean,
            };
            let before = averages.insert(place.clone(), (window.revision, average));
            assert_eq!(before, None, "a window is told once: {place:?}");
        }
        assert_eq!((row.samples, row.sum), (total.0, total.1.to_string()), "the total of {any:?}");
    }
    averages
}

/// The quantiles that `headwater explore` tells of a metric in all windows that are closed, by their names.
///
/// # Panics
/// If it does not tell.
#[must_use]
pub fn explored_quantiles(
    aggregator: &Aggregator,
    metric: &str,
    by: &[&str],
    quantiles: &str,
) -> BTreeMap<Place, BTreeMap<String, Option<i64>>> {
    let (by, quantiles) = (by.join(","), format!("--quantiles={quantiles}"));
    let words = ["explore", metric, "--by", &by, "--last", "2h", "--windows", &quantiles];
    let told: Told = serde_json::from_value(aggregator.json(&words)).unwrap();
    let mut all = BTreeMap::new();
    for row in told.rows {
        let key = told.by.iter().map(|label| (label.clone(), row.key[label].clone())).collect();
        let labels = row.labels.into_iter().collect();
        let any = Place { metric: metric.to_owned(), key, labels, scale: row.scale, start_us: 0 };
        for window in row.windows {
            let start: jiff::Timestamp = window.start.parse().unwrap();
            all.insert(Place { start_us: start.as_microsecond(), ..any.clone() }, window.quantiles);
        }
    }
    all
}

#[derive(Deserialize)]
struct Told {
    by: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    key: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    scale: u8,
    samples: u64,
    sum: String,
    #[serde(default)]
    windows: Vec<Window>,
}

#[derive(Deserialize)]
struct Window {
    start: String,
    revision: u32,
    samples: u64,
    sum: String,
    mean: String,
    min: i64,
    max: i64,
    devices: usize,
    #[serde(default)]
    quantiles: BTreeMap<String, Option<i64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quotient_is_rounded_at_its_last_digit() {
        let cases = [
            ((5, 3, 0), "1.67"),
            ((4, 3, 0), "1.33"),
            ((-5, 3, 0), "-1.67"),
            ((1, 8, 0), "0.13"),
            ((7_031, 1, 4), "0.703100"),
            ((-1, 1_000, 4), "0.000000"),
            ((-15, 1_000, 0), "-0.02"),
        ];
        for ((sum, samples, scale), expected) in cases {
            assert_eq!(mean(sum, samples, scale), expected);
        }
    }
}
