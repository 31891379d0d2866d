//! What readers see against what was written: every line once, whole, in order, and nothing else.
//!
//! The reader is `headwater logs --ndjson`; the comparison knows nothing of ledgers, only lines, files
//! and positions.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::witness::{Witness, number_of};

/// A line as a reader sees it.
#[derive(Debug, Deserialize)]
struct Seen {
    device: String,
    path: String,
    stream: String,
    position: u64,
    part: String,
    body: Option<String>,
    body_base64: Option<String>,
}

/// What readers see, held against a witness. All counts but `seen` are 0 if all is well.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Comparison {
    /// Lines that readers see.
    pub seen: u64,
    /// Lines that were written and are not there.
    pub lost: u64,
    /// Lines that are there more than once.
    pub doubled: u64,
    /// Lines that stand behind a later one of their file.
    pub disordered: u64,
    /// Lines with another body, another end or another position than was written.
    pub corrupt: u64,
    /// Lines that nobody wrote.
    pub phantom: u64,
    /// The numbers of the lines that are lost.
    pub missing: Vec<u64>,
    /// The first of what is wrong, in words.
    pub places: Vec<String>,
}

impl Comparison {
    /// Compares the output of `logs --ndjson` with a witness.
    ///
    /// # Panics
    /// If the file is not such an output.
    #[must_use]
    pub fn of(dump: &Path, witness: &Witness) -> Self {
        let mut reading = Reading::new(witness);
        for row in BufReader::new(File::open(dump).unwrap()).lines() {
            let row = row.unwrap();
            let seen: Seen = serde_json::from_str(&row)
                .unwrap_or_else(|error| panic!("a line of logs --ndjson: {error}: {row}"));
            reading.take(&seen);
        }
        reading.finish()
    }

    /// That every line is there once, whole and in order.
    ///
    /// # Panics
    /// If not.
    pub fn expect_exactly_once(&self, witness: &Witness) {
        let expected = Self { seen: witness.lines(), ..Self::default() };
        assert_eq!(*self, expected, "every line is read back exactly once");
    }

    /// That nothing is there twice, disordered, corrupt or unheard of; lines may be missing.
    ///
    /// # Panics
    /// If not.
    pub fn expect_nothing_doubled(&self) {
        let Self { seen, lost, ref missing, ref places, .. } = *self;
        let (missing, places) = (missing.clone(), places.clone());
        let expected = Self { seen, lost, missing, places, ..Self::default() };
        assert_eq!(*self, expected, "no line is read back twice, altered or out of order");
    }
}

struct Reading<'a> {
    witness: &'a Witness,
    /// Where each line stands: instance and offset, by number.
    home: Vec<Option<(usize, u64)>>,
    times: Vec<u8>,
    /// The last line that was seen of an instance.
    last: BTreeMap<usize, u64>,
    found: Comparison,
}

impl<'a> Reading<'a> {
    fn new(witness: &'a Witness) -> Self {
        let count = usize::try_from(witness.lines()).expect("a count of lines in memory");
        let mut home = vec![None; count];
        for (place, instance) in witness.instances.iter().enumerate() {
            for (number, offset) in &instance.lines {
                home[usize::try_from(*number).expect("as above")] = Some((place, *offset));
            }
        }
        let times = vec![0; count];
        Self { witness, home, times, last: BTreeMap::new(), found: Comparison::default() }
    }

    fn take(&mut self, seen: &Seen) {
        self.found.seen += 1;
        let body = match (&seen.body, &seen.body_base64) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(text)) => STANDARD.decode(text).expect("base64 of a body"),
            _ => panic!("a line has one body: {seen:?}"),
        };
        let number = number_of(&body);
        let at = number.and_then(|number| usize::try_from(number).ok());
        let home = at.and_then(|at| self.home.get(at).copied().flatten());
        let (Some(number), Some(at), Some((instance, offset))) = (number, at, home) else {
            self.found.phantom += 1;
            return self.place("phantom", seen, &body);
        };
        self.times[at] = self.times[at].saturating_add(1);
        if self.times[at] > 1 {
            self.found.doubled += 1;
            return self.place("doubled", seen, &body);
        }
        let line = self.witness.line(instance, number);
        let part = if line.is_crlf { "whole-crlf" } else { "whole" };
        if line.body != body || seen.part != part || seen.position != offset {
            self.found.corrupt += 1;
            self.place(&format!("corrupt (offset {offset}, {part})"), seen, &body);
        }
        if self.last.insert(instance, number).is_some_and(|last| last > number) {
            self.found.disordered += 1;
            self.place("disordered", seen, &body);
        }
    }

    fn finish(mut self) -> Comparison {
        let lost: Vec<usize> = (0..self.times.len()).filter(|at| self.times[*at] == 0).collect();
        self.found.lost = lost.len() as u64;
        self.found.missing = lost.iter().map(|at| *at as u64).collect();
        for at in lost {
            if self.found.places.len() < PLACES_MAX
                && let Some((instance, offset)) = self.home[at]
            {
                let log = &self.witness.logs[self.witness.instances[instance].log];
                self.found
                    .places
                    .push(format!("lost: {at} of {log}, file {instance}, at {offset}"));
            }
        }
        self.found
    }

    fn place(&mut self, what: &str, seen: &Seen, body: &[u8]) {
        if self.found.places.len() < PLACES_MAX {
            let Seen { device, path, stream, position, part, .. } = seen;
            let start = String::from_utf8_lossy(&body[..body.len().min(60)]);
            self.found.places.push(format!(
                "{what}: {device} {path} stream {stream} at {position} ({part}): {start}"
            ));
        }
    }
}

/// Wrong lines that are described; all are counted.
const PLACES_MAX: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::witness::Instance;

    /// Two files of one log, with three lines each.
    fn witness() -> Witness {
        let mut witness = Witness { seed: 1, logs: vec!["a".to_owned()], instances: Vec::new() };
        for first in [0, 3] {
            let mut instance = Instance::default();
            let mut offset = 0;
            for number in first..first + 3 {
                instance.lines.push((number, offset));
                offset += crate::witness::Line::of(1, number, "a").bytes().len() as u64;
            }
            witness.instances.push(instance);
        }
        witness
    }

    /// A row of `logs --ndjson` for a line as it was written.
    fn row(witness: &Witness, number: u64) -> serde_json::Value {
        let at = witness.instances.iter().position(|it| it.lines.iter().any(|it| it.0 == number));
        let (instance, line) = (at.unwrap(), witness.line(at.unwrap(), number));
        let lines = &witness.instances[instance].lines;
        let (_, offset) = lines.iter().find(|(of, _)| *of == number).unwrap();
        serde_json::json!({
            "time": "1970-01-01T00:00:00Z", "device": "edge", "path": "/a.log", "stream": "00.1",
            "position": offset, "part": if line.is_crlf { "whole-crlf" } else { "whole" },
            "body_base64": STANDARD.encode(line.body),
        })
    }

    fn compare(rows: &[serde_json::Value]) -> [u64; 6] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump");
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        std::fs::write(&path, text).unwrap();
        let found = Comparison::of(&path, &witness());
        let Comparison { seen, lost, doubled, disordered, corrupt, phantom, .. } = found;
        [seen, lost, doubled, disordered, corrupt, phantom]
    }

    #[test]
    fn each_thing_that_can_be_wrong_with_a_line_is_found() {
        let witness = witness();
        let all: Vec<_> = (0..6).map(|number| row(&witness, number)).collect();
        let changed = |at: usize, key: &str, value: serde_json::Value| {
            let mut rows = all.clone();
            rows[at][key] = value;
            rows
        };
        let body = |text: &[u8]| serde_json::Value::from(STANDARD.encode(text));
        let swapped = [0, 2, 1, 3, 4, 5].map(|at| all[at].clone());
        let files_in_turn = [3, 0, 4, 1, 5, 2].map(|at| all[at].clone());
        let cases: [(&str, &[_], [u64; 6]); 9] = [
            ("as it was written", &all, [6, 0, 0, 0, 0, 0]),
            ("two files in turn", &files_in_turn, [6, 0, 0, 0, 0, 0]),
            ("one is missing", &all[1..], [5, 1, 0, 0, 0, 0]),
            ("one stands twice", &[&all[..], &all[2..3]].concat(), [7, 0, 1, 0, 0, 0]),
            ("two are exchanged", &swapped, [6, 0, 0, 1, 0, 0]),
            ("another body", &changed(1, "body_base64", body(b"0000001 a")), [6, 0, 0, 0, 1, 0]),
            ("another place", &changed(1, "position", 7.into()), [6, 0, 0, 0, 1, 0]),
            ("another end", &changed(1, "part", "unended".into()), [6, 0, 0, 0, 1, 0]),
            ("nobody's line", &changed(5, "body_base64", body(b"0000099 a")), [6, 1, 0, 0, 0, 1]),
        ];
        for (name, rows, expected) in cases {
            assert_eq!(compare(rows), expected, "{name}");
        }
    }
}
