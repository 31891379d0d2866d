//! Free ports: the usual ones, or the next ones that nobody has.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

use crate::cli::failure::{Exit, Failure};

/// Where the node listens.
#[derive(Debug)]
pub(super) struct Ports {
    listen: IpAddr,
    /// UDP, of agents.
    pub(super) intake: SocketAddr,
    /// TCP, of enrolment.
    pub(super) enrol: SocketAddr,
    /// TCP, of the console: on loopback, whatever else is open.
    pub(super) console: SocketAddr,
    /// TCP, of metrics: on loopback, whatever else is open.
    pub(super) metrics: SocketAddr,
    taken: Vec<String>,
}

impl Ports {
    /// Looks for ports that are free right now.
    pub(super) fn choose(listen: IpAddr) -> Result<Self, Failure> {
        let mut taken = Vec::new();
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Ok(Self {
            listen,
            intake: free("udp", listen, INTAKE, &mut taken)?,
            enrol: free("tcp", listen, ENROL, &mut taken)?,
            console: free("tcp", loopback, CONSOLE, &mut taken)?,
            metrics: free("tcp", loopback, METRICS, &mut taken)?,
            taken,
        })
    }

    /// What is said of ports that were taken.
    pub(super) fn taken(&self) -> &[String] {
        &self.taken
    }

    pub(super) fn listen(&self) -> IpAddr {
        self.listen
    }

    /// The address by which other hosts reach intake.
    pub(super) fn intake_reachable(&self) -> SocketAddr {
        SocketAddr::new(reachable(self.listen), self.intake.port())
    }

    /// The address by which other hosts reach enrolment.
    pub(super) fn enrol_reachable(&self) -> SocketAddr {
        SocketAddr::new(reachable(self.listen), self.enrol.port())
    }
}

/// Source: CLI page, section 5.
const INTAKE: u16 = 4433;
const ENROL: u16 = 7443;
const CONSOLE: u16 = 7080;
const METRICS: u16 = 9470;

/// Ports that are tried, one after the other: more than anybody runs on one host.
const TRIES: u16 = 100;

fn free(
    protocol: &str,
    listen: IpAddr,
    usual: u16,
    taken: &mut Vec<String>,
) -> Result<SocketAddr, Failure> {
    for port in usual..usual + TRIES {
        let address = SocketAddr::new(listen, port);
        let bound = match protocol {
            "udp" => UdpSocket::bind(address).map(drop),
            _ => TcpListener::bind(address).map(drop),
        };
        match bound {
            Ok(()) if port == usual => return Ok(address),
            Ok(()) => {
                let said =
                    format!("port {usual}/{protocol} is taken: {port}/{protocol} is used instead");
                taken.push(said);
                return Ok(address);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(refused(address, protocol, &error)),
        }
    }
    Err(Failure::new(Exit::Failed, format!("no free {protocol} port on {listen}"))
        .cause(format!("{usual} to {} are all taken", usual + TRIES - 1))
        .next("ss -lntup shows by whom"))
}

fn refused(address: SocketAddr, protocol: &str, error: &io::Error) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("cannot listen on {address}/{protocol}"));
    match error.kind() {
        io::ErrorKind::AddrNotAvailable => failure
            .cause(format!("this host has no address {}", address.ip()))
            .next("--listen with one of those that `ip address` shows"),
        _ => failure.cause_of(error),
    }
}

/// An address that others can use: where all are listened on, the one that leads out of this host.
fn reachable(listen: IpAddr) -> IpAddr {
    if !listen.is_unspecified() {
        return listen;
    }
    // Connecting a UDP socket asks the routing table and sends nothing. The address is reserved for
    // documentation, RFC 5737.
    let outward = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    outward.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_named_with_the_one_that_is_used() {
        let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let held = TcpListener::bind((loopback, 0)).unwrap();
        let usual = held.local_addr().unwrap().port();
        if usual > u16::MAX - TRIES {
            return;
        }
        let mut taken = Vec::new();
        let address = free("tcp", loopback, usual, &mut taken).unwrap();
        assert!(address.port() > usual);
        assert_eq!(taken.len(), 1);
        assert!(
            taken[0].starts_with(&format!("port {usual}/tcp is taken: {}/tcp", address.port()))
        );
    }

    #[test]
    fn an_address_of_another_host_is_refused_with_its_reason() {
        let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let failure = free("udp", other, 4433, &mut Vec::new()).unwrap_err();
        assert!(failure.to_string().contains("no address 192.0.2.1"), "{failure}");
    }
}
