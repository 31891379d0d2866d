//! Answers that come line by line, for as long as somebody reads them.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use http_body_util::channel::Channel;
use serde::Serialize;
use tokio::sync::mpsc;

use super::Refusal;

/// The writing end of an answer.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    chunks: mpsc::Sender<Bytes>,
}

/// The reader has gone.
#[derive(Debug)]
pub(super) struct Gone;

impl Lines {
    /// An answer, and the end that writes it.
    pub(super) fn open() -> (Self, Response) {
        let (chunks, mut written) = mpsc::channel::<Bytes>(CHUNKS_MAX);
        let (mut sender, body) = Channel::<Bytes>::new(1);
        tokio::spawn(async move {
            loop {
                // An empty chunk is not sent, but it fails once the reader has gone: so an answer that
                // has nothing to say for hours ends with its reader.
                let next = tokio::time::timeout(LOOK_INTERVAL, written.recv()).await;
                let chunk = match next {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => return,
                    Err(_) => Bytes::new(),
                };
                if sender.send_data(chunk).await.is_err() {
                    return;
                }
            }
        });
        let response = ([(CONTENT_TYPE, "application/x-ndjson")], Body::new(body)).into_response();
        (Self { chunks }, response)
    }

    /// Writes rows, waiting until there is room.
    pub(super) async fn send<T: Serialize>(&self, rows: &[T]) -> Result<(), Gone> {
        match encoded(rows) {
            Some(chunk) => self.chunks.send(chunk).await.map_err(|_| Gone),
            None => Ok(()),
        }
    }

    /// Writes a row if there is room, and says whether there was.
    pub(super) fn offer<T: Serialize>(&self, row: &T) -> bool {
        encoded(std::slice::from_ref(row)).is_some_and(|chunk| self.chunks.try_send(chunk).is_ok())
    }

    /// Writes a row, and what comes behind it, from a thread for blocking work: waits until there is room.
    pub(super) fn send_blocking<T: Serialize>(
        &self,
        row: &T,
        behind: Option<Vec<u8>>,
    ) -> Result<(), Gone> {
        let row = encoded(std::slice::from_ref(row));
        let chunks = row.into_iter().chain(behind.map(Bytes::from));
        chunks.into_iter().try_for_each(|chunk| self.chunks.blocking_send(chunk).map_err(|_| Gone))
    }

    /// Ends the answer with why it ends early.
    pub(super) async fn give_up(self, refusal: Refusal) {
        // A reader that has gone misses nothing.
        let _ = self.send(&[refusal.into_problem()]).await;
    }

    /// Whether the reader has gone.
    pub(super) fn is_closed(&self) -> bool {
        self.chunks.is_closed()
    }

    /// Completes when the reader has gone.
    pub(super) async fn closed(&self) {
        self.chunks.closed().await;
    }
}

fn encoded<T: Serialize>(rows: &[T]) -> Option<Bytes> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, row).expect("a row of text and numbers has a JSON form");
        text.push(b'\n');
    }
    (!text.is_empty()).then(|| text.into())
}

/// Chunks that wait for a slow reader, each of at most one batch.
const CHUNKS_MAX: usize = 4;

/// How often an answer that says nothing looks whether its reader is still there.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
