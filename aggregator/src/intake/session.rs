//! A session: one connection of one device, from its handshake to its end.

use std::pin::pin;
use std::sync::Arc;

use headwater_certs::tls::{TrustFault, explain_received_alert, explain_sent_alert};
use headwater_protocol::identity::{BootId, DeviceId, Lane};
use headwater_protocol::wire::CloseCode;
use quinn::{Connection, ConnectionError, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::Instrument;

use super::credit::SessionCredit;
use super::fault::{End, PeerFault};
use super::sessions::Session;
use super::{Context, clone, greeting, lane};
use crate::clock::wall_us;
use crate::limits::HANDSHAKE_TIMEOUT;
use crate::registry::Actor;

/// What the lanes of a session share.
#[derive(Debug)]
pub(super) struct SessionContext {
    pub(super) node: Arc<Context>,
    pub(super) device: DeviceId,
    /// The boot of its host: what its monotonic clock counts from.
    pub(super) boot: BootId,
    /// The version that both speak.
    pub(super) protocol: u16,
    pub(super) credit: SessionCredit,
    /// A place per lane for its one stream.
    streams: [Arc<Semaphore>; Lane::ALL.len()],
}

impl SessionContext {
    /// The place of a lane's stream, once the stream before it has ended.
    pub(super) async fn claim(&self, lane: Lane) -> Result<OwnedSemaphorePermit, PeerFault> {
        let place = Arc::clone(&self.streams[usize::from(lane.code())]).acquire_owned();
        let place =
            timeout(HANDSHAKE_TIMEOUT, place).await.map_err(|_| PeerFault::LaneTwice(lane))?;
        Ok(place.expect("the places of a session are never closed"))
    }
}

/// Runs a session to its end.
pub(super) async fn run(
    incoming: Incoming,
    handshake: OwnedSemaphorePermit,
    context: Arc<Context>,
) {
    let address = incoming.remote_address();
    let Ok(connecting) = incoming.accept() else { return };
    let connection = match timeout(HANDSHAKE_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return refused(&context, address, &error),
        Err(_) => return context.options.metrics.fault("handshake"),
    };
    drop(handshake);
    let device = match greeting::identify(&connection) {
        Ok(device) => device,
        Err(fault) => return close(&context, None, &connection, &fault),
    };
    let span = tracing::info_span!("session", %device, %address);
    async {
        let ended = serve(&context, device, &connection).await;
        context.sessions.end(device, &connection);
        if let Err(End::Fault(fault)) = ended {
            close(&context, Some(device), &connection, &fault);
        }
        tracing::debug!(reason = ?connection.close_reason(), "session ended");
    }
    .instrument(span)
    .await;
}

async fn serve(
    context: &Arc<Context>,
    device: DeviceId,
    connection: &Connection,
) -> Result<(), End> {
    greeting::admit(context, device).await?;
    let greeted = greeting::greet(context, connection).await?;
    tracing::debug!(build = greeted.build, name = greeted.name, "session begins");
    let (question, asked) = clone::question();
    let session = Session::new(connection.clone(), greeted.process, greeted.build, question);
    if let Some(older) = context.sessions.begin(device, session) {
        clone::tell_apart(context, device, older, connection).await;
    }
    // Once more: it may have been revoked before its session could be found.
    greeting::admit(context, device).await?;
    let session = Arc::new(SessionContext {
        node: Arc::clone(context),
        device,
        boot: greeted.boot,
        protocol: greeted.protocol,
        credit: context.pool.share(),
        streams: Lane::ALL.map(|_| Arc::new(Semaphore::new(1))),
    });
    let mut control = pin!(clone::answer(asked, greeted.stream));
    let mut lanes = JoinSet::new();
    let ended = loop {
        tokio::select! {
            stream = connection.accept_bi() => match stream {
                Ok((send, recv)) => {
                    _ = lanes.spawn(lane::run(Arc::clone(&session), send, recv).in_current_span());
                }
                Err(_) => break Ok(()),
            },
            end = &mut control => break Err(end),
            Some(ended) = lanes.join_next() => match ended {
                Ok(Ok(()) | Err(End::Gone)) => {}
                Ok(Err(fault)) => break Err(fault),
                // A lane that panicked is our mistake: the agent comes again, from its spool.
                Err(_) => break Err(End::Gone),
            },
        }
    };
    if matches!(ended, Err(End::Gone)) {
        connection.close((CloseCode::Stopping as u32).into(), b"this session failed");
    }
    ended
}

/// A peer did something wrong: it is told and counted, and noted unless another was just now.
fn close(context: &Context, device: Option<DeviceId>, connection: &Connection, fault: &PeerFault) {
    connection.close((fault.close_code() as u32).into(), fault.to_string().as_bytes());
    context.options.metrics.fault(fault.kind());
    if !context.fault_noted.is_due() {
        return;
    }
    tracing::warn!(kind = fault.kind(), "session closed: {fault}");
    if let (Some(device), PeerFault::Identity { .. }) = (device, fault) {
        let registry = context.options.registry.clone();
        let source = connection.remote_address().to_string();
        let actor = Actor { name: device.to_string(), source, at_us: wall_us() };
        let detail = fault.to_string();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = registry.note(&actor, "identity forged", &detail) {
                tracing::error!(%error, "note a forged identity");
            }
        });
    }
}

fn refused(context: &Context, address: std::net::SocketAddr, error: &ConnectionError) {
    context.options.metrics.fault("handshake");
    if !context.refusal_noted.is_due() {
        return;
    }
    match why(error) {
        Some(fault) => tracing::warn!(%address, "handshake refused: {fault}"),
        None => tracing::debug!(%address, "handshake failed: {error}"),
    }
}

/// The reason in terms of certificates, if it is one.
fn why(error: &ConnectionError) -> Option<TrustFault> {
    let alert = |code: quinn::TransportErrorCode| {
        let code = u64::from(code);
        (0x100..0x200).contains(&code).then(|| u8::try_from(code - 0x100).unwrap_or(u8::MAX))
    };
    match error {
        ConnectionError::TransportError(error) => alert(error.code).map(explain_sent_alert),
        ConnectionError::ConnectionClosed(closed) => {
            alert(closed.error_code).map(explain_received_alert)
        }
        _ => None,
    }
}
