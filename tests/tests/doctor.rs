//! Doctor: what it finds in the way, and that looking changes nothing.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use headwater_tests::agent::Agent;
use headwater_tests::draws::seed_of_this_run;
use headwater_tests::process::{Done, run};
use headwater_tests::site::Site;
use headwater_tests::waiting::until;
use serde_json::Value;

const LINES: u64 = 200;

#[test]
fn nothing_is_in_the_way_of_a_host_that_works_and_its_session_is_left_alone() {
    let mut site = site();
    let before = doctor(&site.agent);
    assert_eq!(before.code, Some(0), "an agent that does not run is a warning: {}", before.stdout);
    assert_eq!(state(&before.json(), "agent"), "warning");
    assert_eq!(state(&before.json(), "spool file"), "ok");

    site.agent.start();
    site.write_and_settle(LINES);
    let (opened, spool) = (sessions_opened(&site), names(&site.agent.spool()));
    for _ in 0..3 {
        let found = doctor(&site.agent);
        assert_eq!(found.code, Some(0), "{}{}", found.stdout, found.stderr);
        let found = found.json();
        assert_eq!((&found["ok"], &found["failed"]), (&true.into(), &0.into()));
        for name in ["agent", "identity", "certificate", "clock", "path", "authority", "log files"]
        {
            assert_eq!(state(&found, name), "ok", "{name}: {found:#}");
        }
        assert_eq!(state(&found, "spool file"), "skipped", "the agent has it open");
        let path = text(&found, "path", "found");
        assert!(path.contains("rtt") && path.contains("packets of"), "{path}");
    }
    // A second session of its identity would have closed the agent's.
    assert_eq!(sessions_opened(&site), opened, "no session was opened");
    let devices = site.aggregator.json(&["devices"]);
    assert_eq!(devices[0]["state"], "online", "{devices:#}");
    assert_eq!(site.agent.status().unwrap()["ship"]["fault"], Value::Null);
    assert_eq!(names(&site.agent.spool()), spool, "no file is left behind");
    site.write_and_settle(LINES);
    site.compare().expect_exactly_once(&site.witness);
    site.agent.stop();
}

#[test]
fn people_get_a_line_each_and_programs_get_every_key() {
    let site = site();
    let mut command = site.agent.command(&["doctor"]);
    let done = run(command.env("LC_ALL", "C"));
    assert!(done.stdout.is_ascii(), "{}", done.stdout);
    let first = done.stdout.lines().next().unwrap();
    assert!(first.starts_with("ok  configuration"), "{first}");
    let mut command = site.agent.command(&["doctor"]);
    let done = run(&mut command);
    assert!(done.stdout.starts_with("✓  configuration"), "{}", done.stdout);
    assert!(done.stdout.contains("\n▲  agent: not running"), "{}", done.stdout);

    let found = doctor(&site.agent).json();
    for finding in found["findings"].as_array().unwrap() {
        let keys: Vec<&str> = finding.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["found", "name", "next", "state", "why"], "{finding}");
        let is_wrong = finding["state"] == "warning" || finding["state"] == "failed";
        for key in ["why", "next"] {
            assert_eq!(finding[key].is_string(), is_wrong, "{key}: {finding}");
        }
    }
}

#[test]
fn a_key_that_others_may_read_is_named_with_the_command_that_mends_it() {
    let site = site();
    let key = site.agent.identity().join("identity.pem");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let found = doctor(&site.agent);
    assert_eq!(found.code, Some(9), "{}", found.stdout);
    let found = found.json();
    assert_eq!(state(&found, "identity"), "failed");
    let mend = text(&found, "identity", "next");
    assert_eq!(mend, format!("chmod 0600 '{}'", key.display()));
    assert!(std::process::Command::new("sh").args(["-c", &mend]).status().unwrap().success());
    assert_eq!(doctor(&site.agent).code, Some(0), "it mends it");
}

#[test]
fn what_enrolment_told_and_is_damaged_costs_no_identity() {
    let site = site();
    let told = site.agent.identity().join("enrolment.json");
    std::fs::write(&told, "{").unwrap();
    let found = doctor(&site.agent);
    assert_eq!(found.code, Some(9), "{}", found.stdout);
    let next = text(&found.json(), "aggregators", "next");
    assert!(next.contains(&told.display().to_string()) && !next.contains("--force"), "{next}");
}

#[test]
fn a_host_that_was_never_enrolled_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let agent = Agent::new("edge-1", folder.path(), "127.0.0.1:9", &[]);
    let found = doctor(&agent);
    assert_eq!(found.code, Some(9), "{}", found.stdout);
    let found = found.json();
    assert!(text(&found, "identity", "next").starts_with("headwater-agent enrol"));
    assert_eq!(state(&found, "path"), "skipped");
    assert!(!agent.spool().exists() && !agent.identity().exists(), "nothing is made");
}

#[test]
fn a_configuration_that_cannot_be_used_is_found_first() {
    let site = site();
    std::fs::write(site.agent.config(), "[spool]\nmax_bites = 1\n").unwrap();
    let found = doctor(&site.agent);
    assert_eq!(found.code, Some(9), "{}", found.stdout);
    let found = found.json();
    assert!(text(&found, "configuration", "found").contains("max_bites"), "{found:#}");
    assert!(text(&found, "configuration", "why").contains(":2:"), "it has a line: {found:#}");
}

#[test]
fn an_aggregator_that_is_stopped_is_named_with_the_next_step() {
    let mut site = site();
    site.aggregator.stop();
    let found = doctor(&site.agent);
    assert_eq!(found.code, Some(9), "{}", found.stdout);
    let found = found.json();
    let path = text(&found, "path", "found");
    assert!(path.contains(&site.aggregator.intake_address()), "{path}");
    assert!(path.contains("is refused"), "{path}");
    assert!(text(&found, "path", "next").contains("headwater doctor"), "{found:#}");
}

#[test]
fn where_tcp_works_and_udp_is_silent_udp_is_named() {
    let site = site();
    // A firewall that drops: somebody has the port and never answers.
    let hole = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = hole.local_addr().unwrap();
    let mut agent = Agent::new("edge-1", &site.path("agent"), &address.to_string(), &[]);
    agent.set_key("SHIP__CONNECT_TIMEOUT", "1s");
    let found = doctor(&agent);
    assert_eq!(found.code, Some(9), "{}", found.stdout);
    let found = found.json();
    assert_eq!(state(&found, "path"), "failed");
    assert!(text(&found, "path", "found").contains("there works"), "{found:#}");
    let why = text(&found, "path", "why");
    assert_eq!(why, format!("most often UDP/{} is blocked", address.port()));
}

#[test]
fn a_device_that_is_not_served_hears_so_without_a_session() {
    let site = site();
    let _ = site.aggregator.ask(&["devices", "revoke", "edge-1", "--yes"]).expect_success("revoke");
    let found = doctor(&site.agent);
    assert_eq!(found.code, Some(9), "{}", found.stdout);
    let found = found.json();
    assert_eq!((state(&found, "path"), state(&found, "session")), ("ok".into(), "failed".into()));
    assert!(text(&found, "session", "why").contains("revoked"), "{found:#}");
    assert!(text(&found, "session", "next").contains("enrol again"), "{found:#}");
}

#[test]
fn a_log_file_that_may_not_be_read_is_named_with_the_right_that_is_missing() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("needs root: not run, nobody else can be another user");
        return;
    }
    let site = Site::new(seed_of_this_run("doctor"), &["alpha"]);
    // As the user who owns everything but the log.
    let mut owned = std::process::Command::new("chown");
    let owned = owned.arg("-R").arg(NOBODY).arg(site.path("agent")).status().unwrap();
    assert!(owned.success());
    std::fs::create_dir_all(site.logs()).unwrap();
    for folder in [site.path(""), site.logs()] {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let log = site.logs().join("secret.log");
    std::fs::write(&log, "one\n").unwrap();
    std::fs::set_permissions(&log, PermissionsExt::from_mode(0o640)).unwrap();
    let command = site.agent.command(&["doctor", "--json"]);
    // The folder of the build may be closed to others.
    let program = site.path("program");
    std::fs::copy(command.get_program(), &program).unwrap();
    let mut other = std::process::Command::new("setpriv");
    other.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]);
    other.arg(program).args(command.get_args()).current_dir(site.path(""));
    let done = run(&mut other);
    assert_eq!(done.code, Some(9), "{}{}", done.stdout, done.stderr);
    let found = done.json();
    let name = log.display().to_string();
    assert!(text(&found, "log files", "found").contains(&name), "{found:#}");
    let next = text(&found, "log files", "next");
    assert!(next.contains("setfacl -m u:nobody:r") && next.contains(&name), "{next}");
}

#[test]
fn a_spool_that_was_set_aside_and_one_that_was_noted_as_damaged_are_told_of() {
    let mut site = site();
    site.agent.start();
    site.write_and_settle(LINES);
    site.agent.stop();
    let spool = site.agent.spool();
    std::fs::copy(spool.join("spool.redb"), spool.join("spool.redb.damaged-1764180000000"))
        .unwrap();
    let bytes = std::fs::read(spool.join("spool.redb")).unwrap();
    let found = doctor(&site.agent);
    assert_eq!(found.code, Some(0), "{}", found.stdout);
    let found = found.json();
    assert_eq!(state(&found, "set aside"), "warning");
    assert!(text(&found, "set aside", "next").contains("spool export"), "{found:#}");
    assert_eq!(state(&found, "spool file"), "ok");
    assert_eq!(std::fs::read(spool.join("spool.redb")).unwrap(), bytes, "it is not touched");
    std::fs::write(spool.join("damaged"), "a page").unwrap();
    let found = doctor(&site.agent).json();
    assert_eq!(state(&found, "spool file"), "failed");
}

#[test]
fn nothing_is_in_the_way_of_an_aggregator_that_works_and_looking_counts_as_nobodys_fault() {
    let mut site = site();
    site.agent.start();
    site.write_and_settle(LINES);
    let data = site.aggregator.data();
    let before = names(&data);
    let running = site.aggregator.ask(&["doctor", "--json"]).expect_success("doctor").json();
    for name in [
        "service",
        "log",
        "room",
        "disk",
        "authority",
        "intake",
        "enrolment",
        "certificate",
        "console",
        "readiness",
        "devices",
        "ledger",
        "dead letters",
    ] {
        assert_eq!(state(&running, name), "ok", "{name}: {running:#}");
    }
    assert_eq!(text(&running, "devices", "found"), "1 device, 1 online");
    let faults = site.aggregator.metric("headwater_intake_peer_faults_total")
        + site.aggregator.metric("headwater_enrol_refused_total");
    assert!(faults.abs() < 0.5, "a look is no fault: {}", site.aggregator.scrape());
    assert_eq!(names(&data), before, "no file is left behind");
    let keys = ["found", "name", "next", "state", "why"];
    for finding in running["findings"].as_array().unwrap() {
        let found: Vec<&str> = finding.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(found, keys, "{finding}");
    }

    // Stopped or killed, the same log is found without a change of its files.
    let log = |found: &Value| text(found, "log", "found").split(',').next().unwrap().to_owned();
    site.aggregator.stop();
    let files = || std::fs::read(data.join("log/log-0.redb")).unwrap();
    let bytes = files();
    let stopped = site.aggregator.ask(&["doctor", "--json"]).expect_success("a warning").json();
    assert_eq!(
        (state(&stopped, "service"), state(&stopped, "log")),
        ("warning".into(), "ok".into())
    );
    assert_eq!((log(&stopped), state(&stopped, "intake")), (log(&running), "skipped".into()));
    assert!(files() == bytes, "it is not touched");
    site.aggregator.start_and_wait();
    assert!(site.aggregator.kill());
    let killed = site.aggregator.ask(&["doctor", "--json"]).expect_success("a warning").json();
    assert_eq!(state(&killed, "log"), "ok", "{killed:#}");
}

#[test]
fn an_aggregators_keys_that_are_open_its_wrong_shards_and_a_missing_node_fail() {
    let mut site = site();
    site.aggregator.stop();
    let ca = site.aggregator.data().join("ca");
    for (path, mode) in [(ca.clone(), 0o755), (ca.join("issuing.key"), 0o644)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let found = site.aggregator.ask(&["doctor", "--json"]);
    assert_eq!((found.code, found.stderr.as_str()), (Some(9), ""), "{}", found.stdout);
    let mend = text(&found.json(), "authority", "next");
    assert!(std::process::Command::new("sh").args(["-c", &mend]).status().unwrap().success());
    let _ = site.aggregator.ask(&["doctor"]).expect_success("it is mended");

    site.aggregator.set_variable("HEADWATER__LOG__SHARDS", "32");
    let found = site.aggregator.ask(&["doctor", "--json"]);
    assert_eq!(found.code, Some(9), "{}", found.stdout);
    assert_eq!(text(&found.json(), "log", "next"), "set log.shards = 64");
    let empty = site.path("empty");
    std::fs::create_dir(&empty).unwrap();
    site.aggregator.set_variable("HEADWATER__NODE__DATA_DIR", &empty.display().to_string());
    let found = site.aggregator.ask(&["doctor", "--json"]);
    assert_eq!(found.code, Some(9), "{}", found.stdout);
    assert!(text(&found.json(), "log", "next").starts_with("headwater init --dir"), "{found:?}");
    assert_eq!(names(&empty).len(), 0, "nothing is made");
}

/// A user that is nobody's. Source: every Linux gives it this number.
const NOBODY: &str = "65534";

fn site() -> Site {
    let site = Site::new(seed_of_this_run("doctor"), &["alpha"]);
    std::fs::create_dir_all(site.logs()).unwrap();
    site
}

fn doctor(agent: &Agent) -> Done {
    run(&mut agent.command(&["doctor", "--json"]))
}

/// A key of the first finding of a name.
fn text(found: &Value, name: &str, key: &str) -> String {
    let findings = found["findings"].as_array().expect("findings are a list");
    let finding = findings.iter().find(|finding| finding["name"] == name);
    let finding = finding.unwrap_or_else(|| panic!("there is no {name} in {found:#}"));
    finding[key].as_str().unwrap_or_else(|| panic!("{name} has no {key}: {found:#}")).to_owned()
}

fn state(found: &Value, name: &str) -> String {
    text(found, name, "state")
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn sessions_opened(site: &Site) -> f64 {
    until("the session is counted", || site.aggregator.metric(SESSIONS) > 0.0);
    site.aggregator.metric(SESSIONS)
}

const SESSIONS: &str = "headwater_intake_sessions_opened_total";
