//! Events of 6 KB, from the file to the last ack: what each takes of the aggregator.

use anyhow::Result;

use super::Effort;
use super::throughput::{Run, ship};
use crate::report::{Figure, Section};
use crate::site::{Programs, load_file};
use crate::workload::{self, Written};

/// Ships the events as often as asked.
pub(crate) fn measure(programs: &Programs, effort: Effort, alone: bool) -> Result<Section> {
    let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
    let file = load_file(folder.path());
    let written = workload::write_events(&file, effort.log_mib << 20)?;
    let mut runs = Vec::new();
    for run in 0..effort.runs {
        eprintln!("events: run {} of {}, {} events", run + 1, effort.runs, written.lines);
        runs.push(ship(programs, &file, written, run == 0)?);
    }
    Ok(Section {
        title: "Events of 6 KB, from the file to the last ack",
        workload: format!(
            "{} events, {} MiB: 45 types, 150 fields of JSON, of which 15 vary",
            written.lines,
            written.bytes >> 20
        ),
        notes: vec![
            "Intake, log, fold and all else that the aggregator does; its log was read again after each run, and \
             every event compared after the first one."
                .to_owned(),
        ],
        figures: figures(&runs, written, alone),
    })
}

#[expect(clippy::cast_precision_loss, reason = "events of a file, bytes of less than a PiB")]
fn figures(runs: &[Run], written: Written, alone: bool) -> Vec<Figure> {
    let events = written.lines as f64;
    let figure = |name, unit, of: &dyn Fn(&Run) -> f64| {
        Figure::new(name, unit, runs.iter().map(of).collect())
    };
    let on_the_wire = |run: &Run| if alone { run.loopback_bytes } else { run.batch_bytes };
    vec![
        figure("aggregator CPU, each event", "µs", &|run| {
            run.aggregator.cpu_seconds * 1e6 / events
        })
        .limit("5, decoding at 0.7 ns/B".to_owned())
        .at_most(12.0),
        figure("sender CPU", "s/GiB", &|run| run.agent.cpu_seconds / written.gib()),
        figure("wire, each event", "B", &|run| on_the_wire(run) / events),
        figure("agent RSS, peak", "MB", &|run| run.agent.resident_bytes_peak / 1e6).at_most(40.0),
    ]
}
