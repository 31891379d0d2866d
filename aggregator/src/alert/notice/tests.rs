//! Notices to real servers that take them, refuse them, hang, redirect and die.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::net::TcpListener;

use super::*;
use crate::alert::{Alerts, Limits, RuleName, RuleSet, Scope, Selector, Stat, Threshold, When};
use crate::window::{ClosedWindow, Combination, Figures, Key, Row};

const LOG_ID: LogId = LogId([7; 16]);
/// Longest wait for anything.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server that answers as it is told and keeps what it was sent.
#[derive(Clone, Default)]
struct Server {
    /// What it answers next; when there is nothing left: 200.
    answers: Arc<Mutex<Vec<Answer>>>,
    got: Arc<Mutex<Vec<(HeaderMap, serde_json::Value, Bytes)>>>,
}

#[derive(Clone, Debug)]
enum Answer {
    Status(u16),
    Redirect(String),
    Hang,
}

impl Server {
    async fn start(&self, port: u16) -> (u16, JoinHandle<()>) {
        let router = Router::new().fallback(post(answer)).with_state(self.clone());
        let listener = loop {
            match TcpListener::bind(("127.0.0.1", port)).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        let port = listener.local_addr().unwrap().port();
        (port, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
    }

    fn keys(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter().map(|(head, ..)| head["idempotency-key"].to_str().unwrap().to_owned()).collect()
    }
}

async fn answer(State(server): State<Server>, head: HeaderMap, body: Bytes) -> Response {
    let json = serde_json::from_slice(&body).unwrap();
    server.got.lock().unwrap().push((head, json, body));
    let answer = {
        let mut answers = server.answers.lock().unwrap();
        if answers.is_empty() { Answer::Status(200) } else { answers.remove(0) }
    };
    match answer {
        Answer::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Answer::Redirect(to) => (StatusCode::FOUND, [("location", to)]).into_response(),
        Answer::Hang => std::future::pending().await,
    }
}

/// A fold whose one rule fires and clears as it is told.
struct Site {
    alerts: Alerts,
    board: AlertBoard,
    registry: Registry,
    metrics: crate::metrics::Metrics,
    windows: i64,
    notify: Vec<String>,
    _folder: tempfile::TempDir,
}

impl Site {
    fn new(notify: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(&folder.path().join("control.redb")).unwrap();
        let mut site = Self {
            alerts: Alerts::default(),
            board: AlertBoard::default(),
            registry,
            metrics: crate::metrics::Metrics::default(),
            windows: 0,
            notify: notify.iter().map(|name| (*name).to_owned()).collect(),
            _folder: folder,
        };
        let rule = site.rule();
        let set = RuleSet { revision: 1, rules: vec![rule], ..RuleSet::default() };
        assert!(site.alerts.publish(set));
        site.board.show(&site.alerts);
        site
    }

    fn rule(&self) -> Threshold {
        Threshold {
            name: RuleName { owner: "test".to_owned(), name: "busy".to_owned() },
            scope: Scope {
                metric: "cpu.busy_ratio".to_owned(),
                by: Scope::by_device(),
                per: None,
                selector: Selector::default(),
                exclude: Vec::new(),
            },
            stat: Stat::Mean,
            window_us: None,
            limits: Limits::new(When::Above, "0.7".parse().ok(), None, None).unwrap(),
            for_us: 0,
            no_data_us: 1,
            note: Some("look at it".to_owned()),
            runbook: None,
            notify: self.notify.clone(),
        }
    }

    /// The next window: the alert fires, or is over.
    fn window(&mut self, value: i64) {
        let series = headwater_protocol::record::Series {
            metric: "cpu.busy_ratio".to_owned(),
            labels: Vec::new(),
            scale: 4,
        };
        let row = Row {
            combination: Arc::new(Combination::device()),
            key: Arc::new(Key::Of(vec!["edge-1".to_owned()])),
            labels: Arc::new(BTreeMap::new()),
            series: Arc::new(series),
            figures: Figures::of(value),
            devices: 1,
            known: 1,
        };
        let length_us = 10_000_000;
        let start_us = self.windows * length_us;
        self.windows += 1;
        let window = ClosedWindow { start_us, length_us, without: Vec::new(), rows: vec![row] };
        assert_eq!(self.alerts.handle_window(&window).len(), 1, "each window here is a change");
        self.board.show(&self.alerts);
    }

    fn start(&self, webhooks: &[Webhook], tries: u32) -> Notices {
        let pace = Pace { first: Duration::from_millis(1), most: Duration::from_millis(5), tries };
        let options = NoticeOptions {
            webhooks: webhooks.to_vec(),
            board: self.board.clone(),
            registry: self.registry.clone(),
            log: LOG_ID,
            pace,
            metrics: self.metrics.alert.clone(),
        };
        Notices::start(options).unwrap()
    }

    fn cursor(&self, name: &str) -> Option<crate::registry::NoticeCursor> {
        self.registry.notice_cursor(name).unwrap()
    }

    /// Waits until a destination is done with a change.
    async fn done(&self, name: &str, seq: u64) {
        until(name, || self.cursor(name).is_some_and(|cursor| cursor.seq >= seq)).await;
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let late = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < late, "it does not come true: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn webhook(name: &str, port: u16) -> Webhook {
    Webhook {
        name: name.to_owned(),
        url: Url::parse(&format!("http://127.0.0.1:{port}/hook"), true).unwrap(),
        secret_file: None,
        ca_file: None,
        allow_private: true,
    }
}

#[tokio::test]
async fn each_change_is_told_once_in_order_with_a_body_that_alertmanager_would_send() {
    let (server, mut site) = (Server::default(), Site::new(&[]));
    let (port, _task) = server.start(0).await;
    let secret = site._folder.path().join("secret");
    std::fs::write(&secret, "very secret\n").unwrap();
    let hook = Webhook { secret_file: Some(secret), ..webhook("on-call", port) };
    let notices = site.start(&[hook], 3);
    site.window(9_000);
    site.window(1_000);
    site.done("on-call", 2).await;
    site.done(LOG, 2).await;
    notices.stop().await;
    let id = site.board.ended()[0].id.to_string();
    assert_eq!(server.keys(), [format!("{id}-1"), format!("{id}-2")]);
    let got = server.got.lock().unwrap();
    let (head, body, bytes) = &got[0];
    assert_eq!(body["version"], "4");
    assert_eq!((&body["status"], &body["receiver"]), (&"firing".into(), &"on-call".into()));
    let alert = &body["alerts"][0];
    assert_eq!(alert["labels"]["alertname"], "busy");
    assert_eq!(alert["labels"]["severity"], "warn");
    assert_eq!(alert["startsAt"], "1970-01-01T00:00:00.000000Z");
    assert_eq!(alert["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(alert["fingerprint"], id.as_str());
    assert_eq!(
        alert["annotations"]["summary"],
        "busy on device=edge-1: warn, cpu.busy_ratio 0.9, limit 0.7"
    );
    assert_eq!(got[1].1["status"], "resolved");
    assert_eq!(got[1].1["alerts"][0]["endsAt"], "1970-01-01T00:00:20.000000Z");
    let signature = head["headwater-signature"].to_str().unwrap();
    let (time, hex) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"very secret");
    let signed = [time.as_bytes(), b".", bytes].concat();
    assert_eq!(crate::api::rows::hex(ring::hmac::sign(&key, &signed).as_ref()), hex);
}

#[tokio::test]
async fn a_server_that_fails_is_tried_again_with_the_same_key_until_it_takes_the_notice() {
    let (server, mut site) = (Server::default(), Site::new(&[]));
    *server.answers.lock().unwrap() = vec![Answer::Status(500), Answer::Status(503)];
    let (port, _task) = server.start(0).await;
    let notices = site.start(&[webhook("on-call", port)], 10);
    site.window(9_000);
    site.done("on-call", 1).await;
    notices.stop().await;
    let keys = server.keys();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let cursor = site.cursor("on-call").unwrap();
    assert_eq!((cursor.sent, cursor.dead, cursor.fault), (1, 0, None));
}

#[tokio::test]
async fn a_notice_that_is_never_taken_is_given_up_counted_and_the_next_goes_on() {
    let (server, mut site) = (Server::default(), Site::new(&[]));
    *server.answers.lock().unwrap() = vec![Answer::Status(400); 3];
    let (port, _task) = server.start(0).await;
    let notices = site.start(&[webhook("on-call", port)], 3);
    site.window(9_000);
    site.window(1_000);
    site.done("on-call", 2).await;
    let cursor = site.cursor("on-call").unwrap();
    assert_eq!((cursor.sent, cursor.dead), (1, 1));
    notices.stop().await;
    let text = site.metrics.encode();
    for (result, count) in [("dead", 1), ("failed", 2), ("sent", 1)] {
        let line = format!(
            "headwater_alert_notices_total{{destination=\"on-call\",result=\"{result}\"}} {count}"
        );
        assert!(text.contains(&line), "{line} is in:\n{text}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, target, mut site) = (Server::default(), Server::default(), Site::new(&[]));
    let (elsewhere, _other) = target.start(0).await;
    let to = format!("http://127.0.0.1:{elsewhere}/");
    *server.answers.lock().unwrap() = vec![Answer::Redirect(to); 2];
    let (port, _task) = server.start(0).await;
    let notices = site.start(&[webhook("on-call", port)], 2);
    site.window(9_000);
    site.done("on-call", 1).await;
    notices.stop().await;
    let fault = site.cursor("on-call").unwrap().fault.unwrap();
    assert!(fault.contains("redirect"), "{fault}");
    assert!(target.keys().is_empty());
}

#[tokio::test]
async fn a_server_that_hangs_holds_up_no_other_and_is_told_again_after_a_restart() {
    let (slow, quick, mut site) = (Server::default(), Server::default(), Site::new(&[]));
    *slow.answers.lock().unwrap() = vec![Answer::Hang];
    let ((first, _one), (second, _two)) = (slow.start(0).await, quick.start(0).await);
    let hooks = [webhook("slow", first), webhook("quick", second)];
    let notices = site.start(&hooks, 3);
    site.window(9_000);
    site.window(1_000);
    site.done("quick", 2).await;
    until("the slow one has the first", || slow.keys().len() == 1).await;
    let slow_seq = site.cursor("slow").map(|cursor| cursor.seq);
    assert_eq!(slow_seq, Some(0), "what is not answered is not done with");
    notices.stop().await;
    let notices = site.start(&hooks, 3);
    site.done("slow", 2).await;
    notices.stop().await;
    let keys = slow.keys();
    assert_eq!(keys.len(), 3);
    assert_eq!(keys[0], keys[1], "a repeat is recognisable");
    assert_eq!(quick.keys().len(), 2, "what was acked is not told again");
}

#[tokio::test]
async fn a_server_that_dies_gets_what_it_missed_when_it_is_back() {
    let (server, mut site) = (Server::default(), Site::new(&[]));
    let (port, task) = server.start(0).await;
    let notices = site.start(&[webhook("on-call", port)], u32::MAX);
    site.window(9_000);
    site.done("on-call", 1).await;
    task.abort();
    drop(task.await);
    site.window(1_000);
    site.window(9_000);
    until("it is refused", || site.metrics.encode().contains("result=\"failed\"")).await;
    let (_, _task) = server.start(port).await;
    site.done("on-call", 3).await;
    notices.stop().await;
    let keys: std::collections::BTreeSet<String> = server.keys().into_iter().collect();
    assert_eq!(keys.len(), 3);
}

#[tokio::test]
async fn only_the_webhooks_that_a_threshold_names_are_told() {
    let (named, other, mut site) = (Server::default(), Server::default(), Site::new(&["named"]));
    let ((first, _one), (second, _two)) = (named.start(0).await, other.start(0).await);
    let notices = site.start(&[webhook("named", first), webhook("other", second)], 3);
    site.window(9_000);
    site.done("named", 1).await;
    site.done("other", 1).await;
    notices.stop().await;
    assert_eq!((named.keys().len(), other.keys().len()), (1, 0));
}

#[tokio::test]
async fn private_addresses_are_refused_after_resolution_however_they_are_written() {
    let server = Server::default();
    let (port, _task) = server.start(0).await;
    let hosts =
        ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0"];
    for host in hosts {
        let url = Url::parse(&format!("http://{host}:{port}/"), true).unwrap();
        let hook = Webhook { url, allow_private: false, ..webhook("on-call", port) };
        let posted = Poster::new(&hook).unwrap().post(b"{}".to_vec(), "key", 0).await;
        let error = posted.unwrap_err();
        assert!(
            matches!(error, post::PostError::Blocked | post::PostError::Resolve(_)),
            "{host}: {error}"
        );
    }
    for metadata in ["169.254.169.254", "[fe80::1]", "10.0.0.1"] {
        let url = Url::parse(&format!("http://{metadata}/"), true).unwrap();
        let hook = Webhook { url, allow_private: false, ..webhook("on-call", port) };
        let error = Poster::new(&hook).unwrap().post(Vec::new(), "key", 0).await.unwrap_err();
        assert!(matches!(error, post::PostError::Blocked), "{metadata}: {error}");
    }
    assert!(server.got.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_never_ends_is_not_read_and_its_text_is_not_shown() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut some = [0; 64];
        _ = stream.read(&mut some).await;
        _ = stream.write_all(b"HTTP/1.1 500 internal-mark\r\nx-mark: ").await;
        // A header without an end: more than is ever read.
        while stream.write_all(&[b'm'; 4096]).await.is_ok() {}
    });
    let poster = Poster::new(&webhook("on-call", port)).unwrap();
    let error = poster.post(b"{}".to_vec(), "key", 0).await.unwrap_err();
    let told = crate::api::chain(&error);
    assert!(matches!(error, post::PostError::Http(_)), "{told}");
    assert!(!told.contains("mark"), "{told}");
    tokio::time::timeout(DEADLINE, task).await.unwrap().unwrap();
}

/// A certificate for a name that is its own root, in PEM, and how a server shows it.
fn certificate(name: &str) -> (String, rustls::ServerConfig) {
    let signed = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(signed.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    (signed.cert.pem(), config)
}

/// Takes one connection, and answers 204 over TLS.
async fn serve_tls(listener: TcpListener, config: rustls::ServerConfig) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let (stream, _) = listener.accept().await.unwrap();
    let accepted = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    let Ok(mut stream) = accepted else { return };
    let mut head = [0; 4096];
    _ = stream.read(&mut head).await;
    _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    _ = stream.shutdown().await;
}

#[tokio::test]
async fn a_certificate_must_end_in_the_roots_and_be_for_the_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root.pem");
    for (name, own_root, is_taken) in
        [("localhost", true, true), ("localhost", false, false), ("other.example", true, false)]
    {
        let (pem, config) = certificate(name);
        let pem = if own_root { pem } else { certificate(name).0 };
        std::fs::write(&root, pem).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(serve_tls(listener, config));
        let url = Url::parse(&format!("https://localhost:{port}/"), false).unwrap();
        let hook = Webhook { url, ca_file: Some(root.clone()), ..webhook("on-call", port) };
        let posted = Poster::new(&hook).unwrap().post(b"{}".to_vec(), "key", 0).await;
        match posted {
            Ok(()) => assert!(is_taken, "{name} {own_root}"),
            Err(error) => {
                assert!(!is_taken, "{name} {own_root}: {}", crate::api::chain(&error));
                assert!(matches!(error, post::PostError::Tls(_)), "{error}");
            }
        }
        server.await.unwrap();
    }
}

#[test]
fn files_of_a_webhook_are_checked_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty");
    let missing = Webhook { secret_file: Some(path.clone()), ..webhook("on-call", 1) };
    let error = Poster::new(&missing).unwrap_err().to_string();
    assert!(error.contains("webhook on-call: read"), "{error}");
    std::fs::write(&path, "\n").unwrap();
    let error = Poster::new(&missing).unwrap_err().to_string();
    assert!(error.contains("holds no secret"), "{error}");
    let url = Url::parse("https://a.example/", false).unwrap();
    let wrong = Webhook { url, ca_file: Some(path), ..webhook("on-call", 1) };
    let error = Poster::new(&wrong).unwrap_err().to_string();
    assert!(error.contains("holds no certificate"), "{error}");
}
