//! How far something is that takes long: on standard error, and only once it does take long.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::output::{Output, units};

/// Shows how far something is.
#[derive(Debug)]
pub(super) struct Progress {
    quiet: bool,
    terminal: bool,
    begun: Instant,
    told: Option<Instant>,
}

impl Progress {
    /// Something begins.
    pub(super) fn new(output: &Output) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { quiet: output.quiet, terminal, begun: Instant::now(), told: None }
    }

    /// So many of all things are done, `bytes` of them; shown only if it is time to.
    pub(super) fn show(&mut self, things: &str, (done, total): (u64, u64), bytes: u64) {
        let first = if self.terminal { PATIENCE } else { LINE_INTERVAL };
        let interval = if self.terminal { REDRAW_INTERVAL } else { LINE_INTERVAL };
        let due = self.told.map_or(self.begun + first, |told| told + interval);
        if self.quiet || Instant::now() < due {
            return;
        }
        self.told = Some(Instant::now());
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-3);
        let rate = done as f64 / seconds;
        let left = Duration::from_secs_f64(total.saturating_sub(done) as f64 / rate.max(1.0));
        let far = match things {
            "" => format!("{} of {}", units::bytes(done), units::bytes(total)),
            things => format!("{} of {} {things}", units::grouped(done), units::grouped(total)),
        };
        let read = units::bytes_per_second(bytes as f64 / seconds);
        let left = units::duration(Duration::from_secs(left.as_secs().max(1)));
        let line = format!("{far}, {read}, about {left} left");
        let mut out = std::io::stderr().lock();
        // Nobody reads progress that can't be written.
        let _ = if self.terminal { write!(out, "\r\x1b[K{line}") } else { writeln!(out, "{line}") };
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if self.terminal && self.told.is_some() {
            // As above.
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

/// What is over before this needs no progress.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often the line is drawn again.
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);
/// How often a line is written where none can be drawn again.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
