//! Lines, names and labels that strangers wrote to take over the page.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use headwater_tests::agent::Agent;
use headwater_tests::corpus::{hostile_strings, lines_of, shown};
use headwater_tests::forged::{Forged, Saying, series};
use serde_json::json;

use crate::scenario::Scenario;
use crate::stage::stage;

/// Strings that are written at once: fewer than a log tail shows.
const STRINGS_PER_PART: usize = 40;

#[test]
fn lines_names_and_labels_of_strangers_stay_text() {
    let stage = stage();
    let (site, aggregator) = (&stage.site, &stage.site.aggregator);
    let log = site.path("strange.log");
    let folder = site.path("strange");
    let pattern = log.display().to_string();
    let mut agent = Agent::new("strange", &folder, &aggregator.intake_address(), &[pattern]);
    agent.enrol(aggregator);
    agent.start();
    let forged = Forged::start(stranger(), aggregator);
    let device = aggregator.json(&["device", &forged.device.to_string()]);
    let file = site.path("thresholds.toml");
    std::fs::write(&file, THRESHOLDS).unwrap();
    let apply = ["thresholds", "apply", "--yes", "-f", file.to_str().unwrap()];
    let _ = aggregator.ask(&apply).expect_success("apply thresholds");

    let parts: Vec<Vec<u8>> = hostile_strings().chunks(STRINGS_PER_PART).map(file_of).collect();
    let expected: Vec<PathBuf> =
        (0..parts.len()).map(|part| site.path(&format!("part-{part}"))).collect();
    for (part, path) in parts.iter().zip(&expected) {
        let lines: Vec<String> = lines_of(part).iter().map(|line| shown(line)).collect();
        std::fs::write(path, json!(lines).to_string()).unwrap();
    }
    let given = json!({ "device": "strange", "parts": expected, "names": [device["name"]] });
    let mut scenario = Scenario::start("hostile_lines", aggregator, 1, given);
    let mut file = OpenOptions::new().create(true).append(true).open(&log).unwrap();
    for (number, part) in parts.iter().enumerate() {
        scenario.reach(&format!("ready {number}"));
        file.write_all(part).unwrap();
    }
    scenario.finish();
    agent.stop();
}

/// A threshold on what the stranger alone sends; its note is an attack as well.
const THRESHOLDS: &str = r#"owner = "strangers"
[[threshold]]
name = "strange"
metric = "strange.ratio"
per = "mount"
when = "above"
warn = 0.3
note = "<img src=x onerror=globalThis.fired=1>\u202e {{7*7}}"
"#;

/// Strings as a file that ends its lines.
fn file_of(strings: &[Vec<u8>]) -> Vec<u8> {
    strings.iter().flat_map(|string| [string, &b"\n"[..]]).flatten().copied().collect()
}

/// A device whose name, labels and series are attacks.
fn stranger() -> Saying {
    let mut saying = Saying::new("<img src=x onerror=alert(1)>\u{202e}");
    // Labels are text: what is not can't stand in one.
    let texts = hostile_strings().into_iter().filter_map(|bytes| String::from_utf8(bytes).ok());
    let short: Vec<String> =
        texts.filter(|text| (1..=200).contains(&text.len())).take(60).collect();
    for (number, text) in short.iter().enumerate() {
        saying.facts.insert(format!("fact-{number}"), text.clone());
        saying
            .series
            .push((series("disk.used_ratio", &[("fstype", "ext4"), ("mount", text)], 4), 5_000));
        saying.series.push((series(text, &[("mount", text)], 0), 1));
        saying.series.push((series("strange.ratio", &[("mount", text)], 4), 5_000));
    }
    saying.facts.insert("site".to_owned(), "<script>globalThis.fired=1</script>".to_owned());
    saying.facts.insert("<b>role</b>".to_owned(), "\"><img src=/fired>".to_owned());
    saying
}
