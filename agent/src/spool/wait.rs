//! Waiting of threads for what asynchronous ends hand them.
//!
//! A thread that waits for one thing alone needs no runtime. A runtime's timers would wake it twice for
//! each wait that is longer than the lowest level of their wheel.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

/// Waits for a future that needs no runtime.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    wait_until(None, future).expect("a wait without an end has the future's output")
}

/// Waits for a future that needs no runtime, at most until `end`; `None` for ever. Gives `None` when the
/// time is over first.
pub(super) fn wait_until<T>(end: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        match end.map(|end| end.saturating_duration_since(Instant::now())) {
            None => thread::park(),
            Some(left) if left.is_zero() => return None,
            Some(left) => thread::park_timeout(left),
        }
    }
}

/// A thread that waits. A wake that comes before it parks is not lost.
struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn what_comes_while_a_thread_waits_is_taken_and_nothing_is_lost() {
        let (sender, mut receiver) = mpsc::channel(1);
        let sending = thread::spawn(move || {
            for number in 0..10_000 {
                sender.blocking_send(number).unwrap();
            }
        });
        let far = Some(Instant::now() + Duration::from_secs(600));
        for number in 0..10_000 {
            let end = if number % 2 == 0 { far } else { None };
            assert_eq!(wait_until(end, receiver.recv()), Some(Some(number)));
        }
        assert_eq!(wait(receiver.recv()), None, "a closed channel ends the wait");
        sending.join().unwrap();
    }

    #[test]
    fn a_wait_ends_when_its_time_is_over_and_not_before() {
        let (sender, mut receiver) = mpsc::channel::<()>(1);
        let end = Instant::now() + Duration::from_millis(100);
        assert_eq!(wait_until(Some(end), receiver.recv()), None);
        assert!(Instant::now() >= end);
        let passed = Some(Instant::now());
        assert_eq!(wait_until(passed, receiver.recv()), None);
        sender.try_send(()).unwrap();
        assert_eq!(wait_until(passed, receiver.recv()), Some(Some(())), "what is there is taken");
    }
}
