//! Memory of a connected device: how much an aggregator grows from fleet to larger fleet.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{FILES, INTERVAL, SERIES, Stage, count};
use crate::measure::Effort;
use crate::report::{Figure, Section};
use crate::site::{Plan, Programs};

/// Measures fleets of several sizes, each with an aggregator of its own.
pub(crate) fn measure(programs: &Programs, effort: Effort) -> Result<Section> {
    let watched = Duration::from_secs(effort.connected_seconds);
    let mut found = Vec::new();
    for devices in effort.connected_devices {
        eprintln!("connections: {devices} devices");
        found.push(Settled::of(programs, devices, watched)?);
    }
    let slopes: Vec<f64> = found
        .windows(2)
        .map(|pair| {
            let grown = pair[1].resident_bytes - pair[0].resident_bytes;
            grown / 1e3 / (count(pair[1].devices) - count(pair[0].devices))
        })
        .collect();
    let mut figures = vec![
        Figure::new("aggregator RSS, each device", "kB", slopes)
            .limit("77, QUIC alone".to_owned())
            .at_most(131.0),
    ];
    for Settled { devices, resident_bytes, cpu_seconds, .. } in &found {
        let resident = vec![resident_bytes / 1e6];
        figures.push(Figure::new(format!("RSS with {devices} devices"), "MB", resident));
        let cpu = vec![cpu_seconds * 1e3 / watched.as_secs_f64()];
        figures.push(Figure::new(format!("CPU with {devices} devices"), "ms/s", cpu));
    }
    Ok(Section {
        title: "Connected devices",
        workload: format!(
            "fleets of {} devices, each fleet with an aggregator of its own; each device with a session, {SERIES} series \
             every {} s and {FILES} files of which nothing new is read; RSS once all had been served for {} s",
            effort.connected_devices.map(|devices| devices.to_string()).join(", "),
            INTERVAL.as_secs(),
            effort.connected_seconds,
        ),
        figures,
        notes: vec![
            "Memory of a device is the slope of RSS from each fleet to the next larger one: sessions, ledger, windows, latest \
             samples, and what the allocator keeps. What an aggregator takes without devices is in none of it. Caches of \
             databases are; larger fleets fill more of their 26 MiB, so the slope is too high rather than too low."
                .to_owned(),
            "Devices are enrolled in the aggregator's own registry while it does not run, by its own authority; all else goes \
             over QUIC on loopback, with certificates on both sides."
                .to_owned(),
        ],
    })
}

/// What an aggregator takes while a fleet is connected.
struct Settled {
    devices: usize,
    resident_bytes: f64,
    /// While it was watched.
    cpu_seconds: f64,
}

impl Settled {
    fn of(programs: &Programs, devices: usize, watched: Duration) -> Result<Self> {
        let plan = Plan { devices, series: SERIES, interval: INTERVAL, files: FILES };
        let mut stage = Stage::new(programs, plan)?;
        let before = stage.site.aggregator.usage()?;
        let over = Instant::now() + watched;
        while Instant::now() < over {
            std::thread::sleep(Duration::from_secs(1));
            // One of them that has ended is nothing to wait for.
            let (_, _) = (stage.site.aggregator.usage()?, stage.fleet.usage()?);
        }
        let after = stage.site.aggregator.usage()?;
        let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
        Ok(Self { devices, resident_bytes: after.resident_bytes, cpu_seconds })
    }
}
