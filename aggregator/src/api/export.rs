//! Original files, put together again from what is stored of them.
//!
//! Files of the history up to where its sink stands, the log from there on. Each run of a path is a file by itself: its lines stand
//! where they stood, and what is not there is named in its place.

mod assembly;
mod runs;

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use axum::extract::{Query, State};
use axum::response::Response;
use headwater_protocol::position::Stream;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::Refusal;
use super::devices::sources;
use super::lines::Lines;
use super::rows::{ExportRow, LeftOutRow, Moment, RunRow, stream_word};
use crate::history::read::Times;
use crate::node::{DeviceView, NodeHandle};
use assembly::Assembly;
use runs::{FoundRun, Stored, Trouble};

/// Which file.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Wanted {
    /// Name or id.
    device: String,
    /// Path, when the file was first read.
    path: String,
    /// From this time on, microseconds since 1970 UTC.
    from_us: Option<i64>,
    /// Up to this time, without it.
    to_us: Option<i64>,
    /// Only this run, from 1.
    run: Option<u32>,
}

/// `GET /export/file`
pub(super) async fn run(
    State(node): State<NodeHandle>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    let device = node.device(&wanted.device).await;
    let device = device.ok_or_else(|| Refusal::no_device(&wanted.device))?;
    let (lines, response) = Lines::open();
    tokio::spawn(answer(node, device, wanted, lines));
    Ok(response)
}

/// What a thread that waits for the disk has found.
enum Piece {
    Rows(Vec<ExportRow>),
    LeftOut(Vec<String>),
}

async fn answer(node: NodeHandle, device: DeviceView, wanted: Wanted, lines: Lines) {
    let (sender, mut pieces) = mpsc::channel(PIECES_AHEAD);
    let export = Export { device, wanted, sender };
    let exported = tokio::task::spawn_blocking(move || export.run(node));
    while let Some(piece) = pieces.recv().await {
        let sent = match piece {
            Piece::Rows(rows) => lines.send(&rows).await,
            Piece::LeftOut(files) => {
                let rows = files.into_iter().map(|left_out| LeftOutRow { left_out });
                lines.send(&rows.collect::<Vec<_>>()).await
            }
        };
        // A reader that has gone is told nothing; the thread ends as it finds nobody to hand over to.
        if sent.is_err() {
            return;
        }
    }
    let trouble: Trouble = match exported.await {
        Ok(Ok(())) => return,
        Ok(Err(trouble)) => trouble,
        Err(error) => error.into(),
    };
    lines.give_up(Refusal::failed("cannot put the file together", &*trouble)).await;
}

/// Pieces that wait for a slow reader.
const PIECES_AHEAD: usize = 4;

struct Export {
    device: DeviceView,
    wanted: Wanted,
    sender: mpsc::Sender<Piece>,
}

impl Export {
    fn run(&self, node: NodeHandle) -> Result<(), Trouble> {
        let Wanted { path, from_us, to_us, run, .. } = self.wanted.clone();
        let whole = Times::default();
        let times = Times {
            from_us: from_us.unwrap_or(whole.from_us),
            to_us: to_us.unwrap_or(whole.to_us),
        };
        // Before anything is read: what the ledger has is there then.
        let marks = marks(&self.device);
        let whose = (self.device.shard, self.device.id);
        let mut stored = Stored::open(node, whose, (path, times), sources(&self.device))?;
        let (found, mut gaps) = stored.find()?;
        self.hand_over(Piece::LeftOut(stored.take_left_out()))?;
        let of = u32::try_from(found.len()).unwrap_or(u32::MAX);
        for (number, found) in (1..).zip(&found) {
            if run.is_some_and(|run| run != number) {
                continue;
            }
            self.hand_over(Piece::Rows(vec![head(found, (number, of))]))?;
            let from = from_us.is_none().then_some(0);
            let mut assembly = Assembly::new(from, gaps.remove(&found.stream).unwrap_or_default());
            let mut trouble = None;
            stored.read(found, |row| {
                let taken = assembly.take(&row).map_err(Trouble::from);
                let done = taken.and_then(|()| self.hand_over(Piece::Rows(assembly.take_rows())));
                trouble = done.err();
                if trouble.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })?;
            if let Some(trouble) = trouble {
                return Err(trouble);
            }
            let end = to_us.is_none().then(|| marks.get(&found.stream).copied()).flatten();
            assembly.finish(end);
            self.hand_over(Piece::Rows(assembly.take_rows()))?;
        }
        Ok(())
    }

    fn hand_over(&self, piece: Piece) -> Result<(), Trouble> {
        let is_empty = match &piece {
            Piece::Rows(rows) => rows.is_empty(),
            Piece::LeftOut(files) => files.is_empty(),
        };
        if is_empty {
            return Ok(());
        }
        self.sender.blocking_send(piece).map_err(|_| "the reader has gone".into())
    }
}

/// How far each stream was applied.
fn marks(device: &DeviceView) -> BTreeMap<Stream, u64> {
    let streams = device.lanes.iter().flat_map(|lane| &lane.streams);
    streams.map(|known| (known.stream, known.mark.position)).collect()
}

fn head(run: &FoundRun, (number, of): (u32, u32)) -> ExportRow {
    let (first, last) = (Moment(run.first_us), Moment(run.last_us));
    ExportRow::Run(RunRow { number, of, stream: stream_word(run.stream), first, last })
}
