//! One session: hello and welcome, then both lanes until something ends it.

use std::net::SocketAddr;
use std::time::Duration;

use headwater_protocol::identity::Lane;
use headwater_protocol::wire::{
    Alive, CloseCode, Frame, Hello, PROTOCOL_NEWEST, PROTOCOL_OLDEST, Welcome,
};
use quinn::{Connection, RecvStream, VarInt};
use tokio::sync::watch;

use super::budget::Account;
use super::fault::SessionFault;
use super::frames;
use super::lane::{self, LaneContext};
use super::standing::{Connected, Standing};
use crate::clock::{Clocks, wall_us};
use crate::shutdown::Shutdown;
use crate::spool::{LaneView, SpoolReader};

/// What a session is run with.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) connection: Connection,
    /// The address as it was configured.
    pub(super) address: &'a str,
    pub(super) hello: Hello,
    pub(super) spool: &'a SpoolReader,
    pub(super) clocks: Clocks,
    pub(super) standing: &'a watch::Sender<Standing>,
    /// Batches of one lane that may be on their way, by the configuration.
    pub(super) window: u16,
    /// The account of the budget; `None` without one.
    pub(super) account: Option<&'a Account>,
}

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The agent is stopping.
    Stopped,
    /// Something else.
    Fault {
        fault: SessionFault,
        /// Whether it got beyond the welcome.
        was_welcome: bool,
    },
}

impl Session<'_> {
    /// Runs the session to its end and closes the connection.
    pub(super) async fn run(self, shutdown: &Shutdown) -> Ended {
        let ended = self.to_its_end(shutdown).await;
        let code = match &ended {
            Ended::Stopped => CloseCode::Stopping,
            Ended::Fault {
                fault: SessionFault::Frame(_) | SessionFault::Unexpected(_), ..
            } => CloseCode::Protocol,
            Ended::Fault { fault: SessionFault::Version(_), .. } => CloseCode::Version,
            Ended::Fault { .. } => CloseCode::Stopping,
        };
        self.connection.close(VarInt::from_u32(code as u32), b"");
        ended
    }

    async fn to_its_end(&self, shutdown: &Shutdown) -> Ended {
        let welcomed = tokio::select! {
            welcomed = self.greet() => welcomed,
            error = self.connection.closed() => Err(SessionFault::of(error)),
            () = shutdown.ordered() => return Ended::Stopped,
        };
        let (welcome, control) = match welcomed {
            Ok(welcomed) => welcomed,
            Err(fault) => {
                let fault = self.prefer_closing(fault).await;
                return Ended::Fault { fault, was_welcome: false };
            }
        };
        self.show(&welcome);
        if let Some(account) = self.account {
            account.end_try();
        }
        let context = LaneContext {
            connection: &self.connection,
            spool: self.spool,
            clocks: self.clocks,
            standing: self.standing,
            window: self.window.min(welcome.in_flight),
            protocol: welcome.protocol,
            account: self.account,
        };
        let fault = tokio::select! {
            fault = lane::run(Lane::Live, context) => fault,
            fault = lane::run(Lane::Bulk, context) => fault,
            fault = self.answer_probes(control) => fault,
            error = self.connection.closed() => SessionFault::of(error),
            fault = self.spent() => fault,
            () = self.drained(shutdown) => return Ended::Stopped,
        };
        Ended::Fault { fault: self.prefer_closing(fault).await, was_welcome: true }
    }

    /// Says hello and waits for the welcome.
    async fn greet(&self) -> Result<(Welcome, Control), SessionFault> {
        let (mut send, mut receive) = self.connection.open_bi().await.map_err(SessionFault::of)?;
        // A stream that is closed says so when it is written to.
        let _ = send.set_priority(CONTROL_PRIORITY);
        frames::write(&mut send, Frame::Hello(self.hello.clone()).encode()).await?;
        let answer = tokio::time::timeout(WELCOME_TIMEOUT, frames::read(&mut receive)).await;
        match answer.unwrap_or(Err(SessionFault::Silent))? {
            Frame::Welcome(welcome) => {
                if !(PROTOCOL_OLDEST..=PROTOCOL_NEWEST).contains(&welcome.protocol) {
                    return Err(SessionFault::Version(welcome.protocol));
                }
                Ok((welcome, Control { send, receive }))
            }
            frame => Err(SessionFault::Unexpected(frames::name(&frame))),
        }
    }

    /// Tells the node that this process is alive as often as it asks; nothing else is due on the control
    /// stream, and what comes ends the session.
    async fn answer_probes(&self, mut control: Control) -> SessionFault {
        loop {
            let probe = match frames::read(&mut control.receive).await {
                Ok(Frame::Probe(probe)) => probe,
                Ok(frame) => return SessionFault::Unexpected(frames::name(&frame)),
                Err(fault) => return fault,
            };
            let alive = Alive { probe, session: self.hello.session };
            if let Err(fault) = frames::write(&mut control.send, Frame::Alive(alive).encode()).await
            {
                return fault;
            }
        }
    }

    /// Waits until the budget is used up: a session that may send nothing only costs.
    async fn spent(&self) -> SessionFault {
        let Some(account) = self.account else { return std::future::pending().await };
        account.spent().await;
        account.fault()
    }

    /// A stream fails in the moment in which its connection is closed: what closed it says more.
    async fn prefer_closing(&self, fault: SessionFault) -> SessionFault {
        if !matches!(fault, SessionFault::StreamEnded | SessionFault::Lost(_)) {
            return fault;
        }
        match tokio::time::timeout(CLOSING_WAIT, self.connection.closed()).await {
            Ok(error) => SessionFault::of(error),
            Err(_) => fault,
        }
    }

    fn show(&self, welcome: &Welcome) {
        let remote = self.connection.remote_address();
        // A socket of both families maps IPv4 into IPv6.
        let peer = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let mut connected = Connected {
            address: self.address.to_owned(),
            peer: peer.to_string(),
            node: welcome.node.escape_debug().to_string(),
            build: welcome.build.escape_debug().to_string(),
            since_us: wall_us(),
            rtt_us: 0,
            lost_packets: 0,
            sent_packets: 0,
            node_ahead_us: Some(welcome.wall_us.saturating_sub(wall_us())),
        };
        connected.measure(&self.connection);
        tracing::info!(
            address = self.address,
            peer = connected.peer,
            node = connected.node,
            "connected"
        );
        self.standing.send_modify(|standing| standing.connect(connected));
    }

    /// Waits for the order to stop; then has what waits sealed, and gives it a moment to be acked.
    async fn drained(&self, shutdown: &Shutdown) {
        shutdown.ordered().await;
        let drain = async {
            // A spool that has ended already has nothing to send.
            let _ = self.spool.seal().await;
            let mut view = self.spool.view();
            let acked = |lane: &LaneView| lane.head.acked() == lane.head.next();
            let _ = view.wait_for(|view| acked(&view.live) && acked(&view.bulk)).await;
        };
        // What was not acked in time waits in the spool.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain).await;
    }
}

/// The stream of hello and welcome. It stays open as long as the session.
struct Control {
    send: quinn::SendStream,
    receive: RecvStream,
}

const CONTROL_PRIORITY: i32 = 2;
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSING_WAIT: Duration = Duration::from_millis(200);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
