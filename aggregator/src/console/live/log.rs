//! The log lines of a stream.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::super::device::{LineSource, Shown};
use super::events::Events;
use crate::fold::AppliedBatch;
use crate::node::{DeviceView, NodeHandle};

/// Lines of a log that a page is sent in a second. Source: CONSOLE page, P5.
const LINES_MAX: usize = 200;

/// Lines as they are applied, sent once a second.
pub(super) struct Log {
    source: LineSource,
    live: Receiver<Arc<AppliedBatch>>,
    from: u64,
    waiting: Waiting,
    /// Whether something was not heard of and has to be read.
    behind: bool,
}

impl Log {
    pub(super) fn new(
        node: &NodeHandle,
        device: &DeviceView,
        live: Receiver<Arc<AppliedBatch>>,
        from: u64,
    ) -> Self {
        let source = LineSource::new(node, device);
        Self { source, live, from, waiting: Waiting::default(), behind: false }
    }

    /// The lines behind those that the page has.
    pub(super) async fn begin(&mut self, events: &mut Events) {
        let lines = self.source.resumed(self.from).await;
        events.set_id(self.source.next());
        if !lines.is_empty() {
            events.push("lines", &Lines { all: lines.len() as u64, lines });
        }
    }

    /// Takes what comes next. Nothing is lost if it is dropped while it waits.
    pub(super) async fn listen(&mut self) {
        match self.live.recv().await {
            Ok(batch) if batch.skipped_before > 0 => self.behind = true,
            Ok(batch) if !self.behind => self.source.take(&batch, |line| self.waiting.push(line)),
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => self.behind = true,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// Sends what came; what was not heard of is read.
    pub(super) async fn flush(&mut self, events: &mut Events) {
        if std::mem::take(&mut self.behind) {
            for line in self.source.resumed(self.source.next()).await {
                self.waiting.push(line);
            }
        }
        events.set_id(self.source.next());
        if let Some(lines) = self.waiting.take() {
            events.push("lines", &lines);
        }
    }
}

#[derive(Debug, Serialize)]
struct Lines {
    /// How many there were, also those that are not shown.
    all: u64,
    lines: Vec<Shown>,
}

/// Lines of one second: of many, every second one, every fourth, and so on, so that what is shown is
/// spread evenly.
#[derive(Debug)]
struct Waiting {
    lines: Vec<Shown>,
    all: u64,
    every: u64,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { lines: Vec::new(), all: 0, every: 1 }
    }
}

impl Waiting {
    fn push(&mut self, line: Shown) {
        if self.lines.len() == LINES_MAX && self.all.is_multiple_of(self.every) {
            let mut index = 0_usize;
            self.lines.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.every *= 2;
        }
        if self.all.is_multiple_of(self.every) {
            self.lines.push(line);
        }
        self.all += 1;
    }

    fn take(&mut self) -> Option<Lines> {
        let taken = std::mem::take(self);
        (taken.all > 0).then_some(Lines { all: taken.all, lines: taken.lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> Shown {
        let [time, at, source, more] = [const { String::new() }; 4];
        Shown { text: number.to_string(), time, at, source, more }
    }

    #[test]
    fn of_many_lines_some_are_shown_spread_evenly_and_all_are_counted() {
        let mut waiting = Waiting::default();
        (0..1840).for_each(|number| waiting.push(line(number)));
        let taken = waiting.take().unwrap();
        assert_eq!(taken.all, 1840);
        assert!((100..=LINES_MAX).contains(&taken.lines.len()), "{}", taken.lines.len());
        let numbers: Vec<u64> = taken.lines.iter().map(|line| line.text.parse().unwrap()).collect();
        let steps: Vec<u64> = numbers.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().all(|step| *step == steps[0]), "{numbers:?}");
        (0..3).for_each(|number| waiting.push(line(number)));
        assert_eq!(waiting.take().unwrap().lines.len(), 3, "few lines are all shown");
        assert!(waiting.take().is_none());
    }
}
