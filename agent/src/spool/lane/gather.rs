//! How long what waits is left to grow. Pure.

use std::time::Duration;

use headwater_protocol::identity::Lane;

/// What decides how long lines wait for more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gather {
    pub(super) lane: Lane,
    /// The wait where nothing speaks for a longer one.
    pub(super) seal_after: Duration,
    /// Batches before it that are not acked.
    pub(super) unsent: u64,
    /// About what it would travel as.
    pub(super) packed: u64,
    /// Whether some of it may not be there to be read again after a crash.
    pub(super) is_hasty: bool,
    /// Whether nothing more comes before it is sealed anyway.
    pub(super) is_complete: bool,
}

impl Gather {
    /// How long the oldest of what waits is left. Behind batches that are not acked it would only stand in
    /// line, and small batches cost a link and a disk more than large ones; a file shows lines again after
    /// a crash. Samples are nowhere else, and are wanted at once.
    pub(super) fn wait(self) -> Duration {
        if self.is_complete {
            return Duration::ZERO;
        }
        let has_enough = self.packed >= GATHER_BYTES;
        if self.lane == Lane::Live || self.unsent == 0 || has_enough || self.is_hasty {
            return self.seal_after;
        }
        self.seal_after.max(GATHER_MAX.min(self.seal_after * GATHER_FACTOR))
    }
}

/// By how much longer lines wait. Of 10 lines a second ten times the wait makes a quarter of the bytes, of
/// 100 three fifths, of 1,000 nine tenths.
const GATHER_FACTOR: u32 = 10;
/// The longest wait of that kind: three times as long would save another third at 10 lines a second, a
/// twentieth at 100. It is what a crash loses of a file that is gone by then.
const GATHER_MAX: Duration = Duration::from_secs(10);
/// Larger batches save next to nothing, one of twice the size a fiftieth, and on a thin link each has to
/// arrive whole.
const GATHER_BYTES: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_behind_batches_that_are_not_acked_wait_longer() {
        let second = Duration::from_secs(1);
        let (lane, packed) = (Lane::Bulk, GATHER_BYTES - 1);
        let (is_hasty, is_complete) = (false, false);
        let lines = Gather { lane, seal_after: second, unsent: 1, packed, is_hasty, is_complete };
        assert_eq!(lines.wait(), second * 10);
        assert_eq!(Gather { unsent: 0, ..lines }.wait(), second, "the lane is drained");
        assert_eq!(Gather { is_hasty: true, ..lines }.wait(), second);
        assert_eq!(Gather { packed: GATHER_BYTES, ..lines }.wait(), second, "it is large enough");
        assert_eq!(Gather { lane: Lane::Live, ..lines }.wait(), second, "live is never late");
        let slow = Gather { seal_after: second * 60, ..lines };
        assert_eq!(slow.wait(), second * 60, "never shorter than what was asked for");
        assert_eq!(Gather { seal_after: second * 4, ..lines }.wait(), second * 10);
        assert_eq!(Gather { is_complete: true, ..slow }.wait(), Duration::ZERO, "for what?");
    }
}
