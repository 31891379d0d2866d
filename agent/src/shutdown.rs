//! The order to stop: given once, heard by every stage.

use tokio::sync::watch;

/// Gives the order.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

/// Hears the order. An order that nobody can give any more counts as given.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// Makes the two ends.
#[must_use]
pub fn channel() -> (Stop, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Stop(sender), Shutdown(receiver))
}

impl Stop {
    /// Orders to stop. Once is enough.
    pub fn order(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Waits for the order. May be dropped and asked again.
    pub async fn ordered(&self) {
        let mut receiver = self.0.clone();
        // A closed channel is an order.
        let _ = receiver.wait_for(|ordered| *ordered).await;
    }

    /// Whether the order was given: for threads, which cannot wait for it.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_order_reaches_everybody_also_by_silence() {
        let (stop, shutdown) = channel();
        let other = shutdown.clone();
        assert!(!other.is_ordered());
        stop.order();
        other.ordered().await;
        shutdown.ordered().await;
        assert!(shutdown.is_ordered());
        let (stop, shutdown) = channel();
        drop(stop);
        shutdown.ordered().await;
        assert!(shutdown.is_ordered());
    }
}
