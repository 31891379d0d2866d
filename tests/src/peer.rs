//! A client that speaks the protocol of agents, truly or falsely: what a hostile or broken device could
//! send. It uses the frames of `protocol` and nothing of the agent.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use headwater_certs::identity::DeviceIdentity;
use headwater_certs::tls::{Clock, agent_client_config};
use headwater_protocol::batch::Batch;
use headwater_protocol::body::BodyBuilder;
use headwater_protocol::entry::SentClock;
use headwater_protocol::header::{Clock as DeviceClock, Codec, Header, Packing};
use headwater_protocol::identity::{BootId, DeviceId, Epoch, Lane, Seq, Tip};
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Line, Part, SourceInfo};
use headwater_protocol::wire::{FRAME_HEAD_BYTES, Frame, FrameHead, Hello, LaneHello, LaneState};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, ConnectionError, Endpoint, EndpointConfig, RecvStream, SendStream,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::waiting::DEADLINE;

/// A connection to an aggregator.
#[derive(Debug)]
pub struct Peer {
    connection: Connection,
    /// Kept open: its end would end the session.
    greeting: Option<Bidi>,
    _endpoint: Endpoint,
}

/// Both ends of a stream.
#[derive(Debug)]
pub struct Bidi {
    /// What is sent.
    pub send: SendStream,
    /// What comes back.
    pub recv: RecvStream,
}

/// Runs something that talks to an aggregator.
///
/// # Panics
/// If it does, or there is no runtime.
pub fn talk<T>(talking: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let talked = async { tokio::time::timeout(DEADLINE, talking).await };
    runtime.block_on(talked).expect("the conversation ends in time")
}

impl Peer {
    /// Connects with an identity.
    ///
    /// # Errors
    /// What QUIC and TLS say. A certificate that is refused may show only once something is read.
    ///
    /// # Panics
    /// If the identity is of no use.
    pub async fn connect(
        identity: &DeviceIdentity,
        address: &str,
    ) -> Result<Self, ConnectionError> {
        Self::connect_from(&client_endpoint(), identity, address).await
    }

    /// The same, from a socket that others may share.
    ///
    /// # Errors
    /// What QUIC and TLS say.
    ///
    /// # Panics
    /// If the identity is of no use.
    pub async fn connect_from(
        endpoint: &Endpoint,
        identity: &DeviceIdentity,
        address: &str,
    ) -> Result<Self, ConnectionError> {
        let client = client_config(identity);
        let address: SocketAddr = address.parse().unwrap();
        let connection = endpoint.connect_with(client, address, "localhost").unwrap().await?;
        Ok(Self { connection, greeting: None, _endpoint: endpoint.clone() })
    }

    /// Says hello, and opens a stream for a lane if it is welcomed.
    pub async fn may_greet(&mut self) -> Option<Bidi> {
        self.may_greet_as(hello(1, 1)).await
    }

    /// Says a hello, and opens a stream for a lane if it is welcomed.
    pub async fn may_greet_as(&mut self, hello: Hello) -> Option<Bidi> {
        let (send, recv) = self.connection.open_bi().await.ok()?;
        let mut stream = Bidi { send, recv };
        stream.say(&Frame::Hello(hello).encode()).await;
        let answer = stream.hear().await;
        self.greeting = Some(stream);
        if !matches!(answer, Some(Frame::Welcome(_))) {
            return None;
        }
        let (send, recv) = self.connection.open_bi().await.ok()?;
        Some(Bidi { send, recv })
    }

    /// Connects, and says hello with the protocol's present version.
    ///
    /// # Panics
    /// If it is not welcomed.
    pub async fn greeted(identity: &DeviceIdentity, address: &str) -> Self {
        Self::greeted_as(hello(1, 1), identity, address).await
    }

    /// Connects, and says a hello that is welcome.
    ///
    /// # Panics
    /// If it is not welcomed.
    pub async fn greeted_as(hello: Hello, identity: &DeviceIdentity, address: &str) -> Self {
        let mut peer = Self::connect(identity, address).await.unwrap();
        let mut stream = peer.open().await;
        stream.say(&Frame::Hello(hello).encode()).await;
        let answer = stream.hear().await;
        assert!(matches!(answer, Some(Frame::Welcome(_))), "a welcome, not {answer:?}");
        peer.greeting = Some(stream);
        peer
    }

    /// Opens a stream.
    ///
    /// # Panics
    /// If the aggregator lets it open none.
    pub async fn open(&self) -> Bidi {
        let (send, recv) = self.connection.open_bi().await.unwrap();
        Bidi { send, recv }
    }

    /// Opens a stream, if the aggregator lets it within a time.
    pub async fn try_open(&self, within: Duration) -> Option<Bidi> {
        let opened = tokio::time::timeout(within, self.connection.open_bi()).await;
        let (send, recv) = opened.ok()?.ok()?;
        Some(Bidi { send, recv })
    }

    /// Whether the aggregator lets it open a stream in one direction within a time.
    pub async fn may_open_uni(&self, within: Duration) -> bool {
        matches!(tokio::time::timeout(within, self.connection.open_uni()).await, Ok(Ok(_)))
    }

    /// Opens a lane.
    ///
    /// # Panics
    /// If it is not answered by the lane's state.
    pub async fn lane(&self, lane: Lane) -> (Bidi, LaneState) {
        let mut stream = self.open().await;
        stream.say(&Frame::LaneHello(LaneHello { lane, receipt: None }).encode()).await;
        match stream.hear().await {
            Some(Frame::LaneState(state)) => (stream, state),
            other => panic!("a lane's state, not {other:?}"),
        }
    }

    /// Waits until the aggregator closes the session: the code and the words that it gives, or how the
    /// connection ended otherwise.
    ///
    /// # Errors
    /// The end of the connection, where it was not closed with a code of the protocol.
    pub async fn closed(&self) -> Result<(u64, String), ConnectionError> {
        match self.connection.closed().await {
            ConnectionError::ApplicationClosed(close) => {
                let reason = String::from_utf8_lossy(&close.reason).into_owned();
                Ok((close.error_code.into_inner(), reason))
            }
            other => Err(other),
        }
    }
}

/// A socket on loopback that connects.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn client_endpoint() -> Endpoint {
    Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// A socket on loopback from which many connect: it holds what comes for all of them at once, as far as the kernel
/// allows.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn shared_endpoint() -> Endpoint {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP)).unwrap();
    socket.set_recv_buffer_size(SHARED_BYTES).unwrap();
    socket.set_send_buffer_size(SHARED_BYTES).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    let runtime = Arc::new(quinn::TokioRuntime);
    Endpoint::new(EndpointConfig::default(), None, socket.into(), runtime).unwrap()
}

/// What the aggregator asks for as well.
const SHARED_BYTES: usize = 4 << 20;

/// The first datagram of a handshake that nobody answers.
///
/// # Panics
/// If there is none.
#[must_use]
pub async fn first_datagram(identity: &DeviceIdentity) -> Vec<u8> {
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = client_endpoint();
    let client = client_config(identity);
    let connecting = endpoint.connect_with(client, nobody.local_addr().unwrap(), "localhost");
    let connecting = connecting.unwrap();
    let mut datagram = vec![0; 2_048];
    let bytes = nobody.recv(&mut datagram).await.unwrap();
    drop(connecting);
    datagram.truncate(bytes);
    datagram
}

fn client_config(identity: &DeviceIdentity) -> ClientConfig {
    let tls = agent_client_config(identity, Arc::new(Clock::default())).unwrap();
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

impl Bidi {
    /// Sends bytes. An aggregator that does not want them any more closes the session, which the test
    /// looks at.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = self.send.write_all(bytes).await;
    }

    /// The next frame; `None` at the end of the stream.
    ///
    /// # Panics
    /// If the aggregator sends no frame.
    pub async fn hear(&mut self) -> Option<Frame> {
        let mut head = [0; FRAME_HEAD_BYTES];
        self.recv.read_exact(&mut head).await.ok()?;
        let head = FrameHead::parse(head).unwrap();
        let mut payload = vec![0; head.length()];
        self.recv.read_exact(&mut payload).await.ok()?;
        Some(Frame::decode(head, &payload).unwrap())
    }
}

/// A hello with a range of versions.
#[must_use]
pub fn hello(protocol_oldest: u16, protocol_newest: u16) -> Hello {
    Hello {
        protocol_oldest,
        protocol_newest,
        build: "a test".to_owned(),
        session: 1,
        name: "intruder".to_owned(),
        boot: BootId([0; 16]),
        labels: BTreeMap::new(),
    }
}

/// The device that an identity names.
#[must_use]
pub fn device_of(identity: &DeviceIdentity) -> DeviceId {
    DeviceId(identity.device().to_bytes())
}

/// A batch of one line, first of a new epoch on a lane's tip, in the name of a device.
#[must_use]
pub fn batch(device: DeviceId, state: &LaneState) -> Batch {
    let run = Run { number: state.run_highest + 1, nonce: 7 };
    let stream = Stream { source: SourceId([9; 16]), run };
    let mut body = BodyBuilder::default();
    let info =
        SourceInfo::File { path: b"/intruder.log".to_vec(), fingerprint: Default::default() };
    body.cover(stream, Some(&info), Mark::default(), Check::NONE);
    let line = Line { taken: 6, time_us: 1, part: Part::Whole, body: b"hello" };
    body.push_line(stream, line);
    let (packing, packed) = body.pack(0);
    let header = header(device, state, &body, packing);
    Batch::seal(header, &packed, state.tip.digest)
}

/// The same batch, with `packed` for its body, said to unpack to so many bytes.
#[must_use]
pub fn batch_of(device: DeviceId, state: &LaneState, packed: &[u8], unpacked: u32) -> Batch {
    let honest = batch(device, state);
    let length = u32::try_from(packed.len()).unwrap();
    let packing =
        Packing { codec: Codec::Zstd, packed: length, unpacked, ..honest.header().packing };
    let header = Header { packing, ..honest.header().clone() };
    Batch::seal(header, packed, state.tip.digest)
}

fn header(device: DeviceId, state: &LaneState, body: &BodyBuilder, packing: Packing) -> Header {
    Header {
        device,
        lane: state.lane,
        epoch: after(state.tip),
        seq: Seq::FIRST,
        parent: Some(state.tip),
        rekeyed: true,
        lane_state: 0,
        clock: DeviceClock::default(),
        counts: body.counts(),
        totals: state.totals.plus(body.counts()),
        spans: body.spans(),
        packing,
    }
}

/// An epoch that no batch up to a tip can have had.
fn after(tip: Tip) -> Epoch {
    let mut epoch = [0; 16];
    epoch.copy_from_slice(&blake3::hash(&tip.digest.0).as_bytes()[..16]);
    Epoch(epoch)
}

/// The frame of a batch.
#[must_use]
pub fn frame_of(batch: Batch) -> Vec<u8> {
    Frame::Batch { sent: SentClock::default(), batch: Box::new(batch) }.encode()
}

/// A zstd frame of a few bytes that unpacks to so many times 128 KiB of zeros, with a window of
/// 2^`window_log` bytes. RFC 8878, section 3.1.1: blocks of one repeated byte.
///
/// # Panics
/// If a window cannot be that small.
#[must_use]
pub fn bomb(blocks: usize, window_log: u8) -> Vec<u8> {
    const BLOCK_BYTES: u32 = 128 << 10;
    const REPEATED: u32 = 1;
    // No checksum, no dictionary, no content size; then the window: exponent above 10, mantissa 0.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, (window_log.checked_sub(10).unwrap()) << 3];
    for block in 1..=blocks {
        let head = BLOCK_BYTES << 3 | REPEATED << 1 | u32::from(block == blocks);
        frame.extend_from_slice(&head.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// A state on which nothing was sent yet, for batches that are refused before it matters.
#[must_use]
pub fn fresh_state(lane: Lane) -> LaneState {
    LaneState {
        lane,
        tip: Tip::GENESIS,
        totals: Default::default(),
        streams: Vec::new(),
        horizon: 0,
        run_highest: 0,
        log: headwater_protocol::identity::LogId([0; 16]),
        generation: Default::default(),
    }
}
