//! The socket and the transport.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use socket2::{Domain, Protocol, Socket, Type};

use super::IntakeOptions;
use crate::limits::{
    BIDI_STREAMS_MAX, CONNECTION_WINDOW_BYTES, HANDSHAKES_MAX, IDLE_TIMEOUT, KEEP_ALIVE_INTERVAL,
    RECEIVE_BUFFER_BYTES_MIN, RESET_INTERVAL_MIN, SEND_WINDOW_BYTES, STREAM_WINDOW_BYTES,
};
use crate::registry::ResetKey;

/// Why the intake can't listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the address.
    #[error(
        "listen at {address} (UDP): another program has it; set intake.listen to a free address, or stop that program (ss -lunp)"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The socket can't be had.
    #[error("listen at {address} (UDP, intake.listen)")]
    Socket {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The certificate can't serve QUIC.
    #[error("configure QUIC")]
    Crypto(#[source] quinn::crypto::rustls::NoInitialCipherSuite),
}

/// Listens.
pub(super) fn listen(options: &IntakeOptions) -> Result<Endpoint, ListenError> {
    let address = options.listen;
    let socket = socket(options).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse { address },
        _ => ListenError::Socket { address, source },
    })?;
    let config = server_config(Arc::clone(&options.tls))?;
    let runtime = Arc::new(quinn::TokioRuntime);
    Endpoint::new(endpoint_config(&options.reset_key), Some(config), socket, runtime)
        .map_err(|source| ListenError::Socket { address, source })
}

/// Keys that outlive the process: an agent that writes to a process which was killed is told so by the next one
/// at once, and need not find out by silence. FAILURES page, F18.
fn endpoint_config(key: &ResetKey) -> EndpointConfig {
    let reset = blake3::derive_key("headwater 2026 stateless reset", &key.0);
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset)));
    // A reset is sent for ids of this node's own making only.
    let ids = blake3::derive_key("headwater 2026 connection ids", &key.0);
    let ids = u64::from_le_bytes(*ids.first_chunk().expect("32 bytes hold 8"));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config.min_reset_interval(RESET_INTERVAL_MIN);
    config
}

fn socket(options: &IntakeOptions) -> Result<std::net::UdpSocket, io::Error> {
    let socket =
        Socket::new(Domain::for_address(options.listen), Type::DGRAM, Some(Protocol::UDP))?;
    if options.listen.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    let wanted = usize::try_from(options.receive_buffer.0).unwrap_or(usize::MAX);
    // The kernel gives what it may; what that is, is looked at below.
    drop(socket.set_recv_buffer_size(wanted));
    drop(socket.set_send_buffer_size(wanted));
    let got = socket.recv_buffer_size()? as u64;
    if got < RECEIVE_BUFFER_BYTES_MIN {
        tracing::warn!(
            bytes = got,
            "the kernel gives a small receive buffer, so bursts are lost and sent again; \
             raise it: sysctl net.core.rmem_max={wanted}"
        );
    }
    socket.bind(&options.listen.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// The limits of FAILURES page, section 7.
pub(super) fn server_config(tls: Arc<rustls::ServerConfig>) -> Result<ServerConfig, ListenError> {
    let crypto = QuicServerConfig::try_from(tls).map_err(ListenError::Crypto)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE_TIMEOUT).expect("45 s fit into a QUIC timeout");
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(BIDI_STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE_INTERVAL))
        .datagram_receive_buffer_size(None)
        // What a node sends are answers. With it, each connection keeps room for ten packets.
        .enable_segmentation_offload(false);
    config
        .transport_config(Arc::new(transport))
        .migration(true)
        .max_incoming(HANDSHAKES_MAX)
        .incoming_buffer_size_total(4 << 20);
    Ok(config)
}
