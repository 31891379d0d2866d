//! Reaching a node: names, sockets, and the first answer.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use headwater_certs::identity::DeviceIdentity;
use headwater_certs::tls::{Clock, agent_client_config};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, IdleTimeout, Runtime, TokioRuntime,
    TransportConfig, VarInt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::task::JoinSet;
use tracing::debug;

use super::budget::{Meter, Metered};
use super::fault::SessionFault;
use crate::config::ShipConfig;

/// Connects to the first of an address's resolved addresses that answers. They are tried in turn, a
/// little apart, without waiting for one to fail before the next begins.
pub(super) async fn connect(
    endpoint: &Endpoint,
    client: &ClientConfig,
    address: &str,
    timeout: Duration,
) -> Result<Connection, SessionFault> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let resolved = tokio::time::timeout(timeout, tokio::net::lookup_host(address)).await;
    let resolved = resolved.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let resolved = in_turn(resolved.map_err(SessionFault::Resolve)?.collect());
    let mut tries = JoinSet::new();
    let mut head_start = Duration::ZERO;
    for peer in resolved {
        let (endpoint, client, host) = (endpoint.clone(), client.clone(), host.clone());
        tries.spawn(async move {
            tokio::time::sleep(head_start).await;
            let connecting = endpoint.connect_with(client, peer, &host);
            let connecting = connecting.map_err(SessionFault::Connect)?;
            match tokio::time::timeout(timeout, connecting).await {
                Ok(connection) => connection.map_err(SessionFault::of),
                Err(_) => Err(SessionFault::Unanswered(timeout)),
            }
        });
        head_start += HEAD_START;
    }
    let mut fault = SessionFault::Resolve(io::ErrorKind::NotFound.into());
    while let Some(tried) = tries.join_next().await {
        match tried.expect("a try to connect does not panic") {
            Ok(connection) => return Ok(connection),
            // An answer says more than silence does.
            Err(other) => {
                debug!(%address, fault = &other as &dyn std::error::Error, "try failed");
                if !matches!(other, SessionFault::Unanswered(_) | SessionFault::Connect(_))
                    || matches!(fault, SessionFault::Resolve(_))
                {
                    fault = other;
                }
            }
        }
    }
    Err(fault)
}

/// IPv6 and IPv4 in turns, IPv6 first, each in the resolver's order.
fn in_turn(resolved: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let (six, four): (Vec<_>, Vec<_>) = resolved.into_iter().partition(SocketAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut turns = Vec::new();
    loop {
        let before = turns.len();
        turns.extend(six.next());
        turns.extend(four.next());
        if turns.len() == before {
            turns.truncate(RESOLVED_MAX);
            return turns;
        }
    }
}

/// A UDP socket for both families where the host has both. What travels is counted by `meter`, if there is one.
pub(super) fn endpoint(meter: Option<Arc<Meter>>) -> Result<Endpoint, SessionFault> {
    let socket = socket(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, 0).into());
    let socket = socket.or_else(|_| socket_of_ipv4()).map_err(SessionFault::Socket)?;
    let (config, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
    let endpoint = match meter {
        None => Endpoint::new(config, None, socket, runtime),
        Some(meter) => runtime.wrap_udp_socket(socket).and_then(|socket| {
            let metered = Arc::new(Metered { socket, meter });
            Endpoint::new_with_abstract_socket(config, None, metered, runtime)
        }),
    };
    endpoint.map_err(SessionFault::Socket)
}

fn socket_of_ipv4() -> io::Result<UdpSocket> {
    socket(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, 0).into())
}

fn socket(domain: Domain, local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    // The kernel gives as much as its limit allows, which is not an error.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&local.into())?;
    Ok(socket.into())
}

/// How sessions of an identity are set up.
pub(super) fn client(
    config: &ShipConfig,
    identity: &DeviceIdentity,
) -> Result<ClientConfig, SessionFault> {
    // A certificate proves that its beginning has passed, whatever the local clock says.
    let clock = Arc::new(Clock::no_earlier_than(identity.certificate().not_before));
    let tls = agent_client_config(identity, clock).map_err(SessionFault::Tls)?;
    let crypto = QuicClientConfig::try_from(tls).expect("ring has the suite that QUIC begins with");
    let mut client = ClientConfig::new(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(config.idle_timeout);
    transport
        .max_idle_timeout(Some(idle.expect("the configuration bounds it at 10 min")))
        .keep_alive_interval(config.keep_alive)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None);
    client.transport_config(Arc::new(transport));
    Ok(client)
}

/// How long the first of two addresses is alone. Source: RFC 8305, section 8.
const HEAD_START: Duration = Duration::from_millis(250);
/// Resolved addresses that are tried.
const RESOLVED_MAX: usize = 8;
/// Source: LIMITS page, section 3: the usual 208 KiB lose packets.
pub(crate) const SOCKET_BUFFER_BYTES: usize = 4 << 20;
/// What a node may send on one stream without being read: a lane's whole state fits.
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
/// The same for all streams together.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// What may be on its way and is kept until the node's host has it: a batch of each lane of the
/// usual size, and room for a large one. It bounds memory, and at 100 ms carries 20 MB/s.
const SEND_WINDOW_BYTES: u64 = 2 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_take_turns() {
        let parse = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let resolved = parse(&["1.1.1.1:1", "2.2.2.2:1", "[::1]:1", "3.3.3.3:1"]);
        let expected = parse(&["[::1]:1", "1.1.1.1:1", "2.2.2.2:1", "3.3.3.3:1"]);
        assert_eq!(in_turn(resolved), expected);
        assert_eq!(in_turn(vec!["1.1.1.1:1".parse().unwrap(); 30]).len(), RESOLVED_MAX);
    }
}
