//! The way to each aggregator: its name, a handshake, and whose it is.

use std::io::ErrorKind;
use std::time::Duration;

use headwater_certs::identity::DeviceIdentity;
use headwater_certs::name::Pin;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;

use super::finding::Finding;
use super::{AS_ITS_USER, parted};
use crate::config::{Config, ShipConfig};
use crate::enrol::{EnrolmentState, StateError};
use crate::ship::{Reached, SessionFault, chain, reach};

pub(super) async fn look(config: &Config, identity: Option<&DeviceIdentity>) -> Vec<Finding> {
    let enrolled = match EnrolmentState::load(&config.identity.dir) {
        Ok(enrolled) => enrolled,
        Err(error) => return vec![unknown(&error)],
    };
    let addresses = match config.ship.addresses.as_slice() {
        [] => enrolled.addresses.clone(),
        configured => configured.to_vec(),
    };
    if addresses.is_empty() {
        return vec![match identity {
            None => Finding::skipped("aggregators", "none are known before this host is enrolled"),
            Some(_) => Finding::failed("aggregators", "no address is known")
                .why("enrolment told none, and none is configured")
                .next("set ship.addresses, as in addresses = [\"agg.example.com:4433\"]"),
        }];
    }
    let mut looks = JoinSet::new();
    for (place, address) in addresses.into_iter().enumerate() {
        let (ship, identity) = (config.ship.clone(), identity.cloned());
        let join_port = port_of(&enrolled.enrolled_at).unwrap_or(JOIN_PORT);
        looks.spawn(async move { (place, at(address, ship, identity, join_port).await) });
    }
    let mut found = looks.join_all().await;
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().flat_map(|(_, findings)| findings).collect()
}

/// What enrolment told can't be read. The identity beside it may be whole: no other one is needed then.
fn unknown(error: &StateError) -> Finding {
    let next = match error {
        StateError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            AS_ITS_USER.to_owned()
        }
        StateError::File { path, .. } | StateError::Content { path, .. } => {
            format!("mv '{0}' '{0}.bad', and set ship.addresses", path.display())
        }
    };
    let failed = Finding::failed("aggregators", "what enrolment told can't be read");
    failed.why(chain(error)).next(next)
}

/// What is found at one address.
async fn at(
    address: String,
    ship: ShipConfig,
    identity: Option<DeviceIdentity>,
    join_port: u16,
) -> Vec<Finding> {
    let address = address.escape_debug().to_string();
    let name = resolve(&address, ship.connect_timeout).await;
    let Ok(name) = name else {
        let path = Finding::skipped("path", format!("{address} not tried: its name is not known"));
        return vec![name.unwrap_or_else(|failed| failed), path];
    };
    let Some(identity) = identity else {
        let path = format!("{address} not tried: a handshake takes an identity");
        return vec![name, Finding::skipped("path", path)];
    };
    let mut findings = vec![name];
    match reach(&ship, &identity, &address).await {
        Ok(reached) => findings.extend(of_reached(&address, &reached, &identity)),
        Err(fault @ SessionFault::Trust { .. }) => {
            findings.push(Finding::ok("path", format!("{address} answers over UDP")));
            findings.push(distrust(&address, &fault));
        }
        Err(SessionFault::Unanswered(waited)) => {
            findings.push(unanswered(&address, waited, join_port).await);
        }
        Err(fault) => findings.push(
            Finding::failed("path", format!("{address} can't be reached"))
                .why(chain(&fault))
                .next("look at this host's network: ip route, ip addr"),
        ),
    }
    findings
}

async fn resolve(address: &str, timeout: Duration) -> Result<Finding, Finding> {
    let resolved = tokio::time::timeout(timeout, lookup_host(address)).await;
    let failed = |why: String| {
        let host = host_of(address);
        Finding::failed("name", format!("{host} is not resolved"))
            .why(why)
            .next(format!("getent hosts {host}; if that fails too, look at /etc/resolv.conf"))
    };
    let resolved = match resolved {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed(format!("no answer within {} s", timeout.as_secs()))),
    };
    let found: Vec<String> = resolved.map(|peer| peer.ip().to_string()).collect();
    match found.as_slice() {
        [] => Err(failed("it has no address".to_owned())),
        [ip] if ip == host_of(address) => Ok(Finding::ok("name", format!("{ip} is an address"))),
        found => Ok(Finding::ok("name", format!("{} is {}", host_of(address), found.join(", ")))),
    }
}

fn of_reached(address: &str, reached: &Reached, identity: &DeviceIdentity) -> Vec<Finding> {
    let micros = reached.rtt.as_micros();
    let rtt = format!("{}.{} ms", micros / 1000, micros / 100 % 10);
    let mtu = reached.mtu_bytes.map(|mtu| format!(", packets of {mtu} bytes get through"));
    let mtu = mtu.unwrap_or_default();
    let found = format!("{address} handshake over UDP, rtt {rtt}{mtu}");
    let path = if reached.mtu_bytes.is_some_and(|mtu| mtu < MTU_BYTES_LEAST) {
        Finding::warning("path", found)
            .why("a tunnel or a narrow link is on the way: more packets carry the same bytes")
            .next("ip link shows the MTU of this host's interfaces")
    } else {
        Finding::ok("path", found)
    };
    let pins = identity.bundle().iter().filter_map(|root| Pin::of_certificate(root).ok());
    let pins: Vec<String> = pins.map(|pin| pin.to_string().chars().take(16).collect()).collect();
    let authority =
        format!("{address} is of the authority that this host enrolled with, {}", pins.join(" "));
    let authority = Finding::ok("authority", authority);
    match &reached.refusal {
        None => vec![path, authority],
        Some(fault @ SessionFault::Trust { .. }) => vec![path, distrust(address, fault)],
        Some(fault) => vec![path, authority, refused(address, fault)],
    }
}

/// One of the two does not take the other for whom it says it is.
fn distrust(address: &str, fault: &SessionFault) -> Finding {
    Finding::failed("authority", format!("{address} and this host do not trust each other"))
        .why(chain(fault))
        .next("headwater-agent enrol --force, with a token of that aggregator; or correct ship.addresses")
}

fn refused(address: &str, fault: &SessionFault) -> Finding {
    let text = chain(fault);
    let (why, next) = parted(&text);
    Finding::failed("session", format!("{address} would not serve this device"))
        .why(why)
        .next(next.unwrap_or("headwater devices, on the aggregator, says how it stands"))
}

/// Silence over UDP: whether the host is there at all is seen over TCP.
async fn unanswered(address: &str, waited: Duration, join_port: u16) -> Finding {
    let (host, port) = (host_of(address), port_of(address).unwrap_or_default());
    let tcp = tokio::time::timeout(TCP_TIME, TcpStream::connect((host, join_port))).await;
    let failed = |tcp: &str| {
        let waited = waited.as_secs_f64();
        let found =
            format!("{address} no answer over UDP within {waited} s; TCP/{join_port} there {tcp}");
        Finding::failed("path", found)
    };
    match tcp {
        Ok(Ok(_)) => failed("works").why(format!("most often UDP/{port} is blocked")).next(format!(
            "let UDP/{port} out to {host}, and in there; is it the port of intake.listen? headwater doctor, on {host}"
        )),
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => failed("is refused")
            .why("the host is there, and most often no aggregator runs on it")
            .next(format!("on {host}: headwater doctor, and systemctl start headwater")),
        Ok(Err(_)) | Err(_) => failed("is silent too")
            .why("the host is down, or a firewall is in between")
            .next(format!("ping {host}; on {host}: headwater doctor")),
    }
}

/// The host in `host:port`.
fn host_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

fn port_of(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

/// Where devices enrol, if nobody says otherwise.
const JOIN_PORT: u16 = 7443;
const TCP_TIME: Duration = Duration::from_secs(2);
/// What every path of IPv6 carries, less the headers of IP and UDP. Source: RFC 8200, section 5.
const MTU_BYTES_LEAST: u16 = 1232;
