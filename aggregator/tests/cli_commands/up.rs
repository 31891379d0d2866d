//! `headwater up`, with a program in the agent's place that does nothing but stay: what is looked at
//! is how it is found, started, started again and stopped. The real agent is run by `tests/`.

use std::cell::OnceCell;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::process::{Service, Stream, finish, headwater, program, run, until};

/// Enrols by writing an identity; runs until its standard input closes, or ends at once once there is
/// a file `die` beside it.
const STAND_IN: &str = r#"#!/bin/sh
here=$(dirname "$0")
case $1 in
enrol) read -r token; test "${token#hwe1.}" != "$token" || exit 5
    while test "$1" != --dir; do shift; done
    mkdir -p "$2/identity"; echo identity > "$2/identity/identity.pem"; echo enrolled >> "$here/enrolled" ;;
run) echo $$ > "$here/pid"; echo run >> "$here/runs"
    test -e "$here/die" && { rm "$here/die"; exit 3; }
    trap 'echo term >> "$here/stopped"; exit 0' TERM
    while read -r line; do :; done; echo closed >> "$here/stopped" ;;
esac
"#;

#[test]
fn without_an_agent_both_places_are_named_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let program = installed(folder.path(), None);
    let mut command = headwater(&program, folder.path());
    let done = finish(command.arg("up").env("PATH", "/nowhere/bin"));
    assert_eq!(done.code, Some(6), "{}", done.stderr);
    let beside = folder.path().join("bin").display().to_string();
    for text in ["headwater-agent", beside.as_str(), "/nowhere/bin"] {
        assert!(done.stderr.contains(text), "\"{text}\" is in:\n{}", done.stderr);
    }
    assert!(!folder.path().join("headwater-data").exists());
}

#[test]
fn a_second_up_goes_on_where_the_first_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = up(folder.path());
    let line = first.line("headwater-agent enrol --token-stdin <<< 'hwe1.");
    assert!(line.ends_with('\''), "{line}");
    assert_eq!(lines(folder.path(), "enrolled"), 1);
    let data = folder.path().join("headwater-data");
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    // In the folder of `up`, commands find its socket.
    let done = run(folder.path(), ["devices", "--json"]);
    assert_eq!((done.code, done.stdout.as_str()), (Some(0), "[]\n"), "{}", done.stderr);
    let mut other = headwater(&folder.path().join("bin/headwater"), folder.path());
    let done = finish(other.arg("up"));
    assert_eq!(done.code, Some(7), "{}", done.stderr);
    assert_eq!(first.stop(), Some(0));
    assert_eq!(std::fs::read_to_string(folder.path().join("bin/stopped")).unwrap(), "term\n");

    let mut second = up(folder.path());
    second.line("goes on where it stopped");
    second.line("enrolled before");
    second.line("headwater-agent enrol");
    assert_eq!(lines(folder.path(), "enrolled"), 1, "a second up enrols nothing");
    assert_eq!(second.stop(), Some(0));
}

#[test]
fn no_new_authority_is_made_beside_an_agent_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let program = installed(folder.path(), Some(STAND_IN));
    let identity = folder.path().join("headwater-data/agent/identity");
    std::fs::create_dir_all(&identity).unwrap();
    std::fs::write(identity.join("identity.pem"), "of another").unwrap();
    let done = finish(headwater(&program, folder.path()).arg("up"));
    assert_eq!(done.code, Some(7), "{}", done.stderr);
    assert!(done.stderr.contains("mv ") && done.stderr.contains("agent.old"), "{}", done.stderr);
    assert!(!folder.path().join("headwater-data/ca").exists());
}

#[test]
fn an_agent_that_ends_is_said_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let program = installed(folder.path(), Some(STAND_IN));
    std::fs::write(folder.path().join("bin/die"), "").unwrap();
    let mut command = headwater(&program, folder.path());
    let mut service = Service::start(command.arg("up"), Stream::Stdout);
    service.line("ended (exit status: 3); started again in 1 s");
    service.line("runs again");
    until("it ran twice", || lines(folder.path(), "runs") == 2);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn an_agent_does_not_outlive_an_up_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = up(folder.path());
    service.line("Ctrl-C stops");
    until("the agent runs", || lines(folder.path(), "runs") == 1);
    service.kill();
    until("the agent ended", || lines(folder.path(), "stopped") == 1);
    assert_eq!(std::fs::read_to_string(folder.path().join("bin/stopped")).unwrap(), "closed\n");
}

#[test]
fn a_terminal_that_is_closed_is_a_clean_stop() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = up(folder.path());
    service.line("Ctrl-C stops");
    until("the agent runs", || lines(folder.path(), "runs") == 1);
    service.signal("HUP");
    assert_eq!(service.wait(), Some(0));
    assert_eq!(std::fs::read_to_string(folder.path().join("bin/stopped")).unwrap(), "term\n");
}

#[test]
fn a_port_that_is_taken_is_said_with_the_one_that_is_used() {
    let _held = hold("127.0.0.1:4433");
    let folder = tempfile::tempdir().unwrap();
    let mut service = up(folder.path());
    let line = service.line("port 4433/udp is taken");
    assert!(line.contains("is used instead"), "{line}");
    service.line("Ctrl-C stops");
    assert_eq!(service.stop(), Some(0));
}

/// Takes a UDP port. Other tests have it for a while, or look whether it is free.
fn hold(address: &str) -> UdpSocket {
    let held = OnceCell::new();
    until("the port is free once", || {
        UdpSocket::bind(address).is_ok_and(|socket| held.set(socket).is_ok())
    });
    held.into_inner().unwrap()
}

/// Starts `up` with the stand-in beside it.
fn up(folder: &Path) -> Service {
    let program = installed(folder, Some(STAND_IN));
    Service::start(headwater(&program, folder).arg("up"), Stream::Stdout)
}

/// Installs the program, and an agent if there is to be one, into `folder/bin`.
fn installed(folder: &Path, agent: Option<&str>) -> PathBuf {
    let bin = folder.join("bin");
    let copy = bin.join("headwater");
    if !copy.exists() {
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::copy(program(), &copy).unwrap();
    }
    if let Some(agent) = agent {
        let path = bin.join("headwater-agent");
        std::fs::write(&path, agent).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    copy
}

/// How many lines the stand-in has written to a file.
fn lines(folder: &Path, file: &str) -> usize {
    let text = std::fs::read_to_string(folder.join("bin").join(file));
    text.map_or(0, |text| text.lines().count())
}
