//! The page of sinks: where goes what was applied, how far each is, and what is in its way.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::ConsoleHandle;
use super::access::plain;
use super::page::{Frame, ago, bytes, html, plain_text};
use crate::api::rows::SinkRow;
use crate::cli::client::encoded;
use crate::cli::output::units;
use crate::clock::wall_us;

/// Bytes of an error that are shown; the log has all of it.
const ERROR_BYTES_MAX: usize = 512;

/// A figure of a sink.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(super) struct Tile {
    metric: String,
    #[serde(skip)]
    title: &'static str,
    text: String,
    note: String,
}

/// A sink.
struct Shown {
    row: SinkRow,
    is_paused: bool,
    /// Where its forms go.
    path: String,
    tiles: [Tile; 4],
}

#[derive(Template)]
#[template(path = "sinks.html")]
struct Page {
    frame: Frame,
    sinks: Vec<Shown>,
}

/// `GET /sinks`
pub(crate) async fn page(State(console): State<ConsoleHandle>, frame: Frame) -> Response {
    let now_us = wall_us();
    let shown = |row: SinkRow| Shown {
        is_paused: row.state == "paused",
        path: format!("/sinks/{}", encoded(&row.name)),
        tiles: tiles_of(&row, now_us),
        row,
    };
    let sinks = console.node().sinks().into_iter().map(shown).collect();
    html(&Page { frame: Frame { live: "/live?sinks=all".to_owned(), ..frame }, sinks })
}

/// `POST /sinks/NAME/pause`
pub(crate) async fn pause(
    State(console): State<ConsoleHandle>,
    Path(name): Path<String>,
) -> Response {
    set(&console, &name, true).await
}

/// `POST /sinks/NAME/resume`
pub(crate) async fn resume(
    State(console): State<ConsoleHandle>,
    Path(name): Path<String>,
) -> Response {
    set(&console, &name, false).await
}

async fn set(console: &ConsoleHandle, name: &str, paused: bool) -> Response {
    match console.node().pause_sink(name, paused).await {
        Ok(Some(_)) => (StatusCode::SEE_OTHER, [(LOCATION, "/sinks")]).into_response(),
        Ok(None) => plain(StatusCode::NOT_FOUND, "No such sink. All of them: /sinks\n"),
        Err(error) => {
            let cause = crate::api::chain(&error);
            tracing::warn!(%error, cause, sink = name, paused, "pause a sink, or let it go on");
            let text = "It can't be written down, so nothing has changed; the log says why.\n";
            plain(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

/// The figures of all sinks.
pub(super) fn tiles(console: &ConsoleHandle, now_us: i64) -> Vec<Tile> {
    console.node().sinks().iter().flat_map(|row| tiles_of(row, now_us)).collect()
}

fn tiles_of(row: &SinkRow, now_us: i64) -> [Tile; 4] {
    let tile = |part: &str, title, text, note| {
        let metric = format!("{}.{part}", row.name);
        Tile { metric, title, text, note }
    };
    let mut state = row.state.clone();
    state[..1].make_ascii_uppercase();
    let error = row.error.as_deref().or(row.apart.as_deref()).unwrap_or_default();
    let (error, _) = plain_text(error.as_bytes(), ERROR_BYTES_MAX);
    let tries = match row.tries {
        0 | 1 => error,
        tries => format!("{error} ({tries} tries)"),
    };
    let oldest = row.oldest.as_ref();
    let oldest = oldest.map_or_else(String::new, |it| format!("oldest {}", ago(it.0, now_us)));
    [
        tile("state", "State", state, tries),
        tile("waiting", "Records that wait", units::grouped(row.waiting_records), oldest),
        tile(
            "unread",
            "Entries to read",
            units::grouped(row.unread_entries),
            "of the log".to_owned(),
        ),
        tile(
            "written",
            "Rows written",
            units::grouped(row.rows),
            format!("{} since the start", bytes(row.bytes as f64)),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rows::Moment;

    #[test]
    fn a_sink_that_fails_says_so_first_and_for_how_long() {
        let row = SinkRow {
            name: "history".to_owned(),
            kind: "parquet".to_owned(),
            state: "no room".to_owned(),
            location: "/srv".to_owned(),
            claim: String::new(),
            waiting_records: 12_345,
            unread_entries: 6,
            oldest: Some(Moment(0)),
            ranges: 1,
            rows: 99,
            bytes: 2_048,
            merged: 0,
            apart: None,
            error: Some("write \"/srv/x\": No space left\x1b".to_owned()),
            error_at: Some(Moment(0)),
            tries: 4,
        };
        let [state, waiting, ..] = tiles_of(&row, 90_000_000);
        assert_eq!((state.metric.as_str(), state.text.as_str()), ("history.state", "No room"));
        assert_eq!(state.note, "write \"/srv/x\": No space left\u{241b} (4 tries)");
        assert!(waiting.note.starts_with("oldest ") && waiting.text.contains("345"), "{waiting:?}");
    }
}
