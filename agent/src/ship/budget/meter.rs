//! Bytes that travel, counted at the socket: handshakes that come to nothing, repeats and signs of life
//! as well as batches, in both directions.

use std::fmt::Debug;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

/// Bytes that travelled since the start, headers of IP and UDP included.
#[derive(Debug, Default)]
pub(in crate::ship) struct Meter(AtomicU64);

impl Meter {
    /// What it shows.
    pub(in crate::ship) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts datagrams of a size each, the last of which may be smaller.
    fn count(&self, peer: IpAddr, bytes: usize, each: usize) {
        let header = if peer.to_canonical().is_ipv4() { IPV4_HEADERS } else { IPV6_HEADERS };
        let datagrams = bytes.div_ceil(each.max(1));
        self.0.fetch_add((bytes + datagrams * header) as u64, Ordering::Relaxed);
    }
}

/// A socket whose traffic is counted.
#[derive(Debug)]
pub(in crate::ship) struct Metered {
    pub(in crate::ship) socket: Arc<dyn AsyncUdpSocket>,
    pub(in crate::ship) meter: Arc<Meter>,
}

impl AsyncUdpSocket for Metered {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)?;
        let bytes = transmit.contents.len();
        let each = transmit.segment_size.unwrap_or(bytes);
        self.meter.count(transmit.destination.ip(), bytes, each);
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        received: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let polled = self.socket.poll_recv(context, buffers, received);
        if let Poll::Ready(Ok(count)) = &polled {
            for each in &received[..*count] {
                self.meter.count(each.addr.ip(), each.len, each.stride);
            }
        }
        polled
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

/// 20 bytes of IP and 8 of UDP.
const IPV4_HEADERS: usize = 28;
/// 40 bytes of IP and 8 of UDP.
const IPV6_HEADERS: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_datagram_counts_with_its_headers() {
        let count = |peer: &str, bytes, each| {
            let meter = Meter::default();
            meter.count(peer.parse().unwrap(), bytes, each);
            meter.bytes()
        };
        assert_eq!(count("192.0.2.1", 1200, 1200), 1228);
        assert_eq!(count("::ffff:192.0.2.1", 1200, 1200), 1228, "IPv4 of a socket of both");
        assert_eq!(count("2001:db8::1", 1200, 1200), 1248);
        assert_eq!(count("192.0.2.1", 3000, 1200), 3084, "three, the last of them smaller");
        assert_eq!(count("192.0.2.1", 0, 0), 0);
    }
}
