//! A second opinion: each window is judged by the whole history, without any state.

use proptest::prelude::*;

use super::*;

/// What holds for one window of one series.
#[derive(Clone, Debug)]
struct Point {
    number: i64,
    value: i64,
    rule: Threshold,
    /// Whether it comes after too long a silence, by the rule of any window that passed in it.
    is_late: bool,
    /// Number of the rule's lives: a rule that watches something else begins another.
    life: usize,
}

impl Point {
    fn start_us(&self) -> i64 {
        self.number * BASE
    }

    fn end_us(&self) -> i64 {
        (self.number + 1) * BASE
    }

    fn is_past(&self, limit: Decimal) -> bool {
        // Values have four digits, limits nine parts.
        let value = i128::from(self.value) * 100_000;
        match self.rule.limits.when() {
            When::Above => value > limit.parts(),
            When::Below => value < limit.parts(),
        }
    }

    fn passes(&self, severity: Severity) -> bool {
        self.rule.limits.of(severity).is_some_and(|limit| self.is_past(limit))
    }
}

/// Where the longest run begins that ends at a point, in which `holds` is true and no silence is too long.
fn run_start(points: &[Point], end: usize, holds: impl Fn(&Point) -> bool) -> Option<usize> {
    if !holds(&points[end]) {
        return None;
    }
    let mut start = end;
    while start > 0 {
        let (before, point) = (&points[start - 1], &points[start]);
        if !holds(before) || point.is_late || before.life != point.life {
            break;
        }
        start -= 1;
    }
    Some(start)
}

/// Whether a run that ends at a point is long enough.
fn is_due(points: &[Point], end: usize, severity: Severity) -> Option<usize> {
    let start = run_start(points, end, |point| point.passes(severity))?;
    let long = points[end].end_us() - points[start].start_us() >= points[end].rule.for_us;
    long.then_some(start)
}

/// Whether an alert fires at a point, since when, and how bad it is.
fn firing(points: &[Point], at: usize) -> Option<(i64, Severity)> {
    // The first point of the episode: due, and no way back since.
    let mut fired = None;
    for end in (0..=at).rev() {
        if points[end].life != points[at].life {
            break;
        }
        if let Some(start) = is_due(points, end, Severity::Warn) {
            fired = Some((end, start));
        }
        if !points[end].is_past(points[end].rule.limits.clear()) {
            break;
        }
    }
    let (first, start) = fired?;
    let is_crit = (first..=at).any(|due| {
        is_due(points, due, Severity::Crit).is_some()
            && points[due..=at].iter().all(|point| point.passes(Severity::Crit))
    });
    let severity = if is_crit { Severity::Crit } else { Severity::Warn };
    Some((points[start].start_us(), severity))
}

/// The changes of one series, in the words of `short`.
fn expected(points: &[Point], ends: &[(usize, i64)]) -> Vec<String> {
    let mut told = Vec::new();
    let mut before: Option<(i64, Severity)> = None;
    let mut life = points.first().map_or(0, |point| point.life);
    let mut tell = |word: &str, severity: Severity, at: i64, began: i64| {
        told.push(format!(
            "{word} {} at {} since {}",
            severity.word(),
            at / SECOND,
            began / SECOND
        ));
    };
    for (at, point) in points.iter().enumerate() {
        if point.life != life
            && let Some((began, severity)) = before.take()
        {
            let end = ends.iter().find(|(ended, _)| *ended == life).unwrap().1;
            tell("cleared", severity, end, began);
        }
        life = point.life;
        let now = firing(points, at);
        match (before, now) {
            (None, Some((began, severity))) => tell("fired", severity, point.end_us(), began),
            (Some((began, severity)), None) => tell("cleared", severity, point.end_us(), began),
            (Some((began, one)), Some((_, other))) if one < other => {
                tell("rose", other, point.end_us(), began);
            }
            (Some((began, one)), Some((_, other))) if one > other => {
                tell("fell", other, point.end_us(), began);
            }
            _ => {}
        }
        // An alert keeps the beginning that it had when it fired.
        before = now.map(|(began, severity)| (before.map_or(began, |(was, _)| was), severity));
    }
    if let (Some((began, severity)), Some((_, end))) =
        (before, ends.iter().find(|(ended, _)| *ended == life))
    {
        tell("cleared", severity, *end, began);
    }
    told
}

#[derive(Clone, Debug)]
struct Story {
    /// Per window: a value per series; `None`: nothing of it.
    windows: Vec<[Option<i64>; 2]>,
    /// First window, limits, waits and whether it watches something else than the one before.
    revisions: Vec<(i64, Threshold)>,
    cuts: Vec<usize>,
}

fn rule() -> impl Strategy<Value = Threshold> {
    let numbers = (1_u32..5, 0_u32..4, 0_u32..3, 0_i64..4, 1_i64..5, prop::bool::ANY);
    let shapes = (prop::bool::ANY, prop::bool::weighted(0.2));
    (numbers, shapes).prop_map(|((warn, crit, clear, wait, silence, has_crit), (above, other))| {
        let (when, sign) = if above { (When::Above, 1) } else { (When::Below, -1) };
        let at = |steps: i64| format!("{}e-4", 4 + sign * steps).parse::<Decimal>().ok();
        let (warn, more, less) = (i64::from(warn), i64::from(crit) + 1, i64::from(clear));
        let limits =
            Limits::new(when, at(warn), at(warn + more).filter(|_| has_crit), at(warn - less));
        let mut scope = cpu().scope;
        // The same rows fit both; only that they differ counts.
        scope.selector = if other { "env:prod" } else { "" }.parse().unwrap();
        Threshold {
            limits: limits.unwrap(),
            for_us: wait * BASE,
            no_data_us: silence * BASE,
            scope,
            ..cpu()
        }
    })
}

fn story() -> impl Strategy<Value = Story> {
    let value = prop::option::weighted(0.8, 0_i64..10);
    let windows = prop::collection::vec([value.clone(), value], 1..60);
    let revisions = prop::collection::vec((1_i64..60, rule()), 0..3);
    let cuts = prop::collection::vec(0_usize..60, 0..3);
    (windows, rule(), revisions, cuts).prop_map(|(windows, first, mut revisions, cuts)| {
        revisions.sort_by_key(|(from, _)| *from);
        revisions.dedup_by_key(|(from, _)| *from);
        revisions.insert(0, (0, first));
        // A change of direction is a change of the whole rule; the oracle knows one direction a life.
        Story { windows, revisions, cuts }
    })
}

const DEVICES: [&str; 2] = ["a", "b"];

impl Story {
    fn window(&self, number: usize) -> ClosedWindow {
        let values = self.windows[number].iter().zip(DEVICES);
        let rows = values.filter_map(|(value, device)| {
            value.map(|value| sample(device, "cpu.busy_ratio", &[], value))
        });
        window(i64::try_from(number).unwrap(), rows.collect())
    }

    /// What the fold says, with all its state written down and read back before the windows of `cuts`.
    fn told(&self, cuts: &[usize]) -> (Alerts, Vec<AlertChange>) {
        let mut alerts = Alerts::default();
        for (revision, (from, rule)) in (1..).zip(&self.revisions) {
            assert!(alerts.publish(set(revision, from * BASE, vec![rule.clone()])));
        }
        let mut changes = Vec::new();
        for number in 0..self.windows.len() {
            if cuts.contains(&number) {
                alerts = Alerts::decode(&bytes(&alerts)).unwrap();
            }
            changes.extend(alerts.handle_window(&self.window(number)));
        }
        (alerts, changes)
    }

    /// The points of one series, and where each life of the rule ends.
    fn points(&self, series: usize) -> (Vec<Point>, Vec<(usize, i64)>) {
        let (mut points, mut ends, mut life) = (Vec::new(), Vec::new(), 0);
        let mut rule = &self.revisions[0].1;
        let (mut seen, mut is_late) = (i64::MIN / 2, false);
        for (number, values) in (0_i64..).zip(&self.windows) {
            if let Some((_, next)) = self.revisions.iter().find(|(from, _)| *from == number) {
                if next.scope != rule.scope {
                    ends.push((life, number * BASE));
                    life += 1;
                }
                rule = next;
            }
            is_late |= number * BASE - seen >= rule.no_data_us;
            if let Some(value) = values[series] {
                points.push(Point { number, value, rule: rule.clone(), is_late, life });
                (seen, is_late) = ((number + 1) * BASE, false);
            }
        }
        (points, ends)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, ..ProptestConfig::default() })]

    #[test]
    fn the_fold_says_what_the_whole_history_says(story in story()) {
        let (_, changes) = story.told(&[]);
        for (series, device) in DEVICES.into_iter().enumerate() {
            let of_device = changes.iter().filter(|change| change.alert.key["device"] == device);
            let told: Vec<String> = of_device.map(short).collect();
            let (points, ends) = story.points(series);
            prop_assert_eq!(told, expected(&points, &ends), "device {} of {:?}", device, story);
        }
        let numbers: Vec<u64> = changes.iter().map(|change| change.seq).collect();
        prop_assert_eq!(numbers, (1..=changes.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_state_that_is_read_back_goes_on_to_the_same_bytes(story in story()) {
        let (whole, changes) = story.told(&[]);
        let (cut, again) = story.told(&story.cuts);
        prop_assert_eq!(bytes(&whole), bytes(&cut));
        prop_assert_eq!(changes, again);
    }
}
