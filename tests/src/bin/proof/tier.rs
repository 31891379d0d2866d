//! The tiers: what a slice runs, how much of it counts, and how much is to be done.

use std::path::Path;
use std::process::Command;

/// A kind of test that takes hours.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) name: String,
    /// What is counted, in the plural.
    pub(crate) unit: &'static str,
    /// How many of them are to be done.
    pub(crate) goal: u64,
    /// How many one slice asks for.
    pub(crate) slice: u64,
    /// Seconds that a slice takes, for as long as none was measured.
    pub(crate) seconds: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Seeds of the simulation.
    Seeds,
    /// A test of this name, with its number in this variable; it says itself how many there were.
    Counted { test: &'static str, variable: Option<&'static str>, of_variable: u64 },
    /// Seconds of fuzzing.
    Fuzz,
}

/// Every tier. Goals are those of the release proof: what is counted is published with date and commit.
pub(crate) fn all() -> Vec<Tier> {
    let fuzzed = fuzz_targets().into_iter().map(|target| Tier {
        name: format!("fuzz {target}"),
        unit: "CPU seconds",
        goal: FUZZ_SECONDS,
        slice: FUZZ_SLICE,
        seconds: FUZZ_SLICE,
        kind: Kind::Fuzz,
    });
    all_but_fuzzing().into_iter().chain(fuzzed).collect()
}

fn all_but_fuzzing() -> Vec<Tier> {
    let tier = |name: &str, unit, (goal, slice), seconds, kind| Tier {
        name: name.to_owned(),
        unit,
        goal,
        slice,
        seconds,
        kind,
    };
    let counted = |test, variable, of_variable| Kind::Counted { test, variable, of_variable };
    vec![
        tier("simulation", "seeds", (1_000_000, 20_000), 300, Kind::Seeds),
        tier("kills", "kills", (10_000, 50), 200, counted("kills", None, 0)),
        // Two file systems, and the log and the spool of each.
        tier(
            "power cuts",
            "cuts",
            (2_000, 32),
            120,
            counted("power_cuts", Some("HEADWATER_CUTS"), 8),
        ),
        tier(
            "crash images",
            "images",
            (2_000_000, 50_000),
            300,
            counted("crash_images", Some("HEADWATER_IMAGES"), 50_000),
        ),
        tier(
            "rotations",
            "rotations",
            (10_000, 1_000),
            300,
            counted("rotations", Some("HEADWATER_ROTATIONS"), 1_000),
        ),
        tier(
            "herd",
            "devices",
            (10_000, 10_000),
            300,
            counted("herd", Some("HEADWATER_HERD"), 10_000),
        ),
    ]
}

/// Processor time of each fuzz target.
const FUZZ_SECONDS: u64 = 3_600;
/// Of one slice.
const FUZZ_SLICE: u64 = 60;

fn fuzz_targets() -> Vec<String> {
    let listed = Command::new("packaging/dev/fuzz").arg("list").output();
    let listed = listed.expect("run packaging/dev/fuzz from the root of the checkout");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
}

impl Tier {
    /// Whether this checkout has the test.
    pub(crate) fn is_here(&self) -> bool {
        let Kind::Counted { test, .. } = self.kind else { return true };
        let path = Path::new("tests/tests").join(test);
        path.with_extension("rs").exists() || path.join("main.rs").exists()
    }

    /// The command of the slice that begins after `from`, and what is set in its environment.
    pub(crate) fn command(&self, from: u64) -> (Vec<String>, Vec<(&'static str, String)>) {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        match self.kind {
            Kind::Seeds => (
                words("cargo test --release -p headwater-protocol --test simulation every_record"),
                vec![("HEADWATER_SEEDS", format!("{from}..{}", from + self.slice))],
            ),
            Kind::Counted { test, variable, of_variable } => {
                let mut command = words("cargo test --workspace --test");
                command.extend([test.to_owned(), "--".to_owned(), "--nocapture".to_owned()]);
                let mut set = vec![("HEADWATER_SEED", from.to_string())];
                set.extend(variable.map(|name| (name, of_variable.to_string())));
                (command, set)
            }
            Kind::Fuzz => {
                let target = self.name.trim_start_matches("fuzz ").to_owned();
                let mut command = words("packaging/dev/fuzz slice");
                command.extend([self.slice.to_string(), target]);
                (command, Vec::new())
            }
        }
    }

    /// How many there were, by what the slice printed; `None` if it does not say.
    pub(crate) fn counted(&self, output: &str) -> Option<u64> {
        match self.kind {
            Kind::Seeds => number_before(output, "runs of"),
            Kind::Fuzz => number_before(output, "s of processor time"),
            Kind::Counted { test: "kills", .. } => {
                let line = output.lines().find(|line| line.starts_with("kills: agent "))?;
                Some(number_before(line, "(")? + number_before(line.split_once(')')?.1, "(")?)
            }
            Kind::Counted { test: "power_cuts", .. } => {
                let lines = output.lines().filter(|line| line.starts_with("power cuts on "));
                let cuts = |line| {
                    let under = |which| number_before(line, which);
                    Some(under("under the log")? + under("under the spool")?)
                };
                lines.map(cuts).sum()
            }
            Kind::Counted { .. } => number_before(output, self.unit),
        }
    }
}

/// The number in front of the first of these words that has one.
fn number_before(text: &str, words: &str) -> Option<u64> {
    let numbers = text.match_indices(words).map(|(at, _)| {
        let before = text[..at].trim_end();
        let digits = before.rsplit(|letter: char| !letter.is_ascii_digit() && letter != ',').next();
        digits.and_then(|digits| digits.replace(',', "").parse().ok())
    });
    numbers.flatten().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(name: &str, kind: Kind, output: &str) -> Option<u64> {
        let tier = all_but_fuzzing().into_iter().find(|tier| tier.name == name);
        let unit = tier.map_or("", |tier| tier.unit);
        let name = name.to_owned();
        Tier { name, unit, goal: 1, slice: 1, seconds: 1, kind }.counted(output)
    }

    #[test]
    fn what_a_slice_did_is_read_from_what_it_printed() {
        let test = |test| Kind::Counted { test, variable: None, of_variable: 0 };
        let kills =
            "x\nkills: agent 27 (3 before it was ready), aggregator 41 (2 before it was ready); 5";
        assert_eq!(counted("kills", test("kills"), kills), Some(68));
        let cuts = "power cuts on Ext4: 9 under the log, 8 under the spool; 3 of them\n\
                    power cuts on Xfs: 10 under the log, 8 under the spool; 4 of them\n";
        assert_eq!(counted("power cuts", test("power_cuts"), cuts), Some(35));
        assert_eq!(counted("power cuts", test("power_cuts"), "no disk can be mounted"), Some(0));
        let seeds = "running 1 test\n2000 runs of 700 steps:\n";
        assert_eq!(counted("simulation", Kind::Seeds, seeds), Some(2_000));
        let fuzz = "fuzz body: 1200 runs, 900 edges, 59 s of processor time\n";
        assert_eq!(counted("fuzz body", Kind::Fuzz, fuzz), Some(59));
        assert_eq!(counted("crash images", test("crash_images"), "12,345 images\n"), Some(12_345));
        assert_eq!(counted("crash images", test("crash_images"), "nothing\n"), None);
        let rotations =
            "cargo test --test rotations\n1105 rotations ({Renamed: 145}), 135 inodes\n";
        assert_eq!(counted("rotations", test("rotations"), rotations), Some(1_105));
        let herd =
            "test herd\nherd: 10000 devices at once, all stored after 40.1s, after a kill 30 s\n";
        assert_eq!(counted("herd", test("herd"), herd), Some(10_000));
    }
}
