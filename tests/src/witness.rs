//! What was written: every line, where it stands, and in which file.
//!
//! A line follows from a seed and its number, so that a witness need not keep it: who reads a line back
//! makes it once more and compares.

use std::path::{Path, PathBuf};

use crate::draws::Draws;

/// A line as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Line {
    /// Its bytes without its end.
    pub body: Vec<u8>,
    /// Whether it ends with CR LF instead of LF.
    pub is_crlf: bool,
}

impl Line {
    /// The line of a number: the number, the name of its log, a hash of the rest, and the rest, 40 to
    /// 300 bytes in all. A few end with CR LF, a few hold bytes that are not UTF-8.
    #[must_use]
    pub fn of(seed: u64, number: u64, log: &str) -> Self {
        let mut draws = Draws::new(seed, number.wrapping_add(1));
        let length = usize::try_from(draws.of(4..264)).expect("a small number");
        let mut rest = Vec::with_capacity(length);
        while rest.len() < length {
            rest.extend_from_slice(WORDS[draws.place(WORDS.len())]);
        }
        rest.truncate(length);
        if draws.percent(1) {
            rest.extend_from_slice(b"\xff\xc3");
        }
        let hash = blake3::hash(&rest).to_hex();
        let mut body = format!("{number:07} {log} {} ", &hash[..20]).into_bytes();
        body.extend_from_slice(&rest);
        Self { body, is_crlf: draws.percent(2) }
    }

    /// Its bytes with its end.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let end: &[u8] = if self.is_crlf { b"\r\n" } else { b"\n" };
        [self.body.as_slice(), end].concat()
    }
}

/// The number that a line begins with.
#[must_use]
pub fn number_of(body: &[u8]) -> Option<u64> {
    let digits = body.get(..7)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

const WORDS: [&[u8]; 12] = [
    b"request ",
    b"id=",
    b"4711 ",
    b"took ",
    b"12 ms ",
    b"GET /index ",
    b"\"quoted\" ",
    b"\t",
    b"error: ",
    "Gr\u{fc}\u{df}e ".as_bytes(),
    b"a=b;",
    b"2026-11-21T08:00:00Z ",
];

/// One file from its creation on, through all its names.
#[derive(Clone, Debug, Default)]
pub struct Instance {
    /// Which log it is of: place among the witness's logs.
    pub log: usize,
    /// The lines, in order: number, and the offset at which it begins.
    pub lines: Vec<(u64, u64)>,
}

/// Everything that was written.
#[derive(Clone, Debug, Default)]
pub struct Witness {
    /// What the lines follow from.
    pub seed: u64,
    /// The names of the logs.
    pub logs: Vec<String>,
    /// Every file that was ever begun.
    pub instances: Vec<Instance>,
}

impl Witness {
    /// Lines that were written.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.instances.iter().map(|instance| instance.lines.len() as u64).sum()
    }

    /// The present files of the logs.
    #[must_use]
    pub fn files(&self, folder: &Path) -> Vec<PathBuf> {
        self.logs.iter().map(|log| folder.join(format!("{log}.log"))).collect()
    }

    /// The line of a number that stands in an instance.
    #[must_use]
    pub fn line(&self, instance: usize, number: u64) -> Line {
        Line::of(self.seed, number, &self.logs[self.instances[instance].log])
    }
}
