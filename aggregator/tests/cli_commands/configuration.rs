//! Configurations that are refused: what, where, and exit code 3.

use std::path::Path;

use crate::process::{Done, finish, headwater, program, run};

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
    let done = serve_with("[intake]\nlisten = \"127.0.0.1:0\"\nreceive_bufer = \"8MiB\"\n");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    for text in ["receive_bufer", "headwater.toml:3:1", "did you mean \"receive_buffer\"?"] {
        assert!(done.stderr.contains(text), "\"{text}\" is in:\n{}", done.stderr);
    }
}

#[test]
fn a_wrong_unit_is_named_with_its_key_and_range() {
    let done = serve_with("[log]\nsnapshot_every = \"5 parsecs\"\n");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    for text in ["log.snapshot_every", "5 parsecs", "expected"] {
        assert!(done.stderr.contains(text), "\"{text}\" is in:\n{}", done.stderr);
    }
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_place() {
    let done = serve_with("[node\nname = 1\n");
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("headwater.toml:1"), "{}", done.stderr);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let done = run(folder.path(), ["serve", "-c", "nowhere.toml"]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("nowhere.toml"), "{}", done.stderr);
}

#[test]
fn a_variable_of_the_environment_is_checked_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = headwater(&program(), folder.path());
    let done = finish(command.arg("serve").env("HEADWATER__INTAKE__LISTEN", "here"));
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("HEADWATER__INTAKE__LISTEN"), "{}", done.stderr);
}

fn serve_with(text: &str) -> Done {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("headwater.toml"), text).unwrap();
    run(folder.path(), ["serve", "-c", "headwater.toml"])
}

/// A configuration on ports that the kernel picks, with its data in `folder/data`.
pub(crate) fn write(folder: &Path) {
    let data = folder.join("data");
    let text = format!(
        "[node]\nname = \"test\"\ndata_dir = {data:?}\n[intake]\nlisten = \"127.0.0.1:0\"\n\
         [intake.enrol]\nlisten = \"127.0.0.1:0\"\n[console]\nlisten = \"127.0.0.1:0\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n"
    );
    std::fs::write(folder.join("headwater.toml"), text).unwrap();
}
