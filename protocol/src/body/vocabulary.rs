//! What every build that reads bodies of version 2 knows by number: the names of what agents measure.
//!
//! The lists are part of that version and may never change: another list is another version.

/// Metrics with their scale, in order of their names.
const METRICS: [(&str, u8); 44] = [
    ("cpu.busy_ratio", 4),
    ("cpu.core_busy_ratio", 4),
    ("cpu.cores", 0),
    ("cpu.iowait_ratio", 4),
    ("cpu.irq_ratio", 4),
    ("cpu.nice_ratio", 4),
    ("cpu.steal_ratio", 4),
    ("cpu.system_ratio", 4),
    ("cpu.user_ratio", 4),
    ("disk.busy_ratio", 4),
    ("disk.free_bytes", 0),
    ("disk.inodes_used_ratio", 4),
    ("disk.read_bytes_per_second", 0),
    ("disk.reads_per_second", 2),
    ("disk.total_bytes", 0),
    ("disk.used_bytes", 0),
    ("disk.used_ratio", 4),
    ("disk.write_bytes_per_second", 0),
    ("disk.writes_per_second", 2),
    ("ledger.difference_records", 0),
    ("load.15m", 2),
    ("load.1m", 2),
    ("load.5m", 2),
    ("memory.available_bytes", 0),
    ("memory.cached_bytes", 0),
    ("memory.total_bytes", 0),
    ("memory.used_bytes", 0),
    ("memory.used_ratio", 4),
    ("network.receive_bytes_per_second", 0),
    ("network.receive_errors_per_second", 4),
    ("network.receive_packets_per_second", 2),
    ("network.transmit_bytes_per_second", 0),
    ("network.transmit_errors_per_second", 4),
    ("network.transmit_packets_per_second", 2),
    ("pressure.cpu_some_ratio", 4),
    ("pressure.io_full_ratio", 4),
    ("pressure.io_some_ratio", 4),
    ("pressure.memory_full_ratio", 4),
    ("pressure.memory_some_ratio", 4),
    ("processes.count", 0),
    ("swap.total_bytes", 0),
    ("swap.used_bytes", 0),
    ("temperature.celsius", 3),
    ("uptime.seconds", 2),
];

/// Names of labels, in order.
const LABELS: [&str; 7] = ["core", "disk", "fstype", "interface", "lane", "mount", "sensor"];

/// The number of a metric of this scale.
pub(super) fn metric_number(metric: &str, scale: u8) -> Option<usize> {
    METRICS.binary_search(&(metric, scale)).ok()
}

/// The metric that a number stands for, and its scale.
pub(super) fn metric(number: usize) -> Option<(&'static str, u8)> {
    METRICS.get(number).copied()
}

/// The number of a label's name.
pub(super) fn label_number(name: &str) -> Option<usize> {
    LABELS.binary_search(&name).ok()
}

/// The label's name that a number stands for.
pub(super) fn label(number: usize) -> Option<&'static str> {
    LABELS.get(number).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_found_by_its_number() {
        for (number, (name, scale)) in METRICS.into_iter().enumerate() {
            assert_eq!(
                (metric_number(name, scale), metric(number)),
                (Some(number), Some((name, scale)))
            );
        }
        for (number, name) in LABELS.into_iter().enumerate() {
            assert_eq!((label_number(name), label(number)), (Some(number), Some(name)));
        }
        assert_eq!((metric(METRICS.len()), label(LABELS.len())), (None, None));
    }
}
