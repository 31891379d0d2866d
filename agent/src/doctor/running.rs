//! The running agent, as it tells over its socket, and whose agent it is.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::finding::Finding;
use super::{AS_ITS_USER, parted, shown};
use crate::config::Config;
use crate::ship::{Link, chain};
use crate::status::{self, Status, StatusError};
use crate::tail::name_of;

/// What the running agent says of itself; `None` if none answers.
pub(super) fn look(config: &Config) -> (Finding, Option<Status>) {
    match status::ask(&config.agent.socket) {
        Ok(status) => (of(&status), Some(status)),
        Err(error) => (unasked(config, &error), None),
    }
}

fn of(status: &Status) -> Finding {
    let uptime = match status.uptime_s {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    };
    let link = match &status.ship.link {
        Link::Connected(connected) => format!("connected to {}", connected.address),
        Link::Connecting => "connecting".to_owned(),
        Link::Waiting { .. } => format!("not connected after {} tries", status.ship.tries),
    };
    let found = format!("running for {uptime}, {link}");
    if let Some(trouble) = status.trouble() {
        let (why, next) = parted(&trouble);
        let starts = status.uptime_s < STARTING_S && matches!(status.ship.link, Link::Connecting);
        if starts {
            return Finding::warning("agent", found).why(why).next("headwater-agent status");
        }
        let next = next.unwrap_or("headwater-agent status; what is below says where it ends");
        return Finding::failed("agent", found).why(why).next(next);
    }
    let own = env!("CARGO_PKG_VERSION");
    if status.version != own {
        return Finding::warning("agent", found)
            .why(format!("it is {}, this program is {own}", status.version))
            .next("systemctl restart headwater-agent");
    }
    Finding::ok("agent", found)
}

fn unasked(config: &Config, error: &StatusError) -> Finding {
    let socket = shown(&config.agent.socket);
    match error {
        StatusError::Ask { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            Finding::warning("agent", format!("its socket {socket} is not for this user"))
                .why("what it says of itself was not asked for")
                .next(AS_ITS_USER)
        }
        StatusError::Ask { .. } => {
            Finding::warning("agent", format!("not running: nobody answers at {socket}"))
                .why("nothing is sampled or read while it does not run")
                .next("systemctl start headwater-agent, or: headwater-agent run")
        }
        StatusError::Answer { .. } | StatusError::Listen { .. } | StatusError::Taken { .. } => {
            Finding::failed("agent", format!("it can't be understood at {socket}"))
                .why(chain(error))
                .next("it may be of another version: systemctl restart headwater-agent")
        }
    }
}

/// Whether this is the user whose agent it is: another one may read other files.
pub(super) fn user(config: &Config) -> Finding {
    let me = rustix::process::geteuid().as_raw();
    let name = |id: u32| name_of("/etc/passwd", id).unwrap_or_else(|| id.to_string());
    let owner = match fs::metadata(&config.spool.dir) {
        Ok(folder) => folder.uid(),
        Err(_) => return Finding::ok("user", format!("{}, there is no spool yet", name(me))),
    };
    if owner == me {
        return Finding::ok("user", format!("{}, who owns the spool", name(me)));
    }
    let owner = name(owner);
    Finding::warning("user", format!("{}, the spool belongs to {owner}", name(me)))
        .why("which files and folders the agent may use was tried as another user than its own")
        .next(format!("sudo -u {owner} headwater-agent doctor"))
}

/// An agent that has just started need not be connected.
const STARTING_S: u64 = 10;
