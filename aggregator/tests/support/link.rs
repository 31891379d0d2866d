//! An agent on a real QUIC connection: the protocol's own sender over the agent in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_certs::identity::DeviceIdentity;
use headwater_certs::tls::{Clock, agent_client_config};
use headwater_protocol::entry::SentClock;
use headwater_protocol::identity::{BootId, DeviceId, Lane};
use headwater_protocol::sender::{Sender, Transmit};
use headwater_protocol::wire::{
    Alive, CloseCode, FRAME_HEAD_BYTES, Frame, FrameHead, Hello, LaneHello, Welcome, encode_batch,
};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, ConnectionError, Endpoint, RecvStream, SendStream};

use crate::agent::TestAgent;

/// Long enough for the slowest machine, short enough for a person who waits.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn device_of(identity: &DeviceIdentity) -> DeviceId {
    DeviceId(identity.device().to_bytes())
}

/// A session that has been welcomed.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) welcome: Welcome,
    stream: Option<(SendStream, RecvStream)>,
    _endpoint: Endpoint,
}

/// A connection that has said nothing yet.
pub(crate) async fn connect(
    node: SocketAddr,
    identity: &DeviceIdentity,
) -> Result<(Connection, Endpoint), ConnectionError> {
    let tls = agent_client_config(identity, Arc::new(Clock::default())).unwrap();
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connection = endpoint.connect_with(config, node, "localhost").unwrap().await?;
    Ok((connection, endpoint))
}

pub(crate) fn hello(protocol_oldest: u16, protocol_newest: u16) -> Frame {
    hello_of(1, (protocol_oldest, protocol_newest))
}

fn hello_of(process: u64, (protocol_oldest, protocol_newest): (u16, u16)) -> Frame {
    Frame::Hello(Hello {
        protocol_oldest,
        protocol_newest,
        build: "test".to_owned(),
        session: process,
        name: "web-01".to_owned(),
        boot: BootId::default(),
        labels: BTreeMap::new(),
    })
}

impl Session {
    /// A session of process 1, which answers no probe.
    pub(crate) async fn begin(node: SocketAddr, identity: &DeviceIdentity) -> Self {
        Self::of_process(1, node, identity).await
    }

    /// A session of a process that answers no probe.
    pub(crate) async fn of_process(
        process: u64,
        node: SocketAddr,
        identity: &DeviceIdentity,
    ) -> Self {
        let (connection, endpoint) = connect(node, identity).await.unwrap();
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&hello_of(process, (1, 1)).encode()).await.unwrap();
        let Frame::Welcome(welcome) = read(&mut recv).await.unwrap() else { panic!("a welcome") };
        Self { connection, welcome, stream: Some((send, recv)), _endpoint: endpoint }
    }

    /// Answers the next probe, as a live process does, with a number added to the probe's.
    pub(crate) fn answer_probe(&mut self, process: u64, added: u64) {
        let (mut send, mut recv) = self.stream.take().expect("a probe is answered once");
        tokio::spawn(async move {
            let Frame::Probe(probe) = read(&mut recv).await.unwrap() else { panic!("a probe") };
            let alive = Alive { probe: probe.wrapping_add(added), session: process };
            send.write_all(&Frame::Alive(alive).encode()).await.unwrap();
            // Kept until the session ends.
            drop(read(&mut recv).await);
        });
    }

    pub(crate) async fn lane(&self) -> LaneStream {
        let (send, recv) = self.connection.open_bi().await.unwrap();
        LaneStream { send, recv }
    }

    /// Sends what an agent has until all of it is acked.
    pub(crate) async fn deliver(&self, agent: &mut TestAgent) -> Delivered {
        let mut lane = self.lane().await;
        let mut sender = Sender::new(self.welcome.in_flight);
        let (started, mut delivered) = (Instant::now(), Delivered::default());
        loop {
            while let Some(next) = sender.poll_transmit(agent.chain.head(), started.elapsed()) {
                let frame = match next {
                    Transmit::Hello(hello) => Frame::LaneHello(hello).encode(),
                    Transmit::Row(row) => {
                        delivered.sent += 1;
                        encode_batch(SentClock::default(), agent.batch(row).bytes())
                    }
                };
                lane.send.write_all(&frame).await.unwrap();
            }
            if sender.is_streaming() && agent.is_quiet() {
                return delivered;
            }
            let frame =
                tokio::time::timeout(DEADLINE, read(&mut lane.recv)).await.expect("an answer");
            match frame.expect("the session holds") {
                Frame::LaneState(state) => sender.handle_resumed(agent.handle_state(&state)),
                Frame::Ack(ack) => drop(agent.handle_ack(ack)),
                Frame::Refused(_) => {
                    delivered.refused += 1;
                    sender.handle_refused();
                }
                Frame::Busy(_, wait_ms) => {
                    delivered.busy += 1;
                    sender.handle_busy(started.elapsed() + Duration::from_millis(wait_ms.into()));
                    return delivered;
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Delivered {
    pub(crate) sent: u64,
    pub(crate) refused: u64,
    pub(crate) busy: u64,
}

/// A lane's stream, for frames that no honest agent sends.
pub(crate) struct LaneStream {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
}

impl LaneStream {
    /// Says hello for the bulk lane and waits for its state.
    pub(crate) async fn greet(&mut self) {
        let hello = LaneHello { lane: Lane::Bulk, receipt: None };
        self.send.write_all(&Frame::LaneHello(hello).encode()).await.unwrap();
        assert!(matches!(read(&mut self.recv).await, Ok(Frame::LaneState(_))));
    }
}

/// The next frame, or how the connection ended.
pub(crate) async fn read(recv: &mut RecvStream) -> Result<Frame, String> {
    let mut head = [0; FRAME_HEAD_BYTES];
    recv.read_exact(&mut head).await.map_err(|error| error.to_string())?;
    let head = FrameHead::parse(head).unwrap();
    let mut payload = vec![0; head.length()];
    recv.read_exact(&mut payload).await.map_err(|error| error.to_string())?;
    Ok(Frame::decode(head, &payload).unwrap())
}

/// What the node closed a connection with.
pub(crate) async fn closed(connection: &Connection) -> (Option<CloseCode>, String) {
    let error = tokio::time::timeout(DEADLINE, connection.closed()).await;
    match error.expect("the node closes the connection before the deadline") {
        ConnectionError::ApplicationClosed(closed) => {
            let reason = String::from_utf8_lossy(&closed.reason).into_owned();
            (CloseCode::from_number(closed.error_code.into_inner()), reason)
        }
        other => panic!("closed by the application, not by {other}"),
    }
}
