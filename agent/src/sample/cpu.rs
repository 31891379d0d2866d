//! Shares of the processors' time between two readings of `/proc/stat`: of all together, and of each.

use std::io;
use std::path::Path;

use super::kernel::{Gauge, KernelFile, Lines, RATIO_SCALE, Tick, ratio};
use crate::limits::CORES_MAX;

#[derive(Debug)]
pub(super) struct Cpu {
    stat: KernelFile,
    before: Option<Times>,
    count: Gauge,
    shares: [Gauge; 7],
    /// `None` if they are not wanted one by one.
    cores: Option<Vec<Core>>,
}

/// One processor that is switched on.
#[derive(Debug)]
struct Core {
    number: u32,
    before: Times,
    busy: Gauge,
}

/// Clock ticks since the start: user, nice, system, idle, iowait, irq, softirq, steal. Time in guests
/// is part of user and nice already.
type Times = [u64; 8];

impl Cpu {
    pub(super) fn new(proc: &Path, per_core: bool) -> Self {
        let share = |name: &str| Gauge::new(&format!("cpu.{name}_ratio"), RATIO_SCALE);
        Self {
            stat: KernelFile::new(proc.join("stat")),
            before: None,
            count: Gauge::new("cpu.cores", 0),
            shares: ["busy", "user", "nice", "system", "iowait", "irq", "steal"].map(share),
            cores: per_core.then(Vec::new),
        }
    }

    pub(super) fn take(&mut self, tick: &mut Tick<'_>) {
        let Lines { path, text, outcome } = self.stat.lines();
        let read = outcome
            .and_then(|()| parse(text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)));
        let (times, lines) = match read {
            Ok(parsed) => parsed,
            Err(error) => {
                self.before = None;
                self.cores.iter_mut().for_each(Vec::clear);
                tick.faults.note::<()>(path, Err(error));
                return;
            }
        };
        tick.push(&self.count, i64::try_from(lines.clone().count()).ok());
        if let Some(shares) = self.before.replace(times).and_then(|before| shares(before, times)) {
            for (gauge, share) in self.shares.iter().zip(shares) {
                tick.push(gauge, Some(share));
            }
        }
        let outcome = match &mut self.cores {
            Some(cores) => take_each(cores, lines.clone(), tick),
            None => Ok(()),
        };
        tick.faults.note(path, outcome);
        if self.cores.is_some() {
            tick.faults.note_left_out(path, lines.count().saturating_sub(CORES_MAX), CORES_MAX);
        }
    }
}

/// Samples each processor. One whose line is malformed is left out, and those after it are read as if
/// for the first time.
fn take_each<'a>(
    cores: &mut Vec<Core>,
    lines: impl Iterator<Item = &'a str>,
    tick: &mut Tick<'_>,
) -> io::Result<()> {
    let mut place: usize = 0;
    let mut outcome = Ok(());
    for line in lines.take(CORES_MAX) {
        let after = place.checked_sub(1).map(|former| cores[former].number);
        let parsed =
            parse_core(line).filter(|(number, _)| after.is_none_or(|after| after < *number));
        let Some((number, times)) = parsed else {
            outcome = Err(io::ErrorKind::InvalidData.into());
            continue;
        };
        // Processors that were switched on or off: the list is made anew from here on.
        if cores.get(place).is_some_and(|core| core.number != number) {
            cores.truncate(place);
        }
        match cores.get_mut(place) {
            Some(core) => {
                let before = std::mem::replace(&mut core.before, times);
                tick.push(&core.busy, busy_share(before, times));
            }
            None => cores.push(Core::new(number, times)),
        }
        place += 1;
    }
    cores.truncate(place);
    outcome
}

impl Core {
    fn new(number: u32, before: Times) -> Self {
        let label = ("core".to_owned(), number.to_string());
        let busy = Gauge::labelled("cpu.core_busy_ratio", RATIO_SCALE, vec![label]);
        Self { number, before, busy }
    }
}

/// The times of all processors together, and the lines of each.
fn parse(text: &[u8]) -> Option<(Times, impl Iterator<Item = &str> + Clone)> {
    let mut lines = std::str::from_utf8(text).ok()?.lines();
    let times = parse_times(lines.next()?.strip_prefix("cpu ")?)?;
    let is_core = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    Some((times, lines.take_while(is_core)))
}

fn parse_core(line: &str) -> Option<(u32, Times)> {
    let (number, times) = line.strip_prefix("cpu")?.split_once(' ')?;
    Some((number.parse().ok()?, parse_times(times)?))
}

fn parse_times(text: &str) -> Option<Times> {
    let mut fields = text.split_ascii_whitespace();
    let mut times = Times::default();
    for time in &mut times {
        *time = fields.next()?.parse().ok()?;
    }
    Some(times)
}

/// `None` if no time has passed. Single counters may go back a little (the kernel corrects iowait):
/// such a step counts as none.
fn shares(before: Times, after: Times) -> Option<[i64; 7]> {
    let (spent, whole) = spent(before, after)?;
    let [user, nice, system, _idle, iowait, irq, softirq, steal] = spent;
    let busy = user + nice + system + irq + softirq + steal;
    let share = |part| ratio(part, whole);
    Some([
        share(busy)?,
        share(user)?,
        share(nice)?,
        share(system)?,
        share(iowait)?,
        share(irq + softirq)?,
        share(steal)?,
    ])
}

/// The busy share of one processor. `None` if no time has passed, and if a counter of busy time went
/// back: it was switched off and on, and counts from another start.
fn busy_share(before: Times, after: Times) -> Option<i64> {
    let (spent, whole) = spent(before, after)?;
    let mut busy = 0;
    for index in BUSY {
        after[index].checked_sub(before[index])?;
        busy += spent[index];
    }
    ratio(busy, whole)
}

/// What each counter grew by, and all together; `None` for a sum that no clock reaches.
fn spent(before: Times, after: Times) -> Option<(Times, u64)> {
    let mut spent = Times::default();
    for (index, spent) in spent.iter_mut().enumerate() {
        *spent = after[index].saturating_sub(before[index]);
    }
    let whole = spent.iter().try_fold(0_u64, |sum, part| sum.checked_add(*part))?;
    Some((spent, whole))
}

/// All but idle and iowait.
const BUSY: [usize; 6] = [0, 1, 2, 5, 6, 7];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_between_two_readings() {
        let before = [100, 0, 50, 1_000, 10, 0, 0, 0];
        let after = [130, 10, 60, 1_040, 15, 1, 2, 2];
        // 30 + 10 + 10 + 40 + 5 + 1 + 2 + 2 = 100 ticks
        let expected = [5_500, 3_000, 1_000, 1_000, 500, 300, 200];
        assert_eq!(shares(before, after), Some(expected));
        assert_eq!(busy_share(before, after), Some(5_500));
        assert_eq!(shares(after, after), None, "no time has passed");
        assert_eq!(busy_share(after, after), None, "no time has passed");
        let back = [130, 10, 60, 1_140, 12, 1, 2, 2];
        assert_eq!(shares(after, back), Some([0; 7]), "iowait went back");
        assert_eq!(busy_share(after, back), Some(0), "iowait went back");
        let reset = [1, 0, 0, 2_000, 0, 0, 0, 0];
        assert_eq!(busy_share(after, reset), None, "busy time went back");
        assert_eq!(shares([0; 8], [u64::MAX; 8]), None, "no clock counts so far");
        assert_eq!(busy_share([0; 8], [u64::MAX; 8]), None, "no clock counts so far");
    }

    #[test]
    fn cores_are_counted_and_malformed_texts_refused() {
        let text = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2\ncpu1 1 2\nintr 5\ncpux\n";
        let (times, cores) = parse(text.as_bytes()).expect("it is well-formed");
        assert_eq!((times, cores.count()), ([1, 2, 3, 4, 5, 6, 7, 8], 2));
        for text in ["", "cpu  1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu  a 2 3 4 5 6 7 8"] {
            assert!(parse(text.as_bytes()).is_none(), "{text}");
        }
        assert_eq!(parse_core("cpu12 1 2 3 4 5 6 7 8 9 10"), Some((12, [1, 2, 3, 4, 5, 6, 7, 8])));
        for line in
            ["cpu12 1 2 3 4 5 6 7", "cpu-1 1 2 3 4 5 6 7 8", "cpu99999999999 1 2 3 4 5 6 7 8"]
        {
            assert_eq!(parse_core(line), None, "{line}");
        }
    }
}
