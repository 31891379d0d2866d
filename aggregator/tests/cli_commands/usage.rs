//! Words, help and usage.

use crate::process::run;

const COMMANDS: [&str; 9] =
    ["up", "init", "serve", "tokens", "devices", "device", "tap", "logs", "ledger"];

#[test]
fn no_argument_prints_the_short_help_and_what_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let done = run(folder.path(), [""; 0]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for text in ["Commands:", "Usually next:", "headwater up", "headwater ledger verify --all"] {
        assert!(done.stdout.contains(text), "\"{text}\" is in the short help:\n{}", done.stdout);
    }
    assert!(!done.stdout.contains('\x1b'), "a pipe gets no colours");
}

#[test]
fn every_help_begins_with_examples() {
    let folder = tempfile::tempdir().unwrap();
    for command in COMMANDS {
        let done = run(folder.path(), [command, "--help"]);
        assert_eq!(done.code, Some(0));
        assert!(done.stdout.starts_with("Examples:\n  headwater "), "{command}:\n{}", done.stdout);
    }
    assert!(run(folder.path(), ["--help"]).stdout.starts_with("Examples:\n"));
}

#[test]
fn an_unknown_word_is_a_usage_error_with_the_nearest_one() {
    let folder = tempfile::tempdir().unwrap();
    for (words, nearest) in [
        (vec!["devics"], "devices"),
        (vec!["ledger", "verifi"], "verify"),
        (vec!["devices", "--ndjsn"], "--ndjson"),
        (vec!["tap", "metric"], "metrics"),
    ] {
        let done = run(folder.path(), &words);
        assert_eq!(done.code, Some(2), "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(nearest), "{words:?}: {}", done.stderr);
        assert_eq!(done.stdout, "", "errors go to standard error");
    }
}

#[test]
fn values_that_make_no_sense_are_usage_errors() {
    let folder = tempfile::tempdir().unwrap();
    for words in [
        vec!["devices", "--json", "--ndjson"],
        vec!["tap", "--rate", "0"],
        vec!["tap", "--where", "site"],
        vec!["tap", "logs", "--raw"],
        vec!["logs", "--last", "many"],
        vec!["ledger", "verify", "edge-1", "--all"],
        vec!["devices", "--timeout", "30"],
        vec!["up", "--listen", "somewhere"],
        vec!["tokens"],
        vec!["tokens", "create", "--uses", "0"],
    ] {
        let done = run(folder.path(), &words);
        assert_eq!(done.code, Some(2), "{words:?}: {}", done.stderr);
    }
}

#[test]
fn the_version_is_told_in_a_line_and_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("headwater {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(folder.path(), ["--version"]).stdout, line);
    assert!(run(folder.path(), ["version"]).stdout.starts_with(&line));
    let json = run(folder.path(), ["version", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert!(json["protocol_newest"].as_u64() >= json["protocol_oldest"].as_u64());
}
