//! A budget of bytes: bulk waits for its share, live goes on to the end, and what waits is stored once when a
//! period begins anew.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use headwater_tests::draws::seed_of_this_run;
use headwater_tests::faketime::{FakeClock, Shown, true_s};
use headwater_tests::process::run;
use headwater_tests::site::Site;
use headwater_tests::waiting::until;
use serde_json::Value;

/// Bytes of an hour, the smallest budget there is.
const LIMIT: u64 = 1_000_000;
const HOUR_S: i64 = 3_600;
/// Lines that are written at a time: some 90 kB on the wire.
const LINES: u64 = 2_000;

#[test]
fn bulk_waits_for_its_share_live_goes_on_and_the_next_hour_brings_the_rest() {
    let (mut site, clock, offset_s) = site_at_half_past();
    site.agent.set_key("SHIP__BUDGET", "1MB/hour");
    site.agent.start();
    let mut rounds = 0;
    while budget(&site)["waits"] != "bulk" {
        rounds += 1;
        assert!(rounds < 30, "bulk goes on beyond its share: {:#}", budget(&site));
        site.write(LINES);
        let lines = site.witness.lines();
        until("lines are there, or wait for the budget", || {
            site.aggregator.lines_read() >= lines || budget(&site)["waits"] == "bulk"
        });
    }
    // More than the line allows while this is looked at, and less than by half past the next hour.
    site.write(LINES);
    let live = acked(&site, "live");
    until("live goes on", || acked(&site, "live") >= live + 5);
    let status = site.agent.status().unwrap();
    assert_eq!(status["ship"]["budget"]["waits"], "bulk", "{status:#}");
    assert_eq!(status["ship"]["link"]["state"], "connected");
    assert!(status["bulk"]["unsent_batches"].as_u64() > Some(0));
    let used = used(&site);
    let line = budget(&site)["bulk_until_bytes"].as_u64().unwrap();
    assert!(used > LIMIT / 10 && used <= line + LIMIT / 20, "{used} used, the line is at {line}");
    let page = run(&mut site.agent.command(&["status"])).stdout;
    assert!(page.contains("of 1MB/hour used") && page.contains("bulk waits"), "{page}");
    eprintln!("budget: {used} bytes used for {} lines\n{page}", site.aggregator.lines_read());

    until("what was used is recorded", || recorded(&site) >= used);
    assert!(site.agent.kill(), "it ran until it was killed");
    site.agent.start();
    until("it goes on from what was used", || self::used(&site) >= used);
    until("bulk waits again", || budget(&site)["waits"] == "bulk");

    clock.set(Shown::Off(offset_s + HOUR_S));
    until("another hour has begun", || self::used(&site) < used);
    site.settle();
    expect_all(site);
}

#[test]
fn a_budget_that_is_used_up_ends_the_session_until_the_next_hour() {
    let (mut site, clock, offset_s) = site_at_half_past();
    site.agent.start();
    site.write_and_settle(LINES);
    site.agent.stop();
    // Enough for a session, and for a few samples.
    let number = (true_s() + offset_s) / HOUR_S;
    let left = 24_000;
    let record = format!(
        "{{\"period\":\"hour\",\"number\":{number},\"used_bytes\":{},\"ran_s\":60}}",
        LIMIT - left
    );
    std::fs::write(record_of(&site), record).unwrap();
    site.agent.set_key("SHIP__BUDGET", "1MB/hour");
    site.agent.start();
    until("live uses the rest", || budget(&site)["waits"] == "everything");
    until("the session ends", || link(&site) == "waiting");
    let opened = sessions(&site);
    assert_eq!(opened, 2.0, "there was one for the rest");
    let line = site.agent.process().line("is used up");
    assert!(line.contains("1MB/hour") && line.contains("waits in the spool until"), "{line}");

    let lines = site.aggregator.lines_read();
    site.write(LINES);
    let live = unsent(&site, "live");
    until("both lanes fill", || unsent(&site, "live") >= live + 4 && unsent(&site, "bulk") > 0);
    assert_eq!(site.aggregator.lines_read(), lines, "nothing is sent");
    assert!(used(&site) <= LIMIT, "{} of {LIMIT}", used(&site));
    let page = run(&mut site.agent.command(&["status"])).stdout;
    assert!(page.contains("is used up") && page.contains("both lanes wait"), "{page}");
    let said = site.agent.process().said();
    assert_eq!(said.matches("is used up").count(), 1, "said once:\n{said}");
    eprintln!("budget: used up\n{page}");

    clock.set(Shown::Off(offset_s + HOUR_S));
    site.settle();
    assert!(sessions(&site) > opened);
    expect_all(site);
}

/// A site whose agent's clock shows half past an hour to come, and by how much that is off.
fn site_at_half_past() -> (Site, FakeClock, i64) {
    let mut site = Site::new(seed_of_this_run("budget"), &["alpha", "beta"]);
    let clock = FakeClock::new(&site.path("clock"));
    let words = clock.wrapper();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    site.agent.set_wrapper(&words);
    let offset_s = HOUR_S + HOUR_S / 2 - true_s() % HOUR_S;
    clock.set(Shown::Off(offset_s));
    (site, clock, offset_s)
}

fn budget(site: &Site) -> Value {
    site.agent.status().unwrap_or_default()["ship"]["budget"].clone()
}

fn used(site: &Site) -> u64 {
    budget(site)["used_bytes"].as_u64().unwrap_or(0)
}

fn link(site: &Site) -> Value {
    site.agent.status().unwrap_or_default()["ship"]["link"]["state"].clone()
}

fn acked(site: &Site, lane: &str) -> u64 {
    site.agent.status().unwrap_or_default()[lane]["acked"].as_u64().unwrap_or(0)
}

fn unsent(site: &Site, lane: &str) -> u64 {
    site.agent.status().unwrap_or_default()[lane]["unsent_batches"].as_u64().unwrap_or(0)
}

fn sessions(site: &Site) -> f64 {
    site.aggregator.metric("headwater_intake_sessions_opened_total")
}

fn record_of(site: &Site) -> std::path::PathBuf {
    site.agent.spool().join("budget")
}

fn recorded(site: &Site) -> u64 {
    let text = std::fs::read_to_string(record_of(site)).unwrap_or_default();
    let record: Value = serde_json::from_str(&text).unwrap_or_default();
    record["used_bytes"].as_u64().unwrap_or(0)
}

/// That every line is there once, and nothing was declared or doubled.
fn expect_all(mut site: Site) {
    site.compare().expect_exactly_once(&site.witness);
    let audit = site.aggregator.expect_clean_audit();
    assert_eq!(audit["gaps"], 0, "a budget loses nothing: {audit:#}");
    let landed = site.stop_and_read();
    landed.only_device().ticks_follow().unwrap();
}
