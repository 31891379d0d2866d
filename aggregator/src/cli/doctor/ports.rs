//! The ports, asked as those ask who come to them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use headwater_certs::UnixTime;
use headwater_certs::authority::Authority;
use headwater_certs::identity::Certificate;
use headwater_certs::tls::{Clock, enrol_client_config, explain};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::finding::Finding;
use crate::api::rows::NodeRow;
use crate::config::Config;

pub(super) async fn look(
    config: &Config,
    node: Option<&NodeRow>,
    authority: Option<&Authority>,
) -> Vec<Finding> {
    let Some(node) = node else {
        let found = "not asked: the service was not reached";
        return ["intake", "enrolment", "console", "readiness"]
            .map(|name| Finding::skipped(name, found))
            .to_vec();
    };
    let at =
        |listens: &str, configured: SocketAddr| reachable(listens.parse().unwrap_or(configured));
    let mut findings = vec![intake(at(&node.intake, config.intake.listen)).await];
    findings.extend(enrolment(at(&node.enrolment, config.enrol.listen), authority).await);
    findings.push(console(at(&node.console, config.console.listen)).await);
    findings.push(readiness(at(&node.metrics, config.metrics.listen)).await);
    findings
}

/// An address of this host at which somebody is found who listens everywhere.
fn reachable(listens: SocketAddr) -> SocketAddr {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listens.port())
}

/// Whether QUIC is spoken: who is asked for a version that there is not names those that there are.
async fn intake(address: SocketAddr) -> Finding {
    match timeout(ANSWER_TIME, versions(address)).await {
        Ok(Ok(true)) => Finding::ok("intake", format!("QUIC answers at {address} (UDP)")),
        Ok(Ok(false)) => {
            Finding::failed("intake", format!("{address} (UDP) answers, and not in QUIC"))
                .why("another program has the port")
                .next("ss -lunp names it; intake.listen is the port of this aggregator")
        }
        Ok(Err(error)) => silent("intake", format!("{address} (UDP)"), &error.to_string()),
        Err(_) => silent("intake", format!("{address} (UDP)"), "no answer in time"),
    }
}

/// Asks for the versions of QUIC. Source: RFC 8999, sections 5.1 and 6.
async fn versions(address: SocketAddr) -> io::Result<bool> {
    let local: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(address).await?;
    let mut ask = vec![0; QUIC_BYTES_LEAST];
    ask[0] = 0xc0;
    ask[1..5].copy_from_slice(&[0x1a, 0x2a, 0x3a, 0x4a]);
    // Both ids have eight bytes: their length stands before each.
    (ask[5], ask[14]) = (8, 8);
    let mut answer = [0; 1500];
    for _ in 0..TRIES {
        socket.send(&ask).await?;
        if let Ok(read) = timeout(ANSWER_TIME / (TRIES + 1), socket.recv(&mut answer)).await {
            // Version 0 is the answer to a version that is not known.
            return Ok(read? >= 7 && answer[0] & 0x80 != 0 && answer[1..5] == [0; 4]);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Whether a device would find the authority there, and how long the node's certificate is valid.
async fn enrolment(address: SocketAddr, authority: Option<&Authority>) -> Vec<Finding> {
    let Some(authority) = authority else {
        let found = "not asked: whom to expect is not known without the authority";
        return vec![Finding::skipped("enrolment", found)];
    };
    let ends = match timeout(ANSWER_TIME, certificate(address, authority)).await {
        Ok(Ok(ends)) => ends,
        Ok(Err(why)) => return vec![silent("enrolment", format!("{address} (TCP)"), &why)],
        Err(_) => {
            return vec![silent("enrolment", format!("{address} (TCP)"), "no answer in time")];
        }
    };
    let answers = Finding::ok("enrolment", format!("{address} (TCP) shows this authority"));
    let left = ends.as_secs().saturating_sub(UnixTime::now().as_secs());
    let found = format!("the node's own, {} d {} h left", left / 86_400, left % 86_400 / 3_600);
    // It is issued anew at two thirds of its seven days.
    let certificate = if left < CERTIFICATE_LEFT_LEAST_S {
        Finding::warning("certificate", found)
            .why("it ought to have been issued anew; agents refuse the node once it ends")
            .next("systemctl restart headwater issues one; its log says why it did not")
    } else {
        Finding::ok("certificate", found)
    };
    vec![answers, certificate]
}

/// Shakes hands as a device does that enrols, and says nothing.
async fn certificate(address: SocketAddr, authority: &Authority) -> Result<UnixTime, String> {
    let tcp = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let config = enrol_client_config(&[authority.root_pin()], Arc::new(Clock::default()));
    let config = config.map_err(|error| error.to_string())?;
    let name = ServerName::from(address.ip());
    let mut session = TlsConnector::from(config).connect(name, tcp).await.map_err(|error| {
        let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        tls.map_or_else(|| error.to_string(), |tls| explain(tls).to_string())
    })?;
    let ends = session.get_ref().1.peer_certificates().and_then(|chain| {
        Certificate::read(chain.first()?).ok().map(|certificate| certificate.not_after)
    });
    // It shows that nothing was cut off, which nobody need hear.
    drop(session.shutdown().await);
    ends.ok_or_else(|| "it shows a certificate that can't be read".to_owned())
}

async fn console(address: SocketAddr) -> Finding {
    match timeout(ANSWER_TIME, http(address, "/login")).await {
        Ok(Ok(_)) => Finding::ok("console", format!("http://{address} answers")),
        Ok(Err(error)) => silent("console", format!("http://{address}"), &error.to_string()),
        Err(_) => silent("console", format!("http://{address}"), "no answer in time"),
    }
}

async fn readiness(address: SocketAddr) -> Finding {
    let answer = match timeout(ANSWER_TIME, http(address, "/readyz")).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            return silent("readiness", format!("http://{address}/readyz"), &error.to_string());
        }
        Err(_) => {
            return silent("readiness", format!("http://{address}/readyz"), "no answer in time");
        }
    };
    if answer.starts_with("HTTP/1.1 200") {
        return Finding::ok("readiness", format!("http://{address}/readyz says ready"));
    }
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim();
    Finding::failed("readiness", "it does not take batches at the moment")
        .why(body)
        .next("wait for a recovery to end, or make room on the disk")
}

/// The answer to a request for a page, as far as it is short.
async fn http(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let ask = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(HTTP_BYTES_MAX).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    if answer.starts_with("HTTP/") { Ok(answer) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn silent(name: &'static str, place: String, why: &str) -> Finding {
    Finding::failed(name, format!("{place} does not answer"))
        .why(why)
        .next("ss -lntup shows who listens; then: systemctl restart headwater")
}

const ANSWER_TIME: Duration = Duration::from_secs(3);
/// A datagram may be lost, also on loopback if a buffer is full.
const TRIES: u32 = 3;
/// Source: RFC 9000, section 14.1.
const QUIC_BYTES_LEAST: usize = 1200;
const HTTP_BYTES_MAX: u64 = 16 << 10;
const CERTIFICATE_LEFT_LEAST_S: u64 = 86_400;
