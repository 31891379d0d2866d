//! What a stranger sends to join: a signing request, the messages of enrolment, and the token that a person
//! pastes.

use std::sync::OnceLock;
use std::time::Duration;

use headwater_certs::UnixTime;
use headwater_certs::authority::{Authority, DEVICE_VALIDITY};
use headwater_certs::csr::CSR_BYTES_MAX;
use headwater_certs::enrol::{
    EnrolRequest, EnrolResponse, FRAME_HEADER_BYTES, PAYLOAD_BYTES_MAX, split,
};
use headwater_certs::identity::peer_device;
use headwater_certs::name::DeviceUuid;
use headwater_certs::token::JoinToken;
use rustls_pki_types::CertificateDer;

use crate::memory::bounded;

/// What an enrolment may take: its frame, and what is made of it (aggregator, `limits`).
const ENROLMENT_BYTES_MAX: usize = 32 * PAYLOAD_BYTES_MAX;

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000))
}

pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let realm = "fleet.example.com".parse().expect("a realm");
        Authority::create(realm, now()).expect("an authority in memory")
    })
}

/// A certificate is issued in the name that the authority gave, and in no other; and any certificate is
/// read without a panic.
pub(crate) fn csr(bytes: &[u8]) {
    let device = DeviceUuid::from_bytes([7; 16]);
    let authority = authority();
    let issued = bounded(ENROLMENT_BYTES_MAX, || {
        authority.issue_device(bytes, device, DEVICE_VALIDITY, now())
    });
    if let Ok(issued) = issued {
        assert!(bytes.len() <= CSR_BYTES_MAX, "a request has a limit");
        let peer = peer_device(&issued.chain).expect("what was issued names a device");
        assert_eq!(peer.device, device, "the authority gives the name");
    }
    drop(peer_device(&[CertificateDer::from(bytes.to_vec())]));
}

/// A message of either side: what was understood is written within the limits and understood again.
pub(crate) fn enrol(bytes: &[u8]) {
    if let Ok(Some(first)) = split(bytes) {
        let whole = FRAME_HEADER_BYTES + first.payload.len() + first.rest.len();
        assert_eq!(whole, bytes.len(), "a frame splits without loss");
        assert!(first.payload.len() <= PAYLOAD_BYTES_MAX, "a frame has a limit");
    }
    if let Ok(request) = bounded(ENROLMENT_BYTES_MAX, || EnrolRequest::decode(bytes)) {
        assert!(request.csr_der.len() <= CSR_BYTES_MAX, "a request has a limit");
        // Named fields may take more room than those that came.
        if let Ok(written) = request.encode() {
            let again = EnrolRequest::decode(&written).expect("what is written is understood");
            assert_eq!(again.encode().ok(), Some(written), "a request comes back");
        }
    }
    if let Ok(response) = bounded(ENROLMENT_BYTES_MAX, || EnrolResponse::decode(bytes))
        && let Ok(written) = response.encode()
    {
        assert_eq!(EnrolResponse::decode(&written).ok(), Some(response), "an answer comes back");
    }
}

/// A token: what was understood can be written and is understood again.
pub(crate) fn token(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(token) = bounded(ENROLMENT_BYTES_MAX, || JoinToken::parse(text)) else { return };
    assert!(!token.addresses().is_empty() && !token.pins().is_empty(), "a token can be used");
    assert!(!token.name().chars().any(char::is_control), "a name can be shown");
    let written = token.to_text();
    let again = JoinToken::parse(&written).expect("what is written is understood");
    assert_eq!(again.to_text(), written, "a token comes back");
}
