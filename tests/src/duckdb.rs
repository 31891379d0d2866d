//! DuckDB: an engine that shares no code with us, for what it finds in our files.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// The rows of a query, as objects.
///
/// # Panics
/// If DuckDB is not there, or refuses.
#[must_use]
pub fn query(sql: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("duckdb");
    let python = folder.join(".venv/bin/python");
    assert!(python.exists(), "DuckDB is not there: run packaging/dev/python-modules");
    let mut asked = Command::new(python)
        .arg(folder.join("query.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    asked.stdin.take().unwrap().write_all(sql.as_bytes()).unwrap();
    let answer = asked.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success(), "DuckDB refuses {sql}: {said}");
    let rows = String::from_utf8(answer.stdout).unwrap();
    rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// A table of a history, as a name that a query can select from.
#[must_use]
pub fn table(history: &Path, table: &str) -> String {
    format!(
        "read_parquet('{}/table={table}/**/*.parquet', hive_partitioning = true)",
        history.display()
    )
}
