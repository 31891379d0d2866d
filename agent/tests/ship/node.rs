//! A node in a few lines: it folds what comes into a ledger, and misbehaves as a test asks.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use headwater_certs::identity::NodeIdentity;
use headwater_certs::tls::{Clock, ExpiredDevices, node_server_config};
use headwater_protocol::batch::Batch;
use headwater_protocol::body::Body;
use headwater_protocol::entry::{Entry, EntryKind, SentClock};
use headwater_protocol::identity::{
    DeviceId, Digest, Generation, Lane, LogId, NodeId, ShardId, Tip,
};
use headwater_protocol::ledger::{Outcome, ShardLedger};
use headwater_protocol::record::{Content, Record};
use headwater_protocol::rules::Rules;
use headwater_protocol::wire::{
    Ack, BusyCause, CloseCode, FRAME_HEAD_BYTES, Frame, FrameHead, LastAck, LastBatch,
    PROTOCOL_NEWEST, Welcome, body_version,
};
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream, ServerConfig, VarInt};
use tokio::runtime::Handle;

const LOG: LogId = LogId([1; 16]);

/// Something that the node does instead of what it should, once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mischief {
    /// Takes a batch and closes the connection instead of acking it.
    CloseBeforeAck,
    /// Loses a batch on the way to its log.
    LoseBatch,
    /// Takes nothing for so many milliseconds.
    Busy(u32),
    /// Acks something that was never sent, then goes on.
    ForeignAck,
    /// Repeats an ack of long ago, then goes on.
    StaleAck,
    /// Sends bytes that are no frame.
    Garbage,
    /// Announces a frame that is far too large.
    Oversized,
    /// Closes the session with a code.
    Close(CloseCode),
    /// Ends the lane's stream.
    EndStream,
}

/// What the node holds.
pub(crate) struct NodeState {
    pub(crate) ledger: ShardLedger,
    /// Every record that the ledger applied, by lane.
    pub(crate) applied: Vec<(Lane, Record)>,
    /// What to do at the next batches.
    pub(crate) mischief: VecDeque<Mischief>,
    /// What to do to the next hellos.
    pub(crate) refused_hellos: VecDeque<CloseCode>,
    /// How many of the next hellos of lanes are put off.
    pub(crate) busy_hellos: u32,
    pub(crate) protocol: u16,
    pub(crate) sessions: u64,
    pub(crate) batches: u64,
    /// The newest version of them.
    pub(crate) newest_batch: u8,
    /// Those of them that came abbreviated.
    pub(crate) abbreviated: u64,
    pub(crate) hellos: Vec<headwater_protocol::wire::Hello>,
    first_ack: Option<Ack>,
}

/// A node that serves until it is dropped.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<NodeState>>,
    endpoint: Endpoint,
}

impl Node {
    pub(crate) fn serve(runtime: &Handle, identity: &NodeIdentity, address: SocketAddr) -> Self {
        let _inside = runtime.enter();
        let clock = Arc::new(Clock::default());
        let tls = node_server_config(identity, ExpiredDevices::Refuse, clock).unwrap();
        let crypto = QuicServerConfig::try_from(tls).unwrap();
        let config = ServerConfig::with_crypto(Arc::new(crypto));
        let endpoint = Endpoint::server(config, address).unwrap();
        let state = Arc::new(Mutex::new(NodeState {
            ledger: ShardLedger::new(ShardId(0)),
            applied: Vec::new(),
            mischief: VecDeque::new(),
            refused_hellos: VecDeque::new(),
            protocol: PROTOCOL_NEWEST,
            sessions: 0,
            batches: 0,
            newest_batch: 0,
            abbreviated: 0,
            hellos: Vec::new(),
            busy_hellos: 0,
            first_ack: None,
        }));
        let node = Self { address: endpoint.local_addr().unwrap(), state, endpoint };
        let (endpoint, state) = (node.endpoint.clone(), Arc::clone(&node.state));
        runtime.spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    // A device that is not trusted ends here.
                    if let Ok(connection) = incoming.await {
                        session(connection, state).await;
                    }
                });
            }
        });
        node
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap()
    }

    /// Cuts every connection without a word to the other side's streams.
    pub(crate) fn stop(self) {
        self.endpoint.close(VarInt::from_u32(CloseCode::Stopping as u32), b"");
    }

    /// Texts of all lines that were applied, in order.
    pub(crate) fn lines(&self) -> Vec<String> {
        let state = self.state();
        let bodies = state.applied.iter().filter_map(|(_, record)| match &record.content {
            Content::Event(event) => Some(String::from_utf8(event.body.clone()).unwrap()),
            Content::Tick(_) | Content::Facts(_) | Content::Gap(_) => None,
        });
        bodies.collect()
    }

    /// Values of all samples that were applied, in order.
    pub(crate) fn values(&self) -> Vec<i64> {
        let state = self.state();
        let ticks = state.applied.iter().filter_map(|(_, record)| match &record.content {
            Content::Tick(samples) => Some(samples.iter().map(|sample| sample.value)),
            Content::Event(_) | Content::Facts(_) | Content::Gap(_) => None,
        });
        ticks.flatten().collect()
    }

    /// Fails unless the ledger's sums are those of the records that it applied.
    pub(crate) fn check(&self) {
        let state = self.state();
        for ((_, lane), ledger) in state.ledger.lanes() {
            assert_eq!(
                ledger.tallies().unequal,
                0,
                "totals follow from batch to batch in lane {lane}"
            );
        }
        let count: u64 = state.applied.iter().map(|(_, record)| record.count()).sum();
        assert_eq!(state.ledger.totals().read(), count, "read = applied + declared");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.endpoint.close(VarInt::from_u32(CloseCode::Stopping as u32), b"");
    }
}

async fn session(connection: Connection, state: Arc<Mutex<NodeState>>) {
    let device = device_of(&connection);
    let Ok((mut send, mut receive)) = connection.accept_bi().await else { return };
    let Some(Frame::Hello(hello)) = read(&mut receive).await else { return };
    let (refused, protocol) = {
        let mut state = state.lock().unwrap();
        state.sessions += 1;
        state.hellos.push(hello);
        (state.refused_hellos.pop_front(), state.protocol)
    };
    if let Some(code) = refused {
        return connection.close(VarInt::from_u32(code as u32), b"not today");
    }
    let welcome = Welcome {
        protocol,
        build: "test".to_owned(),
        node: "fake-1".to_owned(),
        wall_us: 0,
        in_flight: 8,
    };
    if send.write_all(&Frame::Welcome(welcome).encode()).await.is_err() {
        return;
    }
    while let Ok((send, receive)) = connection.accept_bi().await {
        let lane = LaneStream {
            connection: connection.clone(),
            device,
            protocol,
            state: Arc::clone(&state),
            send,
            last_ack: LastAck::default(),
        };
        tokio::spawn(lane.serve(receive));
    }
}

fn device_of(connection: &Connection) -> DeviceId {
    let chain = connection.peer_identity().unwrap();
    let chain = chain.downcast::<Vec<rustls::pki_types::CertificateDer<'static>>>().unwrap();
    DeviceId(headwater_certs::identity::peer_device(&chain).unwrap().device.to_bytes())
}

async fn read(stream: &mut RecvStream) -> Option<Frame> {
    let mut head = [0; FRAME_HEAD_BYTES];
    stream.read_exact(&mut head).await.ok()?;
    let head = FrameHead::parse(head).unwrap();
    let mut payload = vec![0; head.length()];
    stream.read_exact(&mut payload).await.ok()?;
    Some(Frame::decode(head, &payload).unwrap())
}

impl NodeState {
    fn greet(&mut self, device: DeviceId, lane: Lane) -> Frame {
        match self.busy_hellos.checked_sub(1) {
            Some(left) => {
                self.busy_hellos = left;
                Frame::Busy(BusyCause::Unstable, 60)
            }
            None => Frame::LaneState(self.ledger.lane_state(device, lane, LOG)),
        }
    }
}

struct LaneStream {
    connection: Connection,
    device: DeviceId,
    protocol: u16,
    state: Arc<Mutex<NodeState>>,
    send: SendStream,
    last_ack: LastAck,
}

impl LaneStream {
    async fn serve(mut self, mut receive: RecvStream) {
        let mut refusing = false;
        let mut lane = Lane::Live;
        let mut last = LastBatch::new(self.protocol);
        while let Some(frame) = read(&mut receive).await {
            let goes_on = match frame {
                Frame::LaneHello(hello) => {
                    (refusing, lane) = (false, hello.lane);
                    last.forget();
                    let answer = self.state.lock().unwrap().greet(self.device, lane);
                    self.say(&answer).await
                }
                Frame::Batch { batch, .. } => {
                    last.note(&batch);
                    refusing || self.batch(lane, *batch, &mut refusing).await
                }
                Frame::Next(next) => {
                    let (_, batch) = last.complete(&next).unwrap();
                    self.note_abbreviated();
                    refusing || self.batch(lane, batch, &mut refusing).await
                }
                other => panic!("an agent does not send {other:?}"),
            };
            if !goes_on {
                return;
            }
        }
    }

    fn note_abbreviated(&self) {
        assert!(self.protocol >= 2, "the session is of a version before");
        self.state.lock().unwrap().abbreviated += 1;
    }

    async fn say(&mut self, frame: &Frame) -> bool {
        let mut next = None;
        match frame {
            Frame::LaneState(_) => self.last_ack.forget(),
            Frame::Ack(ack) if self.protocol >= 3 => next = self.last_ack.abbreviate(*ack),
            _ => {}
        }
        let bytes = next.map_or_else(|| frame.encode(), |next| Frame::NextAck(next).encode());
        self.send.write_all(&bytes).await.is_ok()
    }

    async fn batch(&mut self, lane: Lane, batch: Batch, refusing: &mut bool) -> bool {
        assert_eq!((batch.header().device, batch.header().lane), (self.device, lane));
        let version = batch.header().packing.version;
        assert!(version <= body_version(self.protocol), "the session's node does not read it");
        let mischief = {
            let mut state = self.state.lock().unwrap();
            state.batches += 1;
            state.newest_batch = state.newest_batch.max(version);
            state.mischief.pop_front()
        };
        match mischief {
            None => {}
            Some(Mischief::CloseBeforeAck) => {
                fold(&mut self.state.lock().unwrap(), lane, batch);
                self.connection.close(VarInt::from_u32(CloseCode::Stopping as u32), b"");
                return false;
            }
            Some(Mischief::LoseBatch) => return true,
            Some(Mischief::Busy(wait_ms)) => {
                *refusing = true;
                return self.say(&Frame::Busy(BusyCause::Load, wait_ms)).await;
            }
            Some(Mischief::ForeignAck) => {
                let tip = Tip { digest: Digest([9; 32]), ..batch.tip() };
                let mut ack = self.fold_to_ack(lane, batch);
                ack.tip = tip;
                return self.say(&Frame::Ack(ack)).await;
            }
            Some(Mischief::StaleAck) => {
                let first = self.state.lock().unwrap().first_ack;
                if let Some(ack) = first.filter(|ack| ack.lane == lane) {
                    self.say(&Frame::Ack(ack)).await;
                }
            }
            Some(Mischief::Garbage) => {
                return self.send.write_all(&[0xff; 64]).await.is_ok();
            }
            Some(Mischief::Oversized) => {
                return self.send.write_all(&[6, 0xff, 0xff, 0xff, 0x7f]).await.is_ok();
            }
            Some(Mischief::Close(code)) => {
                self.connection.close(VarInt::from_u32(code as u32), b"go away");
                return false;
            }
            Some(Mischief::EndStream) => {
                // A stream that is finished twice is finished.
                let _ = self.send.finish();
                tokio::time::sleep(Duration::from_secs(1)).await;
                return false;
            }
        }
        let outcome = fold(&mut self.state.lock().unwrap(), lane, batch);
        let frame = match outcome {
            Outcome::Applied(applied) | Outcome::Duplicate(applied) => {
                let ack = applied.ack(LOG);
                self.state.lock().unwrap().first_ack.get_or_insert(ack);
                Frame::Ack(ack)
            }
            Outcome::Refused(refusal) => {
                *refusing = true;
                Frame::Refused(refusal)
            }
            Outcome::Noted => unreachable!("a batch is judged"),
        };
        self.say(&frame).await
    }

    fn fold_to_ack(&self, lane: Lane, batch: Batch) -> Ack {
        match fold(&mut self.state.lock().unwrap(), lane, batch) {
            Outcome::Applied(applied) | Outcome::Duplicate(applied) => applied.ack(LOG),
            other => panic!("{other:?}"),
        }
    }
}

fn fold(state: &mut NodeState, lane: Lane, batch: Batch) -> Outcome {
    let records = Body::open(&batch).unwrap().records;
    let kind = EntryKind::Batch { sent: SentClock::default(), batch: Box::new(batch) };
    let (appender, generation) = (NodeId([2; 16]), Generation(0));
    let entry = Entry { appender, stamp_us: 0, generation, kind };
    let next = state.ledger.next();
    let outcome = state.ledger.fold(next, &entry, |_| true, Rules::default()).unwrap();
    if let Outcome::Applied(_) = outcome {
        state.applied.extend(records.into_iter().map(|record| (lane, record)));
    }
    outcome
}
