//! A fleet whose aggregator is killed comes back.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{FILES, INTERVAL, SERIES, Stage, count};
use crate::measure::Effort;
use crate::report::{Figure, Section};
use crate::site::{Plan, Programs};

/// Kills the aggregator of a fleet as often as asked.
pub(crate) fn measure(programs: &Programs, effort: Effort) -> Result<Section> {
    let devices = effort.herd_devices;
    eprintln!("herd: {devices} devices");
    let plan = Plan { devices, series: SERIES, interval: INTERVAL, files: FILES };
    let mut stage = Stage::new(programs, plan)?;
    let mut returns = Vec::new();
    for kill in 0..effort.runs {
        eprintln!("herd: kill {} of {}", kill + 1, effort.runs);
        returns.push(Return::after_kill(&mut stage, kill + 2)?);
    }
    let each = |of: fn(&Return) -> f64| returns.iter().map(of).collect::<Vec<_>>();
    let per_session = returns.iter().map(|it| it.cpu_of_sessions() * 1e3 / it.sessions);
    let per_client = returns.iter().map(|it| it.fleet_cpu_seconds * 1e3 / it.sessions);
    Ok(Section {
        title: "A herd",
        workload: format!(
            "{devices} connected devices, {SERIES} series every {} s and {FILES} files each; the aggregator is killed (SIGKILL) \
             and started again at once, {} times",
            INTERVAL.as_secs(),
            effort.runs,
        ),
        figures: vec![
            Figure::new("all are served again, wall", "s", each(|it| it.wall_seconds))
                .limit("30, the budget".to_owned()),
            Figure::new("aggregator answers, wall", "s", each(|it| it.wall_at_start)),
            Figure::new("aggregator's CPU until all are served", "s", each(|it| it.cpu_seconds)),
            Figure::new("of it until it answers", "s", each(|it| it.cpu_at_start)),
            Figure::new("of it for batches, by what one took before", "s", {
                returns.iter().map(Return::cpu_of_batches).collect()
            }),
            Figure::new("the rest, each session", "ms", per_session.collect())
                .limit("0.64, a handshake alone".to_owned()),
            Figure::new("fleet's CPU, each session", "ms", per_client.collect())
                .limit("0.57, a handshake alone".to_owned()),
            Figure::new("sessions opened, each device", "", {
                returns.iter().map(|it| it.sessions / count(devices)).collect()
            }),
            Figure::new("aggregator RSS, peak", "MB", each(|it| it.peak_bytes / 1e6)),
        ],
        notes: vec![
            "A device is served once a batch of its new session is acked. It learns of the kill when it has something to say, \
             at most an interval later, or by a reset; then it comes back like an agent, after pauses of random length that \
             double. The fleet runs on the same processors."
                .to_owned(),
            "A session is a handshake with certificates on both sides, a hello, two lanes, and at least one batch that is \
             committed, folded and acked. Batches of those who are back already come all the time; what they take is told by \
             what each took before the kill."
                .to_owned(),
        ],
    })
}

/// How long an aggregator is looked at before it is killed: each device ticks twice.
const STEADY: Duration = Duration::from_secs(20);

/// How a fleet came back after a kill.
struct Return {
    /// CPU seconds of each batch while all were connected.
    cpu_of_batch: f64,
    batches: f64,
    wall_seconds: f64,
    /// Until the aggregator answers.
    wall_at_start: f64,
    cpu_at_start: f64,
    /// Until all are served.
    cpu_seconds: f64,
    fleet_cpu_seconds: f64,
    sessions: f64,
    peak_bytes: f64,
}

impl Return {
    fn after_kill(stage: &mut Stage, session: usize) -> Result<Self> {
        let before = (stage.site.aggregator.usage()?.cpu_seconds, stage.batches()?);
        std::thread::sleep(STEADY);
        let steady = stage.site.aggregator.usage()?.cpu_seconds - before.0;
        let cpu_of_batch = steady / (stage.batches()? - before.1);
        let fleet_before = stage.fleet.usage()?.cpu_seconds;
        stage.site.kill_aggregator()?;
        let begun = Instant::now();
        stage.site.start_aggregator()?;
        let wall_at_start = begun.elapsed().as_secs_f64();
        let cpu_at_start = stage.site.aggregator.usage()?.cpu_seconds;
        stage.fleet.until_served(&stage.site, session)?;
        let wall_seconds = begun.elapsed().as_secs_f64();
        let usage = stage.site.aggregator.usage()?;
        Ok(Self {
            cpu_of_batch,
            batches: stage.batches()?,
            wall_seconds,
            wall_at_start,
            cpu_at_start,
            cpu_seconds: usage.cpu_seconds,
            fleet_cpu_seconds: stage.fleet.usage()?.cpu_seconds - fleet_before,
            sessions: stage.site.scrape()?.value("headwater_intake_sessions_opened_total")?,
            peak_bytes: usage.resident_bytes_peak,
        })
    }

    fn cpu_of_batches(&self) -> f64 {
        self.cpu_of_batch * self.batches
    }

    /// What it took since it answers, beyond what batches take.
    fn cpu_of_sessions(&self) -> f64 {
        self.cpu_seconds - self.cpu_at_start - self.cpu_of_batches()
    }
}
