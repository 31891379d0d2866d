//! Which charts a device's page has, and which series stand in each. Unlike things (mounts, disks,
//! interfaces) are never averaged: the worst ones are shown, the others are counted.

use serde::Serialize;

/// Lines of a chart. Source: CONSOLE page, section 5.
pub(super) const SERIES_MAX: usize = 6;

/// How figures of a chart are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Unit {
    /// 0 to 1, shown in percent; the axis always goes to 100 %.
    Ratio,
    /// A ratio that is far below 1 on a healthy host: the axis fits it.
    Share,
    /// Bytes, in binary units.
    Bytes,
    /// Bytes per second, in binary units.
    Rate,
    /// Bytes per second, shown as bits.
    Bits,
    /// A plain number.
    Number,
    /// Degrees Celsius.
    Celsius,
}

/// A chart.
#[derive(Debug)]
pub(super) struct Plan {
    /// Its id on the page: the metric that it is about.
    pub(super) metric: &'static str,
    pub(super) title: &'static str,
    /// What it is and what to look at.
    pub(super) about: &'static str,
    pub(super) unit: Unit,
    /// Metrics, each with the word that stands for it in the legend.
    pub(super) metrics: &'static [(&'static str, &'static str)],
    /// The label whose values are shown apart. `None`: the metrics have none.
    pub(super) apart: Option<&'static str>,
    /// Whether the band from the smallest to the largest is drawn.
    pub(super) band: bool,
}

/// All charts, in order.
pub(super) const PLANS: [Plan; 13] = [
    Plan {
        metric: "cpu.busy_ratio",
        title: "CPU busy",
        about: "Share of all cores that does not idle. Look at the modes if it stays high.",
        unit: Unit::Ratio,
        metrics: &[("cpu.busy_ratio", "busy")],
        apart: None,
        band: true,
    },
    Plan {
        metric: "cpu.modes",
        title: "CPU by mode",
        about: "What the cores do. High iowait points at the disks, steal at the host below.",
        unit: Unit::Ratio,
        metrics: &[
            ("cpu.user_ratio", "user"),
            ("cpu.system_ratio", "system"),
            ("cpu.iowait_ratio", "iowait"),
            ("cpu.steal_ratio", "steal"),
            ("cpu.irq_ratio", "irq"),
            ("cpu.nice_ratio", "nice"),
        ],
        apart: None,
        band: false,
    },
    Plan {
        metric: "memory.used_ratio",
        title: "Memory used",
        about: "What programs hold and can't be given back at once. Above 90 % look at swap.",
        unit: Unit::Ratio,
        metrics: &[("memory.used_ratio", "used")],
        apart: None,
        band: true,
    },
    Plan {
        metric: "memory.kinds",
        title: "Memory by kind",
        about: "Cached memory is free for whoever asks; available is what programs can still get.",
        unit: Unit::Bytes,
        metrics: &[
            ("memory.used_bytes", "used"),
            ("memory.cached_bytes", "cached"),
            ("memory.available_bytes", "available"),
            ("swap.used_bytes", "swap used"),
        ],
        apart: None,
        band: false,
    },
    Plan {
        metric: "disk.used_ratio",
        title: "Disk used per mount",
        about: "The fullest three mounts. A full disk stops whoever writes to it.",
        unit: Unit::Ratio,
        metrics: &[("disk.used_ratio", "")],
        apart: Some("mount"),
        band: true,
    },
    Plan {
        metric: "load.1m",
        title: "Load",
        about: "Processes that run or wait. Above the number of cores they wait for each other.",
        unit: Unit::Number,
        metrics: &[("load.1m", "1 min"), ("load.5m", "5 min"), ("load.15m", "15 min")],
        apart: None,
        band: false,
    },
    Plan {
        metric: "disk.bytes",
        title: "Disk reads and writes",
        about: "Bytes per second of the three busiest disks.",
        unit: Unit::Rate,
        metrics: &[
            ("disk.read_bytes_per_second", "read"),
            ("disk.write_bytes_per_second", "write"),
        ],
        apart: Some("disk"),
        band: false,
    },
    Plan {
        metric: "disk.busy_ratio",
        title: "Disk busy",
        about: "Share of time with work under way, of the three busiest disks.",
        unit: Unit::Ratio,
        metrics: &[("disk.busy_ratio", "")],
        apart: Some("disk"),
        band: true,
    },
    Plan {
        metric: "network.bytes",
        title: "Network",
        about: "Received and sent, of the three busiest interfaces.",
        unit: Unit::Bits,
        metrics: &[
            ("network.receive_bytes_per_second", "received"),
            ("network.transmit_bytes_per_second", "sent"),
        ],
        apart: Some("interface"),
        band: false,
    },
    Plan {
        metric: "network.errors",
        title: "Network errors",
        about: "Packets per second that were broken or dropped. Healthy links have none.",
        unit: Unit::Number,
        metrics: &[
            ("network.receive_errors_per_second", "received"),
            ("network.transmit_errors_per_second", "sent"),
        ],
        apart: Some("interface"),
        band: false,
    },
    Plan {
        metric: "pressure.some_ratio",
        title: "Pressure",
        about: "Share of time in which something waited for CPU, memory or disk.",
        unit: Unit::Share,
        metrics: &[
            ("pressure.cpu_some_ratio", "cpu"),
            ("pressure.memory_some_ratio", "memory"),
            ("pressure.io_some_ratio", "io"),
            ("pressure.memory_full_ratio", "memory, all wait"),
            ("pressure.io_full_ratio", "io, all wait"),
        ],
        apart: None,
        band: false,
    },
    Plan {
        metric: "temperature.celsius",
        title: "Temperature",
        about: "The three hottest sensors.",
        unit: Unit::Celsius,
        metrics: &[("temperature.celsius", "")],
        apart: Some("sensor"),
        band: true,
    },
    Plan {
        metric: "processes.count",
        title: "Processes",
        about: "How many there are. One that only grows is a leak.",
        unit: Unit::Number,
        metrics: &[("processes.count", "processes")],
        apart: None,
        band: true,
    },
];

impl Plan {
    /// How many values of the label are shown: together with the metrics no more lines than a chart has.
    pub(super) fn apart_max(&self) -> usize {
        (SERIES_MAX / self.metrics.len()).min(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Charts of a page. Source: CONSOLE page, section 2.
    const CHARTS_MAX: usize = 24;

    #[test]
    fn no_page_draws_more_than_a_browser_bears() {
        const { assert!(PLANS.len() <= CHARTS_MAX) };
        for plan in &PLANS {
            let values = if plan.apart.is_some() { plan.apart_max() } else { 1 };
            let lines = plan.metrics.len() * values;
            assert!((1..=SERIES_MAX).contains(&lines), "{}: {lines} lines", plan.metric);
        }
    }
}
