//! A thin link with a backlog: what is live goes first.

use std::time::{Duration, Instant};

use headwater_tests::chaoslink::Faults;
use headwater_tests::waiting::until;

use crate::Linked;

/// 64 kbit/s.
const BYTES_PER_S: u64 = 8_000;
/// Lines of each second of the backlog, and its seconds: in all more than the link carries while it is
/// looked at.
const LINES: u64 = 2_000;
const SECONDS: u64 = 30;
/// How long it is looked at.
const LOOK: Duration = Duration::from_secs(25);

#[test]
fn on_a_thin_link_a_backlog_does_not_delay_the_present() {
    let mut linked = Linked::start();
    linked.site.write_and_settle(100);
    linked.link.set(Faults { blackout: true, ..Faults::default() });
    for _ in 0..SECONDS {
        linked.site.write(LINES);
        // The rhythm of an application, so that the backlog is of many batches.
        std::thread::sleep(Duration::from_secs(1));
    }
    linked.link.set(Faults { bytes_per_s: Some(BYTES_PER_S), ..Faults::default() });
    until("the agent is connected again, and its samples are there", || {
        let status = linked.site.agent.status().unwrap_or_default();
        status["ship"]["link"]["state"] == "connected" && linked.oldest_unsent_ms("live") < 5_000
    });
    let (begun, before) = (Instant::now(), linked.site.aggregator.lines_read());
    let mut ages = Vec::new();
    while begun.elapsed() < LOOK {
        ages.push(linked.oldest_unsent_ms("live"));
        std::thread::sleep(Duration::from_millis(200));
    }
    let moved = linked.site.aggregator.lines_read() - before;
    let waits = linked.site.agent.status().unwrap_or_default();
    let unsent = waits["bulk"]["unsent_records"].as_u64().unwrap_or(0);
    ages.sort_unstable();
    let age = |share: usize| ages[(ages.len() - 1) * share / 100];
    eprintln!(
        "network: at 64 kbit/s with {unsent} records of backlog left the oldest live record waits {} ms, {} ms \
         at p99; {moved} lines were carried",
        age(50),
        age(99)
    );
    assert!(unsent > 0, "not covered: the backlog was over before it was looked at");
    assert!(moved > 0, "the backlog moves");
    assert!(age(50) < 5_000, "the present waits for no backlog: {ages:?}");
    linked.heal_and_expect_exactly_once();
}
