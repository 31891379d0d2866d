//! The rest: rows of the history that the log holds and no file does yet, for `headwater-sql`.
//!
//! Lines of JSON; behind one that names a file come its bytes.

use std::ops::ControlFlow;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::Refusal;
use super::lines::Lines;
use super::rows::{Moment, RestRow, hex};
use crate::history::{Rest, Table};
use crate::limits::{ByteCount, REST_BYTES_MAX, REST_READERS_MAX};
use crate::node::{NodeHandle, RestPiece};

/// Of what.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    /// Names of tables, separated by commas; those that this build does not know have no rest.
    #[serde(default)]
    tables: String,
    /// Bytes of files, at most; never more than the node's own limit.
    bytes_max: Option<u64>,
}

/// A fold of its own, and a range's rows in memory, for each who reads: more wait.
static READERS: Semaphore = Semaphore::const_new(REST_READERS_MAX);

/// `GET /rest`
pub(super) async fn run(
    State(node): State<NodeHandle>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let history = node.history_place().ok_or_else(|| {
        Refusal::new(StatusCode::NOT_FOUND, "this aggregator keeps no history")
            .cause("history.location is \"off\" in its configuration")
            .next("set it, then headwater serve")
    })?;
    let named: Vec<&str> = wanted.tables.split(',').collect();
    let tables = Rest::TABLES.into_iter().filter(|table| named.contains(&table.name())).collect();
    let bytes_max = ByteCount(wanted.bytes_max.unwrap_or(u64::MAX).min(REST_BYTES_MAX));
    let (lines, response) = Lines::open();
    let permit = READERS.acquire().await;
    tokio::spawn(async move {
        let _permit = permit;
        let row = RestRow::History {
            folder: history.folder.display().to_string(),
            log: hex(&history.log.0),
            tables: Rest::TABLES.map(Table::name).to_vec(),
        };
        // A reader that has gone is told nothing more, here and below.
        if lines.send(&[row]).await.is_err() {
            return;
        }
        let piecewise = lines.clone();
        match node.rest(tables, bytes_max, move |piece| tell(&piecewise, piece)).await {
            Ok(()) => drop(lines.send(&[RestRow::Done {}]).await),
            Err(error) => lines.give_up(Refusal::failed("cannot read the rest", &error)).await,
        }
    });
    Ok(response)
}

fn tell(lines: &Lines, piece: RestPiece) -> ControlFlow<()> {
    let (row, bytes) = match piece {
        RestPiece::Shard { shard, cursor, end } => {
            (RestRow::Shard { shard: shard.0, cursor: cursor.0, end: end.0 }, None)
        }
        RestPiece::File(file) => {
            let bytes = file.bytes.len() as u64;
            (RestRow::File { folder: file.folder, rows: file.rows, bytes }, Some(file.bytes))
        }
        RestPiece::Cut { shard, from_us, entries } => {
            (RestRow::Cut { shard: shard.0, from: Moment(from_us), entries }, None)
        }
    };
    let sent = lines.send_blocking(&row, bytes);
    if sent.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}
