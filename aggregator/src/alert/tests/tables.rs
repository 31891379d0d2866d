//! What each setting does, one table each.

use super::*;

/// Feeds one value per window (`None`: nothing comes) and lists the changes.
fn run(rule: Threshold, values: &[Option<i64>]) -> Vec<String> {
    let mut alerts = holding(vec![rule]);
    let mut all = Vec::new();
    for (number, value) in (0..).zip(values) {
        let rows = value.map(busy).unwrap_or_default();
        all.extend(told(&mut alerts, &window(number, rows)));
    }
    all
}

fn each(values: &[i64]) -> Vec<Option<i64>> {
    values.iter().copied().map(Some).collect()
}

#[test]
fn a_limit_must_be_passed_for_long_enough_and_is_left_below_clear() {
    let values = each(&[5000, 7001, 9000, 7001, 6500, 6001, 6000, 9000]);
    let expected = ["fired warn at 40 since 10", "cleared warn at 70 since 10"];
    assert_eq!(run(cpu(), &values), expected);
}

#[test]
fn a_value_at_the_limit_does_not_pass_it() {
    let values = each(&[7000, 7000, 7000, 7000, 7000]);
    assert!(run(cpu(), &values).is_empty());
}

#[test]
fn one_good_window_starts_a_pending_state_over() {
    let values = each(&[8000, 8000, 7000, 8000, 8000, 8000]);
    assert_eq!(run(cpu(), &values), ["fired warn at 60 since 30"]);
}

#[test]
fn without_a_wait_the_first_window_fires() {
    let rule = Threshold { for_us: 0, limits: limits(When::Above, "0.7", "", ""), ..cpu() };
    let values = each(&[8000, 8000, 7000]);
    let expected = ["fired warn at 10 since 0", "cleared warn at 30 since 0"];
    assert_eq!(run(rule, &values), expected);
}

#[test]
fn severity_rises_after_its_own_wait_and_falls_at_once() {
    let rule = Threshold { limits: limits(When::Above, "0.7", "0.9", "0.6"), ..cpu() };
    let values = each(&[8000, 8000, 8000, 9500, 9500, 9500, 9500, 8000, 9500, 5000]);
    let expected = [
        "fired warn at 30 since 0",
        "rose crit at 60 since 0",
        "fell warn at 80 since 0",
        "cleared warn at 100 since 0",
    ];
    assert_eq!(run(rule.clone(), &values), expected);
    assert_eq!(run(rule, &each(&[9500; 4])), ["fired crit at 30 since 0"]);
}

#[test]
fn below_is_the_mirror_of_above() {
    let rule = Threshold { limits: limits(When::Below, "0.2", "0.1", "0.3"), for_us: 0, ..cpu() };
    let values = each(&[2000, 1999, 999, 2500, 3000]);
    let expected = [
        "fired warn at 20 since 10",
        "rose crit at 30 since 10",
        "fell warn at 40 since 10",
        "cleared warn at 50 since 10",
    ];
    assert_eq!(run(rule, &values), expected);
}

#[test]
fn silence_starts_what_is_pending_over_and_never_ends_what_fires() {
    let rule = Threshold { no_data_us: 20 * SECOND, ..cpu() };
    let gap = [Some(8000), Some(8000), None, None, Some(8000), Some(8000), Some(8000)];
    assert_eq!(run(rule.clone(), &gap), ["fired warn at 70 since 40"]);
    let short_gap = [Some(8000), None, Some(8000)];
    assert_eq!(run(rule.clone(), &short_gap), ["fired warn at 30 since 0"]);
    let mut fires = each(&[8000; 3]);
    fires.extend([None; 50]);
    fires.push(Some(8000));
    assert_eq!(run(rule, &fires), ["fired warn at 30 since 0"]);
}

#[test]
fn a_longer_window_is_judged_once_at_its_end_as_a_whole() {
    let rule = Threshold { window_us: Some(3 * BASE), for_us: 0, ..cpu() };
    // The mean of the first three is 0.7 exactly, of the next three just above.
    let values = each(&[9000, 9000, 3000, 9000, 9000, 3001, 0, 0]);
    assert_eq!(run(rule.clone(), &values), ["fired warn at 60 since 30"]);
    let most = Threshold { stat: Stat::Max, ..rule.clone() };
    assert_eq!(run(most, &each(&[0, 7001, 0])), ["fired warn at 30 since 0"]);
    let missing = [Some(9000), None, None, None, Some(0)];
    assert_eq!(run(rule, &missing), ["fired warn at 30 since 0"], "a window may have gaps");
}

#[test]
fn a_silence_is_one_of_the_device_and_not_the_time_between_longer_windows() {
    let rule = Threshold { window_us: Some(3 * BASE), for_us: 6 * BASE, no_data_us: BASE, ..cpu() };
    assert_eq!(run(rule.clone(), &each(&[9000; 6])), ["fired warn at 60 since 0"]);
    let mut gap = each(&[9000; 3]);
    gap.extend([None; 3]);
    gap.extend(each(&[9000; 3]));
    assert!(run(rule.clone(), &gap).is_empty(), "it started over");
    gap.extend(each(&[9000; 3]));
    assert_eq!(run(rule, &gap), ["fired warn at 120 since 60"]);
}

#[test]
fn a_count_and_a_sum_are_numbers_like_any_other() {
    let count = Limits::new(When::Above, "1".parse().ok(), None, None).unwrap();
    let rule = Threshold {
        stat: Stat::Count,
        window_us: Some(2 * BASE),
        limits: count,
        for_us: 0,
        ..cpu()
    };
    assert_eq!(run(rule.clone(), &[Some(1), Some(1)]), ["fired warn at 20 since 0"]);
    assert!(run(rule.clone(), &[Some(1), None, Some(1)]).is_empty());
    let sum = Threshold { stat: Stat::Sum, ..rule };
    assert_eq!(run(sum, &[Some(9000), Some(1001)]), ["fired warn at 20 since 0"]);
}

#[test]
fn each_mount_is_watched_on_its_own() {
    let mut rule = Threshold { for_us: 0, ..cpu() };
    rule.scope.metric = "disk.used_ratio".to_owned();
    rule.scope.per = Some("mount".to_owned());
    rule.scope.exclude = vec!["fstype:tmpfs,overlay".parse().unwrap()];
    let mut alerts = holding(vec![rule]);
    let disk = |labels: &[(&str, &str)], value| sample("a", "disk.used_ratio", labels, value);
    let rows = vec![
        disk(&[], 9999),
        disk(&[("fstype", "ext4"), ("mount", "/")], 9000),
        disk(&[("fstype", "ext4"), ("mount", "/var")], 8000),
        disk(&[("fstype", "tmpfs"), ("mount", "/tmp")], 9999),
    ];
    let changes = alerts.handle_window(&window(0, rows));
    let mounts: Vec<&String> = changes.iter().map(|change| &change.alert.labels["mount"]).collect();
    assert_eq!(mounts, ["/", "/var"]);
    assert_ne!(changes[0].alert.id, changes[1].alert.id);
}

#[test]
fn only_the_combination_of_the_rule_is_watched_and_only_where_it_says() {
    let mut by_site = Threshold { name: name("by-site"), for_us: 0, ..cpu() };
    by_site.scope.by = vec!["role".to_owned(), "site".to_owned()];
    by_site.scope.selector = "site:osl-* -role:lab".parse().unwrap();
    let mut alerts = holding(vec![by_site]);
    let row = |site: &str, role: &str| Row {
        combination: Arc::new(Combination::new(vec!["site".to_owned(), "role".to_owned()])),
        key: Arc::new(Key::Of(vec![site.to_owned(), role.to_owned()])),
        labels: Arc::default(),
        ..busy(9000).remove(0)
    };
    let mut rows = busy(9000);
    rows.extend([row("ams-1", "db"), row("osl-1", "db"), row("osl-1", "lab")]);
    let changes = alerts.handle_window(&window(0, rows));
    assert_eq!(changes.len(), 1);
    let key = BTreeMap::from([("site", "osl-1"), ("role", "db")]);
    let key = key.into_iter().map(|(label, value)| (label.to_owned(), value.to_owned()));
    assert_eq!(changes[0].alert.key, key.collect());
}

#[test]
fn a_series_that_leaves_the_scope_ends_its_alert() {
    let mut rule = Threshold { for_us: 0, ..cpu() };
    rule.scope.selector = "env:prod".parse().unwrap();
    let mut alerts = holding(vec![rule]);
    assert_eq!(told(&mut alerts, &window(0, busy(9000))), ["fired warn at 10 since 0"]);
    let moved = Row { labels: Arc::default(), ..busy(9000).remove(0) };
    let changes = alerts.handle_window(&window(1, vec![moved]));
    assert_eq!(changes[0].alert.state, AlertState::Cleared(EndReason::OutOfScope));
    assert!(alerts.open().is_empty());
}

#[test]
fn a_revision_holds_from_its_window_and_keeps_states_of_rules_that_watch_the_same() {
    let mut alerts = holding(vec![Threshold { for_us: 0, ..cpu() }]);
    assert_eq!(told(&mut alerts, &window(0, busy(8000))), ["fired warn at 10 since 0"]);
    let lenient = Threshold { limits: limits(When::Above, "0.9", "", ""), for_us: 0, ..cpu() };
    assert!(alerts.publish(set(2, 3 * BASE, vec![lenient])));
    assert!(told(&mut alerts, &window(1, busy(8000))).is_empty());
    assert!(told(&mut alerts, &window(2, busy(8000))).is_empty());
    assert_eq!((alerts.present().revision, alerts.revision()), (1, 2));
    assert_eq!(told(&mut alerts, &window(3, busy(8000))), ["cleared warn at 40 since 0"]);
    assert_eq!(alerts.present().revision, 2);
}

#[test]
fn a_rule_that_goes_or_watches_something_else_ends_its_alerts() {
    for rules in [
        Vec::new(),
        vec![{
            let mut other = cpu();
            other.scope.selector = "env:lab".parse().unwrap();
            other
        }],
    ] {
        let mut alerts = holding(vec![Threshold { for_us: 0, ..cpu() }]);
        alerts.handle_window(&window(0, busy(8000)));
        assert!(alerts.publish(set(2, 2 * BASE, rules)));
        assert!(told(&mut alerts, &window(1, busy(8000))).is_empty());
        let changes = alerts.handle_window(&window(2, busy(8000)));
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].alert.state, AlertState::Cleared(EndReason::RuleRemoved));
        assert_eq!(changes[0].alert.changed_us, 2 * BASE);
        assert_eq!(alerts.recent().len(), 1);
    }
}

#[test]
fn revisions_follow_each_other_and_a_later_one_may_overtake() {
    let mut alerts = Alerts::default();
    assert!(!alerts.publish(set(0, 0, Vec::new())));
    assert!(alerts.publish(set(7, 5 * BASE, vec![cpu()])), "the first may have any number");
    assert!(!alerts.publish(set(7, 6 * BASE, Vec::new())));
    assert!(!alerts.publish(set(9, 6 * BASE, Vec::new())));
    assert!(!alerts.publish(set(8, 6 * BASE, vec![cpu(), cpu()])), "a name stands once");
    assert!(alerts.publish(set(8, 2 * BASE, Vec::new())));
    alerts.handle_window(&window(2, Vec::new()));
    assert_eq!(alerts.present().revision, 8, "what would have come later is overtaken");
    alerts.handle_window(&window(6, Vec::new()));
    assert_eq!(alerts.present().revision, 8);
}

#[test]
fn a_window_that_comes_twice_or_late_says_nothing() {
    let mut alerts = holding(vec![Threshold { for_us: 0, ..cpu() }]);
    alerts.handle_window(&window(3, busy(8000)));
    let before = bytes(&alerts);
    assert!(alerts.handle_window(&window(3, busy(100))).is_empty());
    assert!(alerts.handle_window(&window(1, busy(100))).is_empty());
    assert_eq!(bytes(&alerts), before);
}

#[test]
fn an_alert_is_the_same_one_in_every_replay() {
    let id = |labels: &[(&str, &str)], start| {
        let mut alerts = holding(vec![Threshold { for_us: 0, ..cpu() }]);
        let rows = vec![sample("a", "cpu.busy_ratio", labels, 9000)];
        alerts.handle_window(&window(start, rows))[0].alert.id.to_string()
    };
    assert_eq!(id(&[], 4), id(&[], 4));
    assert_eq!(id(&[], 4), "5b2b4c962dc78292");
    let all = [id(&[], 4), id(&[], 5), id(&[("a", "b")], 4), id(&[("ab", "")], 4)];
    let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}
