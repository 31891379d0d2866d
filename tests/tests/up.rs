//! `headwater up`: from nothing to this host's data, and on from there.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::path::Path;
use std::time::{Duration, Instant};

use headwater_tests::agent::Agent;
use headwater_tests::process::{Done, Process, Signal, run};
use headwater_tests::programs::{HEADWATER, command};
use headwater_tests::waiting::{DEADLINE, until, wait_for};
use serde_json::Value;

/// Longest time from Ctrl-C to the end of all.
const STOP_TIME: Duration = Duration::from_secs(10);

#[test]
fn up_shows_this_host_lets_the_next_one_in_and_goes_on_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = up(folder.path());
    let invitation = first.line("headwater-agent enrol --token-stdin <<< 'hwe1.");
    let own = first_device(folder.path());
    expect_samples(folder.path(), &own);
    let second = join(folder.path(), &invitation);
    let applied = records(folder.path(), &own);
    interrupt(first);
    drop(second);

    let mut again = up(folder.path());
    again.line("goes on where it stopped");
    again.line("headwater-agent enrol");
    assert_eq!(first_device(folder.path()), own, "a second up enrols nothing");
    until("the ledger goes on", || records(folder.path(), &own) > applied);
    let audit = ask(folder.path(), &["ledger", "verify", "--all", "--json"]);
    let audit = audit.expect_success("ledger verify").json();
    assert_eq!((&audit["missing"], &audit["repeated"]), (&0.into(), &0.into()), "{audit:#}");
    assert_eq!(audit["clean"], true, "{audit:#}");
    interrupt(again);
}

fn up(folder: &Path) -> Process {
    let mut process = Process::start(
        "headwater up",
        command(HEADWATER, folder).arg("up"),
        &folder.join("up.log"),
    );
    process.line("Ctrl-C stops");
    process
}

fn ask(folder: &Path, words: &[&str]) -> Done {
    run(command(HEADWATER, folder).args(words))
}

/// The id of the device that `up` enrolled.
fn first_device(folder: &Path) -> String {
    let devices = wait_for("a device is there", DEADLINE, || {
        let devices = ask(folder, &["devices", "--json"]).expect_success("devices").json();
        devices.as_array().filter(|devices| !devices.is_empty()).cloned()
    });
    let oldest = devices.iter().min_by_key(|device| device["enrolled"].to_string()).unwrap();
    oldest["id"].as_str().unwrap().to_owned()
}

fn device(folder: &Path, id: &str) -> Value {
    ask(folder, &["device", id, "--json"]).expect_success("device").json()
}

fn records(folder: &Path, id: &str) -> u64 {
    device(folder, id)["records_applied"].as_u64().unwrap()
}

/// The latest samples are those of this host: its processors are busy to some share, its memory is as
/// large as the kernel says.
fn expect_samples(folder: &Path, id: &str) {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
    let total_kib: i64 = total.trim().trim_end_matches(" kB").parse().unwrap();
    let latest = |metric: &str| {
        let latest = device(folder, id)["latest"].as_array().cloned().unwrap_or_default();
        let found = latest.into_iter().find(|sample| sample["metric"] == metric)?;
        found["scaled"].as_i64()
    };
    let memory = wait_for("memory.total_bytes is there", DEADLINE, || latest("memory.total_bytes"));
    assert_eq!(memory, total_kib * 1024, "the memory of this host");
    let busy = wait_for("cpu.busy_ratio is there", DEADLINE, || latest("cpu.busy_ratio"));
    assert!((0..=10_000).contains(&busy), "a share: {busy}");
    assert_eq!(device(folder, id)["state"], "online");
}

/// Enrols a second agent by the line that was printed, and runs it until its samples are applied.
fn join(folder: &Path, invitation: &str) -> Agent {
    let token = invitation.split('\'').nth(1).expect("the token stands in quotes");
    let shown = std::fs::read_to_string(folder.join("headwater-data/agent.toml")).unwrap();
    let address = shown.split("addresses = [\"").nth(1).and_then(|rest| rest.split('"').next());
    let home = folder.join("second");
    let mut agent = Agent::new("second-host", &home, address.unwrap(), &[]);
    let _ = agent.try_enrol(token).expect_success("enrol by the printed line");
    let used = agent_of(folder, "third-host").try_enrol(token);
    assert_eq!(used.code, Some(5), "the token is for one host: {}", used.stderr);
    agent.start();
    until("the second host's samples are applied", || {
        let devices = ask(folder, &["devices", "--json"]).expect_success("devices").json();
        let devices = devices.as_array().cloned().unwrap_or_default();
        devices.iter().any(|device| {
            device["name"] == "second-host" && device["records_applied"].as_u64() > Some(0)
        })
    });
    agent
}

fn agent_of(folder: &Path, name: &str) -> Agent {
    Agent::new(name, &folder.join(name), "127.0.0.1:9", &[])
}

/// Ctrl-C: everything ends in time, and no child is left.
fn interrupt(mut up: Process) {
    let children = children_of(up.id());
    assert_eq!(children.len(), 1, "the agent is the only child");
    let begun = Instant::now();
    up.signal(Signal::INT);
    let status = up.wait(DEADLINE);
    assert!(begun.elapsed() < STOP_TIME, "it took {:?} to stop:\n{}", begun.elapsed(), up.said());
    assert_eq!(status.code(), Some(0), "Ctrl-C is how one stops it:\n{}", up.said());
    for (id, started) in children {
        assert_ne!(start_of(id), Some(started), "child {id} is still there");
    }
}

/// The children of a process, each with the moment of its start, which tells it from a later process
/// of the same id.
fn children_of(parent: u32) -> Vec<(u32, String)> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse() else { continue };
        let is_child = stat_of(id).is_some_and(|stat| stat.get(1) == Some(&parent.to_string()));
        if let Some(started) = start_of(id).filter(|_| is_child) {
            children.push((id, started));
        }
    }
    children
}

/// When a process started; `None` if it has ended, also if nobody has asked how yet.
fn start_of(id: u32) -> Option<String> {
    let stat = stat_of(id)?;
    stat.get(19).filter(|_| stat.first().is_some_and(|state| state != "Z")).cloned()
}

/// The fields of `/proc/ID/stat` behind the name: state, parent, ...; the 20th is the start time.
fn stat_of(id: u32) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_ascii_whitespace().map(str::to_owned).collect())
}
