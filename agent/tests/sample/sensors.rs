//! Temperatures, and the number of processes.

use std::fs;

use headwater_agent::config::{ProcessDetail, SampleConfig};
use headwater_agent::sample::Sampler;

use crate::host::{Host, by_name, of, told};

#[test]
fn sensors_are_named_by_chip_and_label_and_told_apart_by_their_device() {
    let host = Host::new();
    host.add_sensor("hwmon2", "nvme", "nvme0", "41850");
    host.add_sensor("hwmon10", "nvme", "nvme1", "-500");
    host.add_sensor("hwmon1", "coretemp", "coretemp.0", "63000");
    host.write("sys/class/hwmon/hwmon1/temp1_label", "Package id 0\n");
    host.write("sys/class/hwmon/hwmon1/fan1_input", "1200\n");
    let mut sampler = host.sampler();
    let expected = [
        ("temperature.celsius{sensor=coretemp/Package id 0}", 63_000),
        ("temperature.celsius{sensor=nvme@nvme0/temp1}", 41_850),
        ("temperature.celsius{sensor=nvme@nvme1/temp1}", -500),
    ];
    assert_eq!(
        of(&host.take(&mut sampler), "temperature."),
        expected.map(|(series, value)| (series.to_owned(), value))
    );
    assert_eq!(told(&mut sampler), [] as [&str; 0]);
}

#[test]
fn a_sensor_that_says_no_temperature_is_left_out_and_told_once() {
    let host = Host::new();
    host.add_sensor("hwmon0", "a", "x", "20000");
    host.add_sensor("hwmon1", "b", "y", "hot");
    host.add_sensor("hwmon2", "c", "z", "9999999999999999999999999999999999");
    fs::create_dir_all(host.path("sys/class/hwmon/hwmon3/temp1_input")).unwrap();
    let mut sampler = host.sampler();
    for _ in 0..3 {
        let samples = of(&host.take(&mut sampler), "temperature.");
        assert_eq!(samples, [("temperature.celsius{sensor=a/temp1}".to_owned(), 20_000)]);
    }
    let faults = told(&mut sampler);
    assert_eq!(faults.len(), 3, "{faults:?}");
    host.write("sys/class/hwmon/hwmon1/temp1_input", "21000\n");
    assert_eq!(of(&host.take(&mut sampler), "temperature.").len(), 2, "it says one");
}

#[test]
fn sensors_that_are_plugged_in_and_out_are_found() {
    let host = Host::new();
    let mut sampler = host.sampler();
    let mut sensors = || {
        // Within the ticks between two looks at what there is.
        (0..100).map(|_| of(&host.take(&mut sampler), "temperature.").len()).last()
    };
    assert_eq!(sensors(), Some(0), "a host without sensors");
    host.add_sensor("hwmon0", "drivetemp", "0:0:0:0", "30000");
    assert_eq!(sensors(), Some(1));
    fs::remove_dir_all(host.path("sys/class/hwmon/hwmon0")).unwrap();
    assert_eq!(sensors(), Some(0));
}

#[test]
fn processes_are_counted_if_that_is_wanted() {
    let host = Host::new();
    for process in ["proc/22", "proc/333", "proc/irq"] {
        fs::create_dir_all(host.path(process)).unwrap();
    }
    assert_eq!(by_name(&host.take(&mut host.sampler()))["processes.count"], 3, "1, 22 and 333");
    let config = SampleConfig { processes: ProcessDetail::Off, ..host.config() };
    let samples = by_name(&host.take(&mut Sampler::new(&config)));
    assert!(!samples.contains_key("processes.count"));
}
