//! A device's host: files that grow, rotate, are truncated and vanish. The truth that the agent reads.

use std::collections::BTreeMap;

use headwater_protocol::position::{Check, SourceId};

/// A line of a file: unique over the whole run.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct LineId(pub u64);

/// One content of a file: a truncation begins another.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ContentId {
    pub source: SourceId,
    pub number: u32,
}

#[derive(Clone, Debug)]
pub struct File {
    pub content: u32,
    pub bytes: Vec<u8>,
    /// Start and identity of each line, by position.
    pub lines: Vec<(u64, LineId)>,
    /// Whether each content begins with the same line, so that first lines tell nothing.
    alike: bool,
}

impl File {
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The check of the bytes before a position that is not beyond the end.
    pub fn check(&self, position: u64) -> Check {
        let end = usize::try_from(position).expect("a small file");
        Check::of(&self.bytes[end.saturating_sub(Check::BYTES)..end])
    }

    /// Stands for the hash of the first line.
    pub fn first_line(&self) -> u32 {
        if self.alike { 1 } else { self.content + 2 }
    }

    /// Lines from a position on, at most `most`: identity and bytes taken.
    pub fn read(&self, position: u64, most: usize) -> Vec<(LineId, &[u8])> {
        let from = self.lines.partition_point(|(start, _)| *start < position);
        let mut lines = Vec::new();
        for (index, (start, line)) in self.lines.iter().enumerate().skip(from).take(most) {
            let end =
                self.lines.get(index + 1).map_or(self.bytes.len(), |(next, _)| *next as usize);
            lines.push((*line, &self.bytes[*start as usize..end]));
        }
        lines
    }
}

#[derive(Clone, Debug, Default)]
pub struct Host {
    pub files: BTreeMap<SourceId, File>,
    born: u64,
    written: u64,
    /// The newest content of each file, whatever became of the file.
    contents: BTreeMap<SourceId, u32>,
    /// Every line ever written, with its content and position.
    pub lines: BTreeMap<LineId, (ContentId, u64)>,
}

impl Host {
    pub fn new(device: u64) -> Self {
        Self { born: device << 32, written: device << 32, ..Self::default() }
    }

    pub fn create(&mut self) -> SourceId {
        self.born += 1;
        let mut id = [0xf0; 16];
        id[..8].copy_from_slice(&self.born.to_le_bytes());
        let source = SourceId(id);
        let alike = self.born.is_multiple_of(3);
        self.files.insert(source, File { content: 0, bytes: Vec::new(), lines: Vec::new(), alike });
        source
    }

    pub fn write(&mut self, source: SourceId, padding: usize) {
        let Some(file) = self.files.get_mut(&source) else {
            return;
        };
        self.written += 1;
        let line = LineId(self.written);
        let content = ContentId { source, number: file.content };
        self.lines.insert(line, (content, file.size()));
        file.lines.push((file.size(), line));
        file.bytes.extend_from_slice(format!("line {:016x}{:.<padding$}\n", line.0, "").as_bytes());
    }

    pub fn truncate(&mut self, source: SourceId) {
        if let Some(file) = self.files.get_mut(&source) {
            let newest = self.contents.entry(source).or_default();
            *newest += 1;
            file.content = *newest;
            file.lines.clear();
            file.bytes.clear();
        }
    }

    pub fn nth(&self, index: usize) -> Option<SourceId> {
        self.files.keys().nth(index).copied()
    }
}

/// The identity of a line from its body, if it is one that a host wrote.
pub fn line_of(body: &[u8]) -> Option<LineId> {
    let text = std::str::from_utf8(body).ok()?;
    let digits = text.strip_prefix("line ")?.get(..16)?;
    u64::from_str_radix(digits, 16).ok().map(LineId)
}
