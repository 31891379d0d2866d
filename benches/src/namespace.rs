//! A network of one's own: its loopback counts what Headwater sends, and nothing else.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Whether this process runs in a namespace that it was started in for the purpose.
pub(crate) fn is_alone() -> bool {
    std::env::var_os(ALONE).is_some()
}

/// Starts this program again in a network namespace. Returns where that can't be had: it takes root.
pub(crate) fn enter() {
    if !rustix::process::geteuid().is_root() || is_alone() {
        return;
    }
    let tried = Command::new("unshare")
        .args(["--net", "sh", "-c", LINKS])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let Ok(own) = std::env::current_exe() else { return };
    if !tried.is_ok_and(|status| status.success()) {
        return;
    }
    let failed = Command::new("unshare")
        .args(["--net", "sh", "-c", &format!("{LINKS} && exec \"$0\" \"$@\"")])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .env(ALONE, "1")
        .exec();
    eprintln!("without a network namespace: {failed}");
}

/// Loopback, and two interfaces that carry nothing: a host has some, and an agent measures them.
const LINKS: &str = "ip link set lo up && ip link add idle0 type veth peer name idle1 \
     && ip link set idle0 up && ip link set idle1 up";

/// Says to the program that was started again that it was.
const ALONE: &str = "HEADWATER_BENCH_ALONE";
