//! Which files of a folder are merged. A pure function of their names and sizes.

use super::super::table::{FileName, Kind};

/// Files of a folder in which nothing was merged yet, or only such that is merged no more: two are better as one.
const FILES_MIN_FIRST: usize = 2;
/// Files of a folder in which a merged one may grow on: what comes late is gathered a while.
const FILES_MIN_AGAIN: usize = 8;
/// Files that are merged at once, at most.
const FILES_MAX: usize = 512;

/// A file that lies in a folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Lying {
    pub(super) name: FileName,
    pub(super) bytes: u64,
}

/// The files of a folder that become one, in order of their first entries; none if it is to stay as it is. `written` is
/// where the sink stands in the shard: what lies beyond is not finished.
///
/// None of them is larger than all others together, so that each time that a row is written again, its file at least doubles:
/// however late and long rows come, none is written again more often than its folder doubles.
pub(super) fn merged(files: &[Lying], written: u64) -> Vec<FileName> {
    let is_open = |file: &&Lying| file.name.kind != Kind::Full && file.name.end <= written;
    let mut open: Vec<Lying> = files.iter().filter(is_open).copied().collect();
    open.sort_by_key(|file| (file.bytes, file.name));
    let is_first = open.iter().all(|file| file.name.kind == Kind::Range);
    let least = if is_first { FILES_MIN_FIRST } else { FILES_MIN_AGAIN };
    let mut others: u64 = open.iter().map(|file| file.bytes).sum();
    while let Some(largest) = open.last() {
        others -= largest.bytes;
        if largest.bytes <= others {
            break;
        }
        open.pop();
    }
    let mut names: Vec<FileName> = open.into_iter().map(|file| file.name).collect();
    if names.len() < least {
        return Vec::new();
    }
    names.sort_by_key(|name| (name.first, name.end));
    names.truncate(FILES_MAX);
    names
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::*;

    const R: Kind = Kind::Range;
    const M: Kind = Kind::Merged;
    const F: Kind = Kind::Full;

    /// Files of ten entries each, one behind the other.
    fn lying(files: &[(Kind, u64)]) -> Vec<Lying> {
        let files = (0..).zip(files).map(|(at, (kind, bytes))| {
            let name = FileName {
                kind: *kind,
                generation: 0,
                first: at * 10,
                end: at * 10 + 10,
                ranges: 1,
            };
            Lying { name, bytes: *bytes }
        });
        files.collect()
    }

    /// What it is about, files, how far the sink has written, and the places of those that become one.
    type Case = (&'static str, Vec<(Kind, u64)>, u64, Range<u64>);

    #[test]
    fn what_becomes_one_file() {
        let alike = |count: usize| vec![(R, 5); count];
        let late = |count: usize, bytes| [vec![(M, 90)], vec![(R, bytes); count]].concat();
        let beside = |bytes| vec![(R, bytes), (R, 2), (R, 3), (R, 3)];
        let cases: [Case; 14] = [
            ("nothing", vec![], 999, 0..0),
            ("one file", alike(1), 999, 0..0),
            ("two alike", alike(2), 999, 0..2),
            ("one that is larger than the other", vec![(R, 5), (R, 6)], 999, 0..0),
            ("one that is larger than all others", beside(9), 999, 1..4),
            ("one as large as all others", beside(8), 999, 0..4),
            ("one that is not finished", alike(3), 29, 0..2),
            ("only one finished", alike(2), 19, 0..0),
            ("a late one", late(1, 5), 999, 0..0),
            ("seven late ones", late(7, 5), 999, 0..0),
            ("eight late ones", late(8, 5), 999, 1..9),
            ("late ones that weigh as much", late(9, 10), 999, 0..10),
            ("seven late ones that weigh as much", late(7, 15), 999, 0..8),
            ("two beside a full one", vec![(F, 900), (R, 5), (R, 5)], 999, 1..3),
        ];
        for (what, files, written, expected) in cases {
            let found = merged(&lying(&files), written).into_iter().map(|it| it.first / 10);
            assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{what}");
        }
    }

    #[test]
    fn no_more_files_than_can_be_held_become_one() {
        let files = lying(&[(R, 5); 2_000]);
        let names = merged(&files, u64::MAX);
        assert_eq!(names.len(), FILES_MAX);
        assert_eq!(names[0].first, 0);
    }

    proptest! {
        /// Rows that come for ever, one file at a time, are written again as often as their folder doubles, and few
        /// files are left of them.
        #[test]
        fn what_is_written_again_is_bounded(sizes in prop::collection::vec(1_u64..2_000, 1..400)) {
            let (mut files, mut rewritten, mut at): (Vec<Lying>, u64, u64) = (Vec::new(), 0, 0);
            for bytes in &sizes {
                let name = FileName { kind: R, generation: 0, first: at, end: at + 1, ranges: 1 };
                at += 1;
                files.push(Lying { name, bytes: *bytes });
                loop {
                    let names = merged(&files, at);
                    if names.is_empty() {
                        break;
                    }
                    let (gone, kept): (Vec<Lying>, Vec<Lying>) =
                        files.iter().partition(|file| names.contains(&file.name));
                    let bytes = gone.iter().map(|file| file.bytes).sum::<u64>();
                    prop_assert!(gone.iter().all(|file| file.bytes * 2 <= bytes));
                    rewritten += bytes;
                    let first = names[0].first;
                    let name = FileName { kind: M, generation: 0, first, end: at, ranges: 2 };
                    files = kept;
                    files.push(Lying { name, bytes });
                }
            }
            let total: u64 = sizes.iter().sum();
            let doublings = u64::from(total.ilog2()) + 1;
            prop_assert!(rewritten <= total * doublings, "{rewritten} of {total}");
            prop_assert!(files.len() as u64 <= doublings + FILES_MIN_AGAIN as u64, "{}", files.len());
        }
    }
}
