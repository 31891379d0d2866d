//! Which rules hold for which window.

use std::sync::Arc;

use headwater_protocol::entry::WindowRules;

use super::Combination;

/// Versions that are kept: the one in force, and those before it for data that is late.
const VERSIONS_KEPT: usize = 4;

/// The versions of the window rules that a shard's log has brought, the oldest first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Versions {
    kept: Vec<Version>,
}

/// One version, with its combinations ready to be shared.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Version {
    pub(super) rules: WindowRules,
    pub(super) combinations: Vec<Arc<Combination>>,
    /// Whether quantiles are kept of them, in the same order.
    pub(super) quantiles: Vec<bool>,
}

impl Version {
    fn of(rules: WindowRules) -> Self {
        let quantiles = rules.combinations.iter().map(|it| rules.quantiles.contains(it)).collect();
        let combinations = rules.combinations.iter().cloned().map(Combination::new);
        Self { combinations: combinations.map(Arc::new).collect(), quantiles, rules }
    }

    /// Whether quantiles are kept of any combination.
    pub(super) fn keeps_quantiles(&self) -> bool {
        self.quantiles.contains(&true)
    }
}

impl Versions {
    /// Takes a version that is above the present one; `false` for any other, and for one that would change
    /// what is fixed.
    pub(super) fn take(&mut self, rules: WindowRules) -> bool {
        let fits = |last: &Version| {
            rules.version > last.rules.version && rules.length_us == last.rules.length_us
        };
        if !self.kept.last().is_none_or(fits) {
            return false;
        }
        self.kept.push(Version::of(rules));
        if self.kept.len() > VERSIONS_KEPT {
            self.kept.remove(0);
        }
        true
    }

    /// The version that holds for a window. `None` if the log has brought none.
    pub(super) fn of_window(&self, start_us: i64) -> Option<&Version> {
        let in_force = self.kept.iter().rev().find(|it| it.rules.from_us <= start_us);
        in_force.or(self.kept.first())
    }

    /// The newest version.
    pub(super) fn newest(&self) -> Option<&WindowRules> {
        self.kept.last().map(|version| &version.rules)
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = &WindowRules> {
        self.kept.iter().map(|version| &version.rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(version: u64, from_us: i64) -> WindowRules {
        WindowRules {
            version,
            from_us,
            length_us: 10,
            lateness_us: 1,
            keys_max: 10,
            combinations: vec![vec![format!("label-{version}")]],
            quantiles: Vec::new(),
        }
    }

    #[test]
    fn each_window_goes_by_the_version_that_held_for_it() {
        let mut versions = Versions::default();
        assert!(versions.of_window(0).is_none());
        assert!(versions.take(rules(1, 500)) && versions.take(rules(2, 1_000)));
        assert!(!versions.take(rules(2, 2_000)), "a version that is known changes nothing");
        assert!(
            !versions.take(WindowRules { length_us: 20, ..rules(3, 2_000) }),
            "of another length"
        );
        let version = |start| versions.of_window(start).map(|version| version.rules.version);
        assert_eq!([version(0), version(990), version(1_000)], [Some(1), Some(1), Some(2)]);
    }
}
