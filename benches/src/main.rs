//! The measured claims: `make bench`, or `cargo run --release -p headwater-benches -- --quick` for a look.
//!
//! Real programs, built as they ship, on loopback: a log file from its first byte to the last ack, an
//! idle agent, the ack at low load against the bare disk, the console with a thousand devices, what a kill
//! costs with a GiB stored, what averages take on one core, and what samples take by themselves. It prints tables, writes
//! `benches/results/results.json` and, if all was measured in full, `docs/benchmarks.md`; it ends with 1
//! if the median of a figure misses its goal. Goals are bounds of CPU, memory and ratios within one run; never of the wall clock.
//!
//! `HEADWATER_BENCH_MIB` sets the size of the log, `HEADWATER_BENCH_DIR` the folder whose disk is used.
//! As root it runs in a network namespace of its own, whose loopback counts every byte on the wire.

mod measure;
mod namespace;
mod report;
mod site;
mod workload;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use measure::{
    Effort, ack, averages, commits, console, events, idle, lines, restart, samples, throughput,
};
use report::{Machine, Report};
use site::Programs;

fn main() -> Result<ExitCode> {
    let asked = Asked::read()?;
    namespace::enter();
    let alone = namespace::is_alone();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate has a folder")?;
    let programs = Programs::find()?;
    let mut machine = Machine::look(&programs, root, alone)?;
    let mut sections = Vec::new();
    let is_sampled = asked.claims.iter().any(|claim| matches!(claim, Claim::Samples));
    let mut sampling = is_sampled.then(|| samples::begin(&programs, asked.effort)).transpose()?;
    for claim in &asked.claims {
        sections.push(match claim {
            Claim::Log => throughput::measure(&programs, asked.effort, alone)?,
            Claim::Events => events::measure(&programs, asked.effort, alone)?,
            Claim::Idle => idle::measure(&programs, asked.effort, alone)?,
            Claim::Ack => ack::measure(&programs, asked.effort)?,
            Claim::Commits => commits::measure(&programs, asked.effort)?,
            Claim::Console => console::measure(&programs, asked.effort)?,
            Claim::Restart => restart::measure(&programs, asked.effort)?,
            Claim::Averages => averages::measure(&programs, asked.effort)?,
            Claim::Lines => lines::measure(&programs, asked.effort)?,
            Claim::Samples => match sampling.take() {
                Some(sampling) => samples::measure(sampling, asked.effort)?,
                None => continue,
            },
        });
    }
    machine.look_again();
    let report = Report { machine, command: asked.command, sections };
    let mut out = std::io::stdout().lock();
    report.print(&mut out)?;
    report.write_results(root)?;
    if asked.is_published {
        report.write_page(root)?;
    }
    let missed = report.missed();
    for figure in &missed {
        writeln!(out, "\nmissed: {figure}")?;
    }
    Ok(if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What can be measured.
#[derive(Clone, Copy, Debug)]
enum Claim {
    Log,
    Events,
    Idle,
    Ack,
    Commits,
    Console,
    Restart,
    Averages,
    Lines,
    Samples,
}

/// What the command line and the environment say.
#[derive(Debug)]
struct Asked {
    effort: Effort,
    claims: Vec<Claim>,
    /// Whether the page is written: only where every claim is measured in full.
    is_published: bool,
    /// What repeats it.
    command: String,
}

impl Asked {
    fn read() -> Result<Self> {
        let (mut effort, mut claims) = (Effort::FULL, Vec::new());
        let mut is_published = true;
        for argument in std::env::args().skip(1) {
            is_published = false;
            match argument.as_str() {
                "--quick" => effort = Effort::QUICK,
                "log" => claims.push(Claim::Log),
                "events" => claims.push(Claim::Events),
                "idle" => claims.push(Claim::Idle),
                "ack" => claims.push(Claim::Ack),
                "commits" => claims.push(Claim::Commits),
                "console" => claims.push(Claim::Console),
                "restart" => claims.push(Claim::Restart),
                "averages" => claims.push(Claim::Averages),
                "lines" => claims.push(Claim::Lines),
                "samples" => claims.push(Claim::Samples),
                other => bail!("{other}? usage: headwater-benches {USAGE}"),
            }
        }
        let mut command = "make bench".to_owned();
        if let Ok(mib) = std::env::var(MIB) {
            let range = 1..=65_536;
            let size = mib.parse().ok().filter(|mib| range.contains(mib));
            effort.log_mib =
                size.with_context(|| format!("{MIB} is {mib:?}, expected {range:?}"))?;
            command = format!("{MIB}={mib} {command}");
        }
        if claims.is_empty() {
            claims = vec![
                Claim::Log,
                Claim::Events,
                Claim::Idle,
                Claim::Ack,
                Claim::Commits,
                Claim::Console,
            ];
            claims.extend([Claim::Restart, Claim::Averages, Claim::Lines, Claim::Samples]);
        }
        Ok(Self { effort, claims, is_published, command })
    }
}

const USAGE: &str = "[--quick] [log] [events] [idle] [ack] [commits] [console] [restart] [averages] [lines] [samples]";

/// Size of the log in MiB.
const MIB: &str = "HEADWATER_BENCH_MIB";
