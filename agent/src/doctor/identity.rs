//! Key and certificate.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use headwater_certs::UnixTime;
use headwater_certs::identity::DeviceIdentity;

use super::finding::Finding;
use super::{AS_ITS_USER, shown};
use crate::clock::day;
use crate::ship::chain;

/// The identity of a folder, if it can be used, and what is found of it.
pub(super) fn look(folder: &Path) -> (Vec<Finding>, Option<DeviceIdentity>) {
    let identity = match DeviceIdentity::load(folder) {
        Ok(identity) => identity,
        Err(error) => {
            let (found, why, next) = if error.is_missing() {
                let why =
                    "this host was never enrolled, or identity.dir is another folder".to_owned();
                (
                    "there is none",
                    why,
                    "headwater-agent enrol, with a token from: headwater tokens create",
                )
            } else if is_denied(folder) {
                ("it can't be read", chain(&error), AS_ITS_USER)
            } else {
                let next = "headwater-agent enrol --force makes a new one";
                ("it can't be used", chain(&error), next)
            };
            let found = format!("{found} in {}", shown(folder));
            let failed = Finding::failed("identity", found).why(why).next(next);
            let rest = Finding::skipped("certificate", "not looked at: there is no identity");
            return (vec![failed, rest], None);
        }
    };
    (vec![key(folder, &identity), certificate(&identity)], Some(identity))
}

fn is_denied(folder: &Path) -> bool {
    let read = fs::File::open(folder.join(KEY_FILE));
    read.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// The file with the key is its owner's alone.
fn key(folder: &Path, identity: &DeviceIdentity) -> Finding {
    let path = folder.join(KEY_FILE);
    let Ok(file) = fs::metadata(&path) else {
        return Finding::failed("identity", format!("{} is gone", shown(&path)))
            .next("once more: headwater-agent doctor");
    };
    let mode = file.permissions().mode() & 0o777;
    let device = identity.device();
    if mode & 0o077 == 0 {
        return Finding::ok("identity", format!("device {device}, key of mode {mode:04o}"));
    }
    Finding::failed("identity", format!("{} has mode {mode:04o}, expected 0600", shown(&path)))
        .why("it holds the private key: who reads it can speak for this device")
        .next(format!("chmod 0600 '{}'", path.display()))
}

fn certificate(identity: &DeviceIdentity) -> Finding {
    let (certificate, now) = (identity.certificate(), UnixTime::now().as_secs());
    let (begins, ends) = (certificate.not_before.as_secs(), certificate.not_after.as_secs());
    let again = "headwater-agent enrol --force, with a token from: headwater tokens create";
    let Some(left) = ends.checked_sub(now) else {
        return Finding::failed("certificate", format!("it ended {}", day(ends)))
            .why("no aggregator serves this device any more; what it spools is kept")
            .next(again);
    };
    let found = format!("valid until {}, {} d left", day(ends), left / 86_400);
    if now < begins {
        return Finding::failed("certificate", format!("it begins only {}", day(begins)))
            .why("this host's clock is behind: the certificate was issued in its past")
            .next("timedatectl set-ntp true");
    }
    // Two thirds of the life are the usual time for a new one.
    if left < (ends - begins) / 3 {
        return Finding::warning("certificate", found)
            .why(
                "less than a third of its life is left, and this build does not renew it by itself",
            )
            .next(again);
    }
    Finding::ok("certificate", found)
}

/// The file of key and chain in the folder of an identity.
const KEY_FILE: &str = "identity.pem";
