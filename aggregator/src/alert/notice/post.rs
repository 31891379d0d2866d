//! One POST to one webhook, with everything an unknown server could do held in bounds.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use axum::http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ring::hmac;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::is_public;
use super::{NoticeError, Url, Webhook};
use crate::limits::{NOTICE_ANSWER_BYTES_MAX, NOTICE_FILE_BYTES_MAX, NOTICE_TIMEOUT};

/// Says what notice it is: header, and what stands in it.
const KEY_HEADER: &str = "idempotency-key";
/// `t=SECONDS,v1=HEX`: HMAC-SHA256 of `SECONDS.BODY` by the secret, so that an old notice can't be told
/// again by somebody else.
const SIGNATURE_HEADER: &str = "headwater-signature";

/// A webhook that can be told.
pub(super) struct Poster {
    url: Url,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    secret: Option<hmac::Key>,
    allow_private: bool,
}

/// Why a notice was not taken. What the server wrote is not in it: it may be anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("its name can't be resolved")]
    Resolve(#[source] io::Error),
    #[error("its address is of this host or network; allow_private = true beside it allows that")]
    Blocked,
    #[error("it can't be connected to")]
    Connect(#[source] io::Error),
    #[error("TLS with it fails")]
    Tls(#[source] io::Error),
    #[error("it does not speak HTTP")]
    Http(#[source] hyper::Error),
    #[error("it answers {0}, a redirect: those are not followed")]
    Redirect(u16),
    #[error("it answers {0}")]
    Status(u16),
    #[error("it does not answer within {} s", NOTICE_TIMEOUT.as_secs())]
    Late,
}

impl std::fmt::Debug for Poster {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Poster").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Poster {
    pub(super) fn new(webhook: &Webhook) -> Result<Self, NoticeError> {
        let secret = webhook.secret_file.as_deref().map(|path| secret(&webhook.name, path));
        let tls = webhook.url.is_tls.then(|| connector(webhook));
        Ok(Self {
            url: webhook.url.clone(),
            tls: tls.transpose()?,
            secret: secret.transpose()?,
            allow_private: webhook.allow_private,
        })
    }

    /// Sends a body. The name is resolved each time, what it resolves to is checked, and that very address is
    /// connected to; no proxy, no redirect.
    pub(super) async fn post(
        &self,
        body: Vec<u8>,
        key: &str,
        unix_s: u64,
    ) -> Result<(), PostError> {
        let posted = async {
            let stream = self.connect().await?;
            let request = self.request(body, key, unix_s);
            match &self.tls {
                None => exchange(stream, request).await,
                Some((connector, name)) => {
                    let stream = connector.connect(name.clone(), stream).await;
                    exchange(stream.map_err(PostError::Tls)?, request).await
                }
            }
        };
        tokio::time::timeout(NOTICE_TIMEOUT, posted).await.unwrap_or(Err(PostError::Late))
    }

    async fn connect(&self) -> Result<TcpStream, PostError> {
        let found = tokio::net::lookup_host((self.url.host.as_str(), self.url.port)).await;
        let found: Vec<SocketAddr> = found.map_err(PostError::Resolve)?.collect();
        let allowed = |address: &&SocketAddr| self.allow_private || is_public(address.ip());
        let allowed: Vec<SocketAddr> =
            found.iter().filter(allowed).take(ADDRESSES_MAX).copied().collect();
        if allowed.is_empty() {
            return Err(match found.is_empty() {
                true => PostError::Resolve(io::Error::from(io::ErrorKind::NotFound)),
                false => PostError::Blocked,
            });
        }
        TcpStream::connect(allowed.as_slice()).await.map_err(PostError::Connect)
    }

    fn request(&self, body: Vec<u8>, key: &str, unix_s: u64) -> Request<Full<Bytes>> {
        let signature = self.secret.as_ref().map(|secret| {
            let mut signed = hmac::Context::with_key(secret);
            signed.update(format!("{unix_s}.").as_bytes());
            signed.update(&body);
            format!("t={unix_s},v1={}", crate::api::rows::hex(signed.sign().as_ref()))
        });
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.path.parse().unwrap_or_default();
        let headers = request.headers_mut();
        let agent = concat!("headwater/", env!("CARGO_PKG_VERSION"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let texts =
            [(HOST.as_str(), Some(self.url.authority())), (KEY_HEADER, Some(key.to_owned()))];
        for (name, text) in texts.into_iter().chain([(SIGNATURE_HEADER, signature)]) {
            // A host that was parsed, hexadecimal digits: always a header.
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
                headers.insert(name, value);
            }
        }
        request
    }
}

/// One request and the head of its answer; whatever follows is left unread.
async fn exchange<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<(), PostError> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(NOTICE_ANSWER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(PostError::Http)?;
    let mut answer = std::pin::pin!(sender.send_request(request));
    let mut connection = std::pin::pin!(connection);
    let answered = tokio::select! {
        answered = &mut answer => answered,
        // It may end with the answer, or without one: the answer knows.
        _ = &mut connection => answer.await,
    };
    let answered = answered.map_err(PostError::Http)?;
    let status = answered.status();
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::NOT_MODIFIED => Err(PostError::Status(status.as_u16())),
        status if status.is_redirection() => Err(PostError::Redirect(status.as_u16())),
        status => Err(PostError::Status(status.as_u16())),
    }
}

fn secret(name: &str, path: &Path) -> Result<hmac::Key, NoticeError> {
    let text = read(name, path)?;
    let text = text.trim_ascii_end();
    if text.is_empty() {
        let (name, path) = (name.to_owned(), path.to_owned());
        return Err(NoticeError::Content { name, path, expected: "secret" });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, text))
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>, NoticeError> {
    let failed =
        |source| NoticeError::File { name: name.to_owned(), path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(NOTICE_FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

fn connector(webhook: &Webhook) -> Result<(TlsConnector, ServerName<'static>), NoticeError> {
    let name = webhook.name.clone();
    let mut roots = RootCertStore::empty();
    match &webhook.ca_file {
        Some(path) => {
            let pem = read(&name, path)?;
            for root in CertificateDer::pem_slice_iter(&pem).flatten() {
                // One that can't be used is not there; without any, the next line says so.
                drop(roots.add(root));
            }
            if roots.is_empty() {
                let path = path.clone();
                return Err(NoticeError::Content { name, path, expected: "certificate in PEM" });
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(NoticeError::NoRoots { name });
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let failed = |source| NoticeError::Tls { name: name.clone(), source };
    let config = config.map_err(failed)?.with_root_certificates(roots).with_no_client_auth();
    let server = ServerName::try_from(webhook.url.host.clone())
        .map_err(|error| failed(rustls::Error::General(error.to_string())))?;
    Ok((TlsConnector::from(Arc::new(config)), server))
}

/// Addresses of one name that are tried: there is time for no more.
const ADDRESSES_MAX: usize = 4;
