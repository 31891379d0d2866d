//! Enrolment: a stranger with a join token becomes a device.
//!
//! TLS over TCP, where the server alone shows a certificate and the stranger checks it against the pin of
//! its token. One request, one answer, tiny limits. What happens to the token, the device and the audit is
//! one commit of the registry.

mod rate;
mod service;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use headwater_certs::authority::Authority;
use headwater_certs::token::Address;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::limits::{ENROL_TIMEOUT, ENROLMENTS_MAX};
use crate::metrics::EnrolMetrics;
use crate::registry::Registry;

use rate::Rate;

/// What enrolment works with.
#[derive(Debug)]
pub struct EnrolOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How it proves who it is.
    pub tls: Arc<rustls::ServerConfig>,
    /// Who signs.
    pub authority: Arc<Authority>,
    /// For how long a certificate is valid.
    pub certificate_life: Duration,
    /// Where devices go from here.
    pub serving: Vec<Address>,
    /// Where devices and tokens are kept.
    pub registry: Registry,
    /// Where it counts.
    pub metrics: EnrolMetrics,
}

/// Why enrolment can't listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program has the address.
    #[error(
        "listen at {address} (TCP): another program has it; set intake.enrol.listen to a free address, or stop that program (ss -ltnp)"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The socket can't be had.
    #[error("listen at {address} (TCP, intake.enrol.listen)")]
    Socket {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The running enrolment. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct EnrolHandle {
    address: SocketAddr,
    context: Arc<Context>,
    stop: watch::Sender<bool>,
}

#[derive(Debug)]
struct Context {
    options: EnrolOptions,
    /// Shared by all enrolments, which clone it, and by the renewal of the node's certificate, which
    /// replaces it once in days.
    tls: RwLock<Arc<rustls::ServerConfig>>,
    rate: Rate,
}

impl EnrolHandle {
    /// Starts to listen, `serving` being made of the port that is had. Inside a tokio runtime.
    ///
    /// # Errors
    /// If the address can't be had.
    pub fn start(options: EnrolOptions) -> Result<Self, ListenError> {
        let wanted = options.listen;
        let listener = listen(wanted).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ListenError::InUse { address: wanted },
            _ => ListenError::Socket { address: wanted, source },
        })?;
        let address = listener.local_addr();
        let address = address.map_err(|source| ListenError::Socket { address: wanted, source })?;
        let tls = RwLock::new(Arc::clone(&options.tls));
        let context = Arc::new(Context { options, tls, rate: Rate::default() });
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(accept(listener, Arc::clone(&context), stopped));
        Ok(Self { address, context, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows another certificate from the next handshake on.
    pub fn set_tls(&self, tls: Arc<rustls::ServerConfig>) {
        *self.context.tls.write().expect("nobody panics while holding a configuration") = tls;
    }

    /// Takes no more connections.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

fn listen(address: SocketAddr) -> Result<TcpListener, io::Error> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for the connections of the process before it to be forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, context: Arc<Context>, mut stopped: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(ENROLMENTS_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.changed() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors: those in use are given back within seconds.
                tracing::warn!(%error, "accept an enrolment");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            context.options.metrics.refuse("limit");
            continue;
        };
        let context = Arc::clone(&context);
        tokio::spawn(async move {
            if tokio::time::timeout(ENROL_TIMEOUT, enrol(stream, address, &context)).await.is_err()
            {
                context.options.metrics.refuse("timeout");
            }
            drop(place);
        });
    }
}

async fn enrol(stream: TcpStream, address: SocketAddr, context: &Arc<Context>) {
    let tls = {
        let tls = context.tls.read().expect("nobody panics while holding a configuration");
        Arc::clone(&tls)
    };
    match TlsAcceptor::from(tls).accept(stream).await {
        Ok(stream) => {
            if let Err(error) = service::serve(stream, address, context).await {
                context.options.metrics.refuse("malformed");
                tracing::debug!(%address, %error, "enrolment ended early");
            }
        }
        Err(error) => {
            context.options.metrics.refuse("handshake");
            tracing::debug!(%address, %error, "enrolment handshake failed");
        }
    }
}
