//! A backup, piece by piece. It is read on a thread of its own, behind everything else that wants a processor.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use http_body_util::channel::Channel;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::{Refusal, chain};
use crate::backup::{Piece, SourceError, Sources, Told, Wanted};
use crate::node::NodeHandle;

/// Pieces that wait for a slow reader: they bound what a backup takes of memory.
const PIECES_MAX: usize = 4;
/// How long a reader may take nothing. One that was stopped must not keep room on the disk for good.
const STALL_MAX: Duration = Duration::from_secs(60);
/// How long it waits for a reader that is behind: four pieces in each such time are more than any disk writes.
const PAUSE: Duration = Duration::from_millis(2);
/// How far it steps back behind other threads.
const NICENESS: i32 = 10;

/// Whether one is under way: each holds what is let go of in the databases on the disk, as long as it takes.
static UNDER_WAY: AtomicBool = AtomicBool::new(false);

/// Ends with the backup, however that ends.
struct UnderWay;

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.store(false, Ordering::Release);
    }
}

/// `GET /backup`
pub(super) async fn run(State(node): State<NodeHandle>) -> Result<Response, Refusal> {
    if UNDER_WAY.swap(true, Ordering::AcqRel) {
        return Err(Refusal::new(StatusCode::CONFLICT, "a backup is under way already")
            .next("once more when that one has ended"));
    }
    let under_way = UnderWay;
    let failed = |error: &dyn std::error::Error| Refusal::failed("cannot make a backup", error);
    let sources = tokio::task::spawn_blocking(move || node.sources()).await;
    let stopping = |_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the aggregator is stopping");
    let sources = sources.map_err(stopping)?.map_err(|error| failed(&error))?;
    let (pieces, mut sent) = mpsc::channel::<Bytes>(PIECES_MAX);
    let (mut sender, body) = Channel::<Bytes>::new(1);
    tokio::spawn(async move {
        while let Some(piece) = sent.recv().await {
            if sender.send_data(piece).await.is_err() {
                return;
            }
        }
    });
    let thread = std::thread::Builder::new().name("backup".to_owned());
    let thread = thread.spawn(move || {
        let _under_way = under_way;
        // A kernel that does not let it has it run like any other.
        let _ = rustix::process::nice(NICENESS);
        read(&sources, &pieces);
    });
    thread.map_err(|error| failed(&error))?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], Body::new(body)).into_response())
}

fn read(sources: &Sources, pieces: &mpsc::Sender<Bytes>) {
    tracing::info!("a backup begins");
    let mut tell = |piece: Piece| {
        let (mut bytes, begun) = (Bytes::from(piece.encode()), Instant::now());
        loop {
            match pieces.try_send(bytes) {
                Ok(()) => return Wanted::More,
                Err(TrySendError::Full(back)) if begun.elapsed() < STALL_MAX => bytes = back,
                Err(TrySendError::Full(_) | TrySendError::Closed(_)) => return Wanted::Nothing,
            }
            std::thread::sleep(PAUSE);
        }
    };
    match sources.send(&mut tell) {
        Ok(()) => tracing::info!("a backup is handed over"),
        Err(error @ SourceError::Unwanted) => {
            tracing::warn!(error = chain(&error), "a backup is not taken to its end");
        }
        Err(error) => {
            let why = chain(&error);
            tracing::error!(error = why, "a backup ends early");
            // Who has gone misses nothing.
            let _ = tell(Piece::Told(Told::Failed { why }));
        }
    }
}
