//! `headwater sql`: each row that was applied is in an answer once, wherever it lies at that moment; what is damaged is named; what
//! would hurt is refused.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use headwater_tests::averages::explored;
use headwater_tests::comparison::Comparison;
use headwater_tests::draws::seed_of_this_run;
use headwater_tests::faketime::Shown;
use headwater_tests::process::{Done, run_with_input};
use headwater_tests::site::{Site, files_below};
use headwater_tests::waiting::until;
use serde_json::Value;

/// Short files, so that a test of some minutes has many of them.
const CONFIG: &str = "\n[history]\nevery = \"1s\"\n";
/// Lines that are written at once.
const LINES: u64 = 200;
/// Answers of a history that moves, at least.
const ANSWERS: u32 = 20;
const HOUR_S: i64 = 3_600;

/// Lines, and how many different ones.
const COUNT: &str =
    "SELECT count(*) AS lines, count(DISTINCT concat(device, source, run, ':', position)) AS places
                     FROM events";

#[test]
fn each_row_is_in_every_answer_once_while_files_are_written_and_merged() {
    let seed = seed_of_this_run("sql");
    let mut site = Site::configured(seed, &["alpha", "beta"], CONFIG);
    let (clock, half_past) = site.start_at_half_past();
    let mut asked = 0;
    until("an hour has several files", || {
        site.write(LINES);
        asked += 1;
        expect_each_once(&site);
        files_of(&site, "events").len() >= 6
    });
    clock.set(Shown::Off(half_past + HOUR_S));
    until("the hour is merged, while its rows are counted", || {
        site.write(LINES / 10);
        asked += 1;
        expect_each_once(&site);
        let is_merged = |path: &PathBuf| name_of(path).starts_with('m');
        asked >= ANSWERS && files_of(&site, "events").iter().any(is_merged)
    });
    site.settle();
    expect_each_once(&site);
    lines_of(&site).expect_exactly_once(&site.witness);
    let _ = site.aggregator.expect_clean_audit();
}

/// That an answer has every line that the ledger knew before it was asked, none that was not written, and each once.
fn expect_each_once(site: &Site) {
    let known = site.aggregator.lines_read();
    let rows = ask(site, COUNT);
    let (lines, places) = (number(&rows[0], "lines"), number(&rows[0], "places"));
    assert_eq!(lines, places, "each line is there once");
    let written = site.witness.lines();
    assert!((known..=written).contains(&lines), "{lines} of {known} known, {written} written");
}

#[test]
fn rows_half_in_files_and_half_in_the_log_make_the_sums_that_the_aggregator_tells() {
    let seed = seed_of_this_run("sql");
    let mut site = Site::configured(seed, &["alpha"], CONFIG);
    site.agent.start();
    site.write_and_settle(LINES);
    until("some rows are in files", || !files_of(&site, "samples").is_empty());
    let _ = site.aggregator.ask(&["sinks", "pause", "history"]).expect_success("pause");
    until("the sink is paused", || site.aggregator.json(&["sinks"])[0]["state"] == "paused");
    site.write_and_settle(LINES);
    until("it has not taken what came", || {
        site.aggregator.json(&["sinks"])[0]["unread_entries"].as_u64() > Some(0)
    });
    lines_of(&site).expect_exactly_once(&site.witness);
    let in_files = ask(&site, &format!("{COUNT} WHERE range_first < 0"));
    assert_eq!(number(&in_files[0], "lines"), 0);
    site.agent.stop();
    until("every window is closed, and has the sum of its samples", || {
        let files = averages(&site);
        let told = explored(&site.aggregator, "cpu.busy_ratio", &["device"]);
        let told: BTreeSet<_> = told
            .into_iter()
            .map(|(place, (_, it))| (place.start_us, it.samples, it.sum, it.min, it.max))
            .collect();
        assert!(told.is_subset(&files), "{told:?} are not in {files:?}");
        told.len() == files.len()
    });

    // What the log holds and no file does can't be had of files alone, which is said.
    let all = number(&ask(&site, COUNT)[0], "lines");
    site.aggregator.stop();
    let done = site.aggregator.ask(&["sql", COUNT, "--json"]).expect_success("files alone");
    assert!(number(&done.json()[0], "lines") < all, "{}", done.stdout);
    assert!(done.stderr.contains("no aggregator answers"), "{}", done.stderr);
}

#[test]
fn more_rows_than_there_is_room_for_are_told_to_be_missing() {
    let seed = seed_of_this_run("sql");
    let mut site = Site::configured(seed, &["alpha"], CONFIG);
    let _ = site.aggregator.ask(&["sinks", "pause", "history"]).expect_success("pause");
    site.agent.start();
    site.write_and_settle(LINES);
    assert_eq!(number(&ask(&site, COUNT)[0], "lines"), site.witness.lines());
    let done = site.aggregator.ask(&["sql", COUNT, "--rest", "0B"]);
    assert_eq!(done.code, Some(8), "{}", done.stderr);
    assert!(done.stderr.contains("are missing"), "{}", done.stderr);
}

#[test]
fn a_damaged_file_is_named_and_left_out_and_the_others_are_read() {
    let seed = seed_of_this_run("sql");
    let mut site = Site::configured(seed, &["alpha"], CONFIG);
    site.agent.start();
    until("there are files", || {
        site.write_and_settle(LINES);
        files_of(&site, "events").len() >= 3
    });
    site.agent.stop();
    site.aggregator.stop();
    let all = files_alone(&site, COUNT).expect_success("whole files");
    let files = files_of(&site, "events");
    let (cut, altered) = (&files[0], &files[1]);
    let bytes = fs::read(cut).unwrap();
    fs::write(cut, &bytes[..bytes.len() / 2]).unwrap();
    let mut bytes = fs::read(altered).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::write(altered, &bytes).unwrap();
    let done = files_alone(&site, COUNT);
    assert_eq!(done.code, Some(8), "{}{}", done.stdout, done.stderr);
    for path in [cut, altered] {
        assert!(done.stderr.contains(&name_of(path)), "{}", done.stderr);
    }
    let (left, all) = (number(&done.json()[0], "lines"), number(&all.json()[0], "lines"));
    assert!(0 < left && left < all, "{left} of {all}");
    // Who asks for what is elsewhere is not bothered.
    let _ = files_alone(&site, "SELECT count(*) FROM gaps").expect_success("another table");
}

#[test]
fn a_query_only_reads_and_has_limits_that_it_names() {
    let seed = seed_of_this_run("sql");
    let mut site = Site::configured(seed, &["alpha"], CONFIG);
    site.agent.start();
    site.write_and_settle(LINES);
    let sql = |words: &[&str]| site.aggregator.ask(&[&["sql"], words].concat());
    for verb in [
        "DELETE FROM events",
        "DROP TABLE events",
        "CREATE TABLE t AS SELECT * FROM events",
        "INSERT INTO events SELECT * FROM events",
        "UPDATE events SET host = 'x'",
        "COPY events TO '/tmp/never.csv'",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN ANALYZE INSERT INTO events SELECT * FROM events",
    ] {
        sql(&[verb]).expect_refusal(5, &["only read"]);
    }
    sql(&["SELECT 1; SELECT 2"]).expect_refusal(2, &["more than one"]);
    sql(&["SELEKT"]).expect_refusal(2, &["no SQL"]);
    sql(&["SELECT * FROM nowhere"]).expect_refusal(2, &["nowhere", "SHOW TABLES"]);
    sql(&["SELECT * FROM '/etc/passwd'"]).expect_refusal(2, &["/etc/passwd"]);
    let endless =
        "SELECT count(*) FROM generate_series(1, 1000000000000) AS t(value) WHERE value % 7 = 3";
    sql(&[endless, "--timeout", "1s"]).expect_refusal(4, &["--timeout", "longer"]);
    let large = "SELECT value * 7919 % 100000007 AS v FROM generate_series(1, 10000000) AS t(value) ORDER BY v";
    sql(&[large, "--memory", "16MiB"]).expect_refusal(1, &["--memory 16MiB", "more memory"]);
    let cut = sql(&["SELECT * FROM generate_series(1, 100)", "--limit", "7", "--csv"]);
    let cut = cut.expect_success("a limit of rows");
    assert_eq!(cut.stdout.lines().count(), 8, "{}", cut.stdout);
    assert!(cut.stderr.contains("--limit 0"), "{}", cut.stderr);
}

#[test]
fn answers_have_the_format_that_was_asked_for() {
    let seed = seed_of_this_run("sql");
    let mut site = Site::configured(seed, &["alpha"], CONFIG);
    site.agent.start();
    site.write_and_settle(LINES);
    let query =
        "SELECT tags->>'host.name' AS host, max(position) AS last, min(time) AS time FROM events
                 WHERE path LIKE '%alpha%' GROUP BY 1";
    let rows = ask(&site, query);
    let time: jiff::Timestamp = rows[0]["time"].as_str().unwrap().parse().unwrap();
    assert!(time < jiff::Timestamp::now());
    let asked = |words: &[&str]| {
        let done = site.aggregator.ask(&[&["sql", query], words].concat());
        done.expect_success("a format").stdout
    };
    let lines = asked(&["--ndjson"]);
    assert_eq!(lines.lines().count(), 1);
    assert_eq!(serde_json::from_str::<Value>(&lines).unwrap()["last"], rows[0]["last"]);
    let csv = asked(&["--csv"]);
    assert!(csv.starts_with("host,last,time\n"), "{csv}");
    assert!(asked(&[]).starts_with("host\tlast\ttime\n"));
    assert!(asked(&["--arrow"]).starts_with("\u{fffd}\u{fffd}\u{fffd}\u{fffd}"), "a continuation");
    let mut piped = site.aggregator.command(&["sql", "-", "--json"]);
    assert_eq!(run_with_input(&mut piped, query).json()[0]["last"], rows[0]["last"]);
    let tables = ask(&site, "SHOW TABLES");
    let names: BTreeSet<&str> =
        tables.iter().filter_map(|row| row["table_name"].as_str()).collect();
    assert!(names.is_superset(&["events", "gaps", "samples"].into()), "{names:?}");
    assert_eq!(ask(&site, "DESCRIBE events")[0]["column_name"], "time");
    let helped = site.aggregator.ask(&["sql", "--help"]).expect_success("help").stdout;
    assert!(helped.starts_with("Examples:"), "{helped}");
}

/// The rows of a query, as objects.
fn ask(site: &Site, query: &str) -> Vec<Value> {
    let done = site.aggregator.ask(&["sql", query, "--json", "--limit", "0", "--timeout", "5m"]);
    done.expect_success(query).json().as_array().unwrap().clone()
}

/// The same of files alone, however it ends.
fn files_alone(site: &Site, query: &str) -> Done {
    site.aggregator.ask(&["sql", query, "--json"])
}

fn number(row: &Value, key: &str) -> u64 {
    row[key].as_u64().unwrap_or_else(|| panic!("{key} of {row}"))
}

/// Files of a table, in order.
fn files_of(site: &Site, table: &str) -> Vec<PathBuf> {
    files_below(&site.aggregator.data().join(format!("history/table={table}")))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// What `headwater sql` finds of the lines that were written.
fn lines_of(site: &Site) -> Comparison {
    let query = "SELECT device, path, concat(substr(source, 1, 12), '.', run) AS stream, position, part, body,
                        body_bytes AS body_base64
                 FROM events ORDER BY device, source, run, run_nonce, position";
    let dump = site.path("lines-of-sql");
    let text: String = ask(site, query).iter().map(|row| format!("{row}\n")).collect();
    fs::write(&dump, text).unwrap();
    Comparison::of(&dump, &site.witness)
}

/// Start, samples, sum, least and most of each window of the processor's use.
fn averages(site: &Site) -> BTreeSet<(i64, u64, i128, i64, i64)> {
    let query = "WITH exact AS (
                   SELECT date_bin(INTERVAL '10 seconds', time) AS start,
                          coalesce(scaled, CAST(round(value * power(10, scale)) AS BIGINT)) AS value
                   FROM samples WHERE metric = 'cpu.busy_ratio')
                 SELECT start, count(*) AS samples, sum(CAST(value AS DECIMAL(38, 0))) AS sum,
                        min(value) AS least, max(value) AS most
                 FROM exact GROUP BY start";
    let window = |row: &Value| {
        let start: jiff::Timestamp = row["start"].as_str().unwrap().parse().unwrap();
        let sum = row["sum"].as_str().unwrap().parse().unwrap();
        let value = |key: &str| row[key].as_i64().unwrap();
        let samples = number(row, "samples");
        (start.as_microsecond(), samples, sum, value("least"), value("most"))
    };
    ask(site, query).iter().map(window).collect()
}
