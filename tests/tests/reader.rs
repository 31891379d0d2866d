//! One reader over the files of the history and what the log still holds: lines come once, in order, and byte for byte, wherever
//! they lie; a file that is damaged or gone is named, and never makes an answer silently less.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use headwater_tests::agent::Agent;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::draws::seed_of_this_run;
use headwater_tests::site::{Site, files_below};
use headwater_tests::waiting::until;
use serde_json::Value;

/// Short files, so that there are many.
const CONFIG: &str = "\n[history]\nevery = \"1s\"\n";
/// Lines that are written at once.
const LINES: u64 = 200;

#[test]
fn lines_come_from_files_and_the_log_once_and_in_order_and_by_time_text_and_number() {
    let seed = seed_of_this_run("reader");
    let mut site = Site::configured(seed, &["alpha", "beta"], CONFIG);
    site.agent.start();
    // Again and again: what was in the log the last time is in files this time.
    for _ in 0..6 {
        site.write_and_settle(LINES);
        site.compare().expect_exactly_once(&site.witness);
    }
    wait_until_written(&site.aggregator);
    site.compare().expect_exactly_once(&site.witness);
    assert!(!files_below(&events(&site.aggregator)).is_empty(), "there are files");

    let all = lines(&site.aggregator, &[]);
    let middle = all[all.len() / 2]["time"].as_str().unwrap().to_owned();
    let before = lines(&site.aggregator, &["--to", &middle]);
    let after = lines(&site.aggregator, &["edge-1", "--from", &middle]);
    assert_eq!(before.len() + after.len(), all.len(), "each line is before or after");
    let [first, second] = [&before, &after].map(|part| places(part));
    assert!(first.is_disjoint(&second) && !first.is_empty() && !second.is_empty());
    let time = |row: &Value| row["time"].as_str().unwrap().to_owned();
    assert!(before.iter().all(|row| time(row) < middle));
    assert!(after.iter().all(|row| time(row) >= middle));
    assert_eq!(lines(&site.aggregator, &["--from", "1h", "--to", "30m ago"]), [Value::Null; 0]);

    let number = body(&all[7])[..7].to_owned();
    let found = lines(&site.aggregator, &["--contains", &number]);
    let expected: Vec<&Value> = all.iter().filter(|row| body(row).contains(&number)).collect();
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    let last = lines(&site.aggregator, &["edge-1", "--last", "250"]);
    assert_eq!(places(&last), places(&all[all.len() - 250..]), "the last ones");

    // A node that keeps no files any more has all of it in the log.
    let config = fs::read_to_string(site.aggregator.config()).unwrap();
    let off = config.replace("[history]\nevery = \"1s\"", "[history]\nlocation = \"off\"");
    fs::write(site.aggregator.config(), off).unwrap();
    site.aggregator.stop();
    site.aggregator.start_and_wait();
    site.compare().expect_exactly_once(&site.witness);
    let of_log = lines(&site.aggregator, &["edge-1"]);
    assert_eq!(rows_of(&of_log), rows_of(&all), "the same rows");
}

#[test]
fn a_damaged_file_is_named_and_all_that_is_not_in_it_is_told() {
    let seed = seed_of_this_run("reader");
    let mut site = Site::configured(seed, &["alpha"], CONFIG);
    site.agent.start();
    for _ in 0..4 {
        site.write_and_settle(LINES);
        wait_until_written(&site.aggregator);
    }
    let files = files_below(&events(&site.aggregator));
    assert!(files.len() >= 4, "{files:?}");
    let damaged = &files[files.len() / 2];
    let mut bytes = fs::read(damaged).unwrap();
    let at = bytes.len() / 3;
    bytes[at] ^= 1;
    fs::write(damaged, &bytes).unwrap();

    let name = damaged.file_name().unwrap().to_str().unwrap();
    let done = site.aggregator.ask(&["logs", "--ndjson"]);
    done.expect_refusal(8, &["1 file of the history left out", name, "not as it was written"]);
    let told = done.stdout.lines().count() as u64;
    assert!(told > 0 && told < site.witness.lines(), "{told} lines");
    let whole = site.aggregator.ask(&["logs", "--ndjson", "--from", "1m", "--last", "0"]);
    assert_eq!(whole.code, Some(0), "what is not read is not missing: {}", whole.stderr);

    let path = site.logs().join("alpha.log").display().to_string();
    let copy = site.path("copy").display().to_string();
    let done = site.aggregator.ask(&["export", "file", "edge-1", &path, "--output", &copy]);
    done.expect_refusal(8, &["the file is not complete: 1 hole", "not-stored", name]);
    expect_one_part_missing(&fs::read(&copy).unwrap(), &fs::read(&path).unwrap());
    bytes[at] ^= 1;
    fs::write(damaged, &bytes).unwrap();
    site.compare().expect_exactly_once(&site.witness);
}

#[test]
fn an_original_file_is_put_together_again_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let aggregator = Aggregator::create_with(&folder.path().join("aggregator"), CONFIG);
    let log = folder.path().join("app.log");
    let home = folder.path().join("agent");
    let patterns = [log.display().to_string()];
    let mut agent = Agent::new("edge-1", &home, &aggregator.intake_address(), &patterns);
    agent.enrol(&aggregator);
    agent.start();
    let stored = Stored { aggregator: &aggregator, log: &log, folder: folder.path() };

    append(&log, b"one\ntwo\r\n\n\r\n\xff\xfe no text \xc3\nthree\0four\r\r\n");
    append(&log, &[&b"x".repeat(3 << 20)[..], b"\n"].concat());
    stored.settle(&mut agent);
    stored.expect_same(&[], &fs::read(&log).unwrap());
    for number in 0..3 {
        append(&log, format!("line {number}\n").repeat(500).as_bytes());
        stored.settle(&mut agent);
        wait_until_written(&aggregator);
        stored.expect_same(&[], &fs::read(&log).unwrap());
    }

    // Rotated, with a last line that never ends; a part of it that lasts is in the log.
    append(&log, b"the last one, unended");
    let (first, rotated) = (fs::read(&log).unwrap(), folder.path().join("app.log.1"));
    fs::rename(&log, &rotated).unwrap();
    append(&log, b"of the second file\n");
    stored.settle(&mut agent);
    let second = fs::read(&log).unwrap();
    let both = [&first[..], &second].concat();
    until("the rotated file is read to its end", || stored.export(&[]).0 == both);
    stored.expect_same(&["--run", "1"], &first);
    stored.expect_same(&["--run", "2"], &second);
    wait_until_written(&aggregator);
    stored.expect_same(&[], &both);
    let done = aggregator.ask(&["export", "file", "edge-1", patterns[0].as_str(), "--quiet"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    stored.expect_what_is_refused();

    // A file of the middle is gone.
    let files = files_below(&events(&aggregator));
    let gone = &files[files.len() / 2];
    fs::remove_file(gone).unwrap();
    let (bytes, code, said) = stored.export(&["--run", "1"]);
    assert_eq!(code, Some(8), "{said}");
    assert!(said.contains("are not there: not-stored"), "{said}");
    expect_one_part_missing(&bytes, &first);
    agent.stop();
}

/// A log that was stored.
struct Stored<'a> {
    aggregator: &'a Aggregator,
    log: &'a Path,
    folder: &'a Path,
}

impl Stored<'_> {
    fn settle(&self, agent: &mut Agent) {
        agent.settle(&[self.log.to_owned()]);
    }

    /// The bytes, the exit code, and what was told.
    fn export(&self, words: &[&str]) -> (Vec<u8>, Option<i32>, String) {
        let copy = self.folder.join("copy");
        let (path, to) = (self.log.display().to_string(), copy.display().to_string());
        let mut all = vec!["export", "file", "edge-1", &path, "--output", &to, "--force"];
        all.extend(words);
        let done = self.aggregator.ask(&all);
        (fs::read(copy).unwrap_or_default(), done.code, done.stderr)
    }

    fn expect_same(&self, words: &[&str], expected: &[u8]) {
        let (bytes, code, said) = self.export(words);
        assert_eq!(code, Some(0), "{said}");
        let differs = bytes.iter().zip(expected).position(|(one, other)| one != other);
        assert_eq!((bytes.len(), differs), (expected.len(), None), "byte for byte\n{said}");
    }

    fn expect_what_is_refused(&self) {
        let path = self.log.display().to_string();
        let export = |words: &[&str]| {
            let all: Vec<&str> = ["export", "file"].iter().chain(words).copied().collect();
            self.aggregator.ask(&all)
        };
        export(&["edge-1", "/no/such.log"]).expect_refusal(6, &["no line of", "/no/such.log"]);
        export(&["edge-1", &path, "--run", "3"]).expect_refusal(6, &["run 3"]);
        export(&["nobody", &path]).expect_refusal(6, &["no device \"nobody\""]);
        let kept = self.folder.join("kept");
        fs::write(&kept, b"mine").unwrap();
        let to = kept.display().to_string();
        export(&["edge-1", &path, "--output", &to]).expect_refusal(7, &["is there already"]);
        assert_eq!(fs::read(&kept).unwrap(), b"mine");
        let (_, _, said) = self.export(&[]);
        assert!(said.contains("has 2 runs") && said.contains("run 2 of 2"), "{said}");
        let partial = fs::read_dir(self.folder).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_str().unwrap().contains("partial")
        });
        assert_eq!(partial.count(), 0, "nothing is left in the making");
    }
}

/// That a file is another one without one part of it.
fn expect_one_part_missing(found: &[u8], whole: &[u8]) {
    assert!(!found.is_empty() && found.len() < whole.len(), "{} of {}", found.len(), whole.len());
    let same = found.iter().zip(whole).take_while(|(one, other)| one == other).count();
    let rest = &found[same..];
    assert!(whole.ends_with(rest), "what follows the hole is as it was");
}

fn append(log: &Path, bytes: &[u8]) {
    let mut file: File = OpenOptions::new().create(true).append(true).open(log).unwrap();
    file.write_all(bytes).unwrap();
}

/// What `logs` prints, row by row.
fn lines(aggregator: &Aggregator, words: &[&str]) -> Vec<Value> {
    let all: Vec<&str> = ["logs", "--ndjson"].iter().chain(words).copied().collect();
    let done = aggregator.ask(&all).expect_success(&all.join(" "));
    done.stdout.lines().map(|row| serde_json::from_str(row).unwrap()).collect()
}

fn body(row: &Value) -> &str {
    row["body"].as_str().unwrap_or_default()
}

fn places(rows: &[Value]) -> BTreeSet<(String, u64)> {
    let place = |row: &Value| {
        let stream = row["stream"].as_str().unwrap().to_owned();
        (stream, row["position"].as_u64().unwrap())
    };
    rows.iter().map(place).collect()
}

/// Rows in order of what they are, each with all that is told of it.
fn rows_of(rows: &[Value]) -> BTreeSet<String> {
    rows.iter().map(Value::to_string).collect()
}

fn events(aggregator: &Aggregator) -> PathBuf {
    aggregator.data().join("history/table=events")
}

/// Waits until all that was applied so far is in files.
fn wait_until_written(aggregator: &Aggregator) {
    let now = jiff::Timestamp::now();
    until("everything is in files", || {
        let sink = aggregator.json(&["sinks"])[0].clone();
        let oldest = sink["oldest"].as_str().map(|at| at.parse::<jiff::Timestamp>().unwrap());
        sink["unread_entries"].as_u64() == Some(0) && oldest.is_none_or(|oldest| oldest > now)
    });
}
