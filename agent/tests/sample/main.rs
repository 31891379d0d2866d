//! Sampling this host, and a host that is made of files.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail like the test itself")]

mod bounds;
mod host;
mod rates;
mod sensors;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use headwater_agent::config::{Config, SampleConfig};
use headwater_agent::sample::{Sampler, inventory};

use crate::host::{Host, by_name, of};

#[test]
fn this_host_is_sampled() {
    let mut sampler = Sampler::new(&SampleConfig { disk: false, ..Config::default().sample });
    let first = by_name(&sampler.take(Instant::now));
    for metric in
        ["cpu.cores", "memory.total_bytes", "memory.used_ratio", "load.1m", "uptime.seconds"]
    {
        assert!(first.contains_key(metric), "{metric} is missing in {first:?}");
    }
    assert!(!first.contains_key("cpu.busy_ratio"), "a share needs two readings");
    assert!(first["memory.total_bytes"] > 1 << 20);

    // The kernel counts in ticks of 10 ms: a share is there once one has passed.
    let deadline = Instant::now() + Duration::from_secs(5);
    let busy = loop {
        if let Some(busy) = by_name(&sampler.take(Instant::now)).get("cpu.busy_ratio") {
            break *busy;
        }
        assert!(Instant::now() < deadline, "no share of processor time within 5 s");
        std::thread::yield_now();
    };
    assert!((0..=10_000).contains(&busy), "{busy}");
    let faults = sampler.faults();
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn mounts_of_this_host_are_sampled_with_their_labels() {
    let mut sampler = Sampler::new(&SampleConfig { cpu: false, ..Config::default().sample });
    let samples = sampler.take(Instant::now);
    let root = samples.iter().find(|sample| {
        sample.series.metric == "disk.total_bytes"
            && sample.series.labels.contains(&("mount".into(), "/".into()))
    });
    // In a container the root is an overlay, which is left out: then there is no figure, never a zero.
    if let Some(root) = root {
        assert!(root.value > 0);
        assert_eq!(root.series.labels[0].0, "fstype", "labels are sorted by name");
    }
    let mut series: Vec<_> = samples.iter().map(|sample| &sample.series).collect();
    series.sort();
    series.dedup();
    assert_eq!(series.len(), samples.len(), "no series has two values in one tick");
}

#[test]
fn a_host_below_another_root_is_sampled_from_there() {
    let host = Host::new();
    let samples = by_name(&host.sampler().take(Instant::now));
    let expected = [
        ("cpu.cores", 2),
        ("load.1m", 123),
        ("load.5m", 4),
        ("load.15m", 1_000),
        ("memory.total_bytes", 102_400),
        ("memory.available_bytes", 61_440),
        ("memory.used_bytes", 40_960),
        ("memory.used_ratio", 4_000),
        ("memory.cached_bytes", 5_120),
        ("swap.total_bytes", 10_240),
        ("swap.used_bytes", 6_144),
        ("uptime.seconds", 98_765),
    ];
    for (metric, value) in expected {
        assert_eq!(samples.get(metric), Some(&value), "{metric}");
    }
    assert!(samples.contains_key("disk.total_bytes"), "the mount is looked up below the root");
    assert!(samples.contains_key("disk.used_ratio"));
}

#[test]
fn shares_are_of_the_time_between_two_ticks() {
    let host = Host::new();
    let mut sampler = host.sampler();
    sampler.take(Instant::now);
    host.write("proc/stat", "cpu  130 10 60 1040 15 1 2 2 0 0\ncpu0 1\ncpu1 1\n");
    let samples = by_name(&sampler.take(Instant::now));
    assert_eq!(samples["cpu.busy_ratio"], 5_500);
    assert_eq!(samples["cpu.iowait_ratio"], 500);
    assert_eq!(samples["cpu.steal_ratio"], 200);
}

#[test]
fn what_cannot_be_read_is_left_out_and_told_once() {
    let host = Host::new();
    fs::remove_file(host.path("proc/loadavg")).unwrap();
    host.write("proc/meminfo", "MemTotal: none\n");
    let mut sampler = host.sampler();
    let samples = by_name(&sampler.take(Instant::now));
    assert!(!samples.keys().any(|metric| metric.starts_with("load.")), "never zero: {samples:?}");
    assert!(!samples.keys().any(|metric| metric.starts_with("memory.")), "never zero: {samples:?}");
    assert!(samples.contains_key("uptime.seconds"), "the others go on");
    sampler.take(Instant::now);
    let told: Vec<String> = sampler.faults().iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told.iter().any(|fault| fault.ends_with("proc/loadavg")), "{told:?}");
    sampler.take(Instant::now);
    assert!(sampler.faults().is_empty(), "it was told");

    host.write("proc/loadavg", "1.23 0.04 10.00 1/100 5\n");
    assert_eq!(by_name(&sampler.take(Instant::now))["load.1m"], 123, "it is there again");
}

#[test]
fn a_new_mount_is_sampled_and_an_excluded_one_is_not() {
    let host = Host::new();
    let mut sampler = host.sampler();
    sampler.take(Instant::now);
    fs::create_dir_all(host.path("root/data")).unwrap();
    host.write(
        "proc/1/mountinfo",
        "1 1 8:1 / / rw - ext4 a rw\n2 1 8:2 / /data rw - xfs b rw\n3 1 8:3 / /n rw - nfs4 c rw\n\
         4 1 8:4 / /run/x rw - ext4 d rw\n5 1 8:5 / /gone rw - ext4 e rw\n",
    );
    let mounts: Vec<String> = sampler
        .take(Instant::now)
        .iter()
        .filter(|sample| sample.series.metric == "disk.free_bytes")
        .map(|sample| sample.series.labels[1].1.clone())
        .collect();
    assert_eq!(mounts, ["/", "/data"]);
    let faults = sampler.faults();
    assert_eq!(faults.len(), 1, "/gone is no folder here: {faults:?}");
}

#[test]
fn the_inventory_names_this_host() {
    let facts = inventory();
    for name in ["agent.version", "cpu.cores", "kernel.version", "memory.total_bytes", "boot.id"] {
        assert!(facts.get(name).is_some_and(|fact| !fact.is_empty()), "{name}: {facts:?}");
    }
}

#[test]
fn a_filesystem_without_blocks_has_no_space_to_tell_of() {
    let host = Host::new();
    symlink("/proc", host.path("root/kernel")).unwrap();
    host.write(
        "proc/1/mountinfo",
        "1 1 8:1 / / rw - ext4 a rw\n2 1 0:5 / /kernel rw - kernelfs b rw\n",
    );
    let mut sampler = host.sampler();
    let samples = of(&host.take(&mut sampler), "disk.");
    let at = |mount: &str| samples.iter().filter(|(series, _)| series.ends_with(mount)).count();
    assert!(at("mount=/}") > 0 && at("mount=/kernel}") == 0, "{samples:?}");
    assert!(sampler.faults().is_empty(), "it is no fault");
}
