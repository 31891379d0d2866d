//! A host's samples by themselves: bytes on the wire and in the log, and the time to code them.

use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::Effort;
use crate::report::{Figure, Section};
use crate::site::Programs;

/// What `headwater-kernels` prints.
#[derive(Deserialize)]
struct Samples {
    series: usize,
    still: usize,
    by_rows: Vec<Sealed>,
    file: Rows,
    files: Rows,
}

/// What rows of the history take, as `headwater-kernels` prints it.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct Rows {
    rows: u64,
    bytes: u64,
    cpu_seconds: f64,
}

#[expect(clippy::cast_precision_loss, reason = "rows and bytes of some minutes")]
impl Rows {
    pub(super) fn bytes(self) -> f64 {
        self.bytes as f64
    }

    fn bytes_per_row(self) -> f64 {
        self.bytes() / self.rows as f64
    }

    fn ns_per_row(self) -> f64 {
        self.ns() / self.rows as f64
    }

    pub(super) fn ns(self) -> f64 {
        self.cpu_seconds * 1e9
    }
}

#[derive(Deserialize)]
struct Sealed {
    rows: usize,
    wire_bytes_per_sample: f64,
    body_bytes_per_sample: f64,
    code_ns: f64,
    complete_ns: f64,
}

/// Samples this host while other claims are measured.
pub(crate) fn begin(programs: &Programs, effort: Effort) -> Result<Child> {
    let mut command = programs.kernels();
    command.args(["samples", &effort.sampled_seconds.to_string()]).stdout(Stdio::piped());
    command.spawn().with_context(|| format!("run {command:?}"))
}

/// Waits for the samples, and says what they took.
pub(crate) fn measure(sampling: Child, effort: Effort) -> Result<Section> {
    eprintln!("samples: until {} s of this host are taken", effort.sampled_seconds);
    let done = sampling.wait_with_output()?;
    ensure!(done.status.success(), "headwater-kernels ended with {}", done.status);
    let found: Samples = serde_json::from_slice(&done.stdout)?;
    let mut figures = Vec::new();
    for sealed in &found.by_rows {
        let name = |names: [&'static str; 3]| match sealed.rows {
            60 => names[0],
            10 => names[1],
            _ => names[2],
        };
        let frame = Figure::new(
            name(["frame, 60 ticks", "frame, 10 ticks", "frame, 1 tick"]),
            "B/sample",
            vec![sealed.wire_bytes_per_sample],
        );
        figures.push(match sealed.rows {
            60 => frame.limit("0.89, prototype of the body".to_owned()).at_most(1.0),
            10 => frame.limit("0.89, prototype of the body".to_owned()).at_most(1.2),
            _ => frame,
        });
        figures.push(Figure::new(
            name(["stored body, 60 ticks", "stored body, 10 ticks", "stored body, 1 tick"]),
            "B/sample",
            vec![sealed.body_bytes_per_sample],
        ));
    }
    if let Some(one) = found.by_rows.iter().find(|sealed| sealed.rows == 1) {
        figures.push(Figure::new("sender: code and try", "ns/sample", vec![one.code_ns]));
        figures.push(Figure::new("node: complete", "ns/sample", vec![one.complete_ns]));
    }
    figures.push(
        Figure::new("file of the history, all of it", "B/sample", vec![found.file.bytes_per_row()])
            .at_most(2.0),
    );
    figures.push(
        Figure::new("files of 64 devices, to make", "ns/sample", vec![found.files.ns_per_row()])
            .at_most(1_000.0),
    );
    Ok(Section {
        title: "A host's samples",
        workload: format!(
            "this host, sampled each second for {} s while the rest was measured: {} series, of which {} never \
             changed; sealed as batches of 60, 10 and 1 ticks, and sent one after the other in one session",
            effort.sampled_seconds, found.series, found.still,
        ),
        notes: vec![
            "A frame is all that Headwater puts on a stream: its head, what of a batch's header is new, the body \
             as it is coded. Batches that follow another are counted; the first of a session is complete."
                .to_owned(),
            "A stored body is what the log and the spool hold, beside some 190 bytes of header: it needs no other \
             batch to be read."
                .to_owned(),
            "A file of the history holds the same ticks as rows of Parquet, its footer counted; larger ones take less a sample. \
             To make files is to read the log, to fold its headers, to open bodies, to encode and to sync; the devices measure \
             what this host did, each beginning at another of its ticks."
                .to_owned(),
        ],
        figures,
    })
}
