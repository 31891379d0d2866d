//! Why a file could not be opened, and what to do about it.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::identity::Facts;

/// Why a file or folder could not be opened. Its text ends with the command that helps, if there is one.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Refusal {
    reason: String,
    help: Option<String>,
}

impl Refusal {
    /// The refusal of a path, with the first thing that stands in the way.
    pub(super) fn of(path: &Path, error: &io::Error) -> Self {
        let help = (error.kind() == io::ErrorKind::PermissionDenied).then(|| help(path));
        Self { reason: error.to_string(), help: help.flatten() }
    }
}

impl Refusal {
    /// What the system said.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The command that helps; `None` if none is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.reason)?;
        self.help.iter().try_for_each(|help| write!(out, "; {help}"))
    }
}

/// The group that may read, or the line that lets us: for the outermost folder in the way, else for the
/// path itself.
fn help(path: &Path) -> Option<String> {
    let folders: Vec<PathBuf> = path.ancestors().skip(1).map(Path::to_owned).collect();
    let closed = folders.into_iter().rev().find(|folder| {
        // A folder lets nobody through whose own `.` cannot be looked up.
        let inside = Facts::at(&folder.join("."));
        inside.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    });
    let (place, right) = match &closed {
        Some(folder) => (folder.as_path(), "x"),
        None if path.is_dir() => (path, "rx"),
        None => (path, "r"),
    };
    let facts = Facts::at(place).ok()?;
    let user = name_of("/etc/passwd", rustix::process::geteuid().as_raw());
    let user = user.unwrap_or_else(|| rustix::process::geteuid().as_raw().to_string());
    let bits = if right == "r" { GROUP_READ } else { GROUP_READ | GROUP_PASS };
    let group = name_of("/etc/group", facts.group).filter(|group| group != "root");
    Some(match group {
        Some(group) if facts.mode & bits == bits => {
            format!("its group may read it: usermod -aG {group} {user}, then restart the agent")
        }
        _ => format!("setfacl -m u:{user}:{right} '{}'", place.display()),
    })
}

/// The name of a number in the system's list of users or groups.
pub(crate) fn name_of(list: &str, number: u32) -> Option<String> {
    let list = fs::read_to_string(list).ok()?;
    list.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(number)).then(|| name.to_owned())
    })
}

const GROUP_READ: u16 = 0o040;
const GROUP_PASS: u16 = 0o010;
