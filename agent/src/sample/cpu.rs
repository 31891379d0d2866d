//! Shares of the processors' time between two readings of `/proc/stat`.

use std::path::Path;

use headwater_protocol::record::Sample;

use super::kernel::{Faults, Gauge, KernelFile, RATIO_SCALE, ratio};

#[derive(Debug)]
pub(super) struct Cpu {
    stat: KernelFile,
    before: Option<Times>,
    cores: Gauge,
    shares: [Gauge; 7],
}

/// Clock ticks since the start, over all processors: user, nice, system, idle, iowait, irq, softirq,
/// steal. Time in guests is part of user and nice already.
type Times = [u64; 8];

impl Cpu {
    pub(super) fn new(proc: &Path) -> Self {
        let share = |name: &str| Gauge::new(&format!("cpu.{name}_ratio"), RATIO_SCALE);
        Self {
            stat: KernelFile::new(proc.join("stat")),
            before: None,
            cores: Gauge::new("cpu.cores", 0),
            shares: ["busy", "user", "nice", "system", "iowait", "irq", "steal"].map(share),
        }
    }

    pub(super) fn take(&mut self, samples: &mut Vec<Sample>, faults: &mut Faults) {
        let Some((times, cores)) = self.stat.parse(faults, parse) else {
            self.before = None;
            return;
        };
        samples.push(self.cores.sample(cores));
        if let Some(shares) = self.before.replace(times).and_then(|before| shares(before, times)) {
            samples
                .extend(self.shares.iter().zip(shares).map(|(gauge, share)| gauge.sample(share)));
        }
    }
}

fn parse(text: &str) -> Option<(Times, i64)> {
    let mut lines = text.lines();
    let mut fields = lines.next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let mut times = Times::default();
    for time in &mut times {
        *time = fields.next()?.parse().ok()?;
    }
    let is_core = |line: &&str| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let cores = lines.take_while(is_core).count();
    Some((times, i64::try_from(cores).ok()?))
}

/// `None` if no time has passed. Single counters may go back a little (the kernel corrects iowait):
/// such a step counts as none.
fn shares(before: Times, after: Times) -> Option<[i64; 7]> {
    let mut spent = Times::default();
    for (index, spent) in spent.iter_mut().enumerate() {
        *spent = after[index].saturating_sub(before[index]);
    }
    let whole = spent.iter().sum();
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
        assert_eq!(shares(after, after), None, "no time has passed");
        let back = [130, 10, 60, 1_140, 12, 1, 2, 2];
        assert_eq!(shares(after, back), Some([0; 7]), "iowait went back");
    }

    #[test]
    fn cores_are_counted_and_malformed_texts_refused() {
        let text = "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2\ncpu1 1 2\nintr 5\ncpux\n";
        assert_eq!(parse(text), Some(([1, 2, 3, 4, 5, 6, 7, 8], 2)));
        for text in ["", "cpu  1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu  a 2 3 4 5 6 7 8"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
