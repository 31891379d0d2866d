//! Recognising what the ledger knows under another name.

use std::collections::BTreeMap;

use super::opening::Opening;
use super::{Row, Rows};
use crate::body::Body;
use crate::position::{Check, Span, Stream};
use crate::record::{Content, Part, Record};
use crate::wire::KnownStream;

/// Whether the ledger knows a stream under another name.
pub(super) enum OtherName<'k> {
    None,
    Is(&'k KnownStream),
    MayBe,
}

impl<R: Rows> Opening<'_, R> {
    /// The stream under which the ledger knows what this one holds.
    ///
    /// An agent whose spool was rolled back finds the same content again and numbers its run anew. It
    /// is the same content if the ledger knows a run of the source that this spool does not, with the
    /// same first line, and if the bytes before the ledger's position are the same. Where too little is
    /// held to compare them, it may be.
    pub(super) fn other_name<'k>(
        &self,
        stream: Stream,
        known: &'k BTreeMap<Stream, KnownStream>,
        held: &[(Span, Row)],
    ) -> Result<OtherName<'k>, R::Error> {
        let mut found = OtherName::None;
        if !self.is_file(stream) {
            return Ok(found);
        }
        for other in known.values() {
            let (run, name) = (stream.run, other.stream);
            if name.source != stream.source
                || name.run.content() != run.content()
                || (self.chain.streams.contains_key(&name) && !self.unread.contains(&name))
            {
                continue;
            }
            match self.check_at(stream, other.mark.position, held)? {
                Some(check) if check == other.check => return Ok(OtherName::Is(other)),
                Some(_) => {}
                None => found = OtherName::MayBe,
            }
        }
        Ok(found)
    }

    /// The check at a position, made of the lines that are held; `None` if too little is.
    pub(super) fn check_at(
        &self,
        stream: Stream,
        position: u64,
        held: &[(Span, Row)],
    ) -> Result<Option<Check>, R::Error> {
        let mut before = Before::default();
        for (span, row) in held {
            if span.start.position >= position || span.end.position <= before.end {
                continue;
            }
            if span.end.position + (Check::BYTES as u64) < position {
                continue;
            }
            let records = Body::open(&self.rows.read(*row)?).map(|body| body.records);
            for record in records.unwrap_or_default() {
                if record.stream == stream && record.end <= position {
                    before.add(&record);
                }
            }
        }
        Ok(before.check(position))
    }
}

/// The last bytes of the lines that were seen, without a hole.
#[derive(Default)]
struct Before {
    end: u64,
    bytes: Vec<u8>,
}

impl Before {
    fn add(&mut self, record: &Record) {
        if record.end <= self.end {
            return;
        }
        let Content::Event(event) = &record.content else {
            return self.bytes.clear();
        };
        if record.start != self.end {
            self.bytes.clear();
        }
        self.end = record.end;
        self.bytes.extend_from_slice(&event.body);
        self.bytes.extend_from_slice(match event.part {
            Part::Whole => b"\n",
            Part::WholeCrLf => b"\r\n",
            Part::Continued | Part::Unended => b"",
        });
        let extra = self.bytes.len().saturating_sub(Check::BYTES);
        self.bytes.drain(..extra);
    }

    fn check(&self, position: u64) -> Option<Check> {
        let enough = self.bytes.len() == Check::BYTES || self.bytes.len() as u64 == position;
        (self.end == position && enough).then(|| Check::of(&self.bytes))
    }
}
