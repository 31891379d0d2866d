//! The measured claims: `make bench`, or `cargo run --release -p headwater-benches -- --quick` for a look.
//!
//! Real programs, built as they ship, on loopback: a log file from its first byte to the last ack, an
//! idle agent, the ack at low load against the bare disk, the console with a thousand devices, fleets of up to ten
//! thousand, what a kill costs with a GiB stored, what averages take on one core, and what samples take by themselves.
//! It prints tables, writes
//! `benches/results/results.json` and, if all was measured in full, `docs/benchmarks.md`; it ends with 1
//! if the median of a figure misses its goal, or is more than a fifth worse than what `benches/results/recorded.json` says of it.
//! Both are of CPU, memory and ratios within one run; never of the wall clock. `--record` writes that file, in part if only
//! some claims are measured: `cargo run --release -p headwater-benches -- --record commits`. `--record` alone writes
//! the page as well.
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

use anyhow::{Context, Result};

use measure::{
    Effort, ack, averages, commits, connections, console, events, growth, herd, idle, lines, peers,
    restart, samples, throughput,
};
use report::{Machine, Recorded, Report};
use site::{Others, Programs};

fn main() -> Result<ExitCode> {
    let asked = Asked::read()?;
    namespace::enter();
    let alone = namespace::is_alone();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the crate has a folder")?;
    let programs = Programs::find()?;
    let mut machine = Machine::look(&programs, root, alone)?;
    let others = Others::find()?;
    if others.is_none() && asked.claims.iter().any(|claim| matches!(claim, Claim::Peers)) {
        eprintln!("without the programs of others: HEADWATER_BENCH_PEERS=$(packaging/dev/peers)");
    }
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
            Claim::Connections => connections::measure(&programs, asked.effort)?,
            Claim::Herd => herd::measure(&programs, asked.effort)?,
            Claim::Growth => growth::measure(&programs, asked.effort)?,
            Claim::Restart => restart::measure(&programs, asked.effort)?,
            Claim::Averages => averages::measure(&programs, asked.effort)?,
            Claim::Lines => lines::measure(&programs, asked.effort)?,
            Claim::Peers => match &others {
                Some(others) => peers::measure(&programs, others, asked.effort)?,
                None => continue,
            },
            Claim::Samples => match sampling.take() {
                Some(sampling) => samples::measure(sampling, asked.effort)?,
                None => continue,
            },
        });
    }
    machine.look_again();
    let report = Report { machine, command: asked.command.clone(), sections };
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
    let behind = compare(&report, &asked, root)?;
    for figure in &behind {
        writeln!(out, "\nfell behind: {figure}")?;
    }
    Ok(if missed.is_empty() && behind.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What fell behind what was recorded, or nothing where this run is the record or too short to be compared.
fn compare(report: &Report, asked: &Asked, root: &Path) -> Result<Vec<String>> {
    if !asked.is_full {
        return Ok(Vec::new());
    }
    let mut recorded = Recorded::read(root)?;
    if asked.is_record {
        recorded.take(report);
        recorded.write(root)?;
    }
    Ok(recorded.behind(report))
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
    Connections,
    Herd,
    Growth,
    Restart,
    Averages,
    Lines,
    Peers,
    Samples,
}

impl Claim {
    /// In the order in which they are measured, by the words that ask for them.
    const ALL: [(&str, Self); 14] = [
        ("log", Self::Log),
        ("events", Self::Events),
        ("idle", Self::Idle),
        ("ack", Self::Ack),
        ("commits", Self::Commits),
        ("console", Self::Console),
        ("connections", Self::Connections),
        ("herd", Self::Herd),
        ("growth", Self::Growth),
        ("restart", Self::Restart),
        ("averages", Self::Averages),
        ("lines", Self::Lines),
        ("peers", Self::Peers),
        ("samples", Self::Samples),
    ];

    fn of(word: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|(name, _)| *name == word);
        found.map(|(_, claim)| claim).with_context(|| {
            let names = Self::ALL.map(|(name, _)| format!("[{name}]"));
            format!("{word}? usage: headwater-benches [--quick] [--record] {}", names.join(" "))
        })
    }
}

/// What the command line and the environment say.
#[derive(Debug)]
struct Asked {
    effort: Effort,
    claims: Vec<Claim>,
    /// Whether the page is written: only where every claim is measured in full.
    is_published: bool,
    /// Whether it took as long as what was recorded.
    is_full: bool,
    /// Whether its ratios are to be recorded.
    is_record: bool,
    /// What repeats it.
    command: String,
}

impl Asked {
    fn read() -> Result<Self> {
        let (mut effort, mut claims) = (Effort::FULL, Vec::new());
        let (mut is_published, mut is_full, mut is_record) = (true, true, false);
        for argument in std::env::args().skip(1) {
            match argument.as_str() {
                "--quick" => (effort, is_full, is_published) = (Effort::QUICK, false, false),
                "--record" => is_record = true,
                word => {
                    claims.push(Claim::of(word)?);
                    is_published = false;
                }
            }
        }
        let mut command = "make bench".to_owned();
        if let Ok(mib) = std::env::var(MIB) {
            let range = 1..=65_536;
            let size = mib.parse().ok().filter(|mib| range.contains(mib));
            effort.log_mib =
                size.with_context(|| format!("{MIB} is {mib:?}, expected {range:?}"))?;
            command = format!("{MIB}={mib} {command}");
            is_full = false;
        }
        if claims.is_empty() {
            claims = Claim::ALL.map(|(_, claim)| claim).to_vec();
        }
        Ok(Self { effort, claims, is_published, is_full, is_record, command })
    }
}

/// Size of the log in MiB.
const MIB: &str = "HEADWATER_BENCH_MIB";
