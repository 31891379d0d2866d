//! Paths that change, narrow, and end.

use std::time::Duration;

use headwater_tests::chaoslink::Faults;
use headwater_tests::waiting::until;

use crate::Linked;

#[test]
fn a_nat_that_forgets_ends_no_session() {
    let mut linked = Linked::start();
    linked.site.write_and_settle(500);
    let sessions = linked.sessions();
    linked.link.set(Faults { rebinding: Some(Duration::from_secs(2)), ..Faults::default() });
    for _ in 0..8 {
        linked.site.write_and_settle(500);
        // The NAT's own time.
        std::thread::sleep(Duration::from_secs(1));
    }
    let seen = linked.link.seen();
    assert!(seen.rebound >= 3, "not covered: {seen:?}");
    assert_eq!(linked.sessions(), sessions, "the session goes on: {seen:?}");
    eprintln!("network: {} new addresses, no new session", seen.rebound);
    linked.heal_and_expect_exactly_once();
}

#[test]
fn a_path_that_swallows_large_datagrams_is_found_out() {
    let mut linked = Linked::start();
    linked.site.write_and_settle(500);
    // Above what every path of QUIC carries, below what this one had found that it carries.
    linked.link.set(Faults { largest: Some(1_280), ..Faults::default() });
    linked.site.write_and_settle(5_000);
    let seen = linked.link.seen();
    assert!(seen.too_large > 0, "not covered: {seen:?}");
    eprintln!("network: {} datagrams were too large, {} passed", seen.too_large, seen.passed);
    linked.heal_and_expect_exactly_once();
}

#[test]
fn who_is_cut_off_says_so_keeps_everything_and_sends_it_later() {
    let mut linked = Linked::start();
    linked.site.write_and_settle(500);
    linked.link.set(Faults { blackout: true, ..Faults::default() });
    linked.site.write(5_000);
    until("the agent says that nothing is acked", || {
        let status = linked.site.agent.status().unwrap_or_default();
        status["bulk"]["unsent_records"].as_u64() >= Some(5_000)
            && status["ship"]["link"]["state"] != "connected"
    });
    let page = headwater_tests::process::run(&mut linked.site.agent.command(&["status"])).stdout;
    assert!(page.contains("degraded") && page.contains("connection"), "a person is told:\n{page}");
    eprintln!("network: cut off, the agent says:\n{page}");
    linked.heal_and_expect_exactly_once();
}

#[test]
fn an_agent_is_told_by_the_next_process_that_its_aggregator_was_killed() {
    let mut linked = Linked::start();
    linked.site.write_and_settle(500);
    for _ in 0..3 {
        linked.site.aggregator.kill();
        linked.site.aggregator.start_and_wait();
        linked.site.write_and_settle(500);
    }
    let log = std::fs::read_to_string(linked.site.path("agent/agent.log")).unwrap();
    // Repeats are not logged again.
    assert!(log.contains("reset by peer"), "by a reset:\n{log}");
    assert!(!log.contains("silent") && !log.contains("timed out"), "not by silence:\n{log}");
    linked.heal_and_expect_exactly_once();
}
