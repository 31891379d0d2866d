//! Reaching a node without a session: a handshake, and the connection is closed again.
//!
//! No hello is said. A node that heard one would take it for a second host with this identity while the
//! agent of the first one runs.

use std::net::SocketAddr;
use std::time::Duration;

use headwater_certs::identity::DeviceIdentity;
use headwater_protocol::wire::CloseCode;
use quinn::VarInt;

use super::fault::SessionFault;
use super::{CLOSE_WAIT, dial};
use crate::config::ShipConfig;

/// A node that answered.
#[derive(Debug)]
pub struct Reached {
    /// What its address was resolved to.
    pub peer: SocketAddr,
    /// Round trip.
    pub rtt: Duration,
    /// Bytes that a packet may have on the way; `None` if a moment was too short to find out.
    pub mtu_bytes: Option<u16>,
    /// Why the node would serve no session; `None` if it did not say so within a moment.
    pub refusal: Option<SessionFault>,
}

/// Makes a handshake with the node at an address.
///
/// # Errors
/// Nobody answered, or who answered is not of the identity's authority.
pub async fn reach(
    config: &ShipConfig,
    identity: &DeviceIdentity,
    address: &str,
) -> Result<Reached, SessionFault> {
    let (client, endpoint) = (dial::client(config, identity)?, dial::endpoint(None)?);
    let connection = dial::connect(&endpoint, &client, address, config.connect_timeout).await?;
    // A node looks at the certificate only after this side has finished.
    let look = (connection.rtt() * 4).clamp(LOOK_TIME, LOOK_TIME_MAX);
    let closed = tokio::time::timeout(look, connection.closed()).await;
    let (path, remote) = (connection.stats().path, connection.remote_address());
    connection.close(VarInt::from_u32(CloseCode::Stopping as u32), b"");
    // Whether it hears of the closing or not, the look is over.
    let _ = tokio::time::timeout(CLOSE_WAIT, endpoint.wait_idle()).await;
    Ok(Reached {
        peer: SocketAddr::new(remote.ip().to_canonical(), remote.port()),
        rtt: path.rtt,
        mtu_bytes: (path.current_mtu > INITIAL_MTU_BYTES || path.lost_plpmtud_probes > 0)
            .then_some(path.current_mtu),
        refusal: closed.ok().map(SessionFault::of),
    })
}

/// What quinn begins with, and every path of QUIC carries. Source: RFC 9000, section 14.
const INITIAL_MTU_BYTES: u16 = 1200;
/// For a refusal to arrive, and for the search for the path's packet size.
const LOOK_TIME: Duration = Duration::from_millis(700);
/// Nodes wait 5 s for a hello, and note whoever says none.
const LOOK_TIME_MAX: Duration = Duration::from_secs(3);
