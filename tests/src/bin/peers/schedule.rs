//! When the sender is killed and started again.

use std::time::Duration;

use headwater_tests::draws::Draws;

/// What is done to the receiver, and in which rhythm the sender is killed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scenario {
    /// The receiver is there all the time.
    Present,
    /// The receiver comes once all lines are written. Kills come in pairs: the second meets the recovery
    /// from the first.
    Away,
}

impl Scenario {
    pub(crate) const ALL: [Self; 2] = [Self::Present, Self::Away];

    /// Its heading.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Present => "The sender is killed, the receiver is there",
            Self::Away => "The sender is killed in pairs 1 s apart, the receiver comes afterwards",
        }
    }
}

/// A kill: both moments are since the first line was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Kill {
    /// When it is killed.
    pub(crate) at: Duration,
    /// When it is started again.
    pub(crate) back: Duration,
}

/// The kills while lines are written, in order. None falls in the pause after another.
pub(crate) fn kills(scenario: Scenario, seed: u64, writing: Duration) -> Vec<Kill> {
    let mut draws = Draws::new(seed, 3);
    let mut kills: Vec<Kill> = Vec::new();
    loop {
        let after = kills.last().map_or(Duration::ZERO, |kill| kill.back);
        let at = after + draws.millis(1_000..5_000);
        if at >= writing {
            return kills;
        }
        match scenario {
            Scenario::Present => kills.push(Kill { at, back: at + draws.millis(300..1_500) }),
            Scenario::Away => {
                kills.push(Kill { at, back: at + draws.millis(300..950) });
                let at = at + PAIR;
                kills.push(Kill { at, back: at + draws.millis(300..1_500) });
            }
        }
    }
}

/// Between the two kills of a pair.
const PAIR: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const WRITING: Duration = Duration::from_secs(20);

    #[test]
    fn a_seed_decides_the_moments() {
        for scenario in Scenario::ALL {
            let drawn = |seed| kills(scenario, seed, WRITING);
            assert_eq!(drawn(1), drawn(1), "the same for every program");
            assert_ne!(drawn(1), drawn(2), "others with another seed");
        }
    }

    #[test]
    fn every_kill_meets_a_sender_that_was_started() {
        for (seed, scenario) in (0..200).flat_map(|seed| Scenario::ALL.map(|it| (seed, it))) {
            let kills = kills(scenario, seed, WRITING);
            assert!(kills.len() >= 2, "seed {seed}: {kills:?}");
            assert!(kills.iter().all(|kill| kill.at < kill.back), "seed {seed}: {kills:?}");
            let is_apart = |pair: &[Kill]| pair[0].back < pair[1].at;
            assert!(kills.windows(2).all(is_apart), "seed {seed}: {kills:?}");
        }
    }

    #[test]
    fn kills_of_a_pair_are_a_second_apart() {
        let kills = kills(Scenario::Away, 7, WRITING);
        assert!(kills.chunks(2).all(|pair| pair[1].at - pair[0].at == PAIR), "{kills:?}");
    }
}
