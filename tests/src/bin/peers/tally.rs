//! What arrived against what was written, by number.

use headwater_tests::witness::number_of;

use crate::feed;

/// How often each line arrived.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    seed: u64,
    times: Vec<u64>,
    altered: u64,
}

impl Tally {
    /// Of the lines of a feed, none of which has arrived yet.
    pub(crate) fn new(seed: u64, lines: u64) -> Self {
        let times = vec![0; usize::try_from(lines).expect("lines in memory")];
        Self { seed, times, altered: 0 }
    }

    /// Counts a line as the receiver has it. White space around it is the receiver's.
    pub(crate) fn take(&mut self, text: &[u8]) {
        let text = text.trim_ascii();
        let number =
            number_of(text).filter(|number| feed::line(self.seed, *number).as_bytes() == text);
        let times = number.and_then(|number| self.times.get_mut(usize::try_from(number).ok()?));
        match times {
            Some(times) => *times += 1,
            None => self.altered += 1,
        }
    }

    /// Counts the lines of a file's text.
    pub(crate) fn take_all(&mut self, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            self.take(line);
        }
    }

    /// Lines that never arrived.
    pub(crate) fn lost(&self) -> u64 {
        self.times.iter().filter(|times| **times == 0).count() as u64
    }

    /// Copies beyond the first.
    pub(crate) fn doubled(&self) -> u64 {
        self.times.iter().map(|times| times.saturating_sub(1)).sum()
    }

    /// What arrived and is no line that was written: torn, joined or changed.
    pub(crate) fn altered(&self) -> u64 {
        self.altered
    }

    /// The longest unbroken stretch of lost lines.
    pub(crate) fn longest_gap(&self) -> u64 {
        self.times.split(|times| *times > 0).map(|gap| gap.len() as u64).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lost, doubled, altered, longest gap.
    fn count(numbers: &[u64], more: &str) -> [u64; 4] {
        let text: String = numbers.iter().map(|number| feed::line(9, *number) + "\n").collect();
        let mut tally = Tally::new(9, 6);
        tally.take_all((text + more).as_bytes());
        [tally.lost(), tally.doubled(), tally.altered(), tally.longest_gap()]
    }

    #[test]
    fn each_line_counts_by_its_number() {
        let torn = &feed::line(9, 3)[..50];
        let joined = format!(" {}{}\n", feed::line(9, 3), feed::line(9, 4));
        let cases: [(&str, &[u64], &str, [u64; 4]); 8] = [
            ("all", &[0, 1, 2, 3, 4, 5], "", [0, 0, 0, 0]),
            ("out of order", &[5, 1, 0, 3, 4, 2], "\n\n", [0, 0, 0, 0]),
            ("nothing", &[], "", [6, 0, 0, 6]),
            ("two gaps", &[1, 4, 5], "", [3, 0, 0, 2]),
            ("copies", &[0, 1, 2, 2, 2, 3, 4, 4, 5], "", [0, 3, 0, 0]),
            ("a torn one", &[0, 1, 2, 4, 5], torn, [1, 0, 1, 1]),
            ("two in one", &[0, 1, 2, 5], &joined, [2, 0, 1, 2]),
            ("one of another feed", &[0, 1, 2, 3, 4, 5], &feed::line(9, 6), [0, 0, 1, 0]),
        ];
        for (name, numbers, more, expected) in cases {
            assert_eq!(count(numbers, more), expected, "{name}");
        }
        let spaced = format!("  {}\r\n", feed::line(9, 5));
        assert_eq!(count(&[0, 1, 2, 3, 4], &spaced), [0, 0, 0, 0], "white space around a line");
    }
}
