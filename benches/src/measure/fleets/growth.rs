//! What an event costs the aggregator while more and more devices share the work.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{SERIES, Stage, count};
use crate::measure::Effort;
use crate::report::{Better, Figure, Section};
use crate::site::{Plan, Programs};

/// Measures fleets of several sizes that send as many events a second.
pub(crate) fn measure(programs: &Programs, effort: Effort) -> Result<Section> {
    let mut found = Vec::new();
    for devices in effort.growing_devices {
        eprintln!("growth: {devices} devices");
        found.push(Carried::by(programs, devices, effort)?);
    }
    let mut figures = Vec::new();
    for Carried { devices, micros, events_per_second, resident_bytes } in &found {
        let name = format!("aggregator's CPU, {devices} devices");
        figures.push(Figure::new(name, "µs/event", micros.clone()));
        let name = format!("events, {devices} devices");
        figures.push(Figure::new(name, "1/s", vec![*events_per_second]));
        let name = format!("aggregator RSS, {devices} devices");
        figures.push(Figure::new(name, "MB", vec![resident_bytes / 1e6]));
    }
    if let [fewest, .., most] = &found[..] {
        let ratios = fewest.micros.iter().zip(&most.micros).map(|(few, many)| many / few);
        let name = format!("CPU, {} / {} devices", most.devices, fewest.devices);
        figures.push(
            Figure::new(name, "", ratios.collect())
                .limit("1, the same work".to_owned())
                .at_most(1.5)
                .recorded(Better::Less),
        );
    }
    Ok(Section {
        title: "Work that more and more devices share",
        workload: format!(
            "{} devices, each fleet with an aggregator of its own, that together send {EVENTS_PER_SECOND} events a second, \
             each event a batch of its own; watched for {} s, in three parts, from {} s after all were served",
            effort.growing_devices.map(|devices| devices.to_string()).join(", "),
            effort.growth_seconds,
            SETTLED.as_secs(),
        ),
        figures,
        notes: vec![format!(
            "An event is the samples of one device at one moment: {SERIES} of them. The work is the same for each fleet but for \
             what is done for each device: sessions, ledgers, latest samples, and the figures of each window, which many \
             devices fill with one event each and few with hundreds. With {} devices that is an event every ten \
             seconds from each.",
            EVENTS_PER_SECOND * 10,
        )],
    })
}

/// What ten devices reach, each of which waits for an ack before it sends the next event: some 15 ms.
const EVENTS_PER_SECOND: usize = 400;
/// A window and more: what is held of windows has been held by then.
const SETTLED: Duration = Duration::from_secs(20);
const PARTS: u32 = 3;

/// What the aggregator took for the events of one fleet.
struct Carried {
    devices: usize,
    /// Of each part.
    micros: Vec<f64>,
    events_per_second: f64,
    resident_bytes: f64,
}

impl Carried {
    fn by(programs: &Programs, devices: usize, effort: Effort) -> Result<Self> {
        let interval = Duration::from_secs_f64(count(devices) / count(EVENTS_PER_SECOND));
        let plan = Plan { devices, series: SERIES, interval, files: 0 };
        let mut stage = Stage::new(programs, plan)?;
        std::thread::sleep(SETTLED);
        let begun = Instant::now();
        let first = stage.look()?;
        let (mut last, mut micros) = (first, Vec::new());
        for _ in 0..PARTS {
            std::thread::sleep(Duration::from_secs(effort.growth_seconds) / PARTS);
            let now = stage.look()?;
            micros.push((now.cpu_seconds - last.cpu_seconds) * 1e6 / (now.events - last.events));
            last = now;
        }
        Ok(Self {
            devices,
            micros,
            events_per_second: (last.events - first.events) / begun.elapsed().as_secs_f64(),
            resident_bytes: stage.site.aggregator.usage()?.resident_bytes,
        })
    }
}

/// Where an aggregator is.
#[derive(Clone, Copy)]
struct Look {
    cpu_seconds: f64,
    events: f64,
}

impl Stage {
    fn look(&mut self) -> Result<Look> {
        let events = self.batches()?;
        self.fleet.usage()?;
        Ok(Look { cpu_seconds: self.site.aggregator.usage()?.cpu_seconds, events })
    }
}
