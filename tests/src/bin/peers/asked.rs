//! What the command line says.

use std::path::PathBuf;

use crate::contender::Kind;

/// What is to be run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Asked {
    /// The folder of the peers' programs.
    pub(crate) programs: PathBuf,
    /// Lines of each run.
    pub(crate) lines: u64,
    /// Runs of each program in each scenario.
    runs: u64,
    /// The seed of the first run; the next one has the next.
    seed: u64,
    /// Only programs whose name contains this; `None` for all.
    only: Option<String>,
}

impl Asked {
    /// Reads the words after the program's name.
    pub(crate) fn of(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut asked =
            Self { programs: PathBuf::new(), lines: LINES, runs: RUNS, seed: SEED, only: None };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} what? {USAGE}"))?;
            let number = || {
                let parsed = value.parse().ok().filter(|number| (1..=1_000_000).contains(number));
                parsed.ok_or_else(|| format!("{word} is {value:?}, expected 1 to 1000000"))
            };
            match word.as_str() {
                "--programs" => asked.programs = PathBuf::from(&value),
                "--lines" => asked.lines = number()?,
                "--runs" => asked.runs = number()?,
                "--seed" => asked.seed = number()?,
                "--only" => asked.only = Some(value),
                _ => return Err(format!("{word}? {USAGE}")),
            }
        }
        if asked.programs.as_os_str().is_empty() {
            return Err(format!("missing: --programs. packaging/dev/peers fetches them; {USAGE}"));
        }
        if asked.kinds().is_empty() {
            return Err(format!("--only {:?} is none of {:?}", asked.only, Kind::ALL));
        }
        Ok(asked)
    }

    /// Whether it is worth a page: all of them, in full.
    pub(crate) fn is_published(&self) -> bool {
        self.only.is_none() && self.lines >= LINES && self.runs >= RUNS
    }

    /// The seeds, one for each round.
    pub(crate) fn seeds(&self) -> std::ops::Range<u64> {
        self.seed..self.seed + self.runs
    }

    /// Who is run.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        let only = self.only.as_deref().unwrap_or_default();
        Kind::ALL.into_iter().filter(|kind| kind.name().contains(only)).collect()
    }

    /// What repeats it.
    pub(crate) fn command(&self) -> String {
        let Self { lines, runs, seed, .. } = self;
        format!("make bench-peers ARGUMENTS=\"--lines {lines} --runs {runs} --seed {seed}\"")
    }
}

const USAGE: &str =
    "usage: peers --programs FOLDER [--lines N] [--runs N] [--seed N] [--only NAME]";
const LINES: u64 = 100_000;
const RUNS: u64 = 3;
const SEED: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &str) -> Result<Asked, String> {
        Asked::of(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn only_a_run_in_full_is_published() {
        let full = asked("--programs p").unwrap();
        assert_eq!((full.lines, full.seeds(), full.kinds().len()), (LINES, 1..4, Kind::ALL.len()));
        assert!(
            full.is_published() && asked("--programs p --runs 5 --seed 9").unwrap().is_published()
        );
        for less in ["--lines 99999", "--runs 2", "--only Headwater"] {
            assert!(!asked(&format!("--programs p {less}")).unwrap().is_published(), "{less}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (words, named) in [
            ("", "packaging/dev/peers"),
            ("--programs p --lines", "--lines what?"),
            ("--programs p --lines 0", "1 to 1000000"),
            ("--programs p --line 3", "--line?"),
            ("--programs p --only nobody", "Headwater"),
        ] {
            let error = asked(words).unwrap_err();
            assert!(error.contains(named), "{words:?}: {error}");
        }
    }
}
