//! Thresholds from a file, as a person and a script apply them.

use std::path::Path;

use crate::process::{Done, run};
use crate::serving::{ask, json, serve};

const FILE: &str = "owner = \"gitops\"\n\n[[threshold]]\nname = \"load\"\nmetric = \"load.1m\"\n\
                    when = \"above\"\nwarn = 8\n";

fn apply(folder: &Path, text: &str, flags: &[&str]) -> Done {
    std::fs::write(folder.join("t.toml"), text).unwrap();
    ask(folder, &[&["thresholds", "apply", "-f", "t.toml"], flags].concat())
}

#[test]
fn a_node_begins_with_the_shipped_thresholds_and_keeps_what_is_applied() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    let view = json(&ask(folder.path(), &["thresholds", "--json"]));
    assert_eq!(view["revision"], 1);
    let cpu = &view["thresholds"][1];
    assert_eq!((&cpu["name"], &cpu["warn"]), (&"cpu-busy".into(), &"0.7".into()));
    assert_eq!(cpu["state"], "no data yet");

    let done = apply(folder.path(), FILE, &[]);
    assert_eq!(done.code, Some(10), "nobody is there to confirm it: {}", done.stderr);
    let done = apply(folder.path(), FILE, &["--dry-run"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("added\tload\t"), "{}", done.stdout);
    assert!(done.stderr.contains("nothing was changed"), "{}", done.stderr);
    let done = apply(folder.path(), FILE, &["--yes", "-m", "load too"]);
    assert!(done.stderr.contains("revision 2 holds from "), "{}", done.stderr);
    let done = apply(folder.path(), &FILE.replace('8', "9.5"), &["--yes"]);
    assert!(done.stdout.contains("changed\tload\twarn 8 → 9.5\n"), "{}", done.stdout);
    let done = apply(folder.path(), &FILE.replace("\"load\"", "\"other\""), &["--yes"]);
    assert!(done.stderr.contains("load: not in the file, and stays in force"), "{}", done.stderr);
    let pruned =
        json(&apply(folder.path(), &FILE.replace("8", "7"), &["--yes", "--prune", "--json"]));
    assert_eq!((&pruned["revision"], &pruned["published"]), (&5.into(), &true.into()));
    assert_eq!(served.stop(), Some(0));

    let served = crate::serving::start(folder.path());
    let view = json(&ask(folder.path(), &["thresholds", "ls", "--json"]));
    let names: Vec<&str> = view["thresholds"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["name"].as_str())
        .collect();
    let shipped = ["combination-full", "cpu-busy", "disk-used", "ledger-differs", "memory-used"];
    assert_eq!(names, [&["load"][..], &shipped].concat());
    assert_eq!(view["revision"], 5);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_file_with_three_mistakes_names_all_of_them_and_the_old_revision_stays() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    let wrong = FILE.replace("metric", "metrc").replace("above", "abov").replace('8', "nan");
    for flags in [&["--yes"][..], &["--validate-only"], &["--dry-run"]] {
        let done = apply(folder.path(), &wrong, flags);
        assert_eq!(done.code, Some(3), "{}", done.stderr);
        for text in [
            "t.toml has 3 mistakes",
            "t.toml:5:1",
            "did you mean \"metric\"?",
            "t.toml:6:8",
            "expected \"above\" or \"below\"",
            "t.toml:7:8",
            "warn is nan, expected a finite number",
            "^^^",
        ] {
            assert!(done.stderr.contains(text), "\"{text}\" is in:\n{}", done.stderr);
        }
    }
    // What only the aggregator knows is a mistake of the same kind.
    let done = apply(folder.path(), &format!("{FILE}by = [\"planet\"]\n"), &["--yes"]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
    assert!(done.stderr.contains("t.toml:8:6"), "{}", done.stderr);
    let view = json(&ask(folder.path(), &["thresholds", "ls", "--json"]));
    assert_eq!(view["revision"], 1);
    assert_eq!(served.stop(), Some(0));
}

#[test]
fn a_file_is_checked_without_an_aggregator() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.toml"), FILE).unwrap();
    let words = ["thresholds", "apply", "-f", "t.toml", "--validate-only"];
    let done = run(folder.path(), words);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stderr.contains("1 threshold of owner gitops, no mistake"), "{}", done.stderr);
    let done = run(folder.path(), ["thresholds", "apply", "-f", "nowhere.toml"]);
    assert_eq!(done.code, Some(6), "{}", done.stderr);
    std::fs::write(folder.path().join("b.toml"), [0xff, 0xfe]).unwrap();
    let done = run(folder.path(), ["thresholds", "apply", "-f", "b.toml", "--validate-only"]);
    assert_eq!(done.code, Some(3), "{}", done.stderr);
}

#[test]
fn alerts_and_notices_are_listed_also_where_there_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    assert_eq!(json(&ask(folder.path(), &["alerts", "--json"])), serde_json::json!([]));
    assert_eq!(
        json(&ask(folder.path(), &["alerts", "ls", "--all", "--json"])),
        serde_json::json!([])
    );
    let done = ask(folder.path(), &["alerts"]);
    assert!(done.stdout.starts_with("STATE\tTHRESHOLD\t"), "{}", done.stdout);
    let done = ask(folder.path(), &["notices"]);
    assert_eq!(
        done.stdout,
        "DESTINATION\tWAITING\tSENT\tDEAD\tMISSED\tFAULT\nlog\t0\t0\t0\t0\t-\n"
    );
    assert_eq!(served.stop(), Some(0));
}
