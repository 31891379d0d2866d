//! A host that was copied: both copies at once, and one after the other.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use headwater_tests::agent::Agent;
use headwater_tests::draws::seed_of_this_run;
use headwater_tests::site::{Site, copy_folder, settle};
use headwater_tests::waiting::until;
use headwater_tests::witness::Instance;

/// Lines of each part of a test: a few batches.
const LINES: u64 = 8_000;

#[test]
fn of_two_copies_at_once_neither_is_served_until_a_person_decides_and_nothing_is_lost() {
    let mut site = Site::new(seed_of_this_run("clones"), &["alpha", "beta"]);
    site.agent.start();
    site.write_and_settle(LINES);
    let Some(mut twin) = copy_the_host(&mut site) else { return };
    site.agent.start();
    site.settle();
    let read = site.aggregator.lines_read();

    twin.start();
    for (name, agent) in [("the original", &site.agent), ("the copy", &twin)] {
        until(&format!("{name} is told that there are two"), || {
            let status = agent.status().unwrap_or_default();
            let fault = status["ship"]["fault"].as_str().unwrap_or_default().to_owned();
            fault.contains("two running hosts") && fault.contains("headwater devices restore")
        });
    }
    until("the device is marked", || state_of(&site) == "cloned");
    site.write(LINES);
    until("the original has read what was written", || {
        let status = site.agent.status().unwrap_or_default();
        status["bulk"]["unsent_records"].as_u64() >= Some(LINES)
    });
    assert_eq!(site.aggregator.lines_read(), read, "nothing of either is taken");

    twin.stop();
    let restored = site.aggregator.ask(&["devices", "restore", "edge-1"]).expect_success("restore");
    assert!(restored.stderr.contains("served again"), "{}", restored.stderr);
    let again = site.aggregator.ask(&["devices", "restore", "edge-1"]);
    again.expect_refusal(7, &["not marked as cloned"]);
    site.settle();
    site.compare().expect_exactly_once(&site.witness);
    let _ = site.aggregator.expect_clean_audit();
    assert_eq!(state_of(&site), "online");
    let landed = site.stop_and_read();
    landed.only_device().ticks_are_contiguous().unwrap();
}

#[test]
fn of_two_copies_in_turn_every_line_of_both_is_stored_once() {
    let mut site = Site::new(seed_of_this_run("clones"), &["alpha", "beta"]);
    site.agent.start();
    site.write_and_settle(LINES);
    let Some(mut twin) = copy_the_host(&mut site) else { return };
    let twins_logs = site.path("twin-logs");
    for turn in 0..3 {
        eprintln!("turn {turn}");
        // What follows stands where the other one wrote otherwise.
        begin_instances(&mut site);
        headwater_tests::writer::append(&mut site.witness, &twins_logs, LINES);
        twin.start();
        settle(&mut twin, &site.aggregator, (&[], site.witness.lines()));
        twin.stop();
        begin_instances(&mut site);
        site.write(LINES);
        site.agent.start();
        site.settle();
        site.agent.stop();
    }
    site.compare().expect_exactly_once(&site.witness);
    let _ = site.aggregator.expect_clean_audit();
    assert_ne!(state_of(&site), "cloned", "they were never there at once");
    let epochs = site.stop_and_read().only_device().epochs;
    assert!(epochs > 4, "not covered: {epochs} epochs, so the ledger met no chain but its own");
}

/// A second host, with a copy of everything: identity, spool, and the logs under the same paths. `None`
/// without the right to give it a view of its own of the file system, which is said.
fn copy_the_host(site: &mut Site) -> Option<Agent> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("needs root: not run, a second host can't see its logs under the same paths");
        return None;
    }
    site.agent.stop();
    let (folder, logs) = (site.path("twin"), site.path("twin-logs"));
    let pattern = site.logs().join("*.log").display().to_string();
    let mut twin = Agent::new("edge-1", &folder, &site.aggregator.intake_address(), &[pattern]);
    copy_folder(&site.agent.identity(), &twin.identity());
    copy_folder(&site.agent.spool(), &twin.spool());
    copy_folder(&site.logs(), &logs);
    let bind = format!("mount --bind {} {} && exec \"$@\"", logs.display(), site.logs().display());
    twin.set_wrapper(&["unshare", "--mount", "sh", "-c", &bind, "sh"]);
    Some(twin)
}

fn begin_instances(site: &mut Site) {
    for log in 0..site.witness.logs.len() {
        site.witness.instances.push(Instance { log, lines: Vec::new() });
    }
}

fn state_of(site: &Site) -> String {
    site.aggregator.json(&["devices"])[0]["state"].as_str().unwrap().to_owned()
}
