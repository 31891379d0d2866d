//! A backup that is made while lines come, lost time, and a restore: the log knows that it went back, agents fill it, files that it
//! does not have are withdrawn, and what nobody holds any more is declared to the record. What is no whole backup is refused.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use headwater_protocol::identity::Lane;
use headwater_tests::aggregator::Aggregator;
use headwater_tests::averages::explored;
use headwater_tests::comparison::Comparison;
use headwater_tests::draws::seed_of_this_run;
use headwater_tests::duckdb::{query, table};
use headwater_tests::site::{Site, copy_folder};
use headwater_tests::waiting::{DEADLINE, until};
use serde_json::Value;

/// Short files of the history, so that a test of some minutes has many of them.
const CONFIG: &str = "\n[history]\nevery = \"1s\"\n";
/// Lines that are written at once.
const LINES: u64 = 400;

#[test]
fn a_backup_made_under_load_is_restored_and_each_line_is_there_once() {
    let seed = seed_of_this_run("backup");
    let mut site = Site::configured(seed, &["alpha", "beta"], CONFIG);
    site.agent.start();
    site.write_and_settle(LINES);
    wait_until_written(&site);
    let before = files_below(&tables(&site.aggregator));
    let backup = site.path("backup");
    back_up_under_load(&mut site, &backup);
    lose_time(&mut site);
    assert!(site.aggregator.kill(), "it runs until it is killed");

    let into = restore(&mut site, &backup);
    site.aggregator.start_and_wait();
    site.write_and_settle(LINES);
    wait_until_written(&site);
    site.compare().expect_exactly_once(&site.witness);
    lines_of_files(&site).expect_exactly_once(&site.witness);
    let audit = site.aggregator.expect_clean_audit();
    assert_eq!(audit["gaps"], 0, "the grace buffer holds it all: {audit:#}");
    expect_withdrawn(&site, &into, &before);

    // It is known, and the next start does not take it for another loss.
    let doctor = site.aggregator.ask(&["doctor", "--json"]).json();
    let findings = doctor["findings"].as_array().unwrap();
    let log = findings.iter().find(|finding| finding["name"] == "log").unwrap();
    let manifest = manifest(&backup);
    let found = log.to_string();
    assert!(found.contains("restored") && found.contains("generation 1"), "{found}");
    assert!(found.contains(manifest["log"].as_str().unwrap()), "the log keeps its id: {found}");
    site.aggregator.stop();
    site.aggregator.start_and_wait();
    site.write_and_settle(LINES);
    site.agent.stop();
    wait_until_written(&site);
    expect_averages(&site);
    let landed = site.stop_and_read();
    assert_eq!(landed.generation, 1, "one restore, one generation");
    landed.only_device().ticks_are_contiguous().unwrap();
}

#[test]
fn beyond_the_grace_buffer_what_a_restore_lost_is_declared_to_the_record() {
    let seed = seed_of_this_run("backup");
    let mut site = Site::configured(seed, &["alpha", "beta"], CONFIG);
    site.agent.set_key("SPOOL__GRACE_BYTES", "0KiB");
    site.agent.start();
    site.write_and_settle(LINES);
    wait_until_written(&site);
    let backup = site.path("backup");
    back_up_under_load(&mut site, &backup);
    lose_time(&mut site);
    assert!(site.aggregator.kill(), "it runs until it is killed");

    let _ = restore(&mut site, &backup);
    site.aggregator.start_and_wait();
    site.write_and_settle(LINES);
    let found = site.compare();
    found.expect_nothing_doubled();
    let audit = site.aggregator.expect_clean_audit();
    assert!(audit["gap_records"].as_u64() > Some(0), "not covered: nothing was beyond the buffer");
    let status = site.agent.status().unwrap();
    assert_eq!(status["bulk"]["unsent_records"], 0, "nothing waits in the spool: {status:#}");
    wait_until_written(&site);
    let events = count(&site, "SELECT count(*) AS n FROM", "events");
    let gaps = "SELECT coalesce(sum(records), 0)::BIGINT AS n FROM";
    let gaps_of_files = count(&site, gaps, "(SELECT * FROM gaps WHERE lane = 'bulk')");
    let landed = site.stop_and_read();
    assert_eq!(landed.generation, 1, "one restore, one generation");
    let (lines, gaps) = (site.witness.lines(), landed.only_device().gap_records(Lane::Bulk));
    assert_eq!(found.seen + gaps, lines, "read = applied + gaps, in lines");
    assert_eq!((events, gaps_of_files), (found.seen, gaps), "and so in the files of the history");
    eprintln!("{lines} lines: {} there, {gaps} declared", found.seen);
}

#[test]
fn an_aggregator_that_is_killed_amid_a_backup_recovers_and_what_it_left_is_refused() {
    let seed = seed_of_this_run("backup");
    let mut site = Site::configured(seed, &["alpha"], CONFIG);
    site.agent.start();
    site.write_and_settle(LINES);
    assert!(site.aggregator.kill(), "it runs until it is killed");
    let backup = (0..ATTEMPTS).find_map(|attempt| leave_unfinished(&mut site, attempt));
    let backup = backup.expect("covered: it ends while a backup is under way");
    site.aggregator.set_variable("HEADWATER_KILL_AT", "");
    let into = site.path("into");
    for (words, code) in [(&["--verify"][..], 9), (&["--into", text(&into)], 10)] {
        let words = [&["restore", text(&backup)], words].concat();
        site.aggregator.ask(&words).expect_refusal(code, &["MANIFEST.json", "interrupted"]);
    }
    assert!(!into.exists(), "nothing is restored of it");

    site.aggregator.start_and_wait();
    site.write_and_settle(LINES);
    site.compare().expect_exactly_once(&site.witness);
    let audit = site.aggregator.expect_clean_audit();
    assert_eq!(audit["gaps"], 0, "{audit:#}");
    // What is left of it is in the way of no other.
    let again = site.path("again");
    let _ = site.aggregator.ask(&["backup", text(&again)]).expect_success("backup");
    let _ = site.aggregator.ask(&["restore", text(&again), "--verify"]).expect_success("verify");
    let landed = site.stop_and_read();
    assert_eq!(landed.generation, 0, "nothing was lost");
}

#[test]
fn a_backup_that_is_not_what_it_was_is_refused_by_the_name_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut aggregator = Aggregator::create(&folder.path().join("aggregator"));
    let (running, stopped) = (folder.path().join("running"), folder.path().join("stopped"));
    let _ = aggregator.ask(&["backup", text(&running)]).expect_success("backup");
    aggregator.stop();
    let _ = aggregator.ask(&["backup", text(&stopped)]).expect_success("backup");
    for backup in [&running, &stopped] {
        let _ = aggregator.ask(&["restore", text(backup), "--verify"]).expect_success("verify");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(backup), 0o700, "it holds private keys");
        for file in files_below(backup) {
            assert_eq!(mode(&backup.join(&file)), 0o600, "{file}");
        }
    }
    let names = |backup: &Path| {
        let manifest = manifest(backup);
        let files = manifest["files"].as_array().unwrap().clone();
        files.iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&running), names(&stopped), "a stopped one is backed up like a running one");

    let into = folder.path().join("into");
    let expect_refused = |backup: &Path, name: &str| {
        for (words, code) in [(&["--verify"][..], 9), (&["--into", text(&into)], 10)] {
            let words = [&["restore", text(backup)], words].concat();
            aggregator.ask(&words).expect_refusal(code, &[name]);
        }
        assert!(!into.exists(), "nothing is restored of it");
    };
    for (number, name) in names(&running).iter().chain([&"MANIFEST.json".to_owned()]).enumerate() {
        let damaged = folder.path().join(format!("damaged-{number}"));
        copy_folder(&running, &damaged);
        let file = damaged.join(name);
        if name != "MANIFEST.json" {
            flip(&file);
            expect_refused(&damaged, name);
            flip(&file);
            cut(&file);
            expect_refused(&damaged, name);
        }
        fs::remove_file(&file).unwrap();
        expect_refused(&damaged, name);
    }
    // Nothing is written over: neither a backup, nor data.
    aggregator.ask(&["backup", text(&running)]).expect_refusal(10, &["not empty"]);
    aggregator.ask(&["restore", text(&running)]).expect_refusal(10, &["mv ", "already"]);
    let _ = aggregator.ask(&["restore", text(&running), "--verify"]).expect_success("verify");
}

/// Times that the aggregator is ended amid a backup, until some of that had reached the folder: what was on its way is lost with it.
const ATTEMPTS: u32 = 20;

/// Ends the aggregator while it hands a backup over; the folder, if a part of it is there.
fn leave_unfinished(site: &mut Site, attempt: u32) -> Option<PathBuf> {
    let point = format!("backup.rows:{}", 14 + attempt % 4);
    site.aggregator.set_variable("HEADWATER_KILL_AT", &point);
    site.aggregator.start_and_wait();
    let backup = site.path(&format!("backup-{attempt}"));
    let done = site.aggregator.ask(&["backup", text(&backup)]);
    until("it ends", || site.aggregator.process().has_ended().is_some());
    site.aggregator.kill();
    if backup.join("MANIFEST.json").exists() || !backup.join("log/log-0.redb").exists() {
        // It ended before it had answered: then the one that is stopped is backed up.
        return None;
    }
    assert!(matches!(done.code, Some(1 | 4)), "{}", done.stderr);
    assert!(done.stderr.contains("no backup"), "{}", done.stderr);
    Some(backup)
}

/// Makes a backup while lines are written, and goes on until it is there.
fn back_up_under_load(site: &mut Site, backup: &Path) {
    let mut command = site.aggregator.command(&["backup", text(backup)]);
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let late = Instant::now() + DEADLINE;
    loop {
        site.write(LINES);
        if let Some(status) = child.try_wait().unwrap() {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(status.success(), "a backup beside intake: {said}");
            eprint!("{said}");
            return;
        }
        assert!(Instant::now() < late, "a backup ends");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Time that the backup does not know of: all of it is acked, and in files of the history.
fn lose_time(site: &mut Site) {
    for _ in 0..3 {
        site.write_and_settle(LINES);
        wait_until_written(site);
    }
}

/// Puts the backup into a data folder that is empty but for the history, which did not go back; that folder.
fn restore(site: &mut Site, backup: &Path) -> PathBuf {
    let checked = site.aggregator.json(&["restore", text(backup), "--verify"]);
    assert!(checked["records"].as_u64() > Some(0), "{checked:#}");
    let (data, aside) = (site.aggregator.data(), site.path("data-before"));
    fs::rename(&data, &aside).unwrap();
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, PermissionsExt::from_mode(0o700)).unwrap();
    fs::rename(aside.join("history"), tables(&site.aggregator)).unwrap();
    let done = site.aggregator.ask(&["restore", text(backup)]).expect_success("restore");
    eprint!("{}", done.stderr);
    data
}

/// What the log does not have was withdrawn, and no file that was there when the backup began.
fn expect_withdrawn(site: &Site, data: &Path, before: &BTreeSet<String>) {
    assert!(site.aggregator.metric("headwater_sink_withdrawn_total") >= 1.0);
    let history = data.join("history");
    assert!(history.join(".withdrawn/table=events").is_dir());
    let withdrawn = files_below(&history.join(".withdrawn"));
    let kept: Vec<&String> = before.iter().filter(|file| !file.starts_with('.')).collect();
    assert!(!kept.is_empty(), "not covered: no file was there before");
    for file in kept {
        assert!(!withdrawn.contains(file), "{file} was in the log that was backed up");
    }
    let of_after = files_below(&history).iter().filter(|file| file.contains("/g1-")).count();
    assert!(of_after > 0, "files after a restore say so in their names");
}

/// Waits until every window is closed: each has the samples that the files have, those of before, within and after the time that
/// was lost, each once.
fn expect_averages(site: &Site) {
    let from = table(&tables(&site.aggregator), "samples");
    let sql = format!(
        "WITH exact AS (
           SELECT epoch_us(time_bucket(INTERVAL '10 seconds', time)) AS start,
                  coalesce(scaled, CAST(round(value * 10 ** scale) AS BIGINT)) AS value
           FROM {from} WHERE metric = 'cpu.busy_ratio')
         SELECT start, count(*) AS samples, CAST(sum(value) AS VARCHAR) AS sum
         FROM exact GROUP BY start ORDER BY start"
    );
    until("every window is closed", || {
        let window = |row: &Value| {
            let sum: i128 = row["sum"].as_str().unwrap().parse().unwrap();
            (row["start"].as_i64().unwrap(), row["samples"].as_u64().unwrap(), sum)
        };
        let files: BTreeSet<_> = query(&sql).iter().map(window).collect();
        let told = explored(&site.aggregator, "cpu.busy_ratio", &["device"]);
        let told: BTreeSet<_> =
            told.into_iter().map(|(place, (_, it))| (place.start_us, it.samples, it.sum)).collect();
        assert!(told.is_subset(&files), "{told:?} are not in {files:?}");
        told == files
    });
}

fn manifest(backup: &Path) -> Value {
    serde_json::from_slice(&fs::read(backup.join("MANIFEST.json")).unwrap()).unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Changes one bit in the middle of a file; twice changes nothing.
fn flip(path: &Path) {
    let mut file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(middle)).unwrap();
    file.write_all(&[byte[0] ^ 0x10]).unwrap();
}

/// Takes the last byte of a file away.
fn cut(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
}

/// The names of all files below a folder, below it.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let (mut names, mut folders) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(at) = folders.pop() {
        // A folder that is being exchanged is there again at once.
        let Ok(entries) = fs::read_dir(&at) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                names.insert(path.strip_prefix(folder).unwrap().display().to_string());
            }
        }
    }
    names
}

fn tables(aggregator: &Aggregator) -> PathBuf {
    aggregator.data().join("history")
}

/// Waits until all that was applied so far is in files; samples go on coming.
fn wait_until_written(site: &Site) {
    let now = jiff::Timestamp::now();
    until("everything is in files", || {
        let sink = site.aggregator.json(&["sinks"])[0].clone();
        let oldest = sink["oldest"].as_str().map(|at| at.parse::<jiff::Timestamp>().unwrap());
        sink["unread_entries"].as_u64() == Some(0) && oldest.is_none_or(|oldest| oldest > now)
    });
}

/// A number that DuckDB finds in a table of the history, or in a query that names one.
fn count(site: &Site, select: &str, from: &str) -> u64 {
    let history = tables(&site.aggregator);
    let from = match from {
        "events" => table(&history, "events"),
        query => query.replace("FROM gaps", &format!("FROM {}", table(&history, "gaps"))),
    };
    query(&format!("{select} {from}"))[0]["n"].as_u64().unwrap()
}

/// What DuckDB finds of the lines that were written.
fn lines_of_files(site: &Site) -> Comparison {
    let from = table(&tables(&site.aggregator), "events");
    let rows = query(&format!(
        "SELECT device, path, source[:12] || '.' || run AS stream, position, part, body,
                base64(body_bytes) AS body_base64
         FROM {from} ORDER BY device, source, run, run_nonce, position"
    ));
    let dump = site.path("lines-of-files");
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    fs::write(&dump, text).unwrap();
    Comparison::of(&dump, &site.witness)
}
