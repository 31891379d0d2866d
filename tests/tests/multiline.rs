//! Records of several lines on the real programs: a stack trace travels whole, whoever is killed.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::io::Write;

use headwater_tests::agent::Agent;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::waiting::until;
use serde_json::Value;

/// Records of each part of the test.
const RECORDS: u64 = 500;

#[test]
fn a_stack_trace_lands_as_one_record_whatever_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let aggregator = Aggregator::create(&folder.path().join("aggregator"));
    let log = folder.path().join("app.log");
    let pattern = log.display().to_string();
    let home = folder.path().join("agent");
    let mut agent = Agent::new("edge-1", &home, &aggregator.intake_address(), &[pattern]);
    let mut config = std::fs::File::options().append(true).open(agent.config()).unwrap();
    // The block of the tail is the file's last.
    config.write_all(b"multiline = 'regex:^\\d{4}-'\n").unwrap();
    agent.enrol(&aggregator);
    agent.start();

    let mut file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
    let mut expected = Vec::new();
    for part in 0..4 {
        for number in part * RECORDS..(part + 1) * RECORDS {
            let body = record(number);
            file.write_all(format!("{body}\n").as_bytes()).unwrap();
            expected.push(body);
        }
        // The last one waits for a line that does not come: it is complete all the same.
        let landed = (part + 1) * RECORDS;
        until("all records have landed", || aggregator.lines_read() >= landed);
        assert!(agent.kill(), "it ran until it was killed");
        agent.start();
    }
    agent.settle(&[log]);

    let dump = folder.path().join("lines");
    aggregator.dump_lines(&dump);
    let dump = std::fs::read_to_string(dump).unwrap();
    let rows = dump.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
    let bodies: Vec<String> = rows.map(|row| row["body"].as_str().unwrap().to_owned()).collect();
    assert_eq!(bodies.len(), expected.len(), "a record for each trace");
    let other = bodies.iter().zip(&expected).find(|(found, wanted)| found != wanted);
    assert_eq!(other, None, "every record is whole and in order");
    let _ = aggregator.expect_clean_audit();
}

/// A record of one to five lines.
fn record(number: u64) -> String {
    let frames = (0..number % 5).map(|frame| format!("\n\tat frame {frame}\n"));
    format!("2026-11-25 record {number}{}", frames.collect::<String>().trim_end())
}
