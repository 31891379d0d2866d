//! The certificate authority, and the clock that its certificates are judged by.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use headwater_certs::UnixTime;
use headwater_certs::authority::Authority;
use headwater_certs::identity::Certificate;

use super::AS_ITS_USER;
use super::finding::Finding;
use crate::api::chain;
use crate::cli::output::units;
use crate::node::Node;

/// The authority of a data folder, if it can be used, and what is found of it.
pub(super) fn look(data_dir: &Path) -> (Vec<Finding>, Option<Authority>) {
    let folder = Node::authority_folder(data_dir);
    let authority = match Authority::load(&folder) {
        Ok(authority) => authority,
        Err(error) => {
            let why = chain(&error);
            let next = if why.contains("ermission denied") {
                AS_ITS_USER.to_owned()
            } else if error.is_missing() {
                format!("restore {} from a backup: devices trust no other", folder.display())
            } else {
                "restore the folder from one backup, whole".to_owned()
            };
            let found = format!("it can't be used in {}", folder.display());
            let failed = Finding::failed("authority", found).why(why).next(next);
            return (vec![failed, Finding::ok("clock", now())], None);
        }
    };
    (vec![files(&folder, &authority), clock(&authority)], Some(authority))
}

fn files(folder: &Path, authority: &Authority) -> Finding {
    let open = open_to_others(folder);
    if !open.is_empty() {
        let (first, paths) = (&open[0], open.join("' '"));
        return Finding::failed("authority", format!("{first} is open to others"))
            .why("who reads these keys can enrol devices, and be taken for this node")
            .next(format!("chmod go= '{paths}'"));
    }
    let ends = authority.issuing_not_after().as_secs();
    let keys = if authority.holds_root_key() { "root key here" } else { "root key elsewhere" };
    let Some(left) = ends.checked_sub(UnixTime::now().as_secs()) else {
        return Finding::failed("authority", format!("it ended {}", day(ends)))
            .why("no device can enrol, and no agent trusts this node any more")
            .next(
                "a new authority: headwater init in another folder, and every device enrols again",
            );
    };
    let pin: String = authority.root_pin().to_string().chars().take(16).collect();
    let days = left / 86_400;
    let found = format!("{pin}, issues until {}, {days} d left, {keys}", day(ends));
    if days < DAYS_LEFT_LEAST {
        return Finding::warning("authority", found)
            .why("after that no device can enrol; this build has no command that prolongs it")
            .next("install a build that does, before that day; keep root.key at hand");
    }
    Finding::ok("authority", found)
}

/// Keys that others than their owner may use, and the folder if they may look into it.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut paths = vec![folder.to_owned()];
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    paths.extend(entries.filter(|path| path.extension().is_some_and(|ending| ending == "key")));
    let is_open =
        |path: &Path| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0);
    // A folder that lets nobody through closes what is in it.
    if !is_open(folder) {
        return Vec::new();
    }
    paths.sort();
    paths.iter().filter(|path| is_open(path)).map(|path| path.display().to_string()).collect()
}

/// A clock that is behind the authority's beginning is wrong.
fn clock(authority: &Authority) -> Finding {
    let begins = authority.bundle().iter().find_map(|root| Certificate::read(root).ok());
    let begins = begins.map_or(0, |root| root.not_before.as_secs());
    if UnixTime::now().as_secs() < begins {
        return Finding::failed("clock", now())
            .why(format!("it is behind the authority, which began {}", day(begins)))
            .next("timedatectl set-ntp true, or start the host's own time service");
    }
    Finding::ok("clock", now())
}

fn now() -> String {
    units::time_to_second(units::now_us())
}

fn day(unix_s: u64) -> String {
    let micros = i64::try_from(unix_s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let text = units::time_to_second(micros);
    text.get(..10).unwrap_or(&text).to_owned()
}

/// A quarter of a year is time enough to install another build.
const DAYS_LEFT_LEAST: u64 = 90;
