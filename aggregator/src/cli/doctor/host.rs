//! What the kernel gives the aggregator.

use std::fs;

use super::finding::Finding;
use crate::api::rows::NodeRow;
use crate::config::Config;

pub(super) fn look(config: &Config, node: Option<&NodeRow>) -> Vec<Finding> {
    vec![descriptors(node), buffers(config)]
}

fn descriptors(node: Option<&NodeRow>) -> Finding {
    let Some((node, most)) = node.and_then(|node| Some((node, node.open_files_max?))) else {
        let found = "not looked at: the limit is the running service's";
        return Finding::skipped("open files", found);
    };
    let found = format!("{} of {most}", node.open_files);
    if most >= OPEN_FILES_LEAST && node.open_files < most / 10 * 8 {
        return Finding::ok("open files", found);
    }
    Finding::warning("open files", found)
        .why("enrolments, the console and the command line are turned away once there are no more")
        .next("LimitNOFILE=65536 in a drop-in: systemctl edit headwater; then restart it")
}

fn buffers(config: &Config) -> Finding {
    let text = fs::read_to_string("/proc/sys/net/core/rmem_max").ok();
    let Some(most) = text.and_then(|text| text.trim().parse::<u64>().ok()) else {
        let found = "the kernel does not tell its limit here, as in a container";
        return Finding::skipped("socket buffers", found);
    };
    let wanted = config.intake.receive_buffer.0;
    let found = format!("{} KiB to receive, {} KiB asked for", most / 1024, wanted / 1024);
    if most >= wanted {
        return Finding::ok("socket buffers", found);
    }
    Finding::warning("socket buffers", found)
        .why("with less, bursts of a large fleet are lost and sent again (intake.receive_buffer)")
        .next(format!("sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}; to keep it, the same in a file of /etc/sysctl.d; then restart the service"))
}

/// Four files of the log, those of the merge, both ports, and 64 at a time who enrol: a few hundred.
const OPEN_FILES_LEAST: u64 = 1024;
