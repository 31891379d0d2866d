//! What was applied stays in files: whatever is killed, an engine that shares no code with us finds each line in them once,
//! and makes of the samples the averages that the aggregator tells, to the last digit.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use headwater_tests::aggregator::Aggregator;
use headwater_tests::averages::explored;
use headwater_tests::comparison::Comparison;
use headwater_tests::draws::{Draws, seed_of_this_run};
use headwater_tests::duckdb::{query, table};
use headwater_tests::faketime::{Shown, true_s};
use headwater_tests::site::{Site, copy_folder, files_below};
use headwater_tests::waiting::until;
use serde_json::Value;

/// Short files, so that a test of some minutes has many of them.
const CONFIG: &str =
    "\n[history]\nevery = \"1s\"\n[window]\ncombinations = [[\"agent.version\"]]\n";
/// Lines that are written at once, until the program has ended.
const LINES: u64 = 300;
/// Where the aggregator ends, and where it ends again when it is started after that.
const POINTS: [(&str, &str); 6] = [
    ("sink.decided", "sink.decided"),
    ("history.file_written", "sink.written"),
    ("sink.written", "history.file_written"),
    ("log.after_commit", "sink.decided"),
    ("history.averages_written", "merge.after_commit"),
    ("merge.before_commit", "history.averages_written"),
];
/// Times that it is killed at any moment.
const KILLS: u32 = 8;

#[test]
fn whatever_is_killed_files_hold_each_line_once_and_the_samples_of_every_average() {
    let seed = seed_of_this_run("history");
    let mut draws = Draws::new(seed, 1);
    let mut site = Site::configured(seed, &["alpha", "beta"], CONFIG);
    site.agent.start();
    for (first, again) in POINTS {
        eprintln!("{first}, then {again}");
        for point in [format!("{first}:{}", draws.of(1..6)), format!("{again}:1")] {
            site.end_aggregator_at(&point, LINES);
        }
    }
    site.aggregator.kill();
    site.aggregator.set_variable("HEADWATER_KILL_AT", "");
    for _ in 0..KILLS {
        site.aggregator.start_and_wait();
        let until = Instant::now() + draws.millis(300..2_500);
        while Instant::now() < until {
            site.write(LINES);
            std::thread::sleep(Duration::from_millis(50));
        }
        site.aggregator.kill();
    }
    site.aggregator.start_and_wait();
    site.settle();
    wait_until_written(&site);
    lines_of(&site).expect_exactly_once(&site.witness);
    assert_eq!(rows(&site, "gaps"), 0, "nothing was lost");
    assert_eq!(holes(&site), 0, "each line ends where the next one begins");

    site.agent.stop();
    wait_until_written(&site);
    expect_averages(&site);
    let _ = site.aggregator.expect_clean_audit();
}

/// Waits until every window is closed: DuckDB makes of the files what the aggregator tells.
fn expect_averages(site: &Site) {
    until("every window is closed", || {
        let files = averages(site);
        let told = explored(&site.aggregator, "cpu.busy_ratio", &["device"]);
        let told: Vec<_> = told
            .into_iter()
            .map(|(place, (_, it))| (place.start_us, it.samples, it.sum, it.min, it.max))
            .collect();
        assert!(told.iter().all(|it| files.contains(it)), "{told:?} are not in {files:?}");
        told.len() == files.len()
    });
    until("averages in files are those of the samples in files", || {
        let (series, differing) = averages_in_files(site);
        series > 0 && differing == 0
    });
    let sql = "SELECT count(*) AS n, sum(sum_scaled) AS total FROM averages WHERE NOT late";
    let done = site.aggregator.ask(&["sql", sql, "--json"]).expect_success("averages by SQL");
    let from = table(&history(&site.aggregator), "averages");
    let sql =
        format!("SELECT count(*) AS n, CAST(sum(sum_scaled) AS VARCHAR) AS total FROM {from}");
    let (ours, others) = (&done.json()[0], &query(&sql)[0]);
    assert_eq!((&ours["n"], &ours["total"]), (&others["n"], &others["total"]));
}

/// Windows of series that DuckDB finds samples of, and those of them that the table of averages tells otherwise, or alone.
fn averages_in_files(site: &Site) -> (u64, u64) {
    let files = history(&site.aggregator);
    if !files.join("table=averages").exists() {
        return (0, 0);
    }
    let (samples, averages) = (table(&files, "samples"), table(&files, "averages"));
    let sql = format!(
        "WITH exact AS (
           SELECT epoch_us(time_bucket(INTERVAL '10 seconds', time)) AS start, metric, labels, scale,
                  coalesce(scaled, CAST(round(value * 10 ** scale) AS BIGINT)) AS value
           FROM {samples}),
         added AS (
           SELECT start, metric, labels, scale, count(*) AS n, CAST(sum(value) AS HUGEINT) AS total,
                  min(value) AS least, max(value) AS most
           FROM exact GROUP BY ALL),
         told AS (
           SELECT epoch_us(time) AS start, metric, labels, scale, sum(count) AS n,
                  CAST(sum(sum_scaled) AS HUGEINT) AS total,
                  min(coalesce(min_scaled, CAST(round(min * 10 ** scale) AS BIGINT))) AS least,
                  max(coalesce(max_scaled, CAST(round(max * 10 ** scale) AS BIGINT))) AS most
           FROM {averages} WHERE combination = 'agent.version' GROUP BY ALL)
         SELECT (SELECT count(*) FROM added) AS series, count(*) AS differing
         FROM added AS a FULL JOIN told AS t
           ON (a.start, a.metric, a.labels, a.scale) = (t.start, t.metric, t.labels, t.scale)
         WHERE (a.n, a.total, a.least, a.most) IS DISTINCT FROM (t.n, t.total, t.least, t.most)"
    );
    let found = &query(&sql)[0];
    (found["series"].as_u64().unwrap(), found["differing"].as_u64().unwrap())
}

#[test]
fn a_sink_that_is_paused_or_has_no_folder_holds_up_nothing_and_goes_on_where_it_stood() {
    let seed = seed_of_this_run("history");
    let mut site = Site::configured(seed, &["alpha"], CONFIG);
    site.agent.start();
    site.write_and_settle(LINES);
    wait_until_written(&site);
    let _ = site.aggregator.ask(&["sinks", "pause", "history"]).expect_success("pause");
    // What was being written when it was told is written first.
    until("it is paused", || sink(&site)["state"] == "paused");
    let before = rows(&site, "events");
    site.write_and_settle(LINES);
    site.aggregator.stop();
    site.aggregator.start_and_wait();
    site.write_and_settle(LINES);
    until("it sees what it does not take", || sink(&site)["unread_entries"].as_u64() > Some(0));
    assert_eq!(sink(&site)["state"], "paused", "also over a restart");
    assert_eq!(rows(&site, "events"), before);
    site.aggregator.ask(&["sinks", "resume", "bus"]).expect_refusal(6, &["no sink \"bus\""]);

    // Where its folder should be is something else.
    site.aggregator.stop();
    let (folder, elsewhere) = (history(&site.aggregator), site.path("elsewhere"));
    fs::rename(&folder, &elsewhere).unwrap();
    fs::write(&folder, b"a file").unwrap();
    site.aggregator.start_and_wait();
    let _ = site.aggregator.ask(&["sinks", "resume", "history"]).expect_success("resume");
    until("it says what is in its way", || sink(&site)["state"] == "failing");
    let error = sink(&site)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("history"), "{error}");
    assert!(site.aggregator.metric("headwater_sink_errors_total") >= 1.0);
    site.write_and_settle(LINES);
    fs::remove_file(&folder).unwrap();
    fs::rename(&elsewhere, &folder).unwrap();
    wait_until_written(&site);
    lines_of(&site).expect_exactly_once(&site.witness);
    assert_eq!(sink(&site)["error"], Value::Null);
}

#[test]
fn what_a_restored_aggregator_never_had_is_withdrawn_and_comes_again() {
    let seed = seed_of_this_run("history");
    let mut site = Site::configured(seed, &["alpha"], CONFIG);
    site.agent.start();
    site.write_and_settle(LINES);
    wait_until_written(&site);
    site.aggregator.stop();
    let (data, copy) = (site.aggregator.data(), site.path("backup"));
    copy_folder(&data, &copy);
    site.aggregator.start_and_wait();
    for _ in 0..3 {
        site.write_and_settle(LINES);
        wait_until_written(&site);
    }
    site.aggregator.stop();
    // All but the history goes back.
    let (kept, files) = (site.path("kept"), history(&site.aggregator));
    fs::rename(&files, &kept).unwrap();
    fs::remove_dir_all(&data).unwrap();
    copy_folder(&copy, &data);
    fs::remove_dir_all(&files).unwrap();
    fs::rename(&kept, &files).unwrap();
    site.aggregator.start_and_wait();
    site.write_and_settle(LINES);
    wait_until_written(&site);
    lines_of(&site).expect_exactly_once(&site.witness);
    assert!(site.aggregator.metric("headwater_sink_withdrawn_total") >= 1.0);
    assert!(files.join(".withdrawn/table=events").is_dir());
}

/// Where the aggregator ends while it merges the files of an hour; the one before the last is passed when it starts after that.
const POINTS_OF_MERGES: [&str; 5] = [
    "history.merged_file_written",
    "history.next_folder_complete",
    "history.folder_exchanged",
    "history.old_file_deleted",
    "history.folder_exchanged",
];
const HOUR_S: i64 = 3_600;

#[test]
fn hours_that_have_ended_are_merged_and_hold_each_line_once_wherever_that_was_interrupted() {
    let seed = seed_of_this_run("history");
    let mut site = Site::configured(seed, &["alpha", "beta"], CONFIG);
    let (clock, half_past) = site.start_at_half_past();
    let ended_at = half_past + HOUR_S;
    let hour = history(&site.aggregator).join(folder_of_hour("events", half_past));
    until("an hour has several files", || {
        site.write_and_settle(LINES);
        files_below(&hour).len() >= 4
    });

    clock.set(Shown::Off(ended_at));
    for point in POINTS_OF_MERGES {
        eprintln!("{point}");
        site.end_aggregator_at(&format!("{point}:1"), LINES);
    }
    site.aggregator.kill();
    site.aggregator.set_variable("HEADWATER_KILL_AT", "");
    site.aggregator.start_and_wait();
    site.settle();
    for table in ["events", "samples"] {
        let hour = history(&site.aggregator).join(folder_of_hour(table, half_past));
        until("the hour is one file of each table", || files_below(&hour).len() == 1);
    }
    wait_until_written_by(&site, ended_at);
    lines_of(&site).expect_exactly_once(&site.witness);
    assert_eq!(rows(&site, "gaps"), 0, "nothing was lost");
    assert_eq!(holes(&site), 0, "each line ends where the next one begins");
    assert_eq!(sink(&site)["apart"], Value::Null);
    site.agent.stop();
    wait_until_written_by(&site, ended_at);
    expect_averages(&site);
    let _ = site.aggregator.expect_clean_audit();
}

/// The folder of the hour that a clock shows that is off by so many seconds.
fn folder_of_hour(table: &str, off_s: i64) -> String {
    let at = jiff::Timestamp::from_second(true_s() + off_s).unwrap();
    let at = at.to_zoned(jiff::tz::TimeZone::UTC);
    format!("table={table}/dt={}/hour={:02}", at.date(), at.hour())
}

fn history(aggregator: &Aggregator) -> PathBuf {
    aggregator.data().join("history")
}

fn sink(site: &Site) -> Value {
    site.aggregator.json(&["sinks"])[0].clone()
}

/// Waits until all that was applied so far is in files; samples go on coming.
fn wait_until_written(site: &Site) {
    wait_until_written_by(site, 0);
}

/// The same, where the aggregator's clock is off by so many seconds.
fn wait_until_written_by(site: &Site, off_s: i64) {
    let now = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(off_s);
    until("everything is in files", || {
        let sink = sink(site);
        let oldest = sink["oldest"].as_str().map(|at| at.parse::<jiff::Timestamp>().unwrap());
        sink["unread_entries"].as_u64() == Some(0) && oldest.is_none_or(|oldest| oldest > now)
    });
}

fn rows(site: &Site, name: &str) -> u64 {
    let files = history(&site.aggregator);
    if !files.join(format!("table={name}")).exists() {
        return 0;
    }
    query(&format!("SELECT count(*) AS n FROM {}", table(&files, name)))[0]["n"].as_u64().unwrap()
}

/// What DuckDB finds of the lines that were written.
fn lines_of(site: &Site) -> Comparison {
    let from = table(&history(&site.aggregator), "events");
    let sql = format!(
        "SELECT device, path, source[:12] || '.' || run AS stream, position, part, body,
                base64(body_bytes) AS body_base64
         FROM {from} ORDER BY device, source, run, run_nonce, position"
    );
    let dump = site.path("lines-of-files");
    write_lines(&dump, &query(&sql));
    Comparison::of(&dump, &site.witness)
}

/// Lines that do not end where the next one of their file begins, by what the handbook says of ends.
fn holes(site: &Site) -> u64 {
    let from = table(&history(&site.aggregator), "events");
    let sql = format!(
        "WITH ends AS (
           SELECT coalesce(position_end, position + octet_length(coalesce(encode(body), body_bytes))
                    + CASE part WHEN 'whole' THEN 1 WHEN 'whole-crlf' THEN 2 ELSE 0 END) AS ends,
                  lead(position) OVER (PARTITION BY device, source, run, run_nonce ORDER BY position) AS next
           FROM {from})
         SELECT count(*) AS n FROM ends WHERE ends <> next"
    );
    query(&sql)[0]["n"].as_u64().unwrap()
}

fn write_lines(to: &Path, rows: &[Value]) {
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    fs::write(to, text).unwrap();
}

/// Start, samples, sum, least and most of each window of the processor's use, as DuckDB adds it up.
fn averages(site: &Site) -> Vec<(i64, u64, i128, i64, i64)> {
    let from = table(&history(&site.aggregator), "samples");
    let sql = format!(
        "WITH exact AS (
           SELECT epoch_us(time_bucket(INTERVAL '10 seconds', time)) AS start,
                  coalesce(scaled, CAST(round(value * 10 ** scale) AS BIGINT)) AS value
           FROM {from} WHERE metric = 'cpu.busy_ratio')
         SELECT start, count(*) AS samples, CAST(sum(value) AS VARCHAR) AS sum,
                min(value) AS least, max(value) AS most
         FROM exact GROUP BY start ORDER BY start"
    );
    let number = |row: &Value, key: &str| row[key].as_i64().unwrap();
    let window = |row: &Value| {
        let sum = row["sum"].as_str().unwrap().parse().unwrap();
        let (start_us, samples) = (number(row, "start"), row["samples"].as_u64().unwrap());
        (start_us, samples, sum, number(row, "least"), number(row, "most"))
    };
    query(&sql).iter().map(window).collect()
}
