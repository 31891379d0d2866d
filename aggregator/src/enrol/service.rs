//! One request, one answer.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use headwater_certs::authority::IssueError;
use headwater_certs::enrol::{
    BindingError, EnrolRequest, EnrolResponse, Enrolment, Exporter, FRAME_HEADER_BYTES, Refusal,
    RefusalReason, frame, payload_length,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::Context;
use crate::clock::wall_us;
use crate::registry::{Actor, Applicant, Enrolled, Refused};

pub(super) async fn serve(
    mut stream: TlsStream<TcpStream>,
    address: SocketAddr,
    context: &Arc<Context>,
) -> Result<(), io::Error> {
    let mut header = [0; FRAME_HEADER_BYTES];
    let begun = stream.read(&mut header).await?;
    if begun == 0 {
        // Who leaves without a word looked whether somebody is here.
        return Ok(());
    }
    stream.read_exact(&mut header[begun..]).await?;
    // The length is checked before memory is taken.
    let length = payload_length(header).map_err(malformed)?;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload).await?;
    let response = answer(&stream, address, &payload, context).await;
    if let EnrolResponse::Refused(refusal) = &response {
        context.options.metrics.refuse(word(refusal.reason));
        tracing::warn!(%address, reason = word(refusal.reason), "enrolment refused");
    }
    let payload = response.encode().map_err(malformed)?;
    stream.write_all(&frame(&payload).map_err(malformed)?).await?;
    stream.shutdown().await
}

fn malformed(error: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

async fn answer(
    stream: &TlsStream<TcpStream>,
    address: SocketAddr,
    payload: &[u8],
    context: &Arc<Context>,
) -> EnrolResponse {
    if !context.rate.allows(address.ip(), Instant::now()) {
        return refusal(RefusalReason::TooManyTries, "too many tries; try again in a minute");
    }
    let request = match EnrolRequest::decode(payload) {
        Ok(request) => request,
        Err(error) => return refusal(RefusalReason::BadRequest, &error.to_string()),
    };
    if let Err(error) = bound(stream, &request) {
        return refusal(RefusalReason::OtherSession, &error.to_string());
    }
    let context = Arc::clone(context);
    // A signature and an fsync, both off this thread.
    let enrolled = tokio::task::spawn_blocking(move || enrol(&context, &request, address)).await;
    enrolled.unwrap_or_else(|_| refusal(RefusalReason::Unavailable, "this node is stopping"))
}

/// Whether the secret was meant for this very session.
fn bound(stream: &TlsStream<TcpStream>, request: &EnrolRequest) -> Result<(), BindingError> {
    let (_, session) = stream.get_ref();
    let exporter = Exporter::of_session(session).expect("a request comes after the handshake");
    request.binding.verify(&request.secret, &exporter)
}

fn enrol(context: &Context, request: &EnrolRequest, address: SocketAddr) -> EnrolResponse {
    let options = &context.options;
    let actor =
        Actor { name: "enrolment".to_owned(), source: address.to_string(), at_us: wall_us() };
    let (authority, life) = (&options.authority, options.certificate_life);
    let enrolled = options.registry.enrol(&Applicant { request, authority, life, actor });
    match enrolled {
        Ok(enrolled) => {
            options.metrics.enrolled.inc();
            let Enrolled { device, .. } = &enrolled;
            tracing::info!(device = %device.id, name = device.name, %address, "device enrolled");
            EnrolResponse::Enrolled(enrolment(context, &enrolled))
        }
        Err(Refused::Token(error)) => refusal(error.into(), &error.to_string()),
        Err(Refused::Issue(IssueError::Csr { source })) => {
            refusal(RefusalReason::BadRequest, &source.to_string())
        }
        Err(error) => {
            let cause = error.source().map(ToString::to_string);
            tracing::error!(%error, cause, "enrol a device");
            refusal(RefusalReason::Unavailable, "this node can't enrol right now; its log says why")
        }
    }
}

fn enrolment(context: &Context, enrolled: &Enrolled) -> Enrolment {
    let options = &context.options;
    Enrolment {
        device: enrolled.uuid,
        trust_domain: options.authority.trust_domain().clone(),
        chain: enrolled.issued.chain.iter().map(Into::into).collect(),
        bundle: options.authority.bundle().iter().map(Into::into).collect(),
        addresses: options.serving.clone(),
        server_time_unix_ms: u64::try_from(wall_us() / 1000).unwrap_or_default(),
    }
}

fn refusal(reason: RefusalReason, message: &str) -> EnrolResponse {
    EnrolResponse::Refused(Refusal { reason, message: message.chars().take(250).collect() })
}

/// One word for a label.
fn word(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::UnknownToken => "unknown-token",
        RefusalReason::TokenUsed => "token-used",
        RefusalReason::TokenExpired => "token-expired",
        RefusalReason::TokenLocked => "token-locked",
        RefusalReason::OtherSession => "other-session",
        RefusalReason::BadRequest => "bad-request",
        RefusalReason::TooManyTries => "too-many-tries",
        RefusalReason::AwaitingApproval => "awaiting-approval",
        RefusalReason::Unavailable => "unavailable",
    }
}
