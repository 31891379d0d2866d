//! What each device measures.

use headwater_protocol::record::Series;
use headwater_tests::forged::series;

/// What an agent samples of a host with two processors, three mounts and three interfaces, and where each value
/// starts: the first 32 are those of a host without interfaces.
pub(crate) fn shape() -> Vec<(Series, i64)> {
    let mut shape = vec![(series("cpu.cores", &[], 0), 2), (series("uptime.seconds", &[], 0), 9)];
    let ratios = ["busy", "user", "nice", "system", "iowait", "irq", "steal"];
    for ratio in ratios {
        shape.push((series(&format!("cpu.{ratio}_ratio"), &[], 4), 1_200));
    }
    for bytes in ["total", "used", "available", "cached"] {
        shape.push((series(&format!("memory.{bytes}_bytes"), &[], 0), 4_000_000_000));
    }
    shape.push((series("memory.used_ratio", &[], 4), 4_100));
    for load in ["load.1m", "load.5m", "load.15m"] {
        shape.push((series(load, &[], 2), 70));
    }
    for mount in ["/", "/var", "/home"] {
        let labels = [("fstype", "ext4"), ("mount", mount)];
        for bytes in ["disk.total_bytes", "disk.used_bytes", "disk.free_bytes"] {
            shape.push((series(bytes, &labels, 0), 90_000_000_000));
        }
        shape.push((series("disk.used_ratio", &labels, 4), 5_300));
        shape.push((series("disk.inodes_used_ratio", &labels, 4), 900));
    }
    for interface in ["eth0", "eth1", "wg0"] {
        let labels = [("interface", interface)];
        for direction in ["rx", "tx"] {
            for what in ["bytes_per_second", "packets_per_second", "errors_per_second"] {
                shape.push((series(&format!("net.{direction}_{what}"), &labels, 2), 31_000));
            }
        }
    }
    shape
}
