//! The host: its clock, its boot, and what its kernel gives.

use std::fs;
use std::path::Path;

use headwater_certs::identity::DeviceIdentity;
use jiff::Timestamp;

use super::finding::Finding;
use crate::clock::{Clocks, wall_us};
use crate::ship::{Link, SOCKET_BUFFER_BYTES};
use crate::status::Status;

/// The clock, compared with an aggregator's where a running agent heard of that.
pub(super) fn clock(status: Option<&Status>, identity: Option<&DeviceIdentity>) -> Finding {
    let now_us = wall_us();
    let now = Timestamp::from_microsecond(now_us).map_or_else(
        |_| "at no date".to_owned(),
        |now| now.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
    );
    let mend = "timedatectl set-ntp true, or start the host's own time service";
    let begins = identity.map_or(0, |identity| identity.certificate().not_before.as_secs());
    if now_us < 0 || now_us.unsigned_abs() / 1_000_000 < begins {
        return Finding::failed("clock", now)
            .why("it is behind the beginning of this device's certificate")
            .next(mend);
    }
    let connected = status.and_then(|status| match &status.ship.link {
        Link::Connected(connected) => Some(connected),
        Link::Connecting | Link::Waiting { .. } => None,
    });
    let Some(ahead_us) = connected.and_then(|connected| connected.node_ahead_us) else {
        let found = "not compared: only the agent in a session hears of the aggregator's";
        return Finding::skipped("clock", format!("{now}, {found}"));
    };
    let millis = ahead_us.unsigned_abs() / 1000;
    let amount = format!("{}.{:02} s", millis / 1000, millis / 10 % 100);
    let side = match ahead_us {
        -9_999..=9_999 => "level with".to_owned(),
        10_000.. => format!("{amount} behind"),
        _ => format!("{amount} ahead of"),
    };
    let found = format!("{now}, {side} the aggregator's when the session began");
    if millis <= APART_MS_MAX {
        return Finding::ok("clock", found);
    }
    Finding::failed("clock", found)
        .why("more than 2 s apart: times of records are corrected, certificates are not")
        .next(mend)
}

/// What the kernel gives a socket at most.
pub(super) fn buffers() -> Finding {
    let limits = ["rmem_max", "wmem_max"].map(|name| {
        let text = fs::read_to_string(format!("/proc/sys/net/core/{name}")).ok();
        (name, text.and_then(|text| text.trim().parse::<usize>().ok()))
    });
    let [(_, Some(receive)), (_, Some(send))] = limits else {
        let found = "the kernel does not tell its limits here, as in a container";
        return Finding::skipped("socket buffers", found);
    };
    let found = format!("{} KiB to receive, {} KiB to send", receive / 1024, send / 1024);
    if receive.min(send) >= SOCKET_BUFFER_BYTES {
        return Finding::ok("socket buffers", found);
    }
    let wanted = SOCKET_BUFFER_BYTES;
    Finding::warning("socket buffers", found)
        .why(format!(
            "the agent asks for {} KiB; with less, bursts are lost and sent again",
            wanted / 1024
        ))
        .next(format!("sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}; to keep it, the same in a file of /etc/sysctl.d"))
}

/// Which boot of the host it is, and for how long.
pub(super) fn boot(proc: &Path) -> Finding {
    let clock = Clocks::of_this_boot(proc).now();
    let up_s = clock.mono_us / 1_000_000;
    let (days, hours) = (up_s / 86_400, up_s % 86_400 / 3_600);
    if clock.boot.0 == [0; 16] {
        return Finding::warning("boot", format!("up for {days} d {hours} h, its id is not told"))
            .why("without an id a restart of the host can't be told from a clock that jumped")
            .next("mount the host's /proc, and name it: sample.host.proc");
    }
    let id: String = clock.boot.0[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    Finding::ok("boot", format!("{id}, up for {days} d {hours} h"))
}

/// Samples of two hosts that are further apart do not fall into the same window.
const APART_MS_MAX: u64 = 2_000;
