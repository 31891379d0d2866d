//! `headwater sinks`: where goes what was applied, and how far each is.

use super::args::{SinkName, Sinks};
use super::client::{Client, encoded};
use super::failure::Failure;
use super::output::table::{Cell, Side, Table, Tone};
use super::output::{Output, units};
use crate::api::rows::SinkRow;

/// Lists sinks, pauses one or lets it go on.
///
/// # Errors
/// What the aggregator says, or that it can't be reached.
pub(super) async fn run(client: &Client, output: &Output, command: Sinks) -> Result<(), Failure> {
    match command {
        Sinks::Status => list(output, &client.get::<Vec<SinkRow>>("/api/v1/sinks").await?),
        Sinks::Pause(sink) => {
            let row = set(client, &sink, "pause").await?;
            output.note(&format!(
                "sink {} is paused, also over a restart; the log keeps what it needs · \
                 headwater sinks resume {}",
                row.name, row.name
            ));
            Ok(())
        }
        Sinks::Resume(sink) => {
            let row = set(client, &sink, "resume").await?;
            output.note(&format!("sink {} goes on where it stood · headwater sinks", row.name));
            Ok(())
        }
    }
}

async fn set(client: &Client, sink: &SinkName, verb: &str) -> Result<SinkRow, Failure> {
    let path = format!("/api/v1/sinks/{}/{verb}", encoded(&sink.name));
    client.post(&path, &serde_json::json!({})).await
}

fn list(output: &Output, rows: &[SinkRow]) -> Result<(), Failure> {
    let now = units::now_us();
    let mut table = Table::new(&[
        ("name", Side::Left),
        ("kind", Side::Left),
        ("state", Side::Left),
        ("rows", Side::Right),
        ("bytes", Side::Right),
        ("waiting", Side::Right),
        ("oldest", Side::Right),
        ("unread", Side::Right),
        ("location", Side::Left),
        ("error", Side::Left),
    ]);
    for row in rows {
        let tone = match row.state.as_str() {
            "running" => Tone::Good,
            "paused" => Tone::Plain,
            _ => Tone::Bad,
        };
        let oldest = match row.oldest {
            Some(oldest) => Cell::both(units::ago(oldest.0, now), units::time(oldest.0)),
            None => "-".into(),
        };
        table.row([
            row.name.as_str().into(),
            row.kind.as_str().into(),
            Cell::from(row.state.as_str()).toned(tone),
            Cell::number(row.rows),
            Cell::both(units::bytes(row.bytes), row.bytes),
            Cell::number(row.waiting_records),
            oldest,
            Cell::number(row.unread_entries),
            row.location.as_str().into(),
            row.error.as_deref().or(row.apart.as_deref()).unwrap_or("-").into(),
        ]);
    }
    output.rows(rows, table)?;
    if rows.is_empty() {
        output.note("no sink: history.location is \"off\" in the aggregator's configuration");
    }
    Ok(())
}
