//! The programs under test, as `cargo build` left them beside the running test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The aggregator's program.
pub const HEADWATER: &str = "headwater";
/// The agent's program.
pub const AGENT: &str = "headwater-agent";

/// The path of a program of the same build as the running test.
///
/// # Panics
/// If it was not built: the message says how to.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a running program knows its path");
    let folder = own.parent().expect("a program lies in a folder");
    // target/debug/deps/test-0123 or target/debug/fleet -> target/debug/headwater
    let is_test = folder.ends_with("deps");
    let folder = folder.parent().filter(|_| is_test).unwrap_or(folder);
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not built: cargo build --workspace --bins (with the same target folder and profile)",
        path.display()
    );
    path
}

/// A command of a program that runs in `folder`, with nothing of the tester's environment that it
/// would read.
#[must_use]
pub fn command(name: &str, folder: &Path) -> Command {
    let mut command = Command::new(program(name));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.env("TERM", "dumb").env("RUST_BACKTRACE", "1");
    command
}
