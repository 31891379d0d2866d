//! The live stream of a page: server-sent events of JSON, which the page's script writes as text.
//!
//! One stream per page that is looked at; hidden pages close theirs. Browsers open six connections to
//! one host at most, so a browser opens four streams; its other pages ask for the same events every few
//! seconds (`once`). Every stream begins with the present state, so nothing is lost by a pause.

mod events;
mod log;
mod watch;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::channel::Channel;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::ConsoleHandle;
use super::access::plain;
use events::Events;
use watch::{Show, Watched};

/// Streams at once. Each holds a task and some KiB; two browsers open eight.
const STREAMS_MAX: usize = 256;
/// How often a page moves. Source: CONSOLE page, section 3: at most twice a second, charts once.
const TICK: Duration = Duration::from_secs(1);
/// A stream that has nothing to say says so, before anything between takes it for dead.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A reader that takes nothing for so long has gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// All streams.
#[derive(Debug)]
pub(super) struct Streams {
    free: Arc<Semaphore>,
    stopped: tokio::sync::watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        let (stopped, _) = tokio::sync::watch::channel(false);
        Self { free: Arc::new(Semaphore::new(STREAMS_MAX)), stopped }
    }
}

impl Streams {
    /// Ends all of them.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }
}

/// `GET /live`
pub(crate) async fn run(
    State(console): State<ConsoleHandle>,
    headers: HeaderMap,
    Query(show): Query<Show>,
) -> Response {
    // Where the stream broke off: only log lines are counted on from there.
    let from = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let once = show.once.is_some();
    let Some(mut watched) = Watched::open(&console, show, from).await else {
        return super::no_device();
    };
    if once {
        let mut events = Events::default();
        watched.first(&mut events).await;
        return answer(Body::from(events.take()));
    }
    let Ok(permit) = Arc::clone(&console.streams().free).try_acquire_owned() else {
        let text = "All 256 live streams are taken; the page asks again by itself.\n";
        let refusal = plain(StatusCode::SERVICE_UNAVAILABLE, text);
        return ([(RETRY_AFTER, "5")], refusal).into_response();
    };
    let (sender, body) = Channel::<Bytes, Infallible>::new(1);
    let stopped = console.streams().stopped.subscribe();
    tokio::spawn(stream(watched, Reader { sender, _permit: permit }, stopped));
    answer(Body::new(body))
}

fn answer(body: Body) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    // Proxies that hold answers back would hold these for ever.
    (headers, [("x-accel-buffering", "no")], body).into_response()
}

/// The far end of a stream.
struct Reader {
    sender: http_body_util::channel::Sender<Bytes, Infallible>,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    /// Writes what there is; `false` once nobody reads.
    async fn write(&mut self, text: Vec<u8>) -> bool {
        let sent = tokio::time::timeout(SEND_TIMEOUT, self.sender.send_data(text.into())).await;
        matches!(sent, Ok(Ok(())))
    }
}

async fn stream(
    mut watched: Watched,
    mut reader: Reader,
    mut stopped: tokio::sync::watch::Receiver<bool>,
) {
    let mut events = Events::default();
    watched.first(&mut events).await;
    if !reader.write(events.take()).await {
        return;
    }
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut spoken = Instant::now();
    loop {
        tokio::select! {
            () = watched.listen() => continue,
            _ = tick.tick() => {}
            _ = stopped.changed() => return,
        }
        watched.next(&mut events).await;
        if events.is_empty() {
            if spoken.elapsed() < HEARTBEAT {
                continue;
            }
            events.beat();
        }
        spoken = Instant::now();
        if !reader.write(events.take()).await {
            return;
        }
    }
}
