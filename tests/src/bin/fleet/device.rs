//! One device: it has a session whenever it can, and sends a tick at each interval.

use std::sync::Arc;
use std::time::Duration;

use headwater_certs::identity::DeviceIdentity;
use headwater_protocol::identity::Lane;
use headwater_protocol::wire::{Frame, LaneHello};
use headwater_tests::draws::Draws;
use headwater_tests::forged::{Chain, LaneStream, Saying};
use headwater_tests::peer::{Bidi, Peer, device_of};
use quinn::Endpoint;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::standing::Standing;

/// What a device does, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habits {
    /// Between two ticks.
    pub(crate) interval: Duration,
    /// Files that it reads.
    pub(crate) files: u8,
}

/// A device, and the socket that it uses.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) identity: DeviceIdentity,
    pub(crate) saying: Saying,
    pub(crate) habits: Habits,
    pub(crate) endpoint: Endpoint,
    pub(crate) address: String,
    pub(crate) draws: Draws,
}

impl Device {
    /// Sends from `first` on, until it is aborted.
    pub(crate) async fn live(mut self, first: Duration, standing: Arc<Standing>) {
        let mut next = Instant::now() + first;
        sleep(first).await;
        let (mut live, mut bulk) = (None, None);
        let (mut tries, mut session) = (0, 0);
        loop {
            let mut is_served = false;
            let opened = self.open(&mut live, &mut bulk).await;
            if let Err(at) = &opened {
                standing.miss(at);
            }
            if let Ok(mut open) = opened {
                tries = 0;
                while open.send(&mut live, &mut bulk).await.is_some() {
                    if !is_served {
                        standing.serve(session);
                        (is_served, session) = (true, session + 1);
                    }
                    while next <= Instant::now() {
                        next += self.habits.interval;
                    }
                    if open.ends_before(next).await {
                        break;
                    }
                }
                if !is_served {
                    standing.miss("first batch");
                }
            }
            sleep(self.pause(tries)).await;
            tries += 1;
        }
    }

    /// Any part of a pause that doubles up to the longest, as the agent does it.
    fn pause(&mut self, tries: u32) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
        let millis = u64::try_from(pause.as_millis()).unwrap();
        Duration::from_millis(self.draws.of(0..millis + 1))
    }

    /// A session with its lanes. Otherwise how far it came.
    async fn open(
        &self,
        live: &mut Option<Chain>,
        bulk: &mut Option<Chain>,
    ) -> Result<Open, &'static str> {
        let connecting = Peer::connect_from(&self.endpoint, &self.identity, &self.address);
        let connected = timeout(CONNECT_TIMEOUT, connecting).await;
        let mut peer =
            connected.map_err(|_| "connect: silence")?.map_err(|_| "connect: refused")?;
        let greeting = peer.may_greet_as(self.saying.hello());
        let greeted = timeout(WELCOME_TIMEOUT, greeting).await;
        let stream = greeted.map_err(|_| "welcome: silence")?.ok_or("welcome: refused")?;
        let live_stream = self.take_up(stream, Lane::Live, live).await.ok_or("live lane")?;
        let mut bulk_stream = None;
        if self.habits.files > 0 {
            let stream = peer.try_open(WELCOME_TIMEOUT).await.ok_or("stream")?;
            let is_first = bulk.is_none();
            bulk_stream = Some(self.take_up(stream, Lane::Bulk, bulk).await.ok_or("bulk lane")?);
            if let Some(chain) = bulk.as_mut().filter(|_| is_first) {
                chain.seal(&chain.files(self.habits.files));
            }
        }
        Ok(Open { peer, live: live_stream, bulk: bulk_stream })
    }

    /// Opens a lane on a stream, and goes on with its chain.
    async fn take_up(
        &self,
        mut stream: Bidi,
        lane: Lane,
        chain: &mut Option<Chain>,
    ) -> Option<LaneStream> {
        stream.say(&Frame::LaneHello(LaneHello { lane, receipt: None }).encode()).await;
        let answer = timeout(HELLO_SILENCE, stream.hear()).await.ok()??;
        let Frame::LaneState(state) = answer else { return None };
        match chain {
            Some(chain) => chain.resume(&state),
            None => *chain = Some(Chain::new(device_of(&self.identity), &self.saying, &state)),
        }
        Some(LaneStream::new(stream))
    }
}

/// The agent's own pauses between tries.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The agent's own patience: with a handshake, a hello, a lane's hello, and a batch.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
const HELLO_SILENCE: Duration = Duration::from_secs(60);
const BATCH_SILENCE: Duration = Duration::from_secs(10);

/// A session that was opened.
struct Open {
    peer: Peer,
    live: LaneStream,
    bulk: Option<LaneStream>,
}

impl Open {
    /// Sends what waits, or else a tick, and waits for the acks. `None` if the session has ended.
    async fn send(&mut self, live: &mut Option<Chain>, bulk: &mut Option<Chain>) -> Option<()> {
        if let (Some(chain), Some(stream)) = (bulk, &mut self.bulk) {
            acked(chain, stream).await?;
        }
        let chain = live.as_mut()?;
        if chain.is_unacked() {
            return acked(chain, &mut self.live).await;
        }
        for body in chain.tick() {
            chain.seal(&body);
            acked(chain, &mut self.live).await?;
        }
        Some(())
    }

    /// Waits for a moment. Returns whether the session ended before.
    async fn ends_before(&self, moment: Instant) -> bool {
        tokio::select! {
            () = sleep_until(moment) => false,
            _ = self.peer.closed() => true,
        }
    }
}

/// Sends what waits for its ack. `None` if none comes.
async fn acked(chain: &mut Chain, stream: &mut LaneStream) -> Option<()> {
    timeout(BATCH_SILENCE, chain.send(stream)).await.ok()?.ok()
}
