//! The beginning of a session: who it is, whether it is served, and which version both speak.

use headwater_certs::identity::peer_device;
use headwater_protocol::identity::{BootId, DeviceId};
use headwater_protocol::limits::IN_FLIGHT_MAX;
use headwater_protocol::wire::{Frame, Welcome, negotiate};
use quinn::{Connection, RecvStream, SendStream};
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use super::fault::{End, PeerFault};
use super::{Context, frames};
use crate::clock::wall_us;
use crate::limits::HANDSHAKE_TIMEOUT;
use crate::registry::Served;

/// Characters that are kept of an agent's build or name.
const TEXT_CHARS_MAX: usize = 64;

/// The device, from the certificate that the handshake verified, and from nothing else.
pub(super) fn identify(connection: &Connection) -> Result<DeviceId, PeerFault> {
    let chain = connection.peer_identity();
    let chain = chain.and_then(|chain| chain.downcast::<Vec<CertificateDer<'static>>>().ok());
    let chain = chain.ok_or(PeerFault::Nameless)?;
    let peer = peer_device(&chain).map_err(|_| PeerFault::Nameless)?;
    Ok(DeviceId(peer.device.to_bytes()))
}

/// Whether the device is served.
pub(super) async fn admit(context: &Context, device: DeviceId) -> Result<(), End> {
    let registry = context.options.registry.clone();
    // A look-up may wait for the disk, which this thread must not.
    let served = tokio::task::spawn_blocking(move || registry.served(device)).await;
    match served {
        Ok(Ok(Served::Yes)) => Ok(()),
        Ok(Ok(Served::Revoked)) => Err(PeerFault::NotServed("this device was revoked").into()),
        Ok(Ok(Served::Cloned)) => Err(PeerFault::Cloned.into()),
        Ok(Ok(Served::Unknown)) => {
            Err(PeerFault::NotServed("this device is not enrolled here; enrol it again").into())
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "look up a device");
            Err(End::Gone)
        }
        // The runtime is ending.
        Err(_) => Err(End::Gone),
    }
}

/// The session's own stream, which stays open.
pub(super) struct Greeted {
    /// The agent's build, from a stranger.
    pub(super) build: String,
    /// What the device calls itself, from a stranger.
    pub(super) name: String,
    /// The boot of its host, as it says.
    pub(super) boot: BootId,
    /// The version that both speak.
    pub(super) protocol: u16,
    /// The number of its process, as it says.
    pub(super) process: u64,
    pub(super) stream: (SendStream, RecvStream),
}

/// Hello and welcome on the session's first stream.
pub(super) async fn greet(context: &Context, connection: &Connection) -> Result<Greeted, End> {
    let silent = |_| PeerFault::Silent("hello");
    let (mut send, mut recv) = timeout(HANDSHAKE_TIMEOUT, connection.accept_bi())
        .await
        .map_err(silent)?
        .map_err(|_| End::Gone)?;
    let frame = timeout(HANDSHAKE_TIMEOUT, frames::read(&mut recv)).await.map_err(silent)??;
    let hello = match frame {
        Some((Frame::Hello(hello), _)) => hello,
        Some((other, _)) => {
            let (found, expected) = (frames::name(&other), "a hello");
            return Err(PeerFault::Unexpected { found, expected }.into());
        }
        None => return Err(PeerFault::Cut.into()),
    };
    let protocol = negotiate(&hello).map_err(PeerFault::Version)?;
    let welcome = Frame::Welcome(Welcome {
        protocol,
        build: env!("CARGO_PKG_VERSION").to_owned(),
        node: context.options.node_name.clone(),
        wall_us: wall_us(),
        in_flight: u16::try_from(IN_FLIGHT_MAX).expect("a handful of batches"),
    });
    frames::write(&mut send, &welcome.encode()).await?;
    Ok(Greeted {
        build: short(&hello.build),
        name: short(&hello.name),
        boot: hello.boot,
        protocol,
        process: hello.session,
        stream: (send, recv),
    })
}

/// What is kept of a stranger's text.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}
