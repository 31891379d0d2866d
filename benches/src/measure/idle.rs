//! An agent with little to do: samples, and a file that nobody writes to.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Effort;
use crate::report::{Better, Figure, Section};
use crate::site::{Load, Programs, Site, quiet_load};

/// Watches an idle agent for a while, at two intervals, and once with ten ticks to a batch.
pub(crate) fn measure(programs: &Programs, effort: Effort, alone: bool) -> Result<Section> {
    let slow = watch(programs, effort, "10s", None)?;
    let fast = watch(programs, effort, "1s", None)?;
    let gathered = watch(programs, effort, "1s", Some("9500ms"))?;
    let samples_per_tick = fast.samples_per_second;
    #[expect(clippy::cast_precision_loss, reason = "bytes of a program")]
    let program_bytes = programs.size("headwater-agent")? as f64;
    let mut figures = vec![
        Figure::new("agent RSS", "MB", slow.resident_megabytes.clone())
            .at_most(8.0)
            .limit("5.4, prototype".to_owned())
            .peer(3.2, "collectd", Better::Less),
        Figure::new("agent RSS, peak", "MB", vec![slow.peak_megabytes]).peer(
            16.3,
            "Fluent Bit",
            Better::Less,
        ),
        Figure::new("agent CPU", "s/h", vec![slow.cpu_seconds_per_hour])
            .at_most(0.5)
            .limit("0.33, prototype".to_owned())
            .peer(0.4, "collectd", Better::Less),
        Figure::new("agent CPU, samples each second", "s/h", vec![fast.cpu_seconds_per_hour])
            .at_most(2.0)
            .limit("0.70, prototype".to_owned())
            .peer(4.7, "collectd", Better::Less),
        Figure::new(
            "agent CPU, samples each second, ten to a batch",
            "s/h",
            vec![gathered.cpu_seconds_per_hour],
        )
        .limit("0.70, prototype".to_owned()),
        Figure::new("threads go to sleep", "1/min", vec![slow.sleeps_per_minute]),
        Figure::new("agent program", "MB", vec![program_bytes / 1e6])
            .at_most(6.0)
            .limit("3.6, prototype".to_owned())
            .peer(0.22, "collectd, without its modules", Better::Less),
    ];
    if alone {
        figures.push(Figure::new("wire, all of it", "kB/h", vec![slow.wire_kilobytes_per_hour]));
        let each_second = vec![fast.wire_kilobytes_per_hour];
        figures.push(Figure::new("wire, samples each second", "kB/h", each_second));
        // What a sample cost while its names travelled with it, and the goals since.
        let per_sample = |what, bytes: f64, before: f64| {
            Figure::new(what, "B", vec![bytes]).limit(format!("{before} before"))
        };
        let [slow, fast, gathered] = [slow, fast, gathered].map(|it| it.wire_bytes_per_sample);
        figures.push(per_sample("wire per sample, every 10 s", slow, 18.4).at_most(7.0));
        figures.push(per_sample("wire per sample, each second", fast, 17.6).at_most(7.0));
        let what = "wire per sample, each second, ten to a batch";
        figures.push(per_sample(what, gathered, 17.6).at_most(2.5));
    }
    Ok(Section {
        title: "An idle agent",
        workload: format!(
            "samples of CPU, memory, disks, network, pressure and load, {} values each, every 10 s (and, where it \
             says so, every second), one quiet file; watched for {} s from {} s after the first batch was applied or later, in the middle between two; RSS once a second, \
             the rest once",
            samples_per_tick.round(),
            effort.idle_seconds,
            SETTLED.as_secs(),
        ),
        notes: vec![
            "The prototype had the same libraries and raw reads of /proc, no files to tail, and committed every ten seconds. An \
             agent that seals each sample at once commits each second: `docs/missed-goals.md` has what that takes."
                .to_owned(),
            "collectd has neither a spool nor acks nor TLS; Fluent Bit has a durable buffer."
                .to_owned(),
        ],
        figures,
    })
}

/// What an idle agent took.
#[derive(Debug)]
pub(super) struct Idle {
    resident_megabytes: Vec<f64>,
    pub(super) peak_megabytes: f64,
    pub(super) cpu_seconds_per_hour: f64,
    sleeps_per_minute: f64,
    wire_kilobytes_per_hour: f64,
    samples_per_second: f64,
    /// Everything on the wire, by the samples that were applied meanwhile.
    wire_bytes_per_sample: f64,
}

/// Watches an agent at an interval, with batches sealed at an age.
pub(super) fn watch(
    programs: &Programs,
    effort: Effort,
    sample_interval: &'static str,
    live_seal_after: Option<&'static str>,
) -> Result<Idle> {
    let sealed = live_seal_after.unwrap_or("at once");
    eprintln!("idle: {} s, samples every {sample_interval}, sealed {sealed}", effort.idle_seconds);
    let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
    let quiet = quiet_load(folder.path())?;
    let load = Load { sample_interval, per_cpu: true, live_seal_after, ..quiet };
    let site = Site::new(programs, &load)?;
    let mut agent = site.start_agent()?;
    site.until("the line and a sample are in the ledger", || {
        agent.usage()?;
        Ok(site.records_read("bulk")? > 0 && site.records_read("live")? > 0)
    })?;
    std::thread::sleep(SETTLED);
    // From the middle between two batches: one more or less would be a sixth of all.
    let next_batch = || -> Result<Instant> {
        let known = site.records_read("live")?;
        let has_come = || Ok(site.records_read("live")? > known);
        site.until("the next samples are in the ledger", has_come)?;
        Ok(Instant::now())
    };
    let last = next_batch()?;
    let between = next_batch()?.duration_since(last);
    std::thread::sleep(between / 2);
    let read_before = site.records_read("live")?;
    let (before, wire_before) = (agent.usage()?, site.aggregator.loopback_bytes()?);
    let begun = Instant::now();
    let span = Duration::from_secs(u64::from(effort.idle_seconds));
    let mut resident_megabytes = Vec::new();
    while begun.elapsed() < span {
        std::thread::sleep(Duration::from_secs(1));
        resident_megabytes.push(agent.usage()?.resident_bytes / 1e6);
    }
    let (after, wire_after) = (agent.usage()?, site.aggregator.loopback_bytes()?);
    let read = site.records_read("live")?.saturating_sub(read_before);
    let hours = begun.elapsed().as_secs_f64() / 3600.0;
    // Ticks of 10 ms are coarse for so little; ended threads are missing in the finer count.
    let cpu_seconds = (after.cpu_seconds_of_threads - before.cpu_seconds_of_threads)
        .max(after.cpu_seconds - before.cpu_seconds - 0.01);
    #[expect(clippy::cast_precision_loss, reason = "bytes of a minute")]
    let (wire_bytes, samples) = ((wire_after - wire_before) as f64, read.max(1) as f64);
    Ok(Idle {
        resident_megabytes,
        peak_megabytes: after.resident_bytes_peak / 1e6,
        cpu_seconds_per_hour: cpu_seconds / hours,
        sleeps_per_minute: (after.sleeps - before.sleeps) / (hours * 60.0),
        wire_kilobytes_per_hour: wire_bytes / 1e3 / hours,
        samples_per_second: samples / (hours * 3600.0),
        wire_bytes_per_sample: wire_bytes / samples,
    })
}

/// The start is over by then, and what it brought along: first looks at files, a host that was asked for facts.
const SETTLED: Duration = Duration::from_secs(5);
