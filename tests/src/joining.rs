//! Enrolment by no agent: any name, and from any address of loopback, each of which the aggregator counts by
//! itself; or without a network, of fleets that it would let in too slowly.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headwater_aggregator::registry::{Actor, Applicant, Registry};
use headwater_certs::authority::Authority;
use headwater_certs::csr::DeviceKey;
use headwater_certs::enrol::{
    self, Binding, EnrolRequest, EnrolResponse, Enrolment, Exporter, FRAME_HEADER_BYTES,
    MachineFacts, Refusal,
};
use headwater_certs::identity::DeviceIdentity;
use headwater_certs::tls::{Clock, enrol_client_config};
use headwater_certs::token::JoinToken;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;

/// Enrols with a token, from an address.
///
/// # Errors
/// What the aggregator refuses it with.
///
/// # Panics
/// If there is no answer, or it is none that a device believes.
pub async fn enrol(
    name: &str,
    token: &JoinToken,
    source: Ipv4Addr,
) -> Result<DeviceIdentity, Refusal> {
    let at = token.addresses().first().expect("a token names an address");
    let address: SocketAddr = at.to_string().parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((source, 0))).unwrap();
    let tcp = socket.connect(address).await.unwrap();
    let config = enrol_client_config(token.pins(), Arc::new(Clock::default())).unwrap();
    let host = ServerName::try_from(at.host().to_owned()).unwrap();
    let mut session = TlsConnector::from(config).connect(host, tcp).await.unwrap();

    let key = DeviceKey::generate().unwrap();
    let exporter = Exporter::of_session(session.get_ref().1).unwrap();
    let request = EnrolRequest {
        token_id: token.id(),
        secret: token.secret().clone(),
        binding: Binding::new(token.secret(), &exporter),
        csr_der: key.csr_der().unwrap().to_vec(),
        host_name: name.to_owned(),
        labels: BTreeMap::new(),
        machine: MachineFacts::default(),
    };
    let frame = enrol::frame(&request.encode().unwrap()).unwrap();
    session.write_all(&frame).await.unwrap();
    session.flush().await.unwrap();
    let mut header = [0; FRAME_HEADER_BYTES];
    session.read_exact(&mut header).await.unwrap();
    let mut payload = vec![0; enrol::payload_length(header).unwrap()];
    session.read_exact(&mut payload).await.unwrap();
    match EnrolResponse::decode(&payload).unwrap() {
        EnrolResponse::Enrolled(enrolment) => {
            Ok(enrolment.into_identity(&key, token.pins(), Clock::default().now()).unwrap())
        }
        EnrolResponse::Refused(refusal) => Err(refusal),
    }
}

/// Registry and authority of an aggregator that does not run: over the network it lets 600 devices in per minute.
#[derive(Debug)]
pub struct Registrar<'a> {
    registry: Registry,
    authority: Authority,
    token: &'a JoinToken,
}

impl<'a> Registrar<'a> {
    /// Opens the data folder of an aggregator that made a token for many.
    ///
    /// # Panics
    /// If the aggregator runs.
    #[must_use]
    pub fn open(data: &Path, token: &'a JoinToken) -> Self {
        let registry = Registry::open(&data.join("control.redb")).unwrap();
        let authority = Authority::load(&data.join("ca")).unwrap();
        Self { registry, authority, token }
    }

    /// Enrols a device as the aggregator does, with a key and a certificate of its own.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn enrol(&self, name: &str) -> DeviceIdentity {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let at_us = i64::try_from(now.as_micros()).unwrap();
        let key = DeviceKey::generate().unwrap();
        let request = EnrolRequest {
            token_id: self.token.id(),
            secret: self.token.secret().clone(),
            // Looked at by the network side alone.
            binding: serde_json::from_str(&format!("{:?}", "0".repeat(32))).unwrap(),
            csr_der: key.csr_der().unwrap().to_vec(),
            host_name: name.to_owned(),
            labels: BTreeMap::new(),
            machine: MachineFacts::default(),
        };
        let applicant = Applicant {
            request: &request,
            authority: &self.authority,
            life: Duration::from_secs(24 * 60 * 60),
            actor: Actor { name: "tests".to_owned(), source: String::new(), at_us },
        };
        let enrolled = self.registry.enrol(&applicant).unwrap();
        let enrolment = Enrolment {
            device: enrolled.uuid,
            trust_domain: self.authority.trust_domain().clone(),
            chain: enrolled.issued.chain.iter().map(Into::into).collect(),
            bundle: self.authority.bundle().iter().map(Into::into).collect(),
            addresses: self.token.addresses().to_vec(),
            server_time_unix_ms: u64::try_from(now.as_millis()).unwrap(),
        };
        enrolment.into_identity(&key, self.token.pins(), Clock::default().now()).unwrap()
    }
}
