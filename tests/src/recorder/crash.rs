//! What a crash may leave: every choice among the operations that were open, whole or in part.

use super::image::Image;
use super::record::{Fate, Moment, Op};
use crate::draws::Draws;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What happened between two syncs.
#[derive(Clone, Debug)]
pub struct Stretch {
    pub(super) base: Image,
    pub(super) steps: Vec<(Op, Fate)>,
    /// When it ended: who was told something until then was told it by the time of the crash.
    pub moment: Moment,
}

/// A disk after a crash.
#[derive(Clone, Debug)]
pub struct Crash {
    /// What it holds.
    pub image: Image,
    /// When the crash came, at the latest.
    pub moment: Moment,
    /// What was left out, for people.
    pub how: String,
}

/// What is left of the operations that were open.
#[derive(Clone, Debug)]
enum Choice {
    /// The first so many; what is left of the one after them.
    First(usize, Left),
    /// All, but of this one only what is left.
    AllBut(usize, Left),
    /// Nothing but what is left of this one.
    Only(usize, Left),
    /// Of each as the draws say.
    Drawn { seed: u64, whole_percent: u64, torn_percent: u64 },
}

/// What is left of one operation.
#[derive(Clone, Copy, Debug)]
enum Left {
    Nothing,
    Whole,
    /// So many sectors from its start.
    Head(usize),
    /// What comes after so many sectors.
    Tail(usize),
    /// Of each sector as the draws say.
    Drawn(u64),
}

impl Stretch {
    /// How many operations were open at its end.
    #[must_use]
    pub fn open(&self) -> usize {
        self.steps.iter().filter(|(_, fate)| *fate != Fate::Sure).count()
    }

    /// Disks that a crash may leave, so many: every first part, each operation left out and each alone,
    /// each of them torn in several places, as far as there is room; and as the draws say.
    pub fn crashes(&self, count: usize, mut draws: Draws) -> impl Iterator<Item = Crash> {
        let mut choices = self.choices();
        if choices.len() > count {
            // Some of them, and others that no rule finds.
            let some = count.div_ceil(2);
            for place in 0..some {
                let other = place + draws.place(choices.len() - place);
                choices.swap(place, other);
            }
            choices.truncate(some);
        }
        let drawn = if self.open() < 2 { 0 } else { count.saturating_sub(choices.len()) };
        choices.extend((0..drawn).map(|_| Choice::Drawn {
            seed: draws.number(),
            whole_percent: [10, 50, 90][draws.place(3)],
            torn_percent: [0, 30, 100][draws.place(3)],
        }));
        choices.into_iter().map(|choice| self.crash(&choice))
    }

    fn choices(&self) -> Vec<Choice> {
        let open = self.steps.iter().filter(|(_, fate)| *fate != Fate::Sure);
        let sectors: Vec<usize> = open.map(|(op, _)| sectors(op)).collect();
        let mut choices = vec![Choice::First(0, Left::Nothing)];
        for (place, sectors) in sectors.into_iter().enumerate() {
            choices.push(Choice::First(place, Left::Whole));
            choices.push(Choice::AllBut(place, Left::Nothing));
            choices.push(Choice::Only(place, Left::Whole));
            for cut in [1, sectors / 2, sectors.saturating_sub(1)] {
                if cut == 0 || cut >= sectors {
                    continue;
                }
                choices.push(Choice::First(place, Left::Head(cut)));
                for left in [Left::Head(cut), Left::Tail(cut)] {
                    choices.push(Choice::AllBut(place, left));
                    choices.push(Choice::Only(place, left));
                }
            }
        }
        choices
    }

    fn crash(&self, choice: &Choice) -> Crash {
        let mut image = self.base.clone();
        let mut drawn = match choice {
            Choice::Drawn { seed, .. } => Draws::new(*seed, 0),
            Choice::First(..) | Choice::AllBut(..) | Choice::Only(..) => Draws::new(0, 0),
        };
        let mut place = 0;
        for (op, fate) in &self.steps {
            if *fate == Fate::Sure {
                op.apply(&mut image);
                continue;
            }
            leave(op, choice.left_of(place, &mut drawn), &mut image);
            place += 1;
        }
        let how = format!("{choice:?} of {place} open operations before number {}", self.moment.0);
        Crash { image, moment: self.moment, how }
    }
}

impl Choice {
    fn left_of(&self, place: usize, draws: &mut Draws) -> Left {
        match *self {
            Self::First(count, _) if place < count => Left::Whole,
            Self::First(count, left) if place == count => left,
            Self::First(..) => Left::Nothing,
            Self::AllBut(only, left) => {
                if place == only {
                    left
                } else {
                    Left::Whole
                }
            }
            Self::Only(only, left) => {
                if place == only {
                    left
                } else {
                    Left::Nothing
                }
            }
            Self::Drawn { whole_percent, torn_percent, .. } => {
                if draws.percent(torn_percent) {
                    Left::Drawn(draws.number())
                } else if draws.percent(whole_percent) {
                    Left::Whole
                } else {
                    Left::Nothing
                }
            }
        }
    }
}

/// How many sectors an operation touches; 1 for one that can't be torn.
fn sectors(op: &Op) -> usize {
    match op {
        Op::Write { offset, bytes } => (offset % SECTOR_BYTES + bytes.len()).div_ceil(SECTOR_BYTES),
        Op::Length(_) | Op::Sync | Op::FailedSync | Op::IgnoredSync => 1,
    }
}

/// Has happen what is left of an operation.
fn leave(op: &Op, left: Left, image: &mut Image) {
    let keeps: Box<dyn FnMut(usize) -> bool> = match left {
        Left::Nothing => return,
        Left::Whole => return op.apply(image),
        Left::Head(cut) => Box::new(move |sector| sector < cut),
        Left::Tail(cut) => Box::new(move |sector| sector >= cut),
        Left::Drawn(seed) => {
            let mut draws = Draws::new(seed, 1);
            Box::new(move |_| draws.percent(50))
        }
    };
    let Op::Write { offset, bytes } = op else { return op.apply(image) };
    let (mut keeps, mut at) = (keeps, 0);
    for sector in 0..sectors(op) {
        let end = ((offset / SECTOR_BYTES + sector + 1) * SECTOR_BYTES - offset).min(bytes.len());
        if keeps(sector) {
            image.write(offset + at, &bytes[at..end]);
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::recorder::Record;

    fn images(ops: Vec<Op>, count: usize) -> BTreeSet<Vec<u8>> {
        let stretches = Record { start: Image::default(), ops }.stretches();
        let last = stretches.last().unwrap();
        last.crashes(count, Draws::new(1, 1)).map(|crash| crash.image.to_vec()).collect()
    }

    fn write(offset: usize, bytes: &[u8]) -> Op {
        Op::Write { offset, bytes: bytes.into() }
    }

    #[test]
    fn every_subset_of_open_writes_is_left_and_nothing_else() {
        let ops = vec![write(0, b"abc"), Op::Sync, write(0, b"x"), write(1, b"y"), write(2, b"z")];
        let found = images(ops, 200);
        let all = ["abc", "xbc", "ayc", "abz", "xyc", "xbz", "ayz", "xyz"];
        assert_eq!(found, all.into_iter().map(|text| text.as_bytes().to_vec()).collect());
    }

    #[test]
    fn a_write_is_torn_at_sectors_and_only_there() {
        let ops = vec![Op::Length(2048), Op::Sync, write(256, &[1; 1024])];
        let found = images(ops, 100);
        assert!(found.len() >= 6, "{} ways", found.len());
        for image in &found {
            for sector in [256..512, 512..1024, 1024..1280] {
                let part = &image[sector];
                assert!(part.iter().all(|byte| *byte == part[0]), "a sector is whole");
            }
        }
    }

    #[test]
    fn a_length_is_there_or_not_and_few_images_are_as_many_as_asked_for() {
        let found = images(vec![Op::Length(10), Op::Sync, Op::Length(5)], 20);
        assert_eq!(found, BTreeSet::from([vec![0; 10], vec![0; 5]]));
        let writes = (0..40).map(|at| write(at, b"x")).collect();
        let stretches = Record { start: Image::default(), ops: writes }.stretches();
        assert_eq!(stretches[0].crashes(30, Draws::new(1, 1)).count(), 30);
    }
}
