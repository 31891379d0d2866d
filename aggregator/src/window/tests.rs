//! `ShardWindows` against the reference: whatever comes, the same outputs and the same bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::body::Body;
use headwater_protocol::entry::{SentClock, WindowRules};
use headwater_protocol::header::{Clock, Codec, Counts, Header, Packing};
use headwater_protocol::identity::{DeviceId, Epoch, Generation, Lane, Offset, Seq};
use headwater_protocol::position::{Run, SourceId, Stream};
use headwater_protocol::record::{Content, Record, Sample, Series};
use proptest::prelude::*;

use super::reference::Reference;
use super::{Output, SERIES_PER_DEVICE_MAX, ShardWindows};

const SECOND: i64 = 1_000_000;
const NOW: i64 = 1_700_000_000 * SECOND;

/// Both, side by side.
struct Pair {
    shard: ShardWindows,
    reference: Reference,
    offset: u64,
}

/// What a batch is made of.
#[derive(Clone, Debug)]
enum Part {
    /// Seconds before its end, series and values.
    Tick(i64, Vec<(u8, i64)>),
    Labels(u8, u8),
}

#[derive(Clone, Debug)]
enum Step {
    /// A device, what its clock is off by, what it sends.
    Batch(u8, i64, Vec<Part>),
    Tick,
    Rules(u8),
    Restored,
}

impl Pair {
    fn new(rules: &WindowRules) -> Self {
        let mut pair =
            Self { shard: ShardWindows::default(), reference: Reference::default(), offset: 0 };
        pair.rules(rules);
        pair
    }

    fn rules(&mut self, rules: &WindowRules) {
        self.shard.handle_rules(rules);
        self.reference.handle_rules(rules);
    }

    fn batch(&mut self, (device, skew_us): (u8, i64), now_us: i64, body: &Body) {
        let at = (Generation(0), Offset(self.offset));
        self.offset += 1;
        let wall_us = now_us.saturating_add(skew_us);
        let sent = SentClock { wall_us, ..SentClock::default() };
        let header = header(device, wall_us);
        let told = self.shard.handle_batch(at, (&sent, now_us), &header, body);
        self.compare(&told, |it| it.handle_batch(at, (&sent, now_us), &header, body));
    }

    fn tick(&mut self, now_us: i64) {
        let at = (Generation(0), Offset(self.offset));
        self.offset += 1;
        let told = self.shard.handle_tick(at, now_us);
        self.compare(&told, |it| it.handle_tick(at, now_us));
    }

    fn compare(&mut self, told: &[Output], ask: impl FnOnce(&mut Reference) -> Vec<Output>) {
        assert_eq!(told, ask(&mut self.reference), "the same is let out");
        assert_eq!(self.shard.encode(), self.reference.encode(), "the same is held");
    }
}

fn header(device: u8, now_us: i64) -> Header {
    Header {
        device: DeviceId([device; 16]),
        lane: Lane::Live,
        epoch: Epoch([1; 16]),
        seq: Seq::FIRST,
        parent: None,
        rekeyed: true,
        lane_state: 0,
        clock: Clock { wall_us: now_us, ..Clock::default() },
        counts: Counts::default(),
        totals: Counts::default(),
        spans: Vec::new(),
        packing: Packing { version: 2, codec: Codec::Plain, packed: 0, unpacked: 0 },
    }
}

fn rules(version: u8, keys_max: u32) -> WindowRules {
    let named = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let mut combinations = vec![
        named(&["device"]),
        named(&["site"]),
        named(&["role", "site"]),
        named(&["device", "role"]),
        named(&["nobody"]),
    ];
    combinations.rotate_left(usize::from(version) % 5);
    WindowRules {
        version: u64::from(version),
        from_us: if version == 1 { i64::MIN } else { NOW + i64::from(version) * 20 * SECOND },
        length_us: 10_000_000,
        lateness_us: 1_000_000,
        keys_max,
        quantiles: combinations
            .iter()
            .skip(1)
            .step_by(2)
            .take(usize::from(version % 3))
            .cloned()
            .collect(),
        combinations,
    }
}

/// A body as it is opened: one object for each series.
fn body(end_us: i64, parts: &[Part]) -> Body {
    let mut dictionary: BTreeMap<u8, Arc<Series>> = BTreeMap::new();
    let mut sample = |&(number, value): &(u8, i64)| {
        let series = dictionary.entry(number).or_insert_with(|| series(u16::from(number)));
        Sample { series: Arc::clone(series), value }
    };
    let mut records = Vec::new();
    for part in parts {
        let (time_us, content) = match part {
            Part::Tick(before, samples) => {
                let time_us = end_us.saturating_sub(before.saturating_mul(SECOND));
                (time_us, Content::Tick(samples.iter().map(&mut sample).collect()))
            }
            Part::Labels(site, role) => (end_us, Content::Facts(labels(*site, *role))),
        };
        records.push(record(time_us, content));
    }
    Body { streams: Vec::new(), records }
}

fn record(time_us: i64, content: Content) -> Record {
    let stream = Stream { source: SourceId([1; 16]), run: Run { number: 1, nonce: 1 } };
    Record { stream, start: 0, end: 1, time_us, content }
}

fn series(number: u16) -> Arc<Series> {
    let labels = vec![("mount".to_owned(), format!("/{}", number % 3))];
    // Neither in order of their numbers nor each with a name of its own.
    Arc::new(Series { metric: format!("m{}", number.wrapping_mul(7) / 3), labels, scale: 2 })
}

fn labels(site: u8, role: u8) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (name, number) in [("site", site), ("role", role)] {
        // 0 is a device that lacks the label.
        if number > 0 {
            labels.insert(name.to_owned(), format!("{name}-{number}"));
        }
    }
    labels
}

fn value() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -1_000_i64..1_000, 1 => any::<i64>(), 1 => Just(i64::MAX), 1 => Just(i64::MIN)]
}

fn part() -> impl Strategy<Value = Part> {
    // Mostly of the last seconds, some of minutes ago, of the future, and of any time at all.
    let before = prop_oneof![
        8 => 0_i64..15,
        2 => 0_i64..200,
        1 => -30_i64..0,
        1 => prop_oneof![Just(i64::MAX / SECOND), Just(i64::MIN / SECOND), any::<i64>()],
    ];
    let same = prop::collection::vec(value(), 0..6).prop_map(|it| (0_u8..).zip(it).collect());
    let other = prop::collection::vec((0_u8..12, value()), 0..6);
    let samples = prop_oneof![3 => same, 1 => other];
    prop_oneof![
        8 => (before, samples).prop_map(|(before, samples)| Part::Tick(before, samples)),
        1 => (0_u8..4, 0_u8..3).prop_map(|(site, role)| Part::Labels(site, role)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let skew = prop_oneof![
        6 => Just(0),
        2 => -40 * SECOND..40 * SECOND,
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), any::<i64>()],
    ];
    let batch = (1_u8..9, skew, prop::collection::vec(part(), 0..25));
    prop_oneof![
        16 => batch.prop_map(|(device, skew, parts)| Step::Batch(device, skew, parts)),
        2 => Just(Step::Tick),
        1 => (2_u8..6).prop_map(Step::Rules),
        1 => Just(Step::Restored),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Late, skewed and future samples, values that overflow, labels that change between ticks, too many keys, new
    /// rules, and a restart between any two entries.
    #[test]
    fn outputs_and_bytes_are_those_of_the_reference(
        keys_max in 1_u32..6,
        steps in prop::collection::vec((0_i64..12, step()), 1..60)
    ) {
        let mut pair = Pair::new(&rules(1, keys_max));
        let mut now_us = NOW;
        for (passed, step) in steps {
            now_us += passed * SECOND;
            match step {
                Step::Batch(device, skew_us, parts) => {
                    let body = body(now_us.saturating_add(skew_us), &parts);
                    pair.batch((device, skew_us), now_us, &body);
                }
                Step::Tick => pair.tick(now_us),
                Step::Rules(version) => pair.rules(&rules(version, keys_max)),
                Step::Restored => {
                    let bytes = pair.shard.encode();
                    pair.shard = ShardWindows::decode(&bytes).unwrap();
                    prop_assert_eq!(pair.shard.encode(), bytes);
                }
            }
        }
        pair.tick(now_us + 60 * SECOND);
        prop_assert_eq!(pair.shard.due_us(), None, "nothing waits once time has gone on");
    }
}

#[test]
fn devices_with_many_series_in_another_order_each_are_added_up_as_in_the_reference() {
    let mut pair = Pair::new(&rules(1, 3));
    for device in 1..=60_u8 {
        let body = body(NOW, &[Part::Labels(1 + device % 2, 1), Part::Tick(0, Vec::new())]);
        pair.batch((device, 0), NOW, &body);
        // Most have most series, none has all, some are alone with theirs.
        let numbers = (0..90_u8).filter(|number| (number ^ device) % 5 > 0);
        let samples = numbers.map(|number| (number.wrapping_mul(device), i64::from(number)));
        let samples: Vec<(u8, i64)> = samples.collect();
        pair.batch((device, 0), NOW, &self::body(NOW, &[Part::Tick(1, samples)]));
    }
    pair.tick(NOW + 60 * SECOND);
}

#[test]
fn a_device_with_too_many_series_makes_room_as_in_the_reference() {
    let mut pair = Pair::new(&rules(1, 10));
    let most = u16::try_from(SERIES_PER_DEVICE_MAX).unwrap();
    let mut now_us = NOW;
    for from in [0, most / 2, most, most * 2] {
        let samples = (from..from + most / 2 + 100).map(|number| {
            let name = Series { metric: format!("m{number}"), labels: Vec::new(), scale: 0 };
            Sample { series: Arc::new(name), value: i64::from(number) }
        });
        let tick = record(now_us, Content::Tick(samples.collect()));
        pair.batch((1, 0), now_us, &Body { streams: Vec::new(), records: vec![tick] });
        pair.batch((2, 0), now_us, &body(now_us, &[Part::Tick(0, vec![(1, 1)])]));
        now_us += 45 * SECOND;
        pair.tick(now_us);
    }
    assert!(pair.shard.refused() > 0, "some found no room");
    pair.tick(now_us + 200 * SECOND);
    let last = body(now_us + 200 * SECOND, &[Part::Tick(0, vec![(1, 5), (9, 7)])]);
    pair.batch((1, 0), now_us + 200 * SECOND, &last);
    pair.tick(now_us + 300 * SECOND);
}
