//! A device as it looks from the wire: it enrols, opens its lanes, and sends what a test tells it to.
//! What is looked at here is the command line; the agent itself is run by `tests/`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use headwater_certs::UnixTime;
use headwater_certs::csr::DeviceKey;
use headwater_certs::enrol::{
    Binding, EnrolRequest, EnrolResponse, Exporter, FRAME_HEADER_BYTES, MachineFacts, frame,
    payload_length,
};
use headwater_certs::tls::{Clock, agent_client_config, enrol_client_config};
use headwater_certs::token::JoinToken;
use headwater_protocol::batch::Batch;
use headwater_protocol::body::BodyBuilder;
use headwater_protocol::entry::SentClock;
use headwater_protocol::header::{Clock as Clocks, Counts, Header};
use headwater_protocol::identity::{BootId, DeviceId, Epoch, Lane, Seq, Tip};
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{
    Cause, Content, Event, Fingerprint, Gap, Part, Record, Sample, Series, SourceInfo,
};
use headwater_protocol::wire::{
    FRAME_HEAD_BYTES, Frame, FrameHead, Hello, LaneHello, PROTOCOL_OLDEST,
};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rustls::pki_types::ServerName;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::process::DEADLINE;

/// An enrolled device with an open session.
#[derive(Debug)]
pub(crate) struct Device {
    id: DeviceId,
    runtime: Runtime,
    /// Held open; the session ends with it.
    _session: (Endpoint, Connection, SendStream, RecvStream),
    connection: Connection,
    lanes: BTreeMap<Lane, OpenLane>,
}

#[derive(Debug)]
struct OpenLane {
    device: DeviceId,
    lane: Lane,
    streams: (SendStream, RecvStream),
    tip: Tip,
    totals: Counts,
    ends: BTreeMap<Stream, Mark>,
    last: Option<Batch>,
}

impl Device {
    /// Enrols with a token under a name, and connects.
    pub(crate) fn enrol(token: &str, name: &str) -> Self {
        let token = JoinToken::parse(token).unwrap();
        let key = DeviceKey::generate().unwrap();
        let config = enrol_client_config(token.pins(), Arc::new(Clock::default())).unwrap();
        let address = &token.addresses()[0];
        let host = ServerName::try_from(address.host().to_owned()).unwrap();
        let mut session = rustls::ClientConnection::new(config, host).unwrap();
        let mut socket = TcpStream::connect((address.host(), address.port())).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        while session.is_handshaking() {
            session.complete_io(&mut socket).unwrap();
        }
        let exporter = Exporter::of_session(&session).unwrap();
        let request = EnrolRequest {
            token_id: token.id(),
            secret: token.secret().clone(),
            binding: Binding::new(token.secret(), &exporter),
            csr_der: key.csr_der().unwrap().to_vec(),
            host_name: name.to_owned(),
            labels: BTreeMap::new(),
            machine: MachineFacts::default(),
        };
        let mut stream = rustls::Stream::new(&mut session, &mut socket);
        stream.write_all(&frame(&request.encode().unwrap()).unwrap()).unwrap();
        let mut head = [0; FRAME_HEADER_BYTES];
        stream.read_exact(&mut head).unwrap();
        let mut payload = vec![0; payload_length(head).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        let EnrolResponse::Enrolled(enrolment) = EnrolResponse::decode(&payload).unwrap() else {
            panic!("the node enrols a device that has a token");
        };
        let address = enrolment.addresses[0].to_string().parse().unwrap();
        let identity = enrolment.into_identity(&key, token.pins(), UnixTime::now()).unwrap();
        let id = DeviceId(identity.device().to_bytes());
        let config = agent_client_config(&identity, Arc::new(Clock::default())).unwrap();
        let crypto = QuicClientConfig::try_from(config).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let session = runtime.block_on(async {
            let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
            let config = quinn::ClientConfig::new(Arc::new(crypto));
            let connecting = endpoint.connect_with(config, address, "node").unwrap();
            let connection = timeout(DEADLINE, connecting).await.unwrap().unwrap();
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            send.write_all(&hello(name).encode()).await.unwrap();
            assert!(matches!(read(&mut recv).await, Frame::Welcome(_)), "a hello is welcomed");
            (endpoint, connection, send, recv)
        });
        let connection = session.1.clone();
        Self { id, runtime, _session: session, connection, lanes: BTreeMap::new() }
    }

    /// Seals records of one stream into a batch, sends it and waits for its ack.
    pub(crate) fn send(
        &mut self,
        lane: Lane,
        stream: Stream,
        info: &SourceInfo,
        records: Vec<Content>,
    ) {
        self.open(lane);
        let Self { runtime, lanes, .. } = self;
        let open = lanes.get_mut(&lane).unwrap();
        let batch = open.seal(stream, info, records);
        runtime.block_on(open.deliver(&batch));
        open.tip = batch.tip();
        open.totals = batch.header().totals;
        open.last = Some(batch);
    }

    /// Sends the last batch of a lane once more, as after a lost ack.
    pub(crate) fn send_again(&mut self, lane: Lane) {
        let open = self.lanes.get_mut(&lane).unwrap();
        let batch = open.last.clone().unwrap();
        self.runtime.block_on(open.deliver(&batch));
    }

    fn open(&mut self, lane: Lane) {
        if self.lanes.contains_key(&lane) {
            return;
        }
        let connection = self.connection.clone();
        let streams = self.runtime.block_on(async {
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            let hello = Frame::LaneHello(LaneHello { lane, receipt: None });
            send.write_all(&hello.encode()).await.unwrap();
            let Frame::LaneState(state) = read(&mut recv).await else {
                panic!("a lane's hello is answered with its state");
            };
            assert_eq!(state.tip, Tip::GENESIS, "the device is new");
            (send, recv)
        });
        let open = OpenLane {
            device: self.id,
            lane,
            streams,
            tip: Tip::GENESIS,
            totals: Counts::default(),
            ends: BTreeMap::new(),
            last: None,
        };
        self.lanes.insert(lane, open);
    }
}

impl OpenLane {
    fn seal(&mut self, stream: Stream, info: &SourceInfo, records: Vec<Content>) -> Batch {
        let (device, lane) = (self.device, self.lane);
        let mut body = BodyBuilder::default();
        let mut end = self.ends.get(&stream).copied().unwrap_or_default();
        body.cover(stream, Some(info), end, Check::NONE);
        for content in records {
            let length = match &content {
                Content::Event(event) => event.body.len() as u64 + 1,
                Content::Gap(gap) => gap.bytes,
                Content::Tick(_) | Content::Facts(_) => 1,
            };
            let (start, time_us) = (end.position, TIME_US);
            let record = Record { stream, start, end: start + length, time_us, content };
            end = Mark { position: record.end, records: end.records + record.count() };
            body.push(&record);
        }
        self.ends.insert(stream, end);
        let (packing, packed) = body.pack(3);
        let first = self.tip == Tip::GENESIS;
        let header = Header {
            device,
            lane,
            epoch: Epoch([lane.code() + 1; 16]),
            seq: Seq::new(if first { 1 } else { self.tip.seq + 1 }).unwrap(),
            parent: first.then_some(Tip::GENESIS),
            rekeyed: true,
            lane_state: 0,
            clock: Clocks { wall_us: TIME_US, boot: BootId::default(), mono_us: 0 },
            counts: body.counts(),
            totals: self.totals.plus(body.counts()),
            spans: body.spans(),
            packing,
        };
        Batch::seal(header, &packed, self.tip.digest)
    }

    async fn deliver(&mut self, batch: &Batch) {
        let sent = SentClock { wall_us: TIME_US, ..SentClock::default() };
        let frame = Frame::Batch { sent, batch: Box::new(batch.clone()) };
        let (send, recv) = &mut self.streams;
        send.write_all(&frame.encode()).await.unwrap();
        loop {
            match read(recv).await {
                Frame::Ack(ack) if ack.tip == batch.tip() => return,
                Frame::Ack(_) => {}
                other => panic!("a batch is acked, not answered with {other:?}"),
            }
        }
    }
}

fn hello(name: &str) -> Frame {
    Frame::Hello(Hello {
        protocol_oldest: PROTOCOL_OLDEST,
        protocol_newest: PROTOCOL_OLDEST,
        build: "test".to_owned(),
        session: 1,
        name: name.to_owned(),
        boot: BootId::default(),
        labels: BTreeMap::new(),
    })
}

async fn read(recv: &mut RecvStream) -> Frame {
    let whole = async {
        let mut head = [0; FRAME_HEAD_BYTES];
        recv.read_exact(&mut head).await.unwrap();
        let head = FrameHead::parse(head).unwrap();
        let mut payload = vec![0; head.length()];
        recv.read_exact(&mut payload).await.unwrap();
        Frame::decode(head, &payload).unwrap()
    };
    timeout(DEADLINE, whole).await.expect("a frame comes before the deadline")
}

/// When everything was read, by the device's clock: 2026-11-21T12:04:31.5Z.
pub(crate) const TIME_US: i64 = 1_795_262_671_500_000;

/// A stream by a number.
pub(crate) fn stream(number: u8) -> Stream {
    Stream { source: SourceId([number; 16]), run: Run { number: u64::from(number), nonce: 7 } }
}

/// A file by its path.
pub(crate) fn file(path: &str) -> SourceInfo {
    SourceInfo::File { path: path.as_bytes().to_vec(), fingerprint: Fingerprint::default() }
}

/// A whole line.
pub(crate) fn line(body: &[u8]) -> Content {
    Content::Event(Event { body: body.to_vec(), part: Part::Whole })
}

/// A sample of a ratio with four digits.
pub(crate) fn tick(value: i64) -> Content {
    let metric = "cpu.busy_ratio".to_owned();
    let series = Arc::new(Series { metric, labels: Vec::new(), scale: 4 });
    Content::Tick(vec![Sample { series, value }].into())
}

/// A gap.
pub(crate) fn gap(cause: Cause, records: u64, bytes: u64) -> Content {
    Content::Gap(Gap { cause, records, bytes, about: None })
}
