//! A host that has more of everything than there is room for.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use headwater_agent::config::SampleConfig;
use headwater_agent::limits::{CORES_MAX, DISKS_MAX, INTERFACES_MAX, MOUNTS_MAX, SENSORS_MAX};
use headwater_agent::sample::Sampler;
use headwater_protocol::limits::{BODY_BYTES_MAX, SERIES_PER_BATCH_MAX};
use headwater_protocol::position::{Run, SourceId, Stream};
use headwater_protocol::record::{Content, Record, Sample};

use crate::host::{Host, told};

#[test]
fn ten_thousand_of_everything_stay_inside_one_batch_and_are_told_once() {
    let host = Host::new();
    let mut sampler = Sampler::new(&SampleConfig { per_cpu: true, ..host.config() });
    for sensor in 0..SENSORS_MAX + 7 {
        host.add_sensor(&format!("hwmon{sensor}"), &format!("chip{sensor}"), "x", "20000");
    }
    for disk in 0..DISKS_MAX + 3 {
        host.add_disk(&format!("sd{disk}"));
    }
    let mut samples = Vec::new();
    for round in 1..=3 {
        write_many(&host, round);
        samples = host.take(&mut sampler);
        host.pass(Duration::from_secs(1));
    }
    let count = |metric: &str| samples.iter().filter(|s| s.series.metric == metric).count();
    assert_eq!(count("cpu.core_busy_ratio"), CORES_MAX);
    assert_eq!(count("disk.total_bytes"), MOUNTS_MAX);
    assert_eq!(count("disk.busy_ratio"), DISKS_MAX);
    assert_eq!(count("network.receive_bytes_per_second"), INTERFACES_MAX);
    assert_eq!(count("temperature.celsius"), SENSORS_MAX);
    expect_one_batch(samples);

    let faults = told(&mut sampler);
    let left = |entries: &str| {
        let text = format!("{entries} are left out");
        assert_eq!(faults.iter().filter(|fault| fault.contains(&text)).count(), 1, "{faults:?}");
    };
    left("mountinfo");
    left("net/dev");
    left("diskstats");
    left("hwmon");
    left("stat");
    assert_eq!(faults.len(), 5, "{faults:?}");
}

#[test]
fn names_that_fit_no_label_are_left_out_and_told() {
    let host = Host::new();
    let long = "x".repeat(1_025);
    let longest = "y".repeat(150);
    fs::create_dir_all(host.path(format!("root/{longest}"))).unwrap();
    let mounts = format!("1 1 8:1 / /{longest} rw - ext4 a rw\n2 1 8:2 / /{long} rw - ext4 a rw\n");
    host.write("proc/1/mountinfo", mounts);
    host.network(&[(&long, [1, 1, 1])]);
    let mut sampler = host.sampler();
    host.take(&mut sampler);
    host.pass(Duration::from_secs(1));
    let samples = host.take(&mut sampler);
    assert!(samples.iter().any(|sample| sample.series.metric == "disk.total_bytes"));
    assert!(!samples.iter().any(|sample| sample.series.metric.starts_with("network.")));
    let faults = told(&mut sampler);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults.iter().all(|fault| fault.starts_with("1 entries of ")), "{faults:?}");
}

#[test]
fn of_a_table_that_is_too_long_the_first_lines_are_sampled() {
    let host = Host::new();
    let mut table = "1 1 8:1 / / rw - ext4 a rw\n".to_owned();
    let options = "o".repeat(4_000);
    for mount in 0..2_000 {
        writeln!(table, "1 1 0:{mount} / /{mount} rw - overlay o {options}").unwrap();
    }
    assert!(table.len() > 4 << 20);
    host.write("proc/1/mountinfo", table);
    let mut sampler = host.sampler();
    for _ in 0..2 {
        let samples = host.take(&mut sampler);
        assert!(samples.iter().any(|sample| sample.series.metric == "disk.total_bytes"));
    }
    let faults = told(&mut sampler);
    assert!(faults.len() == 1 && faults[0].contains("mountinfo: file too large"), "{faults:?}");
}

/// Ten thousand mounts, interfaces and processors, and a few more disks than there is room for.
fn write_many(host: &Host, round: usize) {
    let [mut mounts, mut stat, mut disks] = ["", "cpu  1 1 1 1 1 1 1 1\n", ""].map(str::to_owned);
    let mut interfaces = Vec::new();
    for one in 0..10_000 {
        fs::create_dir_all(host.path(format!("root/m{one}"))).unwrap();
        writeln!(mounts, "1 1 8:{one} / /m{one} rw - ext4 a rw").unwrap();
        writeln!(stat, "cpu{one} {round} 1 1 {round} 1 1 1 1").unwrap();
        interfaces.push((format!("if{one}"), [0, 0, round as u64]));
    }
    for one in 0..DISKS_MAX + 3 {
        writeln!(disks, "8 {one} sd{one} 1 1 1 1 1 1 1 1 1 1 1").unwrap();
    }
    let interfaces: Vec<_> = interfaces.iter().map(|(name, i)| (name.as_str(), *i)).collect();
    host.network(&interfaces);
    host.write("proc/stat", stat);
    host.write("proc/diskstats", disks);
    host.write("proc/1/mountinfo", mounts);
}

/// A tick is a record, and a record is never split.
fn expect_one_batch(samples: Vec<Sample>) {
    assert!(samples.len() <= SERIES_PER_BATCH_MAX, "{} samples", samples.len());
    let mut series: Vec<_> = samples.iter().map(|sample| &sample.series).collect();
    series.sort();
    series.dedup();
    assert_eq!(series.len(), samples.len(), "no series has two values in one tick");
    assert!(samples.iter().all(|sample| sample.series.labels.is_sorted()));
    let run = Run { number: 1, nonce: 0 };
    let stream = Stream { source: SourceId([0; 16]), run };
    let content = Content::Tick(samples.into());
    let record = Record { stream, start: 0, end: 1, time_us: 0, content };
    assert!(record.weight() < BODY_BYTES_MAX, "{} bytes", record.weight());
}
