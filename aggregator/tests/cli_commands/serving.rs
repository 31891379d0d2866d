//! `init`, `serve`, and the commands that ask a running aggregator.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::configuration;
use crate::process::{Done, Service, Stream, headwater, program, run};

#[test]
fn without_an_aggregator_the_socket_is_named_and_what_starts_one() {
    let folder = tempfile::tempdir().unwrap();
    configuration::write(folder.path());
    let done = ask(folder.path(), &["devices"]);
    assert_eq!(done.code, Some(4), "{}", done.stderr);
    for text in ["data/headwater.sock", "no such socket", "headwater serve"] {
        assert!(done.stderr.contains(text), "\"{text}\" is in:\n{}", done.stderr);
    }
    let done = run(folder.path(), ["devices", "--server", "other.sock"]);
    assert_eq!(done.code, Some(4), "{}", done.stderr);
    assert!(done.stderr.contains("other.sock"), "{}", done.stderr);
}

#[test]
fn a_socket_that_a_killed_process_left_is_told_from_one_that_never_was() {
    let folder = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("left.sock")).unwrap());
    let done = run(folder.path(), ["devices", "--server", "left.sock"]);
    assert_eq!(done.code, Some(4), "{}", done.stderr);
    assert!(done.stderr.contains("nobody listens"), "{}", done.stderr);
}

#[test]
fn init_makes_one_authority_and_refuses_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let done = run(folder.path(), ["init", "--dir", "data"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let done = run(folder.path(), ["init", "--dir", "data"]);
    assert_eq!(done.code, Some(7), "{}", done.stderr);
    for text in ["there is a node already", "data", "headwater serve"] {
        assert!(done.stderr.contains(text), "\"{text}\" is in:\n{}", done.stderr);
    }
}

#[test]
fn serve_says_what_makes_a_node_where_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    configuration::write(folder.path());
    let done = ask(folder.path(), &["serve"]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("headwater init --dir"), "{}", done.stderr);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    configuration::write(folder.path());
    assert_eq!(ask(folder.path(), &["init"]).code, Some(0));
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let file = folder.path().join("headwater.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let listen = format!("[intake]\nlisten = \"127.0.0.1:{port}\"");
    std::fs::write(&file, text.replace("[intake]\nlisten = \"127.0.0.1:0\"", &listen)).unwrap();
    let done = ask(folder.path(), &["serve"]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains(&port) && done.stderr.contains("ss -l"), "{}", done.stderr);
}

#[test]
fn an_empty_aggregator_answers_every_question() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    let socket = folder.path().join("data/headwater.sock");
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);

    let done = ask(folder.path(), &["devices"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.starts_with("NAME\tSTATE\tSEEN\t"), "{}", done.stdout);
    assert!(done.stderr.contains("headwater tokens create"), "{}", done.stderr);
    assert_eq!(ask(folder.path(), &["devices", "--json"]).stdout, "[]\n");
    assert_eq!(ask(folder.path(), &["devices", "ls", "--ndjson"]).stdout, "");
    assert_eq!(ask(folder.path(), &["devices", "--columns", "name,gaps"]).stdout, "NAME\tGAPS\n");
    assert_eq!(ask(folder.path(), &["devices", "--columns", "nam"]).code, Some(2));

    for words in [
        ["device", "edge-9"].as_slice(),
        &["devices", "show", "edge-9"],
        &["logs", "edge-9"],
        &["ledger", "show", "edge-9"],
        &["ledger", "verify", "edge-9"],
        &["devices", "revoke", "edge-9", "--yes"],
    ] {
        let done = ask(folder.path(), words);
        assert_eq!(done.code, Some(6), "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains("edge-9"), "{words:?}: {}", done.stderr);
    }
    let done = ask(folder.path(), &["devices", "revoke", "edge-9"]);
    assert_eq!(done.code, Some(10), "nobody is there to confirm it: {}", done.stderr);

    assert_eq!(ask(folder.path(), &["logs", "--json"]).stdout, "[]\n");
    assert_eq!(ask(folder.path(), &["ledger", "--json"]).stdout, "[]\n");
    let done = ask(folder.path(), &["ledger", "verify", "--all"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let summary = "0 missing, 0 repeated, 0 gaps with cause";
    assert!(done.stderr.contains(summary), "{}", done.stderr);
    let report = json(&ask(folder.path(), &["ledger", "verify", "--json"]));
    assert_eq!(report["clean"], true);
    assert_eq!(served.stop(), Some(0));
    assert!(!socket.exists(), "a clean stop takes the socket away");
}

#[test]
fn a_token_is_shown_once_and_listed_without_its_secret() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    let done = ask(folder.path(), &["tokens", "create", "--uses", "3", "--life", "1h"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let token = done.stdout.trim();
    assert!(token.starts_with("hwe1.") && !token.contains(char::is_whitespace), "{token}");
    assert!(done.stderr.contains("headwater-agent enrol --token-stdin"), "{}", done.stderr);

    let rows = json(&ask(folder.path(), &["tokens", "ls", "--json"]));
    assert_eq!(rows[0]["uses_left"], 3);
    assert_eq!(rows[0]["state"], "valid");
    let listed = ask(folder.path(), &["tokens", "ls"]).stdout;
    let secret = token.rsplit('.').next().unwrap();
    assert!(!listed.contains(secret) && listed.contains(rows[0]["id"].as_str().unwrap()));

    let created = json(&ask(folder.path(), &["tokens", "create", "--json"]));
    assert_eq!(created["uses"], 1);
    let id = created["id"].as_str().unwrap();
    assert_eq!(ask(folder.path(), &["tokens", "revoke", &id[..12]]).code, Some(0));
    let rows = json(&ask(folder.path(), &["tokens", "ls", "--json"]));
    let state = rows.as_array().unwrap().iter().find(|row| row["id"] == id).unwrap();
    assert_ne!(state["state"], "valid", "{rows}");
    assert_eq!(ask(folder.path(), &["tokens", "revoke", "zz"]).code, Some(6));
    drop(served);
}

#[test]
fn a_second_serve_in_the_same_folder_leaves_the_first_alone() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    let done = ask(folder.path(), &["serve"]);
    assert_eq!(done.code, Some(7), "{}", done.stderr);
    assert!(done.stderr.contains("runs in this folder already"), "{}", done.stderr);
    assert_eq!(ask(folder.path(), &["init"]).code, Some(7), "it is there, though it is in use");
    assert_eq!(ask(folder.path(), &["devices"]).code, Some(0), "the first one still answers");
    drop(served);
}

#[test]
fn a_killed_aggregator_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    serve(folder.path()).kill();
    assert_eq!(ask(folder.path(), &["devices"]).code, Some(4));
    let served = start(folder.path());
    assert_eq!(ask(folder.path(), &["devices"]).code, Some(0));
    drop(served);
}

#[test]
fn tap_and_follow_end_with_their_user() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    for words in [["tap", "--raw"].as_slice(), &["tap"], &["logs", "--follow"]] {
        let mut command = headwater(&program(), folder.path());
        command.args(["-c", "headwater.toml"]).args(words);
        let following = Service::start(&mut command, Stream::Stdout);
        let id = following.id();
        crate::process::until("it catches its signals", || catches_interrupt(id));
        following.signal("INT");
        assert_eq!(following.wait(), Some(130), "{words:?}");
    }
    assert_eq!(served.stop(), Some(0));
}

/// Whether a process has a handler for SIGINT, by the mask that the kernel shows.
fn catches_interrupt(id: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << 1) != 0
}

/// Makes a node in a folder and serves it.
pub(crate) fn serve(folder: &Path) -> Service {
    configuration::write(folder);
    assert_eq!(ask(folder, &["init"]).code, Some(0));
    start(folder)
}

pub(crate) fn start(folder: &Path) -> Service {
    let mut command = headwater(&program(), folder);
    let mut served =
        Service::start(command.args(["serve", "-c", "headwater.toml"]), Stream::Stderr);
    served.line("ready: intake quic 127.0.0.1:");
    served
}

pub(crate) fn ask(folder: &Path, words: &[&str]) -> Done {
    run(folder, ["-c", "headwater.toml"].iter().chain(words))
}

pub(crate) fn json(done: &Done) -> Value {
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}
