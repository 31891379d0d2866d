//! Enrolment by no agent: any name, and from any address of loopback, each of which the aggregator counts by
//! itself.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use headwater_certs::csr::DeviceKey;
use headwater_certs::enrol::{
    self, Binding, EnrolRequest, EnrolResponse, Exporter, FRAME_HEADER_BYTES, MachineFacts, Refusal,
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
