//! Bytes of a stranger: none may reach a panic, and none may be taken for something they are not.

use headwater_certs::authority::DEVICE_VALIDITY;
use headwater_certs::csr::DeviceKey;
use headwater_certs::enrol::{self, DecodeError, EnrolRequest, EnrolResponse, Exporter};
use headwater_certs::identity::{Certificate, peer_device, peer_node};
use headwater_certs::name::DeviceUuid;
use headwater_certs::token::JoinToken;
use rustls_pki_types::CertificateDer;

use crate::enrolment::conversation::{enrolment, request};
use crate::session::Session;
use crate::world::{World, at};

#[test]
fn random_and_damaged_bytes_never_reach_a_panic() {
    let world = World::new();
    let key = DeviceKey::generate().unwrap();
    let samples = samples(&world, &key);
    for seed in seeds() {
        let mut random = Random(seed);
        for _ in 0..200 {
            for sample in &samples {
                feed(&world, &random.damaged(sample));
            }
            feed(&world, &random.bytes());
        }
    }
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    let world = World::new();
    let key = DeviceKey::generate().unwrap();
    let [request, response, _, _] = &samples(&world, &key);
    for length in 0..request.len() {
        assert!(EnrolRequest::decode(&request[..length]).is_err(), "request cut at {length}");
    }
    for length in 0..response.len() {
        assert!(EnrolResponse::decode(&response[..length]).is_err(), "answer cut at {length}");
    }
    assert!(EnrolRequest::decode(request).is_ok());
    assert!(EnrolResponse::decode(response).is_ok());
}

#[test]
fn messages_of_other_sizes_and_versions_are_refused_with_their_reason() {
    let world = World::new();
    let key = DeviceKey::generate().unwrap();
    let [request, ..] = &samples(&world, &key);
    let longer = [request.as_slice(), b"x"].concat();
    let later = [&[2], &request[1..]].concat();
    // A list of lists of lists, which would exhaust a recursive reader.
    let deep = [&[1], [0x91; 60_000].as_slice()].concat();
    // A byte string and a list that claim four billion entries.
    let huge_bytes = [1, 0xc6, 0xff, 0xff, 0xff, 0xff];
    let huge_list = [1, 0xdd, 0xff, 0xff, 0xff, 0xff];
    type Expected = fn(&DecodeError) -> bool;
    let cases: [(&[u8], Expected); 7] = [
        (&[], |error| matches!(error, DecodeError::Empty)),
        (&[0; 65_537], |error| matches!(error, DecodeError::TooLarge { bytes: 65_537 })),
        (&later, |error| matches!(error, DecodeError::Version { version: 2 })),
        (&longer, |error| matches!(error, DecodeError::TrailingBytes { bytes: 1 })),
        (&deep, |error| matches!(error, DecodeError::Malformed { .. })),
        (&huge_bytes, |error| matches!(error, DecodeError::Malformed { .. })),
        (&huge_list, |error| matches!(error, DecodeError::Malformed { .. })),
    ];
    for (position, (payload, expected)) in cases.iter().enumerate() {
        let error = EnrolRequest::decode(payload).unwrap_err();
        assert!(expected(&error), "case {position}: {error:?}");
        let error = EnrolResponse::decode(payload).unwrap_err();
        assert!(!matches!(error, DecodeError::Content { .. }), "case {position}: {error:?}");
    }
}

#[test]
fn a_field_of_a_later_version_is_skipped() {
    let world = World::new();
    let key = DeviceKey::generate().unwrap();
    let [request, ..] = &samples(&world, &key);
    // The request is a map of 7 fields; one more is put before them.
    assert_eq!(request[1], 0x87);
    let extended =
        [&[request[0], 0x88], [0xa3, b'n', b'e', b'w', 0x91, 0x2a].as_slice(), &request[2..]]
            .concat();
    assert_eq!(EnrolRequest::decode(&extended).unwrap().host_name, "web-1");
}

fn feed(world: &World, bytes: &[u8]) {
    let certificate = CertificateDer::from(bytes);
    let device = DeviceUuid::from_bytes([0; 16]);
    drop(EnrolRequest::decode(bytes));
    drop(EnrolResponse::decode(bytes));
    if let Ok(Some(split)) = enrol::split(bytes) {
        assert!(split.payload.len() <= enrol::PAYLOAD_BYTES_MAX);
    }
    drop(Certificate::read(&certificate));
    drop(peer_device(std::slice::from_ref(&certificate)));
    drop(peer_node(std::slice::from_ref(&certificate)));
    drop(world.authority.issue_device(bytes, device, DEVICE_VALIDITY, at(0)));
    drop(JoinToken::parse(&String::from_utf8_lossy(bytes)));
}

/// Returns one valid specimen of each format: request, answer, certificate, signing request.
fn samples(world: &World, key: &DeviceKey) -> [Vec<u8>; 4] {
    let addresses = vec!["a:1".parse().unwrap()];
    let pins = vec![world.authority.root_pin()];
    let token = JoinToken::mint(addresses, pins, String::new()).unwrap();
    let session = Session::between(world.agent_config(), world.server_config());
    let exporter = Exporter::of_session(&session.client).unwrap();
    let response = EnrolResponse::Enrolled(enrolment(world, key));
    [
        request(&token, key, &exporter).encode().unwrap(),
        response.encode().unwrap(),
        world.node.chain()[0].to_vec(),
        key.csr_der().unwrap().to_vec(),
    ]
}

fn seeds() -> Vec<u64> {
    match std::env::var("HEADWATER_SEED") {
        Ok(seed) => vec![seed.parse().expect("HEADWATER_SEED is a number")],
        Err(_) => (1..=20).collect(),
    }
}

/// Marsaglia's xorshift: enough to damage bytes, and the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    fn bytes(&mut self) -> Vec<u8> {
        let length = self.below(300);
        // The version byte, so that a reader gets past it.
        let mut bytes = vec![1];
        bytes.extend((0..length).map(|_| self.byte()));
        bytes
    }

    fn damaged(&mut self, sample: &[u8]) -> Vec<u8> {
        let mut bytes = sample.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(4) {
                0 => bytes[at] = self.byte(),
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes.insert(at, self.byte()),
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes
    }
}
