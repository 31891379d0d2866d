//! Averages by themselves: what an event costs on one core, from its batch to the partials of its window.

use anyhow::Result;
use serde::Deserialize;

use super::Effort;
use crate::report::{Better, Figure, Section};
use crate::site::Programs;

/// What `headwater-kernels averages` prints.
#[derive(Deserialize)]
struct Averages {
    devices: usize,
    ticks: usize,
    combinations: usize,
    keys: usize,
    bytes_per_device: f64,
    open_ns: Vec<f64>,
    add_ns: Vec<f64>,
    close_ns: Vec<f64>,
    whole_ns: Vec<f64>,
}

impl Averages {
    /// Both runs as one.
    fn and(mut self, other: Self) -> Self {
        self.open_ns.extend(other.open_ns);
        self.add_ns.extend(other.add_ns);
        self.close_ns.extend(other.close_ns);
        self.whole_ns.extend(other.whole_ns);
        self
    }
}

/// Averages a small and a large fleet, in batches of 10 and 60 ticks.
pub(crate) fn measure(programs: &Programs, effort: Effort) -> Result<Section> {
    let mut figures = Vec::new();
    let mut keys = Vec::new();
    let [small, large] = effort.averaged_devices;
    let mut combinations = 0;
    for (ticks, names) in [(10, &NAMES_10), (60, &NAMES_60)] {
        let (before, many) =
            (run(programs, small, ticks, false)?, run(programs, large, ticks, false)?);
        // The large fleet takes minutes, in which a machine may become another.
        let few = before.and(run(programs, small, ticks, false)?);
        let spread = run(programs, small, ticks, true)?;
        keys = vec![few.keys, many.keys];
        combinations = few.combinations;
        figures.extend(parts(&few, &names.few, 10.0));
        figures.extend(parts(&many, &names.many, 100.0));
        figures.extend(with_quantiles(&spread, &few, &names.quantiles));
        let ratio = |of: fn(&Averages) -> f64| vec![of(&many) / of(&few)];
        figures.push(
            Figure::new(names.whole_ratio, "", ratio(whole)).at_most(1.5).recorded(Better::Less),
        );
        figures.push(
            Figure::new(names.add_ratio, "", ratio(added)).at_most(2.0).recorded(Better::Less),
        );
    }
    Ok(Section {
        title: "Averages on one core",
        workload: format!(
            "{small} and {large} devices with four labels in 64 shards, each with 3 series and a tick a second, by {combinations} \
             combinations of one to three labels, `device` among them; windows of 10 s, held for a minute; {} and {} keys in \
             each window; batches of all devices in another order each round, of 10 and of 60 ticks",
            keys[0], keys[1],
        ),
        notes: vec![
            "An event is the samples of one device at one moment. Times are CPU time of one thread. Opening is from a \
             batch's bytes to its records; adding, from the records to the figures of their windows; closing, from those \
             to the partials by every combination, as the merge fold gets them. Bytes of a device are what the process \
             grew by, its labels and the figures of all windows that are held."
                .to_owned(),
            "With quantiles all combinations keep them, and each of the ten samples of a window is a value of its own."
                .to_owned(),
            "Batches of 60 ticks are of six windows, five of which have passed when they come.".to_owned(),
            "The small fleet is measured before and after the large one. The prototypes added columns of numbers to tables \
             that a number finds; they looked for no device, and opened nothing."
                .to_owned(),
        ],
        figures,
    })
}

fn run(programs: &Programs, devices: usize, ticks: usize, quantiles: bool) -> Result<Averages> {
    eprintln!("averages: {devices} devices, batches of {ticks} ticks, quantiles: {quantiles}");
    let mut command = programs.kernels();
    command.args(["averages", &devices.to_string(), &ticks.to_string(), &quantiles.to_string()]);
    let found: Averages = serde_json::from_str(&programs.finish(&mut command)?)?;
    anyhow::ensure!((found.devices, found.ticks) == (devices, ticks), "it measured another fleet");
    Ok(found)
}

fn parts(found: &Averages, names: &Parts, add_at_most: f64) -> [Figure; 5] {
    let [open, add, close, whole] = names.times;
    let limit = names.add_limit.to_owned();
    [
        Figure::new(open, "ns/event", found.open_ns.clone()),
        Figure::new(add, "ns/event", found.add_ns.clone()).limit(limit).at_most(add_at_most),
        Figure::new(close, "ns/event", found.close_ns.clone()),
        // 5 million events a second.
        Figure::new(whole, "ns/event", found.whole_ns.clone()).at_most(200.0),
        Figure::new(names.memory, "B", vec![found.bytes_per_device]),
    ]
}

/// What quantiles of every combination cost more.
fn with_quantiles(spread: &Averages, few: &Averages, names: &[&'static str; 3]) -> [Figure; 3] {
    let [add, all, memory] = *names;
    // Half of what is added without them: a limit that the next stage has.
    let ratio = |of: fn(&Averages) -> f64| vec![of(spread) / of(few)];
    let more = spread.bytes_per_device - few.bytes_per_device;
    [
        Figure::new(add, "", ratio(added)).at_most(2.0),
        Figure::new(all, "", ratio(whole)).at_most(2.0).recorded(Better::Less),
        Figure::new(memory, "B", vec![more]),
    ]
}

fn whole(found: &Averages) -> f64 {
    Figure::new("", "", found.whole_ns.clone()).median()
}

fn added(found: &Averages) -> f64 {
    Figure::new("", "", found.add_ns.clone()).median()
}

/// Names of the figures of one size of batch.
struct Names {
    few: Parts,
    many: Parts,
    quantiles: [&'static str; 3],
    whole_ratio: &'static str,
    add_ratio: &'static str,
}

/// Names of the figures of one fleet.
struct Parts {
    times: [&'static str; 4],
    add_limit: &'static str,
    memory: &'static str,
}

const NAMES_10: Names = Names {
    few: Parts {
        times: [
            "10 ticks, small fleet: open",
            "10 ticks, small fleet: add",
            "10 ticks, small fleet: close",
            "10 ticks, small fleet: all",
        ],
        add_limit: "3.8 to 4.8, prototype",
        memory: "10 ticks, small fleet: memory of a device",
    },
    many: Parts {
        times: [
            "10 ticks, large fleet: open",
            "10 ticks, large fleet: add",
            "10 ticks, large fleet: close",
            "10 ticks, large fleet: all",
        ],
        add_limit: "43 to 56, prototype",
        memory: "10 ticks, large fleet: memory of a device",
    },
    quantiles: [
        "10 ticks, small fleet: add, with / without quantiles",
        "10 ticks, small fleet: all, with / without quantiles",
        "10 ticks, small fleet: more memory of a device by quantiles",
    ],
    whole_ratio: "10 ticks: all, large / small fleet",
    add_ratio: "10 ticks: add, large / small fleet",
};

const NAMES_60: Names = Names {
    few: Parts {
        times: [
            "60 ticks, small fleet: open",
            "60 ticks, small fleet: add",
            "60 ticks, small fleet: close",
            "60 ticks, small fleet: all",
        ],
        add_limit: "1.4 to 2.9, prototype",
        memory: "60 ticks, small fleet: memory of a device",
    },
    many: Parts {
        times: [
            "60 ticks, large fleet: open",
            "60 ticks, large fleet: add",
            "60 ticks, large fleet: close",
            "60 ticks, large fleet: all",
        ],
        add_limit: "14 to 21, prototype",
        memory: "60 ticks, large fleet: memory of a device",
    },
    quantiles: [
        "60 ticks, small fleet: add, with / without quantiles",
        "60 ticks, small fleet: all, with / without quantiles",
        "60 ticks, small fleet: more memory of a device by quantiles",
    ],
    whole_ratio: "60 ticks: all, large / small fleet",
    add_ratio: "60 ticks: add, large / small fleet",
};
