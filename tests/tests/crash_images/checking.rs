//! Looking at many disks that a crash may have left.

use std::panic::{AssertUnwindSafe, catch_unwind};

use headwater_tests::draws::{Draws, seed_of_this_run};
use headwater_tests::recorder::{Crash, Stretch};

/// One run of a test.
pub(crate) struct Run {
    pub(crate) seed: u64,
    test: &'static str,
    images: usize,
    looked_at: usize,
}

impl Run {
    /// Takes the seed and the number of images from the environment, which is the same for all tests, or
    /// draws the seed and takes `images`.
    pub(crate) fn new(test: &'static str, images: usize) -> Self {
        let images = std::env::var("HEADWATER_IMAGES").map_or(images, |text| text.parse().unwrap());
        Self { seed: seed_of_this_run("crash_images"), test, images, looked_at: 0 }
    }

    /// Draws of a number within this run.
    pub(crate) fn draws(&self, purpose: usize) -> Draws {
        Draws::new(self.seed, purpose as u64)
    }

    /// The share of all images, if there are so many parts.
    pub(crate) fn share(&self, parts: usize) -> usize {
        self.images.div_ceil(parts)
    }

    /// Looks at so many disks that crashes in the stretches leave; the first that breaks a rule is told of.
    pub(crate) fn look(
        &mut self,
        stretches: &[Stretch],
        count: usize,
        check: impl Fn(&Crash) -> Result<(), String>,
    ) -> Result<(), String> {
        let open: usize = stretches.iter().map(|stretch| stretch.open() + 1).sum();
        for (number, stretch) in stretches.iter().enumerate() {
            // More where more is open.
            let share = (count * (stretch.open() + 1)).div_ceil(open);
            for crash in stretch.crashes(share, self.draws(1_000 + number)) {
                self.looked_at += 1;
                let checked = catch_unwind(AssertUnwindSafe(|| check(&crash)));
                let checked = checked.unwrap_or_else(|_| Err("it panics, see above".to_owned()));
                checked.map_err(|broken| format!("{broken}\nafter: {}", crash.how))?;
            }
        }
        Ok(())
    }

    /// Fails if a rule was broken, with the line that repeats the run.
    pub(crate) fn expect(&self, looked: Result<(), String>) {
        if let Err(broken) = looked {
            panic!(
                "{broken}\nHEADWATER_SEED={} HEADWATER_IMAGES={} cargo test -p headwater-tests --test \
                 crash_images {}",
                self.seed, self.images, self.test
            );
        }
    }

    /// Says how much was looked at.
    pub(crate) fn tell(&self, of: &str) {
        eprintln!("{}: {} images {of}", self.test, self.looked_at);
    }
}

/// Fails with `broken` unless something holds.
pub(crate) fn ensure(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
