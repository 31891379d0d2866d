//! Lines by themselves: what is stored of them, and the time to seal and to open them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Effort;
use super::samples::Rows;
use crate::report::{Better, Figure, Section};
use crate::site::Programs;
use crate::workload;

/// What `headwater-kernels` prints.
#[derive(Deserialize)]
struct Lines {
    bytes: usize,
    lines: usize,
    stored: usize,
    travelled: usize,
    steady_lines: usize,
    steady_travelled: usize,
    seal_ns: f64,
    open_ns: f64,
    files: Option<Rows>,
}

/// Measures the mix of lines and events of 6 KB.
pub(crate) fn measure(programs: &Programs, effort: Effort) -> Result<Section> {
    let folder = tempfile::Builder::new().prefix("hwbench.").tempdir_in(programs.work())?;
    let (mix, events) = (folder.path().join("mix"), folder.path().join("events"));
    let bytes = effort.sealed_mib << 20;
    workload::write(&mix, bytes).context("write the mix of lines")?;
    workload::write_events(&events, bytes).context("write events")?;
    let run = |path: &Path, batch_bytes: usize| -> Result<Vec<Lines>> {
        (0..effort.runs)
            .map(|_| {
                let mut command = programs.kernels();
                let done = command.arg("lines").arg(path).arg(batch_bytes.to_string()).output()?;
                ensure!(done.status.success(), "headwater-kernels ended with {}", done.status);
                Ok(serde_json::from_slice(&done.stdout)?)
            })
            .collect()
    };
    let (large, small) = (run(&mix, LARGE_BYTES)?, run(&mix, BATCH_BYTES)?);
    let little = run(&mix, LITTLE_BYTES)?;
    let (many, single) = (run(&events, BATCH_BYTES)?, run(&events, 0)?);
    let figures = vec![
        Figure::new("mix, 2.5 MiB a batch", "raw / stored", each(&large, ratio))
            .recorded(Better::More),
        Figure::new("mix, 256 KiB a batch", "raw / stored", each(&small, ratio))
            .recorded(Better::More),
        Figure::new("mix, 8 KiB a batch", "raw / stored", each(&little, ratio)),
        Figure::new("mix, 8 KiB a batch, as it travels", "raw / wire", each(&little, travels))
            .recorded(Better::More),
        Figure::new("sealing the mix", "ns/B", each(&large, |it| by_byte(it, it.seal_ns))),
        Figure::new("opening it", "ns/B", each(&large, |it| by_byte(it, it.open_ns))),
        Figure::new(
            "files of the history, of the mix",
            "%",
            each(&large, |it| filed(it, |files| 100.0 * files.bytes())),
        )
        .limit("16.7, zstd -1 alone".to_owned())
        .at_most(11.1)
        .recorded(Better::Less),
        Figure::new("to make them", "ns/B", each(&large, |it| filed(it, Rows::ns))).at_most(16.7),
        Figure::new("6 KB event, 256 KiB a batch", "B", each(&many, steady))
            .limit("55, prototype with state".to_owned())
            .at_most(60.0)
            .recorded(Better::Less),
        Figure::new("the same, the first ones counted", "B", each(&many, travelled)),
        Figure::new("the same, stored", "B", each(&many, stored)),
        Figure::new("6 KB event, one by one", "B", each(&single, steady))
            .limit("75, prototype with state".to_owned())
            .at_most(80.0)
            .recorded(Better::Less),
        Figure::new("one by one, the first ones counted", "B", each(&single, travelled)),
        Figure::new("one by one, stored", "B", each(&single, stored)),
    ];
    Ok(Section {
        title: "Lines by themselves",
        workload: format!(
            "{} MiB of the mix above, and as many of events of 6 KB: 45 types, 150 fields of JSON, of which 15 \
             vary; sealed as bodies of batches, and opened again",
            effort.sealed_mib
        ),
        notes: vec![
            "A stored body needs no other batch to be read; what both ends of a session know already does not travel (ADR \
             11). Files of the history hold each line as it was, for whoever reads Parquet. Events: bytes of bodies as they travel, of the second half of the file. The prototype kept templates and \
             lists of strings from batch to batch, in what is stored as well."
                .to_owned(),
        ],
        figures,
    })
}

/// Bytes of lines in a batch, as the one that a full agent seals, and as LIMITS was measured with.
const LARGE_BYTES: usize = 2560 << 10;
const BATCH_BYTES: usize = 256 << 10;
/// As a host that writes 35 lines a second.
const LITTLE_BYTES: usize = 8 << 10;

fn each(runs: &[Lines], figure: impl Fn(&Lines) -> f64) -> Vec<f64> {
    runs.iter().map(figure).collect()
}

#[expect(clippy::cast_precision_loss, reason = "files of less than a PiB")]
fn ratio(lines: &Lines) -> f64 {
    lines.bytes as f64 / lines.stored as f64
}

#[expect(clippy::cast_precision_loss, reason = "files of less than a PiB")]
fn travels(lines: &Lines) -> f64 {
    lines.bytes as f64 / lines.travelled as f64
}

#[expect(clippy::cast_precision_loss, reason = "files of less than a PiB")]
fn travelled(lines: &Lines) -> f64 {
    lines.travelled as f64 / lines.lines as f64
}

#[expect(clippy::cast_precision_loss, reason = "files of less than a PiB")]
fn steady(lines: &Lines) -> f64 {
    lines.steady_travelled as f64 / lines.steady_lines as f64
}

/// A figure of the files, by bytes of the lines.
fn filed(lines: &Lines, figure: impl Fn(Rows) -> f64) -> f64 {
    lines.files.map_or(f64::NAN, |files| by_byte(lines, figure(files)))
}

#[expect(clippy::cast_precision_loss, reason = "files of less than a PiB")]
fn by_byte(lines: &Lines, nanoseconds: f64) -> f64 {
    nanoseconds / lines.bytes as f64
}

#[expect(clippy::cast_precision_loss, reason = "files of less than a PiB")]
fn stored(lines: &Lines) -> f64 {
    lines.stored as f64 / lines.lines as f64
}
