//! Log lines of a device: the last ones, and those that come.
//!
//! Lines are found by offset in the device's shard, so a stream that broke off goes on behind the last
//! line that was shown, up to a bound.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use headwater_protocol::identity::{DeviceId, Offset, ShardId};
use headwater_protocol::position::Stream;
use headwater_protocol::record::{Content, SourceInfo};
use serde::Serialize;

use super::super::page::{clock, plain_text, stamp};
use crate::api::rows::source_word;
use crate::fold::AppliedBatch;
use crate::node::{DeviceView, NodeHandle};

/// Bytes of a line that the page shows. Source: CONSOLE page, P5.
const LINE_BYTES_MAX: usize = 2048;
/// Bytes of a path that the page shows.
const PATH_BYTES_MAX: usize = 120;
/// Lines that a page begins with, or catches up with after a pause.
const LINES_MAX: usize = 200;
/// Entries of the shard that are looked through for them: some seconds of a busy shard.
const ENTRIES_BACK: u64 = 512;
/// Entries that are looked through if these hold no line: two hours of a host that only samples.
const ENTRIES_FAR_BACK: u64 = 8192;

/// A line as the page shows it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Shown {
    pub(crate) time: String,
    pub(crate) at: String,
    pub(crate) source: String,
    pub(crate) text: String,
    /// What was cut off, in words. Empty if nothing was.
    pub(crate) more: String,
}

/// The lines of one device.
#[derive(Debug)]
pub(crate) struct LineSource {
    node: NodeHandle,
    device: DeviceId,
    shard: ShardId,
    sources: BTreeMap<Stream, String>,
    next: Offset,
}

impl LineSource {
    pub(crate) fn new(node: &NodeHandle, device: &DeviceView) -> Self {
        let streams = device.lanes.iter().flat_map(|lane| &lane.streams);
        let sources = streams.filter_map(|it| Some((it.stream, word(it.source.as_ref()?))));
        Self {
            node: node.clone(),
            device: device.id,
            shard: device.shard,
            sources: sources.collect(),
            next: Offset(0),
        }
    }

    /// The offset behind the last line that was given.
    pub(crate) fn next(&self) -> u64 {
        self.next.0
    }

    /// The last lines that are near the end of the log; of a log without any there, those further back.
    pub(crate) async fn last(&mut self) -> Vec<Shown> {
        let end = self.node.end(self.shard);
        for back in [ENTRIES_BACK, ENTRIES_FAR_BACK] {
            let lines = self.since(Offset(end.0.saturating_sub(back))).await;
            if !lines.is_empty() || end.0 <= back {
                return lines;
            }
        }
        Vec::new()
    }

    /// The lines behind an offset; of many the last ones.
    pub(crate) async fn resumed(&mut self, from: u64) -> Vec<Shown> {
        let end = self.node.end(self.shard);
        let from = from.clamp(end.0.saturating_sub(ENTRIES_BACK), end.0);
        self.since(Offset(from)).await
    }

    async fn since(&mut self, from: Offset) -> Vec<Shown> {
        self.next = from;
        // Shared with the thread that reads, which is done when this goes on.
        let found = Arc::new(Mutex::new((VecDeque::new(), self.sources.clone(), from)));
        let (device, taken) = (self.device, Arc::clone(&found));
        let replayed = self.node.replay(self.shard, from, move |batch| {
            let mut taken = taken.lock().expect("nobody panics while holding the lines");
            let (lines, sources, next) = &mut *taken;
            *next = batch.offset.next();
            if batch.header.device == device {
                read(&batch, sources, |line| {
                    if lines.len() == LINES_MAX {
                        lines.pop_front();
                    }
                    lines.push_back(line);
                });
            }
            ControlFlow::Continue(())
        });
        if let Err(error) = replayed.await {
            tracing::warn!(cause = crate::api::chain(&error), "read log lines for a page");
        }
        let mut found = found.lock().expect("nobody panics while holding the lines");
        let (lines, sources, next) = &mut *found;
        self.sources = std::mem::take(sources);
        self.next = *next;
        lines.drain(..).collect()
    }

    /// The lines of a batch that was applied, if it is of this device and was not taken before.
    pub(crate) fn take(&mut self, batch: &AppliedBatch, give: impl FnMut(Shown)) {
        if batch.shard != self.shard || batch.offset < self.next {
            return;
        }
        self.next = batch.offset.next();
        if batch.header.device == self.device {
            read(batch, &mut self.sources, give);
        }
    }
}

fn word(info: &SourceInfo) -> String {
    plain_text(source_word(info).as_bytes(), PATH_BYTES_MAX).0
}

/// Sources whose words are kept; what comes beyond is shown by its id.
const SOURCES_MAX: usize = 4096;

fn read(batch: &AppliedBatch, sources: &mut BTreeMap<Stream, String>, mut give: impl FnMut(Shown)) {
    let Some(body) = &batch.body else { return };
    for (stream, info) in &body.streams {
        if let Some(info) = info
            && sources.len() < SOURCES_MAX
        {
            sources.entry(*stream).or_insert_with(|| word(info));
        }
    }
    for record in &body.records {
        let Content::Event(event) = &record.content else { continue };
        let (text, more) = plain_text(&event.body, LINE_BYTES_MAX);
        let source = sources.get(&record.stream).cloned();
        give(Shown {
            time: clock(record.time_us),
            at: stamp(record.time_us),
            source: source.unwrap_or_else(|| record.stream.source.to_string()),
            text,
            more: if more > 0 { format!("{more} more bytes") } else { String::new() },
        });
    }
}
