//! One request and one answer, inside a TLS session with a node that holds the pinned root.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use headwater_certs::UnixTime;
use headwater_certs::csr::{DeviceKey, KeyError};
use headwater_certs::enrol::{
    self, Binding, DecodeError, EncodeError, EnrolRequest, EnrolResponse, Enrolment, Exporter,
    ExporterError, FRAME_HEADER_BYTES, FrameError, MachineFacts,
};
use headwater_certs::tls::{Clock, ConfigError, TrustFault, enrol_client_config, explain};
use headwater_certs::token::{Address, JoinToken};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::EnrolError;

/// What is asked.
pub(super) struct Request<'a> {
    pub(super) token: &'a JoinToken,
    pub(super) key: &'a DeviceKey,
    pub(super) name: &'a str,
    pub(super) labels: &'a BTreeMap<String, String>,
    pub(super) machine: MachineFacts,
}

/// Why there was no answer of a node.
#[derive(Debug, thiserror::Error)]
pub enum ConversationError {
    /// Nobody answered in time.
    #[error("no answer within {} s", STEP_TIMEOUT.as_secs())]
    Unanswered,
    /// The connection can't be made or broke.
    #[error(transparent)]
    Io(io::Error),
    /// The node is not the one of the token, or speaks something else.
    #[error(transparent)]
    Trust(TrustFault),
    /// TLS can't be set up.
    #[error("set TLS up")]
    Config(#[source] ConfigError),
    /// The token's secret can't be bound to the session.
    #[error("bind the secret to the session")]
    Exporter(#[source] ExporterError),
    /// The request can't be signed.
    #[error("sign the request")]
    Key(#[source] KeyError),
    /// The request is too large.
    #[error("write the request")]
    Encode(#[source] EncodeError),
    /// The answer is no frame.
    #[error("read the answer")]
    Frame(#[source] FrameError),
    /// The answer can't be read.
    #[error("read the answer")]
    Decode(#[source] DecodeError),
}

impl ConversationError {
    /// Whether somebody who answered is not whom the token means.
    #[must_use]
    pub fn is_trust(&self) -> bool {
        matches!(self, Self::Trust(_))
    }
}

/// Asks the token's nodes in turn until one answers.
pub(super) async fn with_any(request: &Request<'_>) -> Result<(String, Enrolment), EnrolError> {
    let mut tried = Vec::new();
    for address in request.token.addresses() {
        match with(address, request).await {
            Ok(EnrolResponse::Enrolled(enrolment)) => return Ok((address.to_string(), enrolment)),
            Ok(EnrolResponse::Refused(refusal)) => {
                return Err(EnrolError::Refused { address: address.to_string(), refusal });
            }
            Err(error) => tried.push((address.to_string(), error)),
        }
    }
    Err(EnrolError::Unreachable { tried })
}

/// The device's time or the node's, whichever is later: a device without a battery starts in 1970.
pub(super) fn now(enrolment: &Enrolment) -> UnixTime {
    let told = UnixTime::since_unix_epoch(Duration::from_millis(enrolment.server_time_unix_ms));
    Clock::no_earlier_than(told).now()
}

async fn with(
    address: &Address,
    request: &Request<'_>,
) -> Result<EnrolResponse, ConversationError> {
    let mut session = in_time(connect(address, request.token)).await?;
    let exporter =
        Exporter::of_session(session.get_ref().1).map_err(ConversationError::Exporter)?;
    let csr = request.key.csr_der().map_err(ConversationError::Key)?;
    let asked = EnrolRequest {
        token_id: request.token.id(),
        secret: request.token.secret().clone(),
        binding: Binding::new(request.token.secret(), &exporter),
        csr_der: csr.to_vec(),
        host_name: request.name.to_owned(),
        labels: request.labels.clone(),
        machine: request.machine.clone(),
    };
    let payload = asked.encode().map_err(ConversationError::Encode)?;
    let frame = enrol::frame(&payload).map_err(ConversationError::Frame)?;
    in_time(ask(&mut session, &frame)).await
}

async fn connect(
    address: &Address,
    token: &JoinToken,
) -> Result<TlsStream<TcpStream>, ConversationError> {
    let config = enrol_client_config(token.pins(), Arc::new(Clock::default()));
    let config = config.map_err(ConversationError::Config)?;
    let host = ServerName::try_from(address.host().to_owned());
    let host = host.map_err(|_| ConversationError::Io(io::ErrorKind::InvalidInput.into()))?;
    let tcp = TcpStream::connect((address.host(), address.port())).await;
    let tcp = tcp.map_err(ConversationError::Io)?;
    TlsConnector::from(config).connect(host, tcp).await.map_err(of_tls)
}

async fn ask(
    session: &mut TlsStream<TcpStream>,
    frame: &[u8],
) -> Result<EnrolResponse, ConversationError> {
    session.write_all(frame).await.map_err(of_tls)?;
    session.flush().await.map_err(of_tls)?;
    let mut header = [0; FRAME_HEADER_BYTES];
    session.read_exact(&mut header).await.map_err(of_tls)?;
    let length = enrol::payload_length(header).map_err(ConversationError::Frame)?;
    let mut payload = vec![0; length];
    session.read_exact(&mut payload).await.map_err(of_tls)?;
    EnrolResponse::decode(&payload).map_err(ConversationError::Decode)
}

/// tokio-rustls wraps what TLS says in an error of input and output.
fn of_tls(error: io::Error) -> ConversationError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls.map(explain) {
        Some(TrustFault::Other) | None => ConversationError::Io(error),
        Some(fault) => ConversationError::Trust(fault),
    }
}

async fn in_time<T>(
    step: impl Future<Output = Result<T, ConversationError>>,
) -> Result<T, ConversationError> {
    let done = tokio::time::timeout(STEP_TIMEOUT, step).await;
    done.unwrap_or(Err(ConversationError::Unanswered))
}

/// For the connection with its handshake, and for the answer.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
