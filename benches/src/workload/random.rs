//! Numbers that are the same on every machine.

/// SplitMix64: one word of state, and every seed is a good one.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below another one, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }

    /// One of a list, its first ones more often: the square of an even draw, as logs are skewed.
    pub(super) fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        let skewed = self.skewed(of.len() as u64);
        of[usize::try_from(skewed).expect("below the length of a list")]
    }

    /// A number below another one of less than 32 bits, small ones more often.
    pub(super) fn skewed(&mut self, end: u64) -> u64 {
        let draw = self.draw() >> 40;
        (((draw * draw) >> 24) * end) >> 24
    }
}
