//! Two live sessions of one identity: a reconnect, or a cloned host.
//!
//! The older session is asked whether its process is alive. Silence means that it is not, or can't be
//! reached any more: the newer one takes over. An answer means that two hosts use one identity: neither is
//! served until a person has decided, and what each has not delivered waits in its spool and its files.

use std::sync::Arc;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::wire::{CloseCode, Frame};
use quinn::{Connection, RecvStream, SendStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Context;
use super::fault::{End, PeerFault};
use super::frames;
use super::sessions::Session;
use crate::clock::wall_us;
use crate::limits::{CLONE_HOLD, PROBE_TIMEOUT};
use crate::registry::Actor;

/// Asks a session, once, whether its process is alive.
#[derive(Debug)]
pub(super) struct Question(oneshot::Sender<oneshot::Sender<()>>);

/// Where a session is asked.
#[derive(Debug)]
pub(super) struct Asked(oneshot::Receiver<oneshot::Sender<()>>);

/// A question, and where it arrives.
pub(super) fn question() -> (Question, Asked) {
    let (question, asked) = oneshot::channel();
    (Question(question), Asked(asked))
}

impl Question {
    /// Whether the process answered in time.
    async fn ask(self) -> bool {
        let (answer, answered) = oneshot::channel();
        // A session that has ended answers nothing.
        drop(self.0.send(answer));
        matches!(timeout(PROBE_TIMEOUT, answered).await, Ok(Ok(())))
    }
}

/// Serves the session's own stream until something comes that has no place there, or it breaks.
pub(super) async fn answer(asked: Asked, (mut send, mut recv): (SendStream, RecvStream)) -> End {
    // Zero would be a number that another process can guess: worth nothing, but no worse than silence.
    let probe = getrandom::u64().unwrap_or_default();
    let (alive, answered) = oneshot::channel();
    let asking = async {
        if let Ok(question) = asked.0.await {
            if let Err(end) = frames::write(&mut send, &Frame::Probe(probe).encode()).await {
                return end;
            }
            if answered.await.is_ok() {
                // Whoever asked may have lost patience.
                let _ = question.send(());
            }
        }
        std::future::pending().await
    };
    let reading = async {
        let mut alive = Some(alive);
        loop {
            match frames::read(&mut recv).await {
                Ok(Some((Frame::Alive(answer), _))) if answer.probe == probe => {
                    alive.take().map(|alive| alive.send(()));
                }
                Ok(Some((other, _))) => {
                    let (found, expected) = (frames::name(&other), "an answer to a probe");
                    return PeerFault::Unexpected { found, expected }.into();
                }
                Ok(None) => return std::future::pending().await,
                Err(end) => return end,
            }
        }
    };
    tokio::select! {
        end = asking => end,
        end = reading => end,
    }
}

/// Decides between an older session of a device and a newer one of another process. Returns once nothing
/// of the newer one need wait any longer: a live twin answers within a round trip, and a host that was
/// killed and comes back is not kept waiting for the whole time of a probe.
pub(super) async fn tell_apart(
    context: &Arc<Context>,
    device: DeviceId,
    older: Session,
    newer: &Connection,
) {
    let (context, newer) = (Arc::clone(context), newer.clone());
    let judging = tokio::spawn(judge(context, device, older, newer));
    drop(timeout(CLONE_HOLD, judging).await);
}

async fn judge(context: Arc<Context>, device: DeviceId, older: Session, newer: Connection) {
    let (older, question) = older.part();
    if !question.ask().await {
        let reason = b"a newer session of this device took over";
        older.close((CloseCode::Replaced as u32).into(), reason);
        return;
    }
    let fault = PeerFault::Cloned;
    let addresses = [older.remote_address(), newer.remote_address()];
    for connection in [&older, &newer] {
        let code = (fault.close_code() as u32).into();
        connection.close(code, fault.to_string().as_bytes());
    }
    context.options.metrics.fault(fault.kind());
    let [one, other] = addresses;
    tracing::error!(%device, %one, %other, "two running hosts use one identity: neither is served");
    let registry = context.options.registry.clone();
    let source = other.to_string();
    let actor = Actor { name: "intake".to_owned(), source, at_us: wall_us() };
    let detail = format!("two running hosts, at {one} and {other}");
    let marked = tokio::task::spawn_blocking(move || registry.mark_cloned(device, &actor, &detail));
    if let Ok(Err(error)) = marked.await {
        tracing::error!(%error, cause = %error.source, "mark a device as cloned");
    }
}

const _: () = assert!(
    CLONE_HOLD.as_millis() < PROBE_TIMEOUT.as_millis() && PROBE_TIMEOUT.as_secs() < 5,
    "both sessions of a clone are closed within five seconds"
);
