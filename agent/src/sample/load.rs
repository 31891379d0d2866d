//! How loaded the host is: averages of load and uptime; what waited ([`Pressure`]); how many processes
//! there are ([`Processes`]).

mod pressure;
mod processes;

use std::path::Path;

pub(super) use self::pressure::Pressure;
pub(super) use self::processes::Processes;
use super::kernel::{Gauge, KernelFile, Tick};

/// `/proc/loadavg` and `/proc/uptime`.
#[derive(Debug)]
pub(super) struct Load {
    averages: KernelFile,
    uptime: KernelFile,
    gauges: [Gauge; 3],
    uptime_gauge: Gauge,
}

impl Load {
    pub(super) fn new(proc: &Path) -> Self {
        Self {
            averages: KernelFile::new(proc.join("loadavg")),
            uptime: KernelFile::new(proc.join("uptime")),
            gauges: ["load.1m", "load.5m", "load.15m"].map(|metric| Gauge::new(metric, 2)),
            uptime_gauge: Gauge::new("uptime.seconds", 2),
        }
    }

    pub(super) fn take(&mut self, tick: &mut Tick<'_>) {
        let averages = self.averages.parse(tick.faults, |text| {
            let mut fields = text.split_ascii_whitespace().map(hundredths);
            Some([fields.next()??, fields.next()??, fields.next()??])
        });
        for (gauge, average) in self.gauges.iter().zip(averages.into_iter().flatten()) {
            tick.push(gauge, Some(average));
        }
        let uptime =
            self.uptime.parse(tick.faults, |text| hundredths(text.split_whitespace().next()?));
        tick.push(&self.uptime_gauge, uptime);
    }
}

/// A decimal number with two digits after the point, as the kernel prints it, times 100.
fn hundredths(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.')?;
    if part.len() != 2 {
        return None;
    }
    let (whole, part): (i64, u8) = (whole.parse().ok()?, part.parse().ok()?);
    whole.checked_mul(100)?.checked_add(i64::from(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundredths_are_exact() {
        let cases = [
            ("0.00", Some(0)),
            ("1.07", Some(107)),
            ("12345678.90", Some(1_234_567_890)),
            ("1.5", None),
            ("x.00", None),
            ("1", None),
        ];
        for (text, expected) in cases {
            assert_eq!(hundredths(text), expected, "{text}");
        }
    }
}
