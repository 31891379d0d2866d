//! The devices, and what the ledger says of them.

use super::finding::Finding;
use super::of_failure;
use crate::api::rows::DeviceRow;
use crate::cli::client::Client;
use crate::cli::output::units;

pub(super) async fn look(client: &Client, is_running: bool) -> Vec<Finding> {
    if !is_running {
        let found = "not asked: the service was not reached";
        let names = ["devices", "ledger", "dead letters"];
        return names.map(|name| Finding::skipped(name, found)).to_vec();
    }
    match client.get::<Vec<DeviceRow>>("/api/v1/devices").await {
        Ok(devices) => vec![standing(&devices, units::now_us()), sums(&devices), dead(&devices)],
        Err(failure) => vec![of_failure("devices", &failure)],
    }
}

/// Who is served, who is silent, and who waits for a person.
fn standing(devices: &[DeviceRow], now_us: i64) -> Finding {
    let in_state = |state: &str| devices.iter().filter(|it| it.state == state).count();
    let cloned: Vec<&DeviceRow> = devices.iter().filter(|it| it.state == "cloned").collect();
    let is_silent = |it: &&DeviceRow| {
        let seen = it.seen.unwrap_or(it.enrolled).0;
        it.state == "offline" && now_us.saturating_sub(seen) > SILENT_US
    };
    let silent: Vec<&DeviceRow> = devices.iter().filter(is_silent).collect();
    let all = units::count(devices.len() as u64, "device");
    let mut found = format!("{all}, {} online", in_state("online"));
    for (count, word) in [
        (cloned.len(), "cloned"),
        (silent.len(), "silent for more than 15 min"),
        (in_state("new"), "new"),
        (in_state("revoked"), "revoked"),
    ] {
        if count > 0 {
            found.push_str(&format!(", {count} {word}"));
        }
    }
    if !cloned.is_empty() {
        return Finding::warning("devices", found)
            .why(format!("two running hosts use one identity, neither is served: {}", names(&cloned)))
            .next("on each copy: headwater-agent enrol --force, with a fresh token; then: headwater devices restore NAME");
    }
    if !silent.is_empty() {
        return Finding::warning("devices", found)
            .why(format!("nothing is heard of: {}", names(&silent)))
            .next("on each of them: headwater-agent doctor; one that is gone for good: headwater devices revoke NAME");
    }
    Finding::ok("devices", found)
}

fn sums(devices: &[DeviceRow]) -> Finding {
    let wrong: Vec<&DeviceRow> = devices.iter().filter(|it| !it.totals.adds_up).collect();
    if wrong.is_empty() {
        let gaps = devices.iter().map(|it| it.totals.gaps).sum();
        let gaps = units::count(gaps, "declared gap");
        return Finding::ok("ledger", format!("it adds up for every device, {gaps}"));
    }
    Finding::failed(
        "ledger",
        format!("it does not add up for {} of {}", wrong.len(), devices.len()),
    )
    .why(names(&wrong))
    .next("headwater ledger verify --all")
}

fn dead(devices: &[DeviceRow]) -> Finding {
    let dead: Vec<&DeviceRow> =
        devices.iter().filter(|it| it.totals.undecoded_records > 0).collect();
    if dead.is_empty() {
        return Finding::ok("dead letters", "none: every body could be opened");
    }
    let records = dead.iter().map(|it| it.totals.undecoded_records).sum();
    let records = units::count(records, "record");
    Finding::warning("dead letters", format!("{records} stand in bodies that can't be opened"))
        .why(format!("they are kept, and declared as gaps: {}", names(&dead)))
        .next("compare the builds: headwater devices --columns name,build; then headwater ledger show NAME")
}

fn names(devices: &[&DeviceRow]) -> String {
    let mut names: Vec<&str> =
        devices.iter().take(NAMES_MAX).map(|device| device.name.as_str()).collect();
    let more = format!("and {} more", devices.len().saturating_sub(NAMES_MAX));
    if devices.len() > NAMES_MAX {
        names.push(&more);
    }
    names.join(", ")
}

/// Longer than a host takes to restart.
const SILENT_US: i64 = 15 * 60 * 1_000_000;
const NAMES_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::finding::State;
    use super::*;
    use crate::api::rows::{Moment, Totals};

    fn device(name: &str, state: &str) -> DeviceRow {
        DeviceRow {
            name: name.to_owned(),
            id: String::new(),
            state: state.to_owned(),
            seen: Some(Moment(1)),
            enrolled: Moment(0),
            address: None,
            build: None,
            labels: BTreeMap::new(),
            shard: 0,
            totals: Totals::NONE,
        }
    }

    #[test]
    fn who_waits_for_a_person_is_named_before_who_is_silent() {
        let [online, cloned, silent] = [("a", "online"), ("b", "cloned"), ("c", "offline")]
            .map(|(name, state)| device(name, state));
        let found = standing(&[online.clone(), cloned, silent.clone()], SILENT_US * 2);
        assert_eq!(found.state, State::Warning);
        assert!(found.why.is_some_and(|why| why.ends_with("neither is served: b")));
        assert_eq!(found.found, "3 devices, 1 online, 1 cloned, 1 silent for more than 15 min");
        let found = standing(&[online.clone(), silent.clone()], SILENT_US * 2);
        assert_eq!(found.why.as_deref(), Some("nothing is heard of: c"));
        assert_eq!(standing(&[online, silent], 2).state, State::Ok, "it was seen just now");
    }

    #[test]
    fn a_ledger_that_does_not_add_up_fails_and_names_the_first_devices() {
        let mut devices: Vec<DeviceRow> =
            (0..8).map(|number| device(&format!("edge-{number}"), "online")).collect();
        assert_eq!(sums(&devices).state, State::Ok);
        devices.iter_mut().skip(1).for_each(|device| device.totals.adds_up = false);
        let found = sums(&devices);
        assert_eq!(
            (found.state, found.found.as_str()),
            (State::Failed, "it does not add up for 7 of 8")
        );
        assert!(
            found.why.is_some_and(|why| why.starts_with("edge-1, ") && why.ends_with("and 2 more"))
        );
        devices[0].totals.undecoded_records = 3;
        assert_eq!(dead(&devices).state, State::Warning);
    }
}
