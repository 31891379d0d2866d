//! One program under one scenario.

use std::fmt;
use std::time::{Duration, Instant};

use crate::asked::Asked;
use crate::contender::{Configuration, Contender, Kind, feed_in};
use crate::feed::{self, Feed};
use crate::schedule::{Scenario, kills};
use crate::tally::Tally;

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) kind: Kind,
    pub(crate) scenario: Scenario,
    pub(crate) seed: u64,
    /// Kills that met a sender that ran.
    pub(crate) landed: usize,
    pub(crate) tally: Tally,
    /// From the last written line, or from the receiver's coming, to the last line that arrived.
    pub(crate) drain: Duration,
    /// What else a reader must know.
    pub(crate) remarks: Vec<String>,
    pub(crate) configurations: Vec<Configuration>,
}

/// Runs it, from the first line to the count.
pub(crate) fn run(kind: Kind, scenario: Scenario, seed: u64, asked: &Asked) -> Row {
    let folder = tempfile::tempdir().unwrap();
    let mut contender = kind.set_up(folder.path(), &asked.programs);
    let configurations = contender.configurations();
    let path = feed_in(folder.path());
    std::fs::write(&path, "").unwrap();
    if scenario == Scenario::Present {
        contender.start_receiver();
    }
    contender.start_sender();
    std::thread::sleep(SETTLED);
    let feed = Feed::start(&path, seed, asked.lines);
    let landed = haunt(&mut *contender, scenario, seed, asked.lines);
    feed.finish();
    if scenario == Scenario::Away {
        std::thread::sleep(SETTLED);
        contender.start_receiver();
    }
    let mut remarks = Vec::new();
    let drain = drain(&*contender, &mut remarks);
    if !contender.stop_sender() {
        remarks.push("the sender did not stop by itself".to_owned());
    }
    let mut tally = Tally::new(seed, asked.lines);
    remarks.extend(contender.finish(&mut tally));
    if tally.altered() > 0 {
        remarks.push(format!("{} lines arrived torn or changed", tally.altered()));
    }
    let row = Row { kind, scenario, seed, landed, tally, drain, remarks, configurations };
    if kind == Kind::Headwater && !row.is_exact() {
        eprintln!("NOT EXACTLY ONCE, kept in {}: {row}", folder.keep().display());
    }
    row
}

/// Kills and starts the sender at its moments. Returns how many kills met one that ran.
fn haunt(contender: &mut dyn Contender, scenario: Scenario, seed: u64, lines: u64) -> usize {
    let begun = Instant::now();
    let mut landed = 0;
    for kill in kills(scenario, seed, feed::duration(lines)) {
        // The faults' own times, not a wait for anything.
        std::thread::sleep((begun + kill.at).saturating_duration_since(Instant::now()));
        landed += usize::from(contender.kill_sender());
        std::thread::sleep((begun + kill.back).saturating_duration_since(Instant::now()));
        contender.start_sender();
    }
    landed
}

/// Waits until nothing has arrived for a while. Returns how long something did.
fn drain(contender: &dyn Contender, remarks: &mut Vec<String>) -> Duration {
    let begun = Instant::now();
    let (mut last, mut received) = (begun, contender.received());
    while last.elapsed() < QUIET {
        if begun.elapsed() > DRAIN_MAX {
            remarks.push(format!("still sending {} s after the end", DRAIN_MAX.as_secs()));
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
        let present = contender.received();
        if present != received {
            (last, received) = (Instant::now(), present);
        }
    }
    last - begun
}

/// Before the first line, and before a receiver that was away comes.
const SETTLED: Duration = Duration::from_secs(2);
/// Nothing may arrive for so long before the run is over: five times the longest that any of them waits
/// before it tries again.
pub(crate) const QUIET: Duration = Duration::from_secs(10);
/// How long it is waited for that.
const DRAIN_MAX: Duration = Duration::from_secs(300);

impl Row {
    /// Whether every line arrived once, as it was written.
    pub(crate) fn is_exact(&self) -> bool {
        [self.tally.lost(), self.tally.doubled(), self.tally.altered()] == [0; 3]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, scenario, seed, landed, tally, drain, remarks, .. } = self;
        write!(
            out,
            "{}, {scenario:?}, seed {seed}: {landed} kills, lost {} (longest gap {}), doubled {}, \
             altered {}, drained in {} s",
            kind.name(),
            tally.lost(),
            tally.longest_gap(),
            tally.doubled(),
            tally.altered(),
            drain.as_secs(),
        )?;
        remarks.iter().try_for_each(|remark| write!(out, "; {remark}"))
    }
}
