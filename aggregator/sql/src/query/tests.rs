use std::path::Path;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use datafusion::parquet::arrow::ArrowWriter;

use super::*;
use crate::args::Format;
use crate::output;

const DAY: &str = "table=events/dt=2026-11-28/hour=13/shard=07";

fn put(history: &Path, folder: &str, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    std::fs::create_dir_all(history.join(folder)).unwrap();
    std::fs::write(history.join(folder).join(name), writer.into_inner().unwrap()).unwrap();
}

fn texts(texts: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

fn numbers(numbers: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(numbers.to_vec()))
}

/// A history of two builds, and a damaged file in another day.
fn history() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let old = vec![("host", texts(&["a", "b"])), ("position", numbers(&[1, 2]))];
    put(root.path(), DAY, "g0-000000000000-000000000004.parquet", old);
    let new = vec![
        ("extra", numbers(&[7])),
        ("host", texts(&["c"])),
        ("position", numbers(&[3])),
        ("tags", texts(&[r#"{"site":"osl-1"}"#])),
    ];
    put(root.path(), DAY, "g0-000000000004-000000000009.parquet", new);
    let damaged = root.path().join("table=events/dt=2026-11-27/hour=02/shard=07");
    std::fs::create_dir_all(&damaged).unwrap();
    std::fs::write(damaged.join("g0-000000000009-000000000011.parquet"), b"PAR1, cut").unwrap();
    root
}

fn asked(history: &Path, sql: &str) -> Asked {
    Asked {
        sql: sql.to_owned(),
        history: Some(history.to_owned()),
        socket: None,
        memory: 64 << 20,
        timeout: Duration::from_secs(60),
        rest_bytes: 0,
        threads: 2,
    }
}

/// The answer as CSV, and what was left out.
async fn answer(history: &Path, sql: &str) -> Result<(String, usize), Failure> {
    let mut running = start(&asked(history, sql)).await?;
    let mut out = Vec::new();
    output::print(&mut running, (Format::Csv, true), 0, &mut out).await.unwrap();
    Ok((String::from_utf8(out).unwrap(), running.left_out().len()))
}

#[tokio::test]
async fn files_of_several_builds_are_one_table() {
    let history = history();
    let sql = "SELECT count(*), count(extra), max(position), max(tags->>'site') FROM events";
    let (rows, left_out) = answer(history.path(), sql).await.unwrap();
    assert_eq!(rows.lines().nth(1), Some("3,1,3,osl-1"));
    assert_eq!(left_out, 1, "the damaged one");
    let sql = "SELECT host FROM events WHERE tags->>'site' = 'osl-1' AND position BETWEEN 2 AND 9";
    assert_eq!(answer(history.path(), sql).await.unwrap().0, "host\nc\n");
}

#[tokio::test]
async fn folders_whose_path_does_not_pass_are_not_opened() {
    let history = history();
    for condition in ["dt = '2026-11-28'", "hour > 2 AND shard = 7", "dt > DATE '2026-11-27'"] {
        let sql = format!("SELECT count(*) AS n FROM events AS e WHERE {condition}");
        let answer = answer(history.path(), &sql).await.unwrap();
        assert_eq!(answer, ("n\n3\n".to_owned(), 0), "{condition}");
    }
    let sql = "SELECT dt, hour, count(*) AS n FROM events GROUP BY ALL";
    let (rows, left_out) = answer(history.path(), sql).await.unwrap();
    assert_eq!((rows.as_str(), left_out), ("dt,hour,n\n2026-11-28,13,3\n", 1));
}

#[tokio::test]
async fn tables_without_a_file_are_empty_and_others_are_found() {
    let history = history();
    let count = answer(history.path(), "SELECT count(*) AS n FROM samples").await.unwrap();
    assert_eq!(count.0, "n\n0\n");
    put(
        history.path(),
        "table=more/dt=2026-11-28/hour=13/shard=00",
        "g0-000000000000-000000000001.parquet",
        vec![("name", texts(&["x"]))],
    );
    let rows = answer(history.path(), "SELECT name, hour FROM more").await.unwrap();
    assert_eq!(rows.0, "name,hour\nx,13\n");
}

#[tokio::test]
async fn nothing_but_reading_is_planned() {
    let history = history();
    for (sql, exit) in [
        ("DELETE FROM events", Exit::Denied),
        ("EXPLAIN ANALYZE DELETE FROM events", Exit::Denied),
        ("EXPLAIN INSERT INTO events SELECT * FROM events", Exit::Denied),
        ("COPY events TO 'x.csv'", Exit::Denied),
        ("CREATE VIEW v AS SELECT 1", Exit::Denied),
        ("SELECT nothing FROM events", Exit::Usage),
        ("SELECT 1; SELECT 2", Exit::Usage),
        ("", Exit::Usage),
    ] {
        let refused = answer(history.path(), sql).await.unwrap_err();
        assert_eq!(refused.exit, exit, "{sql}: {refused}");
    }
    let _ = answer(history.path(), "EXPLAIN SELECT * FROM events").await.unwrap();
    let shown = answer(history.path(), "SHOW TABLES").await.unwrap().0;
    assert!(shown.contains("gaps"), "{shown}");
    let missing = answer(&history.path().join("nowhere"), "SELECT 1 FROM events").await;
    assert!(missing.unwrap_err().to_string().contains("nowhere"));
}
