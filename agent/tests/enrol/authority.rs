//! An authority that enrols whoever comes, or refuses.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use headwater_certs::UnixTime;
use headwater_certs::authority::{Authority, DEVICE_VALIDITY, NODE_VALIDITY};
use headwater_certs::enrol::{
    self, Der, EnrolRequest, EnrolResponse, Enrolment, Exporter, FRAME_HEADER_BYTES, Refusal,
    RefusalReason,
};
use headwater_certs::name::DeviceUuid;
use headwater_certs::tls::{Clock, enrol_server_config};
use headwater_certs::token::JoinToken;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Where devices join.
pub(crate) struct Office {
    address: SocketAddr,
    desk: Arc<Desk>,
}

struct Desk {
    authority: Authority,
    requests: Mutex<Vec<EnrolRequest>>,
    refusing: Mutex<Option<RefusalReason>>,
}

impl Office {
    pub(crate) async fn open() -> Self {
        let authority =
            Authority::create("fleet.example.com".parse().unwrap(), UnixTime::now()).unwrap();
        let hosts = ["127.0.0.1".try_into().unwrap()];
        let name = "agg-1".parse().unwrap();
        let node = authority.issue_node(&name, &hosts, NODE_VALIDITY, UnixTime::now()).unwrap();
        let tls = enrol_server_config(&node, Arc::new(Clock::default())).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, refusing) = (Mutex::default(), Mutex::default());
        let desk = Arc::new(Desk { authority, requests, refusing });
        let served = Arc::clone(&desk);
        tokio::spawn(async move {
            let acceptor = TlsAcceptor::from(tls);
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, desk) = (acceptor.clone(), Arc::clone(&served));
                tokio::spawn(async move { desk.serve(acceptor, stream).await });
            }
        });
        Self { address, desk }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn token(&self) -> String {
        self.token_for(self.address)
    }

    pub(crate) fn token_for(&self, address: SocketAddr) -> String {
        self.token_of(&[address])
    }

    pub(crate) fn token_of(&self, addresses: &[SocketAddr]) -> String {
        let addresses = addresses.iter().map(|address| address.to_string().parse().unwrap());
        let pins = vec![self.desk.authority.root_pin()];
        JoinToken::mint(addresses.collect(), pins, "fleet".to_owned()).unwrap().to_text()
    }

    pub(crate) fn refuse(&self, reason: RefusalReason) {
        *self.desk.refusing.lock().unwrap() = Some(reason);
    }

    pub(crate) fn requests(&self) -> Vec<EnrolRequest> {
        self.desk.requests.lock().unwrap().clone()
    }
}

impl Desk {
    async fn serve(&self, acceptor: TlsAcceptor, stream: TcpStream) {
        // Who does not trust us ends here.
        let Ok(mut session) = acceptor.accept(stream).await else { return };
        let mut header = [0; FRAME_HEADER_BYTES];
        if session.read_exact(&mut header).await.is_err() {
            return;
        }
        let mut payload = vec![0; enrol::payload_length(header).unwrap()];
        session.read_exact(&mut payload).await.unwrap();
        let request = EnrolRequest::decode(&payload).unwrap();
        let exporter = Exporter::of_session(session.get_ref().1).unwrap();
        request.binding.verify(&request.secret, &exporter).unwrap();
        let answer = self.answer(&request).encode().unwrap();
        self.requests.lock().unwrap().push(request);
        session.write_all(&enrol::frame(&answer).unwrap()).await.unwrap();
        session.shutdown().await.unwrap();
    }

    fn answer(&self, request: &EnrolRequest) -> EnrolResponse {
        if let Some(reason) = *self.refusing.lock().unwrap() {
            return EnrolResponse::Refused(Refusal { reason, message: "no".to_owned() });
        }
        let (device, now) = (DeviceUuid::random().unwrap(), UnixTime::now());
        let issued = self.authority.issue_device(&request.csr_der, device, DEVICE_VALIDITY, now);
        EnrolResponse::Enrolled(Enrolment {
            device,
            trust_domain: self.authority.trust_domain().clone(),
            chain: issued.unwrap().chain.iter().map(Der::from).collect(),
            bundle: self.authority.bundle().iter().map(Der::from).collect(),
            addresses: vec!["agg-1.example.com:4433".parse().unwrap()],
            server_time_unix_ms: now.as_secs() * 1_000,
        })
    }
}
