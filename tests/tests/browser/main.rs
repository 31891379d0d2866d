//! The console in a real browser: headless Chromium visits a running aggregator, with a real agent and with
//! devices that are made up. What it does is in `tests/browser/`, a file per scenario; pictures of what it
//! saw are in `target/browser/`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod scenario;
mod stage;
mod strangers;

use headwater_tests::agent::Agent;
use headwater_tests::forged::{Forged, Saying, series, true_us};
use headwater_tests::site::Site;
use serde_json::json;

use crate::scenario::Scenario;
use crate::stage::{Stage, stage};

#[test]
fn who_has_no_session_sees_nothing_and_a_link_is_good_for_one_time() {
    let stage = stage();
    scenario("login", &stage, 1);
}

#[test]
fn every_page_loads_without_a_fault_in_both_themes_on_a_desk_and_on_a_phone() {
    let stage = stage();
    scenario("pages", &stage, 1);
}

#[test]
fn values_and_charts_move_while_they_are_watched() {
    let stage = stage();
    scenario("moving", &stage, 1);
}

#[test]
fn the_console_is_walked_by_keyboard_and_typed_text_survives_updates() {
    let stage = stage();
    scenario("keyboard", &stage, 1);
}

#[test]
fn two_browsers_with_fifty_tabs_are_all_live() {
    let stage = stage();
    let given = json!({ "device": Stage::DEVICE, "tabs": 50 });
    Scenario::start("crowd", &stage.site.aggregator, 2, given).finish();
}

/// Runs a scenario that looks at the stage's own device.
fn scenario(name: &str, stage: &Stage, links: usize) {
    let given = json!({ "device": Stage::DEVICE });
    Scenario::start(name, &stage.site.aggregator, links, given).finish();
}

#[test]
fn a_killed_aggregator_shows_as_such_and_comes_back_by_itself() {
    let mut site = Site::new(1, &["alpha"]);
    site.agent.start();
    site.write_and_settle(20);
    let given = json!({ "device": Stage::DEVICE });
    let mut scenario = Scenario::start("outage", &site.aggregator, 1, given);
    scenario.reach("watching");
    assert!(site.aggregator.kill(), "it ran until it was killed");
    scenario.reach("gone");
    site.aggregator.start_and_wait();
    scenario.finish();
}

#[test]
fn a_device_that_vanishes_stays_in_sight_and_is_said_to_be_gone() {
    let stage = stage();
    let aggregator = &stage.site.aggregator;
    let folder = stage.site.path("vanishing");
    let mut agent = Agent::new("vanishing", &folder, &aggregator.intake_address(), &[]);
    agent.enrol(aggregator);
    agent.start();
    let given = json!({ "device": "vanishing" });
    let mut scenario = Scenario::start("vanishing", aggregator, 1, given);
    scenario.reach("watching");
    assert!(agent.kill(), "it ran until it was killed");
    scenario.finish();
}

#[test]
fn ten_thousand_mounts_neither_break_nor_bloat_a_page() {
    let mut mounted = Saying::new("mounted");
    for number in 0..10_000 {
        let mount = format!("/mnt/volume-{number}");
        let labels = [("fstype", "ext4"), ("mount", mount.as_str())];
        mounted.series.push((series("disk.used_ratio", &labels, 4), number));
    }
    look_at_strange_devices(vec![mounted]);
}

#[test]
fn clocks_of_1970_and_2100_are_set_right_on_the_page() {
    let clock = |name: &str, clock_us| Saying { clock_us, ..Saying::new(name) };
    let years = 74 * 365 * 86_400_000_000;
    look_at_strange_devices(vec![
        clock("clock-1970", 3_600_000_000),
        clock("clock-2100", true_us() + years),
    ]);
}

/// Runs devices that are made up, and looks at the page of each.
fn look_at_strange_devices(sayings: Vec<Saying>) {
    let stage = stage();
    let aggregator = &stage.site.aggregator;
    let names: Vec<String> = sayings.iter().map(|saying| saying.name.clone()).collect();
    let start = |saying| Forged::start(saying, aggregator);
    let devices: Vec<Forged> = sayings.into_iter().map(start).collect();
    Scenario::start("strange_devices", aggregator, 1, json!({ "devices": names })).finish();
    drop(devices);
}
