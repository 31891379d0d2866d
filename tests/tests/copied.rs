//! A host that finds itself to be another one than its spool was filled on.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use headwater_tests::draws::seed_of_this_run;
use headwater_tests::process::run;
use headwater_tests::site::Site;
use headwater_tests::waiting::until;
use serde_json::Value;

/// Lines of each part of the test: a few batches.
const LINES: u64 = 4_000;

#[test]
fn a_copy_opens_an_epoch_says_so_and_loses_and_doubles_nothing() {
    let mut site = Site::new(seed_of_this_run("copied"), &["alpha", "beta"]);
    let root = site.path("root").display().to_string();
    site.agent.set_key("SAMPLE__HOST__ROOT", &root);
    site.agent.set_key("SAMPLE__HOST__SYS", &root);
    be(&site, 'a');
    site.agent.start();
    site.write_and_settle(LINES);
    assert_eq!(site.agent.status().unwrap()["copied"], Value::Null);
    assert_eq!(epochs_opened(&site), [0, 0]);
    site.agent.stop();
    assert_eq!(state_of_host(&site), "ok");

    // It hears of nobody yet, and is killed before: what is owed to the ledger outlives that.
    be(&site, 'b');
    assert_eq!(state_of_host(&site), "warning", "a start would find it");
    site.aggregator.stop();
    site.agent.start();
    let said = site.agent.process().line("this host was copied");
    assert!(said.contains("WARN") && said.contains("enrol --force"), "{said}");
    site.write(LINES);
    until("samples are in the spool", || {
        let status = site.agent.status().unwrap_or_default();
        status["live"]["unsent_records"].as_u64() > Some(0)
    });
    assert!(site.agent.kill());
    site.aggregator.start_and_wait();
    site.agent.start();
    site.settle();
    assert_eq!(
        epochs_opened(&site),
        [1, 1],
        "each lane opened one, although its chain held the ledger's state"
    );
    let copied = site.agent.status().unwrap()["copied"].clone();
    assert_eq!(copied["what"], "machine id", "{copied}");
    assert_eq!(state_of_host(&site), "warning");

    site.agent.stop();
    site.agent.start();
    site.write_and_settle(LINES);
    assert_eq!(epochs_opened(&site), [1, 1], "once for each time that it becomes another");
    site.compare().expect_exactly_once(&site.witness);
    let _ = site.aggregator.expect_clean_audit();
    let devices = site.aggregator.json(&["devices"]);
    assert_eq!(devices[0]["state"], "online", "it is served all the same");
    let landed = site.stop_and_read();
    landed.only_device().ticks_are_contiguous().unwrap();
}

/// Gives the host a machine id.
fn be(site: &Site, digit: char) {
    let etc = site.path("root/etc");
    std::fs::create_dir_all(&etc).unwrap();
    let id: String = std::iter::repeat_n(digit, 32).collect();
    std::fs::write(etc.join("machine-id"), id + "\n").unwrap();
}

fn epochs_opened(site: &Site) -> [u64; 2] {
    let status = site.agent.status().unwrap();
    ["live", "bulk"].map(|lane| status[lane]["epochs_opened"].as_u64().unwrap())
}

fn state_of_host(site: &Site) -> String {
    let done = run(&mut site.agent.command(&["doctor", "--json"]));
    let found = done.expect_success("it is a warning at most").json();
    let findings = found["findings"].as_array().unwrap().iter();
    let host = findings.into_iter().find(|finding| finding["name"] == "host");
    host.unwrap_or_else(|| panic!("{found:#}"))["state"].as_str().unwrap().to_owned()
}
