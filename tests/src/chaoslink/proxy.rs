//! The proxy: a socket for the agents, and one for each of them towards the aggregator.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::faults::{Counts, Direction, Faults};

/// The largest datagram of UDP.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Datagrams that wait for the proxy's loop.
const ANSWERS_MAX: usize = 1_024;

pub(super) struct Proxy {
    pub(super) seed: u64,
    pub(super) to: SocketAddr,
    pub(super) faults: Arc<Mutex<Faults>>,
    pub(super) counts: Arc<Counts>,
}

/// What an agent's datagrams go through.
struct Flow {
    back: Arc<UdpSocket>,
    since: Instant,
    listening: AbortHandle,
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// A datagram on its way, in order of its time and then of its coming.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Waiting {
    leaves_us: u64,
    number: u64,
    towards: Towards,
    datagram: Vec<u8>,
}

/// Where to: by the agent that it comes from or goes to.
#[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
enum Towards {
    Aggregator(SocketAddr),
    Agent(SocketAddr),
}

struct Link {
    proxy: Proxy,
    front: UdpSocket,
    begun: Instant,
    flows: BTreeMap<SocketAddr, Flow>,
    answers: mpsc::Sender<(SocketAddr, Vec<u8>)>,
    there: Direction,
    back: Direction,
    waiting: BinaryHeap<Reverse<Waiting>>,
    number: u64,
}

impl Proxy {
    pub(super) async fn run(self, front: std::net::UdpSocket, mut ended: oneshot::Receiver<()>) {
        let front = UdpSocket::from_std(front).unwrap();
        let (answers, mut answered) = mpsc::channel(ANSWERS_MAX);
        let (there, back) = (Direction::new(self.seed, 1), Direction::new(self.seed, 2));
        let (flows, waiting) = (BTreeMap::new(), BinaryHeap::new());
        let begun = Instant::now();
        let mut link =
            Link { proxy: self, front, begun, flows, answers, there, back, waiting, number: 0 };
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let leaves = link.waiting.peek().map(|Reverse(next)| next.leaves_us);
            let leaves = leaves.map(|leaves_us| link.begun + Duration::from_micros(leaves_us));
            tokio::select! {
                biased;
                _ = &mut ended => return,
                () = until(leaves), if leaves.is_some() => link.let_go().await,
                Ok((length, agent)) = link.front.recv_from(&mut buffer) => {
                    link.take(Towards::Aggregator(agent), buffer[..length].to_vec());
                }
                Some((agent, datagram)) = answered.recv() => {
                    link.take(Towards::Agent(agent), datagram);
                }
            }
        }
    }
}

async fn until(leaves: Option<Instant>) {
    if let Some(leaves) = leaves {
        tokio::time::sleep_until(leaves).await;
    }
}

impl Link {
    fn now_us(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap()
    }

    /// Decides what becomes of a datagram.
    fn take(&mut self, towards: Towards, mut datagram: Vec<u8>) {
        let now_us = self.now_us();
        let faults = self.proxy.faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Towards::Aggregator(agent) = towards {
            self.bind(agent, faults.rebinding);
        }
        let direction = match towards {
            Towards::Aggregator(_) => &mut self.there,
            Towards::Agent(_) => &mut self.back,
        };
        let copies = direction.judge(&faults, &self.proxy.counts, (now_us, &mut datagram));
        for leaves_us in copies {
            self.number += 1;
            let (number, datagram) = (self.number, datagram.clone());
            self.waiting.push(Reverse(Waiting { leaves_us, number, towards, datagram }));
        }
    }

    /// Makes the socket of an agent, or another one if it had its own for long enough.
    fn bind(&mut self, agent: SocketAddr, rebinding: Option<Duration>) {
        let flow = self.flows.get(&agent);
        let is_old = |flow: &Flow| rebinding.is_some_and(|every| flow.since.elapsed() >= every);
        if flow.is_some_and(|flow| !is_old(flow)) {
            return;
        }
        if flow.is_some() {
            self.proxy.counts.rebound.fetch_add(1, Ordering::Relaxed);
        }
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let back = Arc::new(UdpSocket::from_std(socket).unwrap());
        let listening = tokio::spawn(listen(Arc::clone(&back), agent, self.answers.clone()));
        let flow = Flow { back, since: Instant::now(), listening: listening.abort_handle() };
        self.flows.insert(agent, flow);
    }

    /// Sends what is due. A far end that is not there is one more thing that networks do.
    async fn let_go(&mut self) {
        let now_us = self.now_us();
        while self.waiting.peek().is_some_and(|Reverse(next)| next.leaves_us <= now_us) {
            let Some(Reverse(next)) = self.waiting.pop() else { return };
            let _ = match next.towards {
                Towards::Agent(agent) => self.front.send_to(&next.datagram, agent).await,
                Towards::Aggregator(agent) => match self.flows.get(&agent) {
                    Some(flow) => flow.back.send_to(&next.datagram, self.proxy.to).await,
                    None => Ok(0),
                },
            };
        }
    }
}

async fn listen(
    back: Arc<UdpSocket>,
    agent: SocketAddr,
    answers: mpsc::Sender<(SocketAddr, Vec<u8>)>,
) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        match back.recv_from(&mut buffer).await {
            Ok((length, _)) => {
                if answers.send((agent, buffer[..length].to_vec())).await.is_err() {
                    return;
                }
            }
            // The aggregator is down: loopback says so.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
