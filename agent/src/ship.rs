//! Ship: what the spool holds goes to an aggregator, and the ledger's word comes back.
//!
//! One QUIC connection to one of the addresses, one stream per lane, live before bulk. Each lane is
//! driven by the protocol's `Sender`: it shakes hands, keeps a few batches on their way, and lets go of
//! what was acked. A session that ends for whatever reason is replaced by another one after a pause;
//! what was on its way is sent again, and the ledger drops what it has.
//!
//! **Never here.** A decision about what is lost or doubled: those are the chain's and the sender's. A
//! batch that is let go of without an ack. A pause that ends for good: the agent keeps trying.

mod backoff;
mod budget;
mod dial;
mod fault;
mod frames;
mod lane;
mod reach;
mod session;
mod standing;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use headwater_certs::identity::{DeviceIdentity, LoadError};
use headwater_protocol::identity::{DeviceId, Lane};
use headwater_protocol::wire::Hello;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use self::backoff::{Backoff, Patience};
use self::budget::Account;
use self::session::{Ended, Session};
use crate::clock::Clocks;
use crate::config::ShipConfig;
use crate::shutdown::Shutdown;
use crate::spool::SpoolReader;

pub use self::budget::{BudgetStanding, Waits};
pub(crate) use self::dial::SOCKET_BUFFER_BYTES;
pub use self::fault::SessionFault;
pub use self::reach::{Reached, reach};
pub use self::standing::{Connected, Link, SessionPath, Standing};

/// What the ship stage works with.
#[derive(Debug)]
pub struct Ship {
    /// How to connect.
    pub config: ShipConfig,
    /// Where to connect: `host:port`, in the order to try.
    pub addresses: Vec<String>,
    /// The folder of the identity. It is read before each try, so that a new one is used at once.
    pub identity_dir: PathBuf,
    /// The device that the spool belongs to.
    pub device: DeviceId,
    /// What is said to a node first.
    pub hello: Hello,
    /// What is sent.
    pub spool: SpoolReader,
    /// The host's clocks.
    pub clocks: Clocks,
    /// Where people see how it stands.
    pub standing: watch::Sender<Standing>,
    /// Where they find the present session's figures.
    pub path: SessionPath,
    /// Where it is kept what was used of the budget.
    pub budget_file: PathBuf,
}

/// Why the ship stage can't go on.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The host was enrolled again while the agent ran: its spool belongs to the device before.
    #[error(
        "use the identity: it is of device {found} now, the spool belongs to {expected}; the agent starts again with a spool of its own"
    )]
    OtherDevice {
        /// The device of the spool.
        expected: DeviceId,
        /// The device of the identity.
        found: DeviceId,
    },
    /// The spool has ended or can't be read.
    #[error("ship")]
    Spool(#[source] SessionFault),
}

/// Ships until it is told to stop.
///
/// # Errors
/// Only what needs a new start of the process; everything else is tried again.
pub async fn run(ship: Ship, shutdown: Shutdown) -> Result<(), ShipError> {
    let Some(budget) = ship.config.budget else { return ship.sessions(None, &shutdown).await };
    let account = Account::open(budget, ship.budget_file.clone());
    let ended = tokio::select! {
        ended = ship.sessions(Some(&account), &shutdown) => ended,
        never = account.keep(&ship.standing) => match never {},
    };
    account.close().await;
    ended
}

impl Ship {
    /// One session after the other.
    async fn sessions(
        &self,
        account: Option<&Account>,
        shutdown: &Shutdown,
    ) -> Result<(), ShipError> {
        let mut backoff = Backoff::new(self.config.max_backoff);
        let mut said = String::new();
        let mut turn = 0;
        loop {
            let address = self.addresses.get(turn % self.addresses.len().max(1));
            let ended = self.attempt(account, address.map(String::as_str), shutdown).await?;
            let Ended::Fault { fault, was_welcome } = ended else { return Ok(()) };
            if fault.is_fatal() {
                return Err(ShipError::Spool(fault));
            }
            let is_spent = matches!(fault, SessionFault::Spent { .. });
            if was_welcome {
                backoff.reset();
            } else if !is_spent {
                turn += 1;
            }
            // Only when the last of them has failed does anybody wait longer.
            let more = !was_welcome && !turn.is_multiple_of(self.addresses.len().max(1));
            let pause = match (fault.patience(), account) {
                (_, Some(account)) if is_spent => account.renews_in(),
                (Patience::Usual, None) if more => Duration::ZERO,
                (Patience::Usual, Some(account)) if more => account.try_wait(),
                (patience, _) => {
                    let pause = backoff.next(patience, getrandom::u64().unwrap_or(u64::MAX / 2));
                    pause.max(account.map_or(Duration::ZERO, Account::try_wait))
                }
            };
            self.tell(address, &fault, pause, &mut said);
            tokio::select! {
                () = rest(account.filter(|_| is_spent), pause) => {}
                () = shutdown.ordered() => return Ok(()),
            }
        }
    }

    /// One try, and its end in the account.
    async fn attempt(
        &self,
        account: Option<&Account>,
        address: Option<&str>,
        shutdown: &Shutdown,
    ) -> Result<Ended, ShipError> {
        let Some(account) = account else { return self.connect(None, address, shutdown).await };
        if !account.begin_try() {
            return Ok(Ended::Fault { fault: account.fault(), was_welcome: false });
        }
        let ended = self.connect(Some(account), address, shutdown).await;
        account.end_try();
        Lane::ALL.into_iter().for_each(|lane| account.dropped(lane));
        ended
    }

    /// One try: connect, and if that works a whole session.
    async fn connect(
        &self,
        account: Option<&Account>,
        address: Option<&str>,
        shutdown: &Shutdown,
    ) -> Result<Ended, ShipError> {
        let failed = |fault| Ok(Ended::Fault { fault, was_welcome: false });
        let Some(address) = address else { return failed(SessionFault::NoAddress) };
        self.standing.send_modify(|standing| standing.link = Link::Connecting);
        let identity = match self.identity()? {
            Ok(identity) => identity,
            Err(error) => return failed(SessionFault::Identity(error)),
        };
        let prepared = dial::client(&self.config, &identity)
            .and_then(|client| Ok((client, dial::endpoint(account.map(Account::meter))?)));
        let (client, endpoint) = match prepared {
            Ok(prepared) => prepared,
            Err(fault) => return failed(fault),
        };
        let timeout = self.config.connect_timeout;
        let connected = tokio::select! {
            connected = dial::connect(&endpoint, &client, address, timeout) => connected,
            () = shutdown.ordered() => return Ok(Ended::Stopped),
        };
        let connection = match connected {
            Ok(connection) => connection,
            Err(fault) => return failed(fault),
        };
        self.path.set(Some(connection.clone()));
        let session = Session {
            connection,
            address,
            hello: self.hello.clone(),
            spool: &self.spool,
            clocks: self.clocks,
            standing: &self.standing,
            window: u16::try_from(self.config.max_in_flight).unwrap_or(u16::MAX),
            account,
        };
        let ended = session.run(shutdown).await;
        self.path.set(None);
        // The node hears of the closing, if it hears anything.
        let _ = tokio::time::timeout(CLOSE_WAIT, endpoint.wait_idle()).await;
        Ok(ended)
    }

    /// The identity as it is on the disk; it must be that of the spool's device.
    fn identity(&self) -> Result<Result<DeviceIdentity, LoadError>, ShipError> {
        let identity = match DeviceIdentity::load(&self.identity_dir) {
            Ok(identity) => identity,
            Err(error) => return Ok(Err(error)),
        };
        let found = DeviceId(identity.device().to_bytes());
        if found != self.device {
            return Err(ShipError::OtherDevice { expected: self.device, found });
        }
        let ends = identity.certificate().not_after.as_secs();
        self.standing.send_if_modified(|standing| {
            let changed = standing.certificate_ends_s != ends;
            standing.certificate_ends_s = ends;
            changed
        });
        Ok(Ok(identity))
    }

    /// Says why there is no session: once, and again when the reason is another one.
    fn tell(
        &self,
        address: Option<&String>,
        fault: &SessionFault,
        pause: Duration,
        said: &mut String,
    ) {
        let address = address.map_or("no address", String::as_str);
        let text = chain(fault);
        if *said == text {
            debug!(address, fault = text, ?pause, "no session");
        } else {
            let long = fault.patience() == Patience::Long;
            if long {
                warn!(address, "no session: {text}");
            } else {
                info!(address, "no session: {text}; trying again");
            }
            said.clone_from(&text);
        }
        let why = match fault {
            SessionFault::Spent { .. } => text,
            _ => format!("{address}: {text}"),
        };
        self.standing.send_modify(|standing| standing.wait(pause, why));
    }
}

/// A pause; if the budget is used up, until it is not, whatever the wall clock does meanwhile.
async fn rest(spent: Option<&Account>, pause: Duration) {
    match spent {
        Some(account) => account.renewed().await,
        None => tokio::time::sleep(pause).await,
    }
}

/// An error with its causes, as one sentence.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

const CLOSE_WAIT: Duration = Duration::from_millis(300);
