//! A whole node on loopback, and devices that enrol with it.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use headwater_aggregator::config::Config;
use headwater_aggregator::node::{InitOptions, Node, NodeHandle, TokenRequest};
use headwater_aggregator::registry::Registry;
use headwater_certs::UnixTime;
use headwater_certs::csr::DeviceKey;
use headwater_certs::enrol::{
    Binding, EnrolRequest, EnrolResponse, Exporter, FRAME_HEADER_BYTES, MachineFacts, frame,
    payload_length,
};
use headwater_certs::identity::DeviceIdentity;
use headwater_certs::tls::{Clock, enrol_client_config};
use headwater_certs::token::JoinToken;
use headwater_protocol::identity::ShardCount;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Long enough for the slowest machine, short enough for a person who waits.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn init(data_dir: &Path) {
    let options = InitOptions {
        trust_domain: "fleet.test".parse().unwrap(),
        name: "node-1".to_owned(),
        shards: ShardCount::DEFAULT,
    };
    Node::init(data_dir, &options).unwrap();
}

/// The configuration of a node on loopback, on ports that are free.
pub(crate) fn config(data_dir: &Path, settings: &[(&str, &str)]) -> Config {
    let data_dir = data_dir.to_str().unwrap();
    let usual = [
        ("NODE__NAME", "node-1"),
        ("NODE__DATA_DIR", data_dir),
        ("INTAKE__LISTEN", "127.0.0.1:0"),
        ("INTAKE__MIN_FREE", "0%"),
        ("INTAKE__ENROL__LISTEN", "127.0.0.1:0"),
        ("METRICS__LISTEN", "127.0.0.1:0"),
        ("LOG__SNAPSHOT_EVERY", "200ms"),
    ];
    let all = usual.iter().chain(settings);
    let variables = all
        .map(|(key, value)| (OsString::from(format!("HEADWATER__{key}")), OsString::from(value)));
    Config::from_layers(None, variables).unwrap()
}

/// Starts a node, also right after another one on the same folder was shut down.
pub(crate) async fn start(data_dir: &Path, settings: &[(&str, &str)]) -> NodeHandle {
    let started = async {
        loop {
            match Node::start(config(data_dir, settings)).await {
                Ok(node) => return node,
                Err(error) if text(&error).contains("is this node running already") => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                Err(error) => panic!("{}", text(&error)),
            }
        }
    };
    tokio::time::timeout(DEADLINE, started).await.expect("the node before it lets go of its files")
}

/// The registry of a node that was shut down, once it has let go of it.
pub(crate) async fn registry(data_dir: &Path) -> Registry {
    let path = data_dir.join("control.redb");
    let opened = async {
        loop {
            if let Ok(registry) = Registry::open(&path) {
                return registry;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, opened).await.expect("the node lets go of its registry")
}

/// An error with its causes.
pub(crate) fn text(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", text(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

pub(crate) async fn token(node: &NodeHandle, uses: u32) -> JoinToken {
    let request = TokenRequest {
        uses: std::num::NonZeroU32::new(uses),
        life: None,
        group: Some("web".to_owned()),
        creator: "test".to_owned(),
        addresses: Vec::new(),
    };
    JoinToken::parse(&node.create_token(request).await.unwrap().text).unwrap()
}

/// A pinned session with the node's enrolment.
pub(crate) async fn enrol_session(node: &NodeHandle, token: &JoinToken) -> TlsStream<TcpStream> {
    let config = enrol_client_config(token.pins(), Arc::new(Clock::default())).unwrap();
    let stream = TcpStream::connect(node.enrol_address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(config).connect(name, stream).await.unwrap()
}

pub(crate) fn request(
    session: &TlsStream<TcpStream>,
    token: &JoinToken,
    key: &DeviceKey,
) -> EnrolRequest {
    let exporter = Exporter::of_session(session.get_ref().1).unwrap();
    EnrolRequest {
        token_id: token.id(),
        secret: token.secret().clone(),
        binding: Binding::new(token.secret(), &exporter),
        csr_der: key.csr_der().unwrap().to_vec(),
        host_name: "web-01".to_owned(),
        labels: std::collections::BTreeMap::new(),
        machine: MachineFacts::default(),
    }
}

pub(crate) async fn ask(
    mut session: TlsStream<TcpStream>,
    request: &EnrolRequest,
) -> EnrolResponse {
    session.write_all(&frame(&request.encode().unwrap()).unwrap()).await.unwrap();
    let mut header = [0; FRAME_HEADER_BYTES];
    session.read_exact(&mut header).await.unwrap();
    let mut payload = vec![0; payload_length(header).unwrap()];
    session.read_exact(&mut payload).await.unwrap();
    EnrolResponse::decode(&payload).unwrap()
}

/// Enrols one device by a token.
pub(crate) async fn enrol_by(
    node: &NodeHandle,
    token: &JoinToken,
) -> Result<DeviceIdentity, String> {
    let key = DeviceKey::generate().unwrap();
    let session = enrol_session(node, token).await;
    let request = request(&session, token, &key);
    match ask(session, &request).await {
        EnrolResponse::Enrolled(enrolment) => {
            Ok(enrolment.into_identity(&key, token.pins(), UnixTime::now()).unwrap())
        }
        EnrolResponse::Refused(refusal) => {
            Err(format!("{:?}: {}", refusal.reason, refusal.message))
        }
    }
}

/// Enrols one device.
pub(crate) async fn enrol(node: &NodeHandle) -> DeviceIdentity {
    let token = token(node, 1).await;
    enrol_by(node, &token).await.unwrap()
}
