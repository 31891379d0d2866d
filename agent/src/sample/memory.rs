//! Memory and swap out of `/proc/meminfo`.

use std::path::Path;

use super::kernel::{Gauge, KernelFile, RATIO_SCALE, Tick, ratio};

#[derive(Debug)]
pub(super) struct Memory {
    meminfo: KernelFile,
    sizes: [Gauge; 4],
    used_ratio: Gauge,
    swap: [Gauge; 2],
}

impl Memory {
    pub(super) fn new(proc: &Path) -> Self {
        let sizes = ["total", "used", "available", "cached"];
        Self {
            meminfo: KernelFile::new(proc.join("meminfo")),
            sizes: sizes.map(|name| Gauge::new(&format!("memory.{name}_bytes"), 0)),
            used_ratio: Gauge::new("memory.used_ratio", RATIO_SCALE),
            swap: ["swap.total_bytes", "swap.used_bytes"].map(|metric| Gauge::new(metric, 0)),
        }
    }

    pub(super) fn take(&mut self, tick: &mut Tick<'_>) {
        let Some(figures) = self.meminfo.parse(tick.faults, parse) else {
            return;
        };
        let used = figures.total.saturating_sub(figures.available);
        let sizes = [figures.total, used, figures.available, figures.cached];
        for (gauge, size) in self.sizes.iter().zip(sizes) {
            tick.push(gauge, i64::try_from(size).ok());
        }
        tick.push(&self.used_ratio, ratio(used, figures.total));
        for (gauge, size) in self.swap.iter().zip(figures.swap.into_iter().flatten()) {
            tick.push(gauge, i64::try_from(size).ok());
        }
    }
}

/// Bytes. `swap` is total and used, `None` for a kernel without swap.
#[derive(Debug, Eq, PartialEq)]
struct Figures {
    total: u64,
    available: u64,
    cached: u64,
    swap: Option<[u64; 2]>,
}

fn parse(text: &str) -> Option<Figures> {
    let [mut total, mut available, mut cached, mut swap_total, mut swap_free] = [None; 5];
    for line in text.lines() {
        let (name, value) = line.split_once(':')?;
        let figure = match name {
            "MemTotal" => &mut total,
            "MemAvailable" => &mut available,
            "Cached" => &mut cached,
            "SwapTotal" => &mut swap_total,
            "SwapFree" => &mut swap_free,
            _ => continue,
        };
        let kib: u64 = value.trim().strip_suffix(" kB")?.parse().ok()?;
        *figure = Some(kib.checked_mul(1024)?);
    }
    let swap = swap_total.zip(swap_free).map(|(total, free)| [total, total.saturating_sub(free)]);
    Some(Figures { total: total?, available: available?, cached: cached?, swap })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_bytes_and_swap_may_be_missing() {
        let text = "MemTotal: 100 kB\nMemFree: 1 kB\nMemAvailable: 60 kB\nCached:  5 kB\n";
        let figures = Figures { total: 102_400, available: 61_440, cached: 5_120, swap: None };
        assert_eq!(parse(text), Some(figures));
        let swap = format!("{text}SwapTotal: 10 kB\nSwapFree: 4 kB\n");
        assert_eq!(parse(&swap).and_then(|figures| figures.swap), Some([10_240, 6_144]));
        assert_eq!(parse("MemTotal: 100 kB\n"), None, "a figure that is needed is not there");
        assert_eq!(parse("MemTotal: 100 MB\n"), None, "another unit");
    }
}
