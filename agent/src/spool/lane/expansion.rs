//! How many bytes of records make a batch of the size that is aimed at, by what was seen so far.

/// What is known of how well a lane compresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expansion {
    /// Bytes that travel per 1,024 bytes of records.
    packed_per_1024: u64,
    aim: u64,
}

impl Expansion {
    /// Knows nothing but the size that is aimed at.
    pub(super) fn new(aim: u64) -> Self {
        Self { packed_per_1024: FIRST_GUESS, aim }
    }

    /// Bytes of records at which a batch is sealed.
    pub(super) fn target(&self) -> usize {
        // A sixteenth is left for what compresses a little worse than what came before it.
        let bytes = |aim: u64| (aim - aim / 16) * 1024 / self.packed_per_1024.max(1);
        // What is larger than a batch may hold is made a half of it, a quarter: the file takes a power of two for each.
        let mut halves = (0..u64::BITS).map(|halved| bytes(self.aim >> halved));
        let fits = halves.find(|bytes| *bytes <= RECORD_BYTES_MAX);
        let target = fits.unwrap_or(RECORD_BYTES_MAX).max(self.aim / 2);
        usize::try_from(target).unwrap_or(usize::MAX)
    }

    /// How many bytes travel of the next batch, if so many bytes of records wait: rather a little more than
    /// less, since a batch just beyond a power of two takes twice as much of the file as was thought.
    pub(super) fn next_packed(&self, record_bytes: usize) -> u64 {
        let next = record_bytes.min(self.target()) as u64;
        let packed = next * self.packed_per_1024 / 1024;
        // The sixteenth that the target leaves.
        packed + packed / 16
    }

    /// Learns from a batch: at once from one that packed badly, slowly from one that packed well.
    pub(super) fn learn(&mut self, record_bytes: usize, packed_bytes: usize) {
        // A small batch says little about a large one.
        if (record_bytes as u64) < self.aim / 4 {
            return;
        }
        let seen = packed_bytes as u64 * 1024 / record_bytes as u64;
        let known = self.packed_per_1024;
        self.packed_per_1024 = if seen > known { seen } else { known - (known - seen).div_ceil(8) };
    }
}

/// 4 to 1.
const FIRST_GUESS: u64 = 256;
/// Bytes of records, by the bound that `body::cost` counts: a seventh of the largest body is left for
/// columns and dictionaries.
pub(super) const RECORD_BYTES_MAX: u64 = 3584 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_follows_how_well_records_compress() {
        let mut expansion = Expansion::new(511 << 10);
        let first = expansion.target();
        for _ in 0..50 {
            let bytes = expansion.target();
            expansion.learn(bytes, bytes / 6);
        }
        let settled = expansion.target();
        assert!(settled > first);
        let packed = settled / 6;
        assert!((450 << 10..511 << 10).contains(&packed), "packs to {packed}");
        expansion.learn(settled, settled);
        assert!(expansion.target() <= 511 << 10, "one batch that does not compress is enough");
        for (ratio, size) in [(11, 255 << 10), (40, 63 << 10), (100, 31 << 10)] {
            for _ in 0..200 {
                let bytes = expansion.target();
                expansion.learn(bytes, bytes / ratio);
            }
            let target = expansion.target();
            assert!(target as u64 <= RECORD_BYTES_MAX);
            let packed = target / ratio;
            assert!(packed <= size && packed > size * 3 / 4, "{ratio}: packs to {packed}");
            expansion.learn(100, 100);
            assert_eq!(expansion.target(), target, "a small batch says nothing");
        }
    }

    #[test]
    fn the_next_batch_may_pack_a_little_worse_than_those_before_it() {
        let mut expansion = Expansion::new(511 << 10);
        expansion.learn(1 << 20, 512 << 10);
        let (records, packed) = (500 << 10, 262 << 10);
        assert!(expansion.next_packed(records) >= packed, "250 KiB by the batch before it");
        let whole = expansion.next_packed(usize::MAX);
        assert!(whole <= 511 << 10, "a whole batch is still of the size that is aimed at: {whole}");
    }
}
