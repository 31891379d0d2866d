//! Rates and shares of time: exact between two readings, and never made of a counter that went back.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use headwater_agent::config::{Config, SampleConfig};
use headwater_agent::sample::Sampler;

use crate::host::{Host, by_name, of, told};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn what_goes_through_a_disk_is_told_per_second_of_the_time_that_passed() {
    let host = Host::new();
    host.add_disk("sda");
    let line = |reads: u64, read: u64, writes: u64, written: u64, busy_ms: u64| {
        format!("   8  0 sda {reads} 9 {read} 9 {writes} 9 {written} 9 3 {busy_ms} 99 1 2 3 4\n")
    };
    host.write("proc/diskstats", line(10, 100, 20, 200, 1_000));
    let mut sampler = host.sampler();
    assert_eq!(of(&host.take(&mut sampler), "disk.read"), [], "a first reading has no rate");

    host.pass(Duration::from_millis(1_500));
    host.write("proc/diskstats", line(11, 103, 20, 206, 1_750));
    let samples = of(&host.take(&mut sampler), "disk.");
    let expected = [
        ("disk.read_bytes_per_second{disk=sda}", 1_024),
        ("disk.write_bytes_per_second{disk=sda}", 2_048),
        ("disk.reads_per_second{disk=sda}", 67),
        ("disk.writes_per_second{disk=sda}", 0),
        ("disk.busy_ratio{disk=sda}", 5_000),
    ];
    for (series, value) in expected {
        assert!(samples.contains(&(series.to_owned(), value)), "{series} {value}: {samples:?}");
    }

    host.pass(SECOND);
    host.write("proc/diskstats", line(11, 103, 20, 206, 2_754));
    let samples = by_name(&host.take(&mut sampler));
    assert_eq!(samples["disk.busy_ratio"], 10_000, "1,004 ms in a second are the whole of it");
    assert_eq!(told(&mut sampler), [] as [&str; 0]);
}

#[test]
fn whole_disks_are_sampled_and_not_what_is_part_of_them_or_stands_on_them() {
    let host = Host::new();
    let names = ["sda", "sda1", "dm-0", "loop0", "zram0", "sr0", "cciss/c0d0", "nvme0c0n1", ".."];
    for disk in ["sda", "cciss/c0d0", "sr0", "nvme0c0n1"] {
        host.add_disk(disk);
    }
    host.write("sys/block/nvme0c0n1/hidden", "1\n");
    for other in ["dm-0", "loop0", "zram0"] {
        fs::create_dir_all(host.path("sys/block").join(other)).unwrap();
    }
    let line = |name: &&str| format!("   8  0 {name} 1 1 1 1 1 1 1 1 1 1 1\n");
    host.write("proc/diskstats", names.iter().map(line).collect::<String>());
    let mut sampler = host.sampler();
    host.take(&mut sampler);
    host.pass(SECOND);
    let samples = of(&host.take(&mut sampler), "disk.reads");
    assert_eq!(
        samples.iter().map(|(series, _)| series.as_str()).collect::<Vec<_>>(),
        ["disk.reads_per_second{disk=sda}", "disk.reads_per_second{disk=cciss/c0d0}"]
    );
}

#[test]
fn without_the_tree_that_knows_disks_none_is_sampled_until_it_is_there() {
    let host = Host::new();
    fs::remove_dir(host.path("sys/block")).unwrap();
    host.write("proc/diskstats", "   8  0 sda 1 1 1 1 1 1 1 1 1 1 1\n");
    let mut sampler = host.sampler();
    host.take(&mut sampler);
    host.take(&mut sampler);
    let faults = told(&mut sampler);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("sys/block: "), "{faults:?}");
    host.add_disk("sda");
    host.take(&mut sampler);
    host.pass(SECOND);
    assert_eq!(by_name(&host.take(&mut sampler))["disk.reads_per_second"], 0);
}

#[test]
fn interfaces_are_sampled_but_for_those_that_are_excluded() {
    let host = Host::new();
    let names = ["lo", "eth0", "veth12ab", "docker0", "br-77", "bond0.100"];
    host.network(&names.map(|name| (name, [1_000, 5, 7])));
    let mut sampler = host.sampler();
    host.take(&mut sampler);
    host.pass(SECOND * 3);
    host.network(&names.map(|name| (name, [2_000, 6, 7])));
    let samples = of(&host.take(&mut sampler), "network.");
    let of_eth0 = [
        ("network.receive_bytes_per_second{interface=eth0}", 333),
        ("network.transmit_bytes_per_second{interface=eth0}", 0),
        ("network.receive_packets_per_second{interface=eth0}", 33),
        ("network.transmit_packets_per_second{interface=eth0}", 0),
        ("network.receive_errors_per_second{interface=eth0}", 0),
        ("network.transmit_errors_per_second{interface=eth0}", 0),
    ];
    assert_eq!(samples[..6], of_eth0.map(|(series, value)| (series.to_owned(), value)));
    let interfaces: BTreeSet<_> =
        samples.iter().map(|(series, _)| series.split_once('{').unwrap().1).collect();
    assert_eq!(interfaces, ["interface=bond0.100}", "interface=eth0}"].into());
}

#[test]
fn a_counter_that_went_back_is_a_missing_sample_and_never_a_huge_one() {
    let host = Host::new();
    host.network(&[("eth0", [4_294_967_000, 900, 5]), ("eth1", [10, 1, 1])]);
    let mut sampler = host.sampler();
    host.take(&mut sampler);
    host.pass(SECOND);
    // 32 bits are full; what the other counters of eth0 say is not believed either.
    host.network(&[("eth0", [300, 901, 6]), ("eth1", [20, 1, 1])]);
    let samples = of(&host.take(&mut sampler), "network.receive_bytes");
    assert_eq!(samples, [("network.receive_bytes_per_second{interface=eth1}".to_owned(), 10)]);
    host.pass(SECOND);
    host.network(&[("eth0", [800, 901, 6]), ("eth1", [20, 1, 1])]);
    assert_eq!(of(&host.take(&mut sampler), "network.receive_bytes")[0].1, 500);
    assert_eq!(told(&mut sampler), [] as [&str; 0], "it is no fault");
}

#[test]
fn a_thing_that_comes_and_goes_does_not_disturb_the_others() {
    let host = Host::new();
    host.network(&[("eth0", [0, 0, 0]), ("eth2", [0, 0, 0])]);
    let mut sampler = host.sampler();
    host.take(&mut sampler);
    let rates = |interfaces: &[(&str, [u64; 3])], sampler: &mut Sampler| {
        host.pass(SECOND);
        host.network(interfaces);
        let samples = of(&host.take(sampler), "network.receive_bytes");
        samples.iter().map(|(_, rate)| *rate).collect::<Vec<_>>()
    };
    let three = [("eth0", [1, 0, 0]), ("eth1", [1_000_000, 0, 0]), ("eth2", [2, 0, 0])];
    assert_eq!(rates(&three, &mut sampler), [1, 2], "the first reading of eth1 has no rate");
    let three = [("eth2", [4, 0, 0]), ("eth1", [1_000_005, 0, 0]), ("eth0", [4, 0, 0])];
    assert_eq!(rates(&three, &mut sampler), [2, 5, 3], "in another order");
    assert_eq!(rates(&[("eth0", [5, 0, 0])], &mut sampler), [1]);
    let again = [("eth0", [6, 0, 0]), ("eth1", [2_000_000, 0, 0])];
    assert_eq!(rates(&again, &mut sampler), [1], "eth1 had gone: it may be another");
}

#[test]
fn a_malformed_line_is_left_out_and_told_once_and_the_others_go_on() {
    let host = Host::new();
    let text = |eth0: &str| {
        let line = "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0";
        format!("a |\nb |\n eth0: {eth0} {line}\n eth1: 5 {line}\n\u{1b}[31m: 1\n")
    };
    let mut sampler = host.sampler();
    for (eth0, expected) in [("1", 1), ("2", 2), ("-3", 1), ("99999999999999999999", 1), ("4", 1)] {
        host.write("proc/1/net/dev", text(eth0));
        let samples = of(&host.take(&mut sampler), "network.receive_bytes");
        let expected = if eth0 == "1" { 0 } else { expected };
        assert_eq!(samples.len(), expected, "{eth0}: {samples:?}");
        host.pass(SECOND);
    }
    let mut bytes = text("5").into_bytes();
    bytes.extend_from_slice(b"  \xff\xfe: 1 2 3\nno colon\n\0\0\0\n");
    host.write("proc/1/net/dev", bytes);
    assert_eq!(of(&host.take(&mut sampler), "network.receive_bytes").len(), 2);
    let faults = told(&mut sampler);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].contains("net/dev: invalid data"), "{faults:?}");
}

#[test]
fn each_processor_is_sampled_if_that_is_wanted() {
    let host = Host::new();
    let mut sampler = Sampler::new(&SampleConfig { per_cpu: true, ..host.config() });
    let busy = |text: &str, sampler: &mut Sampler| {
        host.write("proc/stat", format!("cpu  1 0 1 1 0 0 0 0 0 0\n{text}intr 1\n"));
        of(&host.take(sampler), "cpu.core_busy")
    };
    let share = |core: u32, value| (format!("cpu.core_busy_ratio{{core={core}}}"), value);
    let none: [(String, i64); 0] = [];
    assert_eq!(busy("cpu0 0 0 0 0 0 0 0 0\ncpu2 0 0 0 0 0 0 0 0\n", &mut sampler), none);
    assert_eq!(
        busy("cpu0 5 0 0 5 0 0 0 0\ncpu2 1 1 1 0 0 0 0 0\n", &mut sampler),
        [share(0, 5_000), share(2, 10_000)]
    );
    assert_eq!(
        busy("cpu0 5 0 0 9 0 0 0 0\ncpu1 9 9 9 9 9 9 9 9\ncpu2 2 1 1 1 0 0 0 0\n", &mut sampler),
        [share(0, 0)],
        "processor 1 was switched on"
    );
    assert_eq!(
        busy("cpu0 1 0 0 19 0 0 0 0\ncpu1 9 9 9 9 9 9 9 9\ncpu2 2 1 1 2 0 0 0 0\n", &mut sampler),
        [share(2, 0)],
        "0 went back, and no time has passed on 1"
    );
    assert_eq!(told(&mut sampler), [] as [&str; 0]);
    assert_eq!(
        busy("cpu0 2 0 0 20 0 0 0 0\ncpu0 9 0 0 99 0 0 0 0\ncpu1 x\n", &mut sampler),
        [share(0, 5_000)],
        "a number that is there twice is sampled once"
    );
    let faults = told(&mut sampler);
    assert!(faults.len() == 1 && faults[0].contains("proc/stat: "), "{faults:?}");
}

#[test]
fn pressure_is_the_share_of_the_time_that_was_waited() {
    let host = Host::new();
    let line = |word: &str, total: u64| {
        format!("{word} avg10=9.99 avg60=0.00 avg300=0.00 total={total}\n")
    };
    let both = |some, full| line("some", some) + &line("full", full);
    host.write("proc/pressure/cpu", both(1_000, 0));
    host.write("proc/pressure/io", both(500, 400));
    let mut sampler = host.sampler();
    assert_eq!(of(&host.take(&mut sampler), "pressure.").len(), 0);
    host.pass(SECOND);
    host.write("proc/pressure/cpu", both(126_000, 0));
    host.write("proc/pressure/io", both(1_500_500, 200));
    let expected = [("pressure.cpu_some_ratio{}", 1_250), ("pressure.io_some_ratio{}", 10_000)];
    assert_eq!(
        of(&host.take(&mut sampler), "pressure."),
        expected.map(|(series, value)| (series.to_owned(), value)),
        "all of io went back, memory is not there"
    );
    assert_eq!(told(&mut sampler), [] as [&str; 0], "a kernel need not have it");
    host.write("proc/pressure/cpu", "some total=\n");
    assert_eq!(of(&host.take(&mut sampler), "pressure.cpu"), []);
    let faults = told(&mut sampler);
    assert!(faults.len() == 1 && faults[0].contains("pressure/cpu: "), "{faults:?}");
}

#[test]
fn what_this_host_moves_is_sampled() {
    let config = SampleConfig { per_cpu: true, disk: false, ..Config::default().sample };
    let mut sampler = Sampler::new(&config);
    let mut seen = BTreeSet::new();
    let deadline = Instant::now() + Duration::from_secs(5);
    // The kernel counts a processor's time in ticks of some milliseconds.
    while !seen.contains("cpu.core_busy_ratio") || !seen.contains("processes.count") {
        for sample in sampler.take(Instant::now) {
            assert!(sample.value >= 0 || sample.series.metric == "temperature.celsius");
            if sample.series.metric.ends_with("_ratio") {
                assert!(sample.value <= 10_000, "{sample:?}");
            }
            seen.insert(sample.series.metric.clone());
        }
        assert!(Instant::now() < deadline, "{seen:?}");
        std::thread::yield_now();
    }
}
