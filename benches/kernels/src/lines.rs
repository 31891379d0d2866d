//! What lines take by themselves: in the bodies that are stored, and in time to seal and to open them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use headwater_protocol::batch::Batch;
use headwater_protocol::body::{Body, BodyBuilder, Shapes, VERSION_NEWEST};
use headwater_protocol::entry::SentClock;
use headwater_protocol::header::{Counts, Header, Packing};
use headwater_protocol::identity::{Seq, Tip};
use headwater_protocol::position::{Check, Mark, Run, SourceId, Stream};
use headwater_protocol::record::{Content, Fingerprint, Line, Part, SourceInfo};
use headwater_protocol::wire::{Frame, LastBatch, PROTOCOL_ABBREVIATED};
use serde::Serialize;

use super::cpu_ns;
use super::history::{self, Rows};
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
    /// Bytes of those as they travel, one after the other in one session.
    travelled: usize,
    /// Of the second half of the lines alone.
    steady_lines: usize,
    steady_travelled: usize,
    /// CPU time to seal and to open them.
    seal_ns: f64,
    open_ns: f64,
    /// CPU time to make of them what travels, and to make them of it.
    code_ns: f64,
    complete_ns: f64,
    batches: usize,
    /// As files of the history: of large batches, which no file is made of twice.
    files: Option<Rows>,
}

/// Seals the lines of a file, sends them to itself, opens them again, and compares.
pub(crate) fn measure(path: &Path, batch_bytes: usize) -> Result<Lines> {
    let file = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let mut found = Lines { batch_bytes, bytes: file.len(), ..Lines::default() };
    let mut lines = file.split_inclusive(|byte| *byte == b'\n').peekable();
    let (mut shapes, mut wire) = (Shapes::default(), Wire::default());
    let (mut is_apart, mut tried, mut done) = (false, 0, 0);
    let mut batches = Vec::new();
    while lines.peek().is_some() {
        let mut body = BodyBuilder::default();
        body.cover(STREAM, Some(&info()), wire.mark, Check::NONE);
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
        // As an agent does it, which tries both forms at first, and now and then.
        is_apart = is_apart || batch_bytes <= LITTLE_BYTES;
        let begun = cpu_ns();
        let packed = if is_apart {
            let apart = body.pack_apart(VERSION_NEWEST, lane::LEVEL, &mut shapes);
            apart.unwrap_or_else(|| body.pack_whole(VERSION_NEWEST, lane::LEVEL))
        } else if tried < TRIED_FIRST {
            let (best, pays) = body.pack_best(VERSION_NEWEST, lane::LEVEL, &mut shapes);
            (is_apart, tried) = (pays, tried + 1);
            best
        } else {
            body.pack_whole(VERSION_NEWEST, lane::LEVEL)
        };
        let sealed = cpu_ns();
        let (batch, travelled) = wire.send(&body, packed.packing, &packed.bytes)?;
        found.batches += 1;
        let opening = cpu_ns();
        let opened = Body::open(&batch)?;
        found.open_ns += cpu_ns() - opening;
        found.seal_ns += sealed - begun;
        found.lines += taken.len();
        found.stored += packed.bytes.len();
        found.travelled += travelled;
        done += bytes;
        if 2 * done > file.len() {
            found.steady_lines += taken.len();
            found.steady_travelled += travelled;
        }
        let mut back = opened.records.iter().zip(&taken);
        let is_same = back.all(|(record, line)| {
            matches!(&record.content, Content::Event(event) if event.body == *line)
        });
        ensure!(is_same && opened.records.len() == taken.len(), "lines come back");
        if batch_bytes >= LARGE_BYTES {
            batches.push(batch);
        }
    }
    if !batches.is_empty() {
        let folder = tempfile::tempdir()?;
        found.files = Some(history::written(folder.path(), &batches)?);
    }
    (found.code_ns, found.complete_ns) = (wire.code_ns, wire.complete_ns);
    Ok(found)
}

/// Bytes of lines in a batch that files are made of.
const LARGE_BYTES: usize = 1 << 20;
/// How often an agent tries both forms at first.
const TRIED_FIRST: usize = 4;
/// Bytes of lines that an agent takes apart without trying whether it pays.
const LITTLE_BYTES: usize = 12 << 10;

fn info() -> SourceInfo {
    let fingerprint = Fingerprint { length: 1024, hash: [5; 16] };
    SourceInfo::File { path: b"/var/log/nginx/access.log".to_vec(), fingerprint }
}

/// Both ends of a session, and what a session would carry whose bodies travel as they are.
#[derive(Default)]
struct Wire {
    mark: Mark,
    totals: Counts,
    last: Option<Batch>,
    sender: LastBatch,
    node: LastBatch,
    plain: Option<LastBatch>,
    code_ns: f64,
    complete_ns: f64,
}

impl Wire {
    /// The batch as it comes out of the session, and how many bytes its body took.
    fn send(
        &mut self,
        body: &BodyBuilder,
        packing: Packing,
        packed: &[u8],
    ) -> Result<(Batch, usize)> {
        self.totals = self.totals.plus(body.counts());
        self.mark = body.end(STREAM).unwrap_or(self.mark);
        let seq = self.last.as_ref().and_then(|last| last.header().seq.next());
        let header = Header {
            seq: seq.unwrap_or(Seq::FIRST),
            parent: seq.is_none().then_some(Tip::GENESIS),
            totals: self.totals,
            ..lane::first(body, packing)
        };
        let before = self.last.as_ref().map_or(lane::GENESIS, Batch::digest);
        let batch = Batch::seal(header, packed, before);
        let plain = self.plain.get_or_insert_with(|| LastBatch::new(PROTOCOL_ABBREVIATED));
        let sent = SentClock::default();
        let length = |next: &Option<_>| next.clone().map(|next| Frame::Next(next).encode().len());
        let whole = plain.abbreviate(sent, batch.bytes());
        let begun = cpu_ns();
        let next = self.sender.abbreviate(sent, batch.bytes());
        let coded = cpu_ns();
        self.code_ns += coded - begun;
        let saved = length(&whole).zip(length(&next)).map_or(0, |(whole, next)| whole - next);
        let came = match next {
            Some(next) => self.node.complete(&next)?.1,
            None => {
                let came = Batch::parse(batch.bytes().to_vec())?;
                self.node.note(&came);
                came
            }
        };
        self.complete_ns += cpu_ns() - coded;
        ensure!(came == batch, "a batch comes as it was sent");
        self.last = Some(batch);
        Ok((came, packed.len() - saved))
    }
}
