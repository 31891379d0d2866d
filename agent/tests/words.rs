//! The binary's words and exit codes. CLI page, section 1.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has failed")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the binary in a folder with a configuration that touches nothing else.
fn agent(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_headwater-agent"));
    command.args(arguments).current_dir(folder).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display();
    let written = format!(
        "[agent]\nsocket = \"{place}/agent.sock\"\n[identity]\ndir = \"{place}/identity\"\n\
         [spool]\ndir = \"{place}/spool\"\n"
    );
    std::fs::write(folder.path().join("agent.toml"), written).unwrap();
    folder
}

/// The exit code, and that the error names these things.
fn check(arguments: &[&str], input: &str, code: i32, words: &[&str]) {
    let folder = folder();
    let output = agent(folder.path(), arguments, input);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?} said: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} names {word}: {said}");
    }
    assert!(output.stdout.is_empty(), "stdout is for data");
}

const FILE: &str = "--config=agent.toml";

#[test]
fn errors_say_what_and_what_next_with_the_code_of_the_handbook() {
    check(&["runn"], "", 2, &["runn", "run"]);
    check(&["run", "--config=none.toml"], "", 3, &["error: read none.toml", "config init"]);
    check(&["status", FILE], "", 4, &["error: ask", "agent.sock", "is the agent running?"]);
    check(&["run", FILE], "", 5, &["error: read the identity", "next", "headwater-agent enrol"]);
    check(&["enrol", FILE], "", 2, &["there is no join token", "--token-stdin"]);
    check(&["enrol", FILE, "--token-stdin"], "", 2, &["it is empty", "next"]);
    check(&["enrol", FILE, "--token-stdin"], "hwt_abc", 2, &["API token"]);
    check(&["enrol", FILE, "--token-file=no"], "", 2, &["No such file", "where", "no"]);
    check(&["enrol", FILE, "--label", "site"], "", 2, &["NAME=VALUE"]);
}

#[test]
fn data_goes_to_stdout_and_what_is_printed_can_be_used() {
    let folder = folder();
    let output = agent(folder.path(), &[], "");
    let short = String::from_utf8(output.stdout).unwrap();
    assert!(short.contains("headwater-agent enrol") && short.lines().count() < 10, "{short}");
    let output = agent(folder.path(), &["config", "init"], "");
    assert_eq!(output.status.code(), Some(0));
    std::fs::write(folder.path().join("init.toml"), &output.stdout).unwrap();
    let output = agent(folder.path(), &["config", "check", "--config=init.toml"], "");
    assert_eq!(output.status.code(), Some(0), "the defaults are a valid file");
    assert!(String::from_utf8(output.stdout).unwrap().contains("init.toml"));
    let output = agent(folder.path(), &["--help"], "");
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.starts_with("Examples:"), "examples first: {help}");
}
