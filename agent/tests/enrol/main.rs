//! Enrolment over TCP and TLS against an authority on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot prepare its world has failed")]

mod authority;

use std::collections::BTreeMap;
use std::path::Path;

use headwater_agent::enrol::{EnrolError, Enrolled, Enrolling, EnrolmentState, enrol};
use headwater_certs::enrol::RefusalReason;
use headwater_certs::identity::DeviceIdentity;
use headwater_certs::token::JoinToken;

use self::authority::Office;

fn enrolling(token: &str, folder: &Path) -> Enrolling {
    Enrolling {
        token: JoinToken::parse(token).unwrap(),
        name: "edge-1".to_owned(),
        labels: BTreeMap::from([("site".to_owned(), "osl-1".to_owned())]),
        identity_dir: folder.join("identity"),
        force: false,
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

#[tokio::test]
async fn a_token_becomes_an_identity_and_a_second_call_changes_nothing() {
    let office = Office::open().await;
    let folder = tempfile::tempdir().unwrap();
    let Enrolled::Anew(state) = enrol(enrolling(&office.token(), folder.path())).await.unwrap()
    else {
        panic!("the host was never enrolled");
    };
    let identity = DeviceIdentity::load(&folder.path().join("identity")).unwrap();
    assert_eq!(identity.device().to_string(), state.device);
    assert_eq!(state.addresses, ["agg-1.example.com:4433"]);
    let loaded = EnrolmentState::load(&folder.path().join("identity")).unwrap();
    assert_eq!(loaded, state);
    let request = &office.requests()[0];
    assert_eq!((request.host_name.as_str(), request.labels["site"].as_str()), ("edge-1", "osl-1"));
    assert!(!request.machine.architecture.is_empty());

    let again = enrol(enrolling(&office.token(), folder.path())).await.unwrap();
    let Enrolled::Before(before) = again else { panic!("the host was enrolled before") };
    assert_eq!(before.device, state.device);
    assert_eq!(office.requests().len(), 1, "no token was used up");
}

#[tokio::test]
async fn a_new_identity_has_to_be_asked_for() {
    let (office, other) = (Office::open().await, Office::open().await);
    let folder = tempfile::tempdir().unwrap();
    enrol(enrolling(&office.token(), folder.path())).await.unwrap();
    let first = DeviceIdentity::load(&folder.path().join("identity")).unwrap();
    let error = enrol(enrolling(&other.token(), folder.path())).await.unwrap_err();
    assert!(matches!(error, EnrolError::Elsewhere { .. }), "{error:?}");
    assert!(other.requests().is_empty(), "nothing was sent");
    let forced = Enrolling { force: true, ..enrolling(&other.token(), folder.path()) };
    assert!(matches!(enrol(forced).await, Ok(Enrolled::Anew(_))));
    let second = DeviceIdentity::load(&folder.path().join("identity")).unwrap();
    assert_ne!(first.device(), second.device());
}

#[tokio::test]
async fn a_refusal_names_its_reason_and_leaves_nothing_behind() {
    let office = Office::open().await;
    office.refuse(RefusalReason::TokenUsed);
    let folder = tempfile::tempdir().unwrap();
    let error = enrol(enrolling(&office.token(), folder.path())).await.unwrap_err();
    let EnrolError::Refused { refusal, .. } = error else { panic!("{error:?}") };
    assert_eq!(refusal.reason, RefusalReason::TokenUsed);
    assert!(is_empty(folder.path()));
}

#[tokio::test]
async fn a_secret_is_never_shown_to_whom_the_token_does_not_mean() {
    let (office, impostor) = (Office::open().await, Office::open().await);
    // The address of one, the pin of the other.
    let token = office.token_for(impostor.address());
    let folder = tempfile::tempdir().unwrap();
    let error = enrol(enrolling(&token, folder.path())).await.unwrap_err();
    let EnrolError::Unreachable { tried } = error else { panic!("{error:?}") };
    assert!(tried[0].1.is_trust(), "{tried:?}");
    assert!(tried[0].1.to_string().contains("somebody may be in between"), "{tried:?}");
    assert!(impostor.requests().is_empty(), "nothing was sent");
    assert!(is_empty(folder.path()));
}

#[tokio::test]
async fn the_next_address_is_tried_and_all_are_named_when_none_answers() {
    let office = Office::open().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let token = office.token_of(&[closed, office.address()]);
    assert!(matches!(enrol(enrolling(&token, folder.path())).await, Ok(Enrolled::Anew(_))));

    let folder = tempfile::tempdir().unwrap();
    let token = office.token_of(&[closed, closed]);
    let error = enrol(enrolling(&token, folder.path())).await.unwrap_err();
    let EnrolError::Unreachable { tried } = error else { panic!("{error:?}") };
    assert_eq!(tried.len(), 2);
    assert_eq!(tried[0].0, closed.to_string());
    assert!(is_empty(folder.path()));
}
