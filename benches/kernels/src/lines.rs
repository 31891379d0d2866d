//! What lines take by themselves: in the bodies that are stored, and in time to seal and to open them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use headwater_protocol::batch::Batch;
use headwater_protocol::body::{Body, BodyBuilder, VERSION_NEWEST};
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Content, Line, Part};
use serde::Serialize;

use super::cpu_ns;
use super::lane::{self, NOON_US};

const STREAM: Stream =
    Stream { source: SourceId(*b"a file of a host"), run: Run { number: 3, nonce: 77 } };

/// Lines in batches of so many bytes.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Lines {
    /// Bytes of lines in a batch; 0 for one line each.
    batch_bytes: usize,
    bytes: usize,
    lines: usize,
    /// Bytes of the bodies that are stored.
    stored: usize,
    /// CPU time to seal and to open them.
    seal_ns: f64,
    open_ns: f64,
}

/// Seals the lines of a file, opens them again, and compares.
pub(crate) fn measure(path: &Path, batch_bytes: usize) -> Result<Lines> {
    let file = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let mut found = Lines { batch_bytes, bytes: file.len(), ..Lines::default() };
    let mut lines = file.split_inclusive(|byte| *byte == b'\n').peekable();
    while lines.peek().is_some() {
        let mut body = BodyBuilder::default();
        body.cover(STREAM, None, Mark::default(), Check::NONE);
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(line) =
            lines.next_if(|line| taken.is_empty() || bytes + line.len() <= batch_bytes)
        {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let part = Part::Whole;
            let record = Line { taken: line.len() as u64, time_us: NOON_US, part, body: text };
            body.push_line(STREAM, record);
            bytes += line.len();
            taken.push(text);
        }
        let version = body.best_version(VERSION_NEWEST, lane::LEVEL);
        let begun = cpu_ns();
        let (packing, packed) = body.pack_as(version, lane::LEVEL);
        let sealed = cpu_ns();
        let batch = Batch::seal(lane::first(&body, packing), &packed, lane::GENESIS);
        let opening = cpu_ns();
        let opened = Body::open(&batch)?;
        found.open_ns += cpu_ns() - opening;
        found.seal_ns += sealed - begun;
        found.lines += taken.len();
        found.stored += packed.len();
        let mut back = opened.records.iter().zip(&taken);
        let is_same = back.all(|(record, line)| {
            matches!(&record.content, Content::Event(event) if event.body == *line)
        });
        ensure!(is_same && opened.records.len() == taken.len(), "lines come back");
    }
    Ok(found)
}
