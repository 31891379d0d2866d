//! A link between agents and an aggregator that does what networks do: a UDP proxy on loopback that loses,
//! delays, reorders, doubles and damages datagrams, drops those that are too large, is thin, changes the
//! address that the far end sees, or carries nothing at all. Its draws follow from a seed; what really
//! happened is counted.

mod faults;
mod proxy;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use faults::Counts;
pub use faults::{Faults, Loss, Seen};

/// A running proxy. It ends when it is dropped.
#[derive(Debug)]
pub struct Chaoslink {
    address: SocketAddr,
    /// Shared with the proxy's thread, which reads it for each datagram.
    faults: Arc<Mutex<Faults>>,
    counts: Arc<Counts>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Chaoslink {
    /// Starts one to an address, without any fault.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn start(seed: u64, to: &str) -> Self {
        let front = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        front.set_nonblocking(true).unwrap();
        let address = front.local_addr().unwrap();
        let (faults, counts) = (Arc::default(), Arc::default());
        let (end, ended) = oneshot::channel();
        let proxy = proxy::Proxy {
            seed,
            to: to.parse().unwrap(),
            faults: Arc::clone(&faults),
            counts: Arc::clone(&counts),
        };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(proxy.run(front, ended));
        });
        Self { address, faults, counts, end: Some(end), thread: Some(thread) }
    }

    /// Where agents send to.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Sets what goes wrong from the next datagram on.
    pub fn set(&self, faults: Faults) {
        *self.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// What happened so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.counts.seen()
    }
}

impl Drop for Chaoslink {
    fn drop(&mut self) {
        drop(self.end.take());
        let done = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(done.is_none_or(|done| done.is_ok()), "the proxy fails, see above");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::ops::Range;
    use std::time::{Duration, Instant};

    use super::*;

    /// Sends so many datagrams, each with its number, and gives what comes out, in order.
    fn carried(faults: Faults, count: u32) -> (Vec<Vec<u8>>, Seen) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let link = Chaoslink::start(7, &server.local_addr().unwrap().to_string());
        link.set(faults);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut received = Vec::new();
        let mut drain = |wait| {
            server.set_read_timeout(Some(wait)).unwrap();
            let mut buffer = [0; 2048];
            while let Ok((length, _)) = server.recv_from(&mut buffer) {
                received.push(buffer[..length].to_vec());
            }
        };
        for number in 0..count {
            let length = 100 + number as usize % 1_400;
            let mut datagram = vec![0; length];
            datagram[..4].copy_from_slice(&number.to_le_bytes());
            client.send_to(&datagram, link.address()).unwrap();
            // Fewer than a socket holds.
            if number % 50 == 49 {
                drain(Duration::from_millis(5));
            }
        }
        drain(Duration::from_millis(500));
        (received, link.seen())
    }

    fn numbers(datagrams: &[Vec<u8>]) -> Vec<u32> {
        let number = |it: &Vec<u8>| u32::from_le_bytes(it[..4].try_into().unwrap());
        datagrams.iter().map(number).collect()
    }

    #[test]
    fn without_a_fault_everything_is_carried_in_order_and_back() {
        let (received, seen) = carried(Faults::default(), 200);
        assert_eq!(numbers(&received), (0..200).collect::<Vec<_>>());
        assert_eq!(seen, Seen { passed: 200, ..Seen::default() });
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let link = Chaoslink::start(7, &server.local_addr().unwrap().to_string());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        client.send_to(b"there", link.address()).unwrap();
        let (_, from) = server.recv_from(&mut [0; 9]).unwrap();
        server.send_to(b"back", from).unwrap();
        let mut buffer = [0; 9];
        let (length, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.to_string()), (&b"back"[..], link.address()));
    }

    #[test]
    fn each_fault_happens_about_as_often_as_it_is_set_to() {
        let about =
            |count: u64, expected: Range<u64>| assert!(expected.contains(&count), "{count}");
        let (received, seen) =
            carried(Faults { loss: Loss::Each(200), ..Faults::default() }, 1_000);
        about(seen.lost, 120..300);
        assert_eq!(received.len() as u64, 1_000 - seen.lost);
        let (received, seen) = carried(Faults { doubled: 200, ..Faults::default() }, 1_000);
        about(seen.doubled, 120..300);
        assert_eq!(received.len() as u64, 1_000 + seen.doubled);
        let (received, seen) = carried(Faults { damaged: 200, ..Faults::default() }, 1_000);
        about(seen.damaged, 120..300);
        let whole = |it: &&Vec<u8>| it[4..].iter().all(|byte| *byte == 0);
        assert!(received.iter().filter(whole).count() < 1_000);
        let burst = Faults { loss: Loss::Bursts { enter: 20, leave: 200 }, ..Faults::default() };
        let (received, seen) = carried(burst, 1_000);
        let numbers = numbers(&received);
        let longest = numbers.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(seen.lost > 10 && longest > Some(3), "bursts: {seen:?}, {longest:?}");
    }

    #[test]
    fn what_is_too_large_is_dropped_what_is_late_comes_in_another_order_and_a_thin_link_is_slow() {
        let (received, seen) = carried(Faults { largest: Some(600), ..Faults::default() }, 1_000);
        assert!(received.iter().all(|datagram| datagram.len() <= 600));
        assert_eq!(seen.too_large, 499);
        let late = Faults { delay_ms: 0..50, ..Faults::default() };
        let (received, _) = carried(late, 300);
        let numbers = numbers(&received);
        assert_eq!(numbers.len(), 300, "none is lost");
        assert!(numbers.windows(2).any(|pair| pair[0] > pair[1]), "some overtake others");
        let begun = Instant::now();
        let (received, seen) =
            carried(Faults { bytes_per_s: Some(20_000), ..Faults::default() }, 100);
        assert!(!received.is_empty() && seen.crowded_out > 0, "{seen:?}");
        assert!(begun.elapsed() > Duration::from_millis(200), "what is carried takes its time");
        let (received, seen) = carried(Faults { blackout: true, ..Faults::default() }, 50);
        assert_eq!((received.len(), seen.lost), (0, 50));
    }
}
