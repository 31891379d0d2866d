//! Random numbers that a seed repeats.

use std::ops::Range;
use std::time::{Duration, SystemTime};

/// A sequence of numbers that its seed decides (SplitMix64).
#[derive(Clone, Debug)]
pub struct Draws(u64);

impl Draws {
    /// The sequence of a seed. `purpose` keeps sequences of one seed apart.
    #[must_use]
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut draws = Self(seed ^ purpose.wrapping_mul(0xd134_2543_de82_ef95));
        draws.number();
        draws
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number of a range that is not empty.
    pub fn of(&mut self, range: Range<u64>) -> u64 {
        range.start + self.number() % (range.end - range.start)
    }

    /// A place in a list of so many.
    pub fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.of(0..length as u64)).expect("a place in a list is a usize")
    }

    /// A duration of a range of milliseconds.
    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(self.of(range))
    }

    /// Whether something that happens so often in a hundred happens.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.of(0..100) < percent
    }
}

/// The seed of this run: `HEADWATER_SEED`, or one that nobody chose. It is printed with the line that
/// repeats the run.
///
/// # Panics
/// If `HEADWATER_SEED` is not a number.
#[must_use]
pub fn seed_of_this_run(test: &str) -> u64 {
    let seed = match std::env::var("HEADWATER_SEED") {
        Ok(text) => text.parse().expect("HEADWATER_SEED is a number"),
        Err(_) => {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            u64::from(since.map_or(0, |since| since.subsec_nanos())) ^ u64::from(std::process::id())
        }
    };
    eprintln!("HEADWATER_SEED={seed} cargo test -p headwater-tests --test {test} -- --nocapture");
    seed
}
