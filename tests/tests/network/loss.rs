//! Datagrams that are lost, one by one or in bursts, late, doubled and damaged.

use std::time::{Duration, Instant};

use headwater_tests::chaoslink::{Faults, Loss, Seen};
use headwater_tests::waiting::wait_for;

use crate::Linked;

/// Lines per round.
const LINES: u64 = 4_000;
/// Longest wait for a round: at 30 % much is sent many times.
const PATIENCE: Duration = Duration::from_secs(300);

#[test]
fn up_to_thirty_percent_of_loss_only_take_time() {
    let mut linked = Linked::start();
    linked.site.write_and_settle(100);
    for share in [0, 10, 50, 100, 200, 300] {
        let loss = if share == 0 { Loss::None } else { Loss::Each(share) };
        carry(&mut linked, &format!("{} % lost", share / 10), Faults { loss, ..Faults::default() });
    }
    let loss = Loss::Bursts { enter: 20, leave: 150 };
    carry(&mut linked, "bursts", Faults { loss, ..Faults::default() });
    linked.heal_and_expect_exactly_once();
}

#[test]
fn late_doubled_and_damaged_datagrams_change_nothing() {
    let mut linked = Linked::start();
    linked.site.write_and_settle(100);
    let faults = Faults { doubled: 100, damaged: 20, delay_ms: 0..60, ..Faults::default() };
    let seen = carry(&mut linked, "late, doubled, damaged", faults);
    assert!(seen.doubled > 0 && seen.damaged > 0, "not covered: {seen:?}");
    let late = Faults { delay_ms: 0..500, doubled: 20, ..Faults::default() };
    carry(&mut linked, "half a second late", late);
    linked.heal_and_expect_exactly_once();
}

/// Writes a round of lines while something goes wrong, and waits until the ledger knows of them.
fn carry(linked: &mut Linked, what: &str, faults: Faults) -> Seen {
    let before = linked.link.seen();
    let is_lossy = !matches!(faults.loss, Loss::None);
    let (doubles, damages) = (faults.doubled > 0, faults.damaged > 0);
    let is_covered = |seen: &Seen| {
        (!is_lossy || seen.lost > before.lost)
            && (!doubles || seen.doubled > before.doubled)
            && (!damages || seen.damaged > before.damaged)
    };
    linked.link.set(faults);
    let (begun, mut rounds) = (Instant::now(), 0);
    // Of some hundred datagrams none may be the one that is lost, or damaged.
    while rounds == 0 || !is_covered(&linked.link.seen()) {
        linked.site.write(LINES);
        rounds += 1;
        let lines = linked.site.witness.lines();
        wait_for(&format!("{what}: the lines are there"), PATIENCE, || {
            (linked.site.aggregator.lines_read() >= lines).then_some(())
        });
        assert!(rounds < 50, "not covered: {what}: {:?}", linked.link.seen());
    }
    let (seen, took) = (linked.link.seen(), begun.elapsed());
    let (passed, lost) = (seen.passed - before.passed, seen.lost - before.lost);
    eprintln!(
        "network: {what}: {} lines in {took:.1?}, {passed} datagrams carried, {lost} lost",
        rounds * LINES
    );
    seen
}
