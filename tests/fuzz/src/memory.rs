//! Bounds on memory: what a parser takes, whatever the bytes say.

use crate::ALLOCATOR;

/// Runs a parser and asserts that it never takes more than `most` bytes at once.
pub(crate) fn bounded<T>(most: usize, parse: impl FnOnce() -> T) -> T {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let parsed = parse();
    let taken = ALLOCATOR.peak_usage().saturating_sub(before);
    assert!(taken <= most, "{taken} bytes of memory were taken, at most {most} may be");
    parsed
}
