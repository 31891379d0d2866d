//! What is bounded stays bounded.

use super::*;
use crate::limits::{
    ALERT_CHANGES_MAX, ALERT_SERIES_PER_RULE_MAX, ALERTS_ENDED_MAX, RULE_SETS_WAITING_MAX,
    RULES_MAX,
};

#[test]
fn a_bomb_of_series_is_turned_away_and_counted() {
    let mut alerts = holding(vec![Threshold { for_us: BASE * 2, ..cpu() }]);
    let too_many = ALERT_SERIES_PER_RULE_MAX + 10;
    let rows = (0..too_many).map(|number| {
        let mount = number.to_string();
        sample("a", "cpu.busy_ratio", &[("mount", &mount)], 9000)
    });
    alerts.handle_window(&window(0, rows.collect()));
    assert_eq!(alerts.open().len(), ALERT_SERIES_PER_RULE_MAX);
    assert_eq!(alerts.rule_state(&name("cpu")).turned_away, 10);
    alerts.handle_window(&window(1, busy(9000)));
    assert_eq!(alerts.rule_state(&name("cpu")).turned_away, 1, "there is still no room");
}

#[test]
fn changes_and_ended_alerts_are_kept_up_to_a_number() {
    let mut alerts = holding(vec![Threshold { for_us: 0, ..cpu() }]);
    let mut number = 0;
    while alerts.last_seq() < ALERT_CHANGES_MAX as u64 + 4 {
        alerts.handle_window(&window(number, busy(if number % 2 == 0 { 9000 } else { 0 })));
        number += 1;
    }
    assert_eq!(alerts.changes_after(0).len(), ALERT_CHANGES_MAX);
    assert_eq!(alerts.changes_after(0)[0].seq, 5);
    assert_eq!(alerts.changes_after(alerts.last_seq() - 1).len(), 1);
    assert_eq!(alerts.recent().len(), ALERTS_ENDED_MAX);
}

#[test]
fn rules_and_sets_that_wait_are_few() {
    let rules = |count: usize| {
        (0..count).map(|number| Threshold { name: name(&number.to_string()), ..cpu() }).collect()
    };
    let mut alerts = Alerts::default();
    assert!(!alerts.publish(set(1, 0, rules(RULES_MAX + 1))));
    assert!(alerts.publish(set(1, 0, rules(RULES_MAX))));
    for revision in 2..=40 {
        assert!(alerts.publish(set(revision, revision.cast_signed() * BASE, rules(1))));
    }
    let few = bytes(&alerts).len();
    assert!(few < (RULE_SETS_WAITING_MAX + 1) * 1_000, "{few} bytes");
    alerts.handle_window(&window(100, Vec::new()));
    assert_eq!(alerts.present().revision, 40);
}
