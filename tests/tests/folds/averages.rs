//! Every average is what the stored samples say, to the last digit, whatever was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use headwater_protocol::identity::DeviceId;
use headwater_tests::agent::Agent;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::averages::{
    Average, Averages, Names, Place, computed, explored, explored_quantiles, measured,
};
use headwater_tests::draws::{Draws, seed_of_this_run};
use headwater_tests::forged::{Forged, Saying, series, true_us};
use headwater_tests::landed::Landed;
use headwater_tests::waiting::{DEADLINE, until, wait_for};

/// The combinations that are kept without any configuration.
const COMBINATIONS: [&[&str]; 4] =
    [&["device"], &["site"], &["role"], &["customer", "product_version"]];
/// The combination that quantiles are kept of.
const SPREAD: &[&str] = &["site"];
/// How long the aggregator is killed again and again.
const HAUNTED: Duration = Duration::from_secs(75);
/// Kills at least. The short lives alone are more than half of these.
const KILLS_LEAST: u32 = 25;
/// How long one agent reaches nobody: longer than a shard's time may lag behind, so that its first samples
/// are late.
const AWAY: Duration = Duration::from_secs(45);
/// How long devices whose clocks are wrong send.
const FORGED: Duration = Duration::from_secs(12);

#[test]
fn every_average_is_what_the_stored_samples_say_whatever_is_killed() {
    let mut draws = Draws::new(seed_of_this_run("folds"), 1);
    let folder = tempfile::tempdir().unwrap();
    let config = format!("[window]\nquantiles = [[{:?}]]\n", SPREAD[0]);
    let home = folder.path().join("aggregator");
    let mut aggregator = Aggregator::create_with(&home, &config);
    let mut agents: Vec<Agent> = LABELS
        .iter()
        .map(|(name, labels)| {
            let home = folder.path().join(name);
            let mut agent = Agent::new(name, &home, &aggregator.intake_address(), &[]);
            agent.enrol_as(&aggregator, labels);
            agent.start();
            agent
        })
        .collect();

    let mut seen = Seen::default();
    let kills = haunt(&mut draws, &mut aggregator, &mut agents[2], &mut seen);
    let forged = wrong_clocks(&aggregator);
    let names = names(&aggregator, &forged);
    std::thread::sleep(FORGED);
    drop(forged);
    agents.iter_mut().for_each(Agent::stop);
    let _ = aggregator.expect_clean_audit();
    aggregator.stop();
    let landed = Landed::read(&aggregator.data()).unwrap();
    assert_eq!(landed.devices.len(), names.len(), "every device landed");

    // Once from what the folds hold, then from the logs alone.
    aggregator.start_and_wait();
    let told = expect_equal(&aggregator, &landed, &names);
    seen.expect_frozen(&told);
    aggregator.kill();
    std::fs::remove_file(aggregator.data().join("merge/averages.redb")).unwrap();
    aggregator.start_and_wait();
    let again = expect_equal(&aggregator, &landed, &names);
    assert_eq!(told, again, "a replay tells the same revisions");
    expect_quantiles(&aggregator, &landed, &names);

    let windows: BTreeSet<i64> = told.keys().map(|place| place.start_us).collect();
    let revised = told.values().filter(|(revision, _)| *revision > 1).count();
    let line = format!(
        "folds: {kills} kills, {} averages in {} windows, {revised} of them revised, {} seen before",
        told.len(),
        windows.len(),
        seen.0.len()
    );
    eprintln!("{line}");
    assert!(kills >= KILLS_LEAST && revised > 0 && windows.len() >= 8, "not covered: {line}");
    assert!(seen.0.len() >= 10, "not covered: {line}");
}

/// The agents; the last one is away for a while, and is of no customer.
const LABELS: [(&str, &[(&str, &str)]); 3] = [
    (
        "edge-1",
        &[("site", "osl"), ("role", "web"), ("customer", "acme"), ("product_version", "1.2")],
    ),
    (
        "edge-2",
        &[("site", "osl"), ("role", "db"), ("customer", "acme"), ("product_version", "1.3")],
    ),
    ("edge-3", &[("site", "ber"), ("role", "web")]),
];

/// Kills the aggregator at random, also before it is ready; one agent reaches nobody for a while and comes
/// back with a backlog. Returns how often it was killed.
fn haunt(
    draws: &mut Draws,
    aggregator: &mut Aggregator,
    lonely: &mut Agent,
    seen: &mut Seen,
) -> u32 {
    let begun = Instant::now();
    let away = HAUNTED.saturating_sub(AWAY)..HAUNTED;
    let (mut kills, mut is_away) = (0, false);
    while begun.elapsed() < HAUNTED {
        if !is_away && away.contains(&begun.elapsed()) {
            lonely.kill();
            lonely.set_key("SHIP__ADDRESSES", "[\"127.0.0.1:9\"]");
            lonely.start();
            is_away = true;
        }
        // The fault's own time, not a wait for anything.
        std::thread::sleep(match draws.of(0..100) {
            0..20 => draws.millis(0..8),
            20..45 => draws.millis(0..400),
            _ => draws.millis(1_000..4_000),
        });
        if aggregator.is_ready() && draws.percent(70) {
            seen.look(aggregator);
        }
        assert!(aggregator.kill(), "it ran until it was killed");
        aggregator.start();
        kills += 1;
    }
    until("the aggregator is ready", || aggregator.is_ready());
    lonely.kill();
    let address = aggregator.intake_address();
    lonely.set_key("SHIP__ADDRESSES", &format!("[{address:?}]"));
    lonely.start();
    lonely.settle(&[]);
    kills
}

/// Averages as they were told while things went wrong, by place and revision.
#[derive(Debug, Default)]
struct Seen(BTreeMap<(Place, u32), Average>);

impl Seen {
    fn look(&mut self, aggregator: &Aggregator) {
        for (metric, by) in
            [("cpu.busy_ratio", COMBINATIONS[0]), ("memory.used_bytes", COMBINATIONS[1])]
        {
            for (place, (revision, average)) in explored(aggregator, metric, by) {
                self.take(place, revision, &average);
            }
        }
    }

    fn take(&mut self, place: Place, revision: u32, average: &Average) {
        let before = self.0.entry((place.clone(), revision)).or_insert_with(|| average.clone());
        assert_eq!(before, average, "revision {revision} is frozen: {place:?}");
    }

    /// That no revision says anything else in the end, and none has gone.
    fn expect_frozen(&mut self, told: &BTreeMap<Place, (u32, Average)>) {
        for (place, revision) in self.0.keys() {
            let last = told.get(place).map(|(revision, _)| *revision);
            assert!(last >= Some(*revision), "{place:?} was told before: {last:?}, not {revision}");
        }
        for (place, (revision, average)) in told {
            if self.0.contains_key(&(place.clone(), *revision)) {
                self.take(place.clone(), *revision, average);
            }
        }
    }
}

/// Devices whose clocks are an hour behind, and decades ahead.
fn wrong_clocks(aggregator: &Aggregator) -> Vec<(Saying, Forged)> {
    let hour = 3_600_000_000;
    let clocks = [("behind", true_us() - hour), ("ahead", true_us() + 74 * 365 * 24 * hour)];
    let start = |(name, clock_us)| {
        let mut saying = Saying { clock_us, ..Saying::new(name) };
        saying.facts = BTreeMap::from([("site".to_owned(), "ber".to_owned())]);
        // Sums that no 64 bits hold, and negative ones.
        saying.series.push((series("forged.huge", &[], 0), i64::MAX - 100));
        saying.series.push((series("forged.low", &[("mount", "/")], 3), -31));
        let forged = Forged::start(saying.clone(), aggregator);
        (saying, forged)
    };
    clocks.into_iter().map(start).collect()
}

fn names(aggregator: &Aggregator, forged: &[(Saying, Forged)]) -> Names {
    let list = aggregator.json(&["devices"]);
    let mut names: Names = BTreeMap::new();
    for device in list.as_array().unwrap() {
        let id: DeviceId = device["id"].as_str().unwrap().parse().unwrap();
        let name = device["name"].as_str().unwrap().to_owned();
        let labels = LABELS.iter().find(|(known, _)| *known == name).map(|(_, labels)| {
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        });
        let saying = forged.iter().find(|(_, forged)| forged.device == id);
        let labels = labels.or_else(|| saying.map(|(saying, _)| saying.facts.clone()));
        names.insert(id, (name, labels.expect("a device is an agent or forged")));
    }
    names
}

/// That what is told of every metric by every combination is what the samples say; all of it, with
/// revisions.
fn expect_equal(
    aggregator: &Aggregator,
    landed: &Landed,
    names: &Names,
) -> BTreeMap<Place, (u32, Average)> {
    let mut all = BTreeMap::new();
    for by in COMBINATIONS {
        let computed = computed(landed, names, by);
        let metrics: BTreeSet<&str> = computed.keys().map(|place| place.metric.as_str()).collect();
        for metric in metrics {
            let expected: Averages = computed
                .iter()
                .filter(|(place, _)| place.metric == metric)
                .map(|(place, average)| (place.clone(), average.clone()))
                .collect();
            // The last windows close once time has passed them, and the shards take that from ticks.
            let what = format!("as many samples as were stored of {metric} by {by:?}");
            let samples: u64 = expected.values().map(|average| average.samples).sum();
            let told = wait_for(&what, DEADLINE, || {
                let told = explored(aggregator, metric, by);
                let count: u64 = told.values().map(|(_, average)| average.samples).sum();
                (count >= samples).then_some(told)
            });
            let plain: Averages =
                told.iter().map(|(place, (_, average))| (place.clone(), average.clone())).collect();
            for (place, average) in &expected {
                assert_eq!(plain.get(place), Some(average), "told, and computed: {place:?}");
            }
            assert_eq!(plain.len(), expected.len(), "nothing is told that nobody sent: {metric}");
            all.extend(told);
        }
    }
    all
}

/// That quantiles are those of the samples, within 1 %, in every window; and that none are told where none are kept.
fn expect_quantiles(aggregator: &Aggregator, landed: &Landed, names: &Names) {
    let measured = measured(landed, names, SPREAD);
    let metrics: BTreeSet<&str> = measured.keys().map(|place| place.metric.as_str()).collect();
    let mut sketched = 0;
    for metric in metrics {
        let told = explored_quantiles(aggregator, metric, SPREAD, "p0,p50,p95,p100");
        let of_metric = measured.iter().filter(|(place, _)| place.metric == metric);
        for (place, (values, _)) in of_metric {
            let mut values = values.clone();
            values.sort_unstable();
            sketched += usize::from(values.len() > 3 && values.first() != values.last());
            for (name, percent) in [("p0", 0), ("p50", 50), ("p95", 95), ("p100", 100)] {
                let rank = (values.len() * percent).div_ceil(100).max(1);
                let (expected, told) = (values[rank - 1], told[place][name].unwrap());
                let off = told.abs_diff(expected);
                assert!(
                    off <= expected.unsigned_abs() / 100,
                    "{name} of {place:?}: {told}, {values:?}"
                );
            }
        }
    }
    assert!(sketched > 100, "not covered: {sketched} windows have more than their figures tell");
    let role = explored_quantiles(aggregator, "cpu.busy_ratio", &["role"], "p50");
    let is_none = |it: &BTreeMap<String, Option<i64>>| it["p50"].is_none();
    assert!(role.values().any(is_none), "quantiles by role are not kept");
}
