//! Both sides of an enrolment, as agent and aggregator play them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use headwater_certs::authority::{Authority, DEVICE_VALIDITY};
use headwater_certs::csr::DeviceKey;
use headwater_certs::enrol::{
    Binding, Der, EnrolRequest, EnrolResponse, Enrolment, Exporter, MachineFacts, Refusal,
    RefusalReason,
};
use headwater_certs::name::{DeviceUuid, Pin};
use headwater_certs::tls;
use headwater_certs::token::{JoinToken, TokenGrant, TokenRecord};
use rustls_pki_types::CertificateDer;

use crate::session::Session;
use crate::world::{World, at, clock};

pub(crate) fn token(authority: &Authority, uses: u32) -> (String, TokenRecord) {
    let addresses = vec!["agg-1.example.com:7443".parse().unwrap()];
    let token = JoinToken::mint(addresses, vec![authority.root_pin()], "fleet".to_owned()).unwrap();
    let grant = TokenGrant {
        uses: NonZeroU32::new(uses).unwrap(),
        lifetime: Duration::from_secs(86_400),
        creator: "admin".to_owned(),
        group: Some("web".to_owned()),
    };
    (token.to_text(), TokenRecord::new(&token, grant, at(0)))
}

pub(crate) fn enrol_session(world: &World, pins: &[Pin]) -> Session {
    let client = tls::enrol_client_config(pins, clock(at(0))).unwrap();
    let server = tls::enrol_server_config(&world.node, clock(at(0))).unwrap();
    Session::between(client, server)
}

pub(crate) fn request(token: &JoinToken, key: &DeviceKey, exporter: &Exporter) -> EnrolRequest {
    EnrolRequest {
        token_id: token.id(),
        secret: token.secret().clone(),
        binding: Binding::new(token.secret(), exporter),
        csr_der: key.csr_der().unwrap().to_vec(),
        host_name: "web-1".to_owned(),
        labels: BTreeMap::from([("customer".to_owned(), "acme".to_owned())]),
        machine: MachineFacts { processors: 4, ..MachineFacts::default() },
    }
}

/// Does what an aggregator does, in one commit.
pub(crate) fn answer(
    world: &World,
    record: &mut TokenRecord,
    payload: &[u8],
    exporter: &Exporter,
) -> EnrolResponse {
    let request = EnrolRequest::decode(payload).unwrap();
    if request.binding.verify(&request.secret, exporter).is_err() {
        return refuse(RefusalReason::OtherSession);
    }
    if let Err(error) = record.redeem(&request.secret, at(0)) {
        return refuse(error.into());
    }
    let device = DeviceUuid::random().unwrap();
    let authority = &world.authority;
    let issued = authority.issue_device(&request.csr_der, device, DEVICE_VALIDITY, at(0)).unwrap();
    EnrolResponse::Enrolled(Enrolment {
        device,
        trust_domain: authority.trust_domain().clone(),
        chain: ders(&issued.chain),
        bundle: ders(&authority.bundle()),
        addresses: vec!["agg-1.example.com:4433".parse().unwrap()],
        server_time_unix_ms: at(0).as_secs() * 1_000,
    })
}

pub(crate) fn enrolment(world: &World, key: &DeviceKey) -> Enrolment {
    let device = DeviceUuid::random().unwrap();
    let csr = key.csr_der().unwrap();
    let issued = world.authority.issue_device(&csr, device, DEVICE_VALIDITY, at(0)).unwrap();
    Enrolment {
        device,
        trust_domain: world.authority.trust_domain().clone(),
        chain: ders(&issued.chain),
        bundle: ders(&world.authority.bundle()),
        addresses: vec![],
        server_time_unix_ms: 0,
    }
}

pub(crate) fn ders(certificates: &[CertificateDer<'_>]) -> Vec<Der> {
    certificates.iter().map(Der::from).collect()
}

pub(crate) fn refuse(reason: RefusalReason) -> EnrolResponse {
    EnrolResponse::Refused(Refusal { reason, message: "no".to_owned() })
}
