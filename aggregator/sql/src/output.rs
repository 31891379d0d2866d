//! Rows on their way to standard output, as they come.

mod cells;
mod human;

use std::io::{self, Write};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::common::DataFusionError;
use futures::StreamExt;

use crate::args::Format;
use crate::query::Running;
use cells::{Cells, Kind};
use human::Human;

/// What was printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Printed {
    /// Rows.
    pub(crate) rows: usize,
    /// Whether there are more, which the limit kept back.
    pub(crate) is_cut: bool,
}

/// Why printing ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrintError {
    /// The query failed.
    #[error("the query failed")]
    Query(#[from] DataFusionError),
    /// Rows that have no text.
    #[error("cannot print a row")]
    Row(#[from] ArrowError),
    /// Nobody takes the rows.
    #[error("cannot write the rows")]
    Write(#[from] io::Error),
}

/// Prints rows until there are no more, or `limit` are printed; 0 is all.
///
/// # Errors
/// If the query fails, or nobody takes them. What was printed until then is a part of the answer.
pub(crate) async fn print(
    running: &mut Running,
    (format, wide): (Format, bool),
    limit: usize,
    out: impl Write,
) -> Result<Printed, PrintError> {
    let mut writer = Writer::new(format, wide, running.schema.clone(), out)?;
    let mut printed = Printed::default();
    while let Some(batch) = running.rows.next().await {
        let mut batch = batch?;
        let room = if limit == 0 { usize::MAX } else { limit - printed.rows };
        if batch.num_rows() > room {
            printed.is_cut = true;
            batch = batch.slice(0, room);
        }
        printed.rows += batch.num_rows();
        writer.write(&batch)?;
        if printed.is_cut {
            break;
        }
    }
    writer.finish()?;
    Ok(printed)
}

/// One of the formats.
enum Writer<W: Write> {
    Human(Human<W>),
    Plain(W),
    /// Whether a row was written.
    Json(W, bool),
    Ndjson(W),
    Csv(W),
    Arrow(Box<StreamWriter<W>>),
}

impl<W: Write> Writer<W> {
    fn new(format: Format, wide: bool, schema: SchemaRef, mut out: W) -> Result<Self, PrintError> {
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        Ok(match format {
            Format::Human => Self::Human(Human::new(out, &schema, wide)),
            Format::Plain => {
                separated(&mut out, names().map(cells::on_one_line), "\t")?;
                Self::Plain(out)
            }
            Format::Json => {
                out.write_all(b"[")?;
                Self::Json(out, false)
            }
            Format::Ndjson => Self::Ndjson(out),
            Format::Csv => {
                separated(&mut out, names().map(cells::quoted_for_csv), ",")?;
                Self::Csv(out)
            }
            Format::Arrow => Self::Arrow(Box::new(StreamWriter::try_new(out, &schema)?)),
        })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), PrintError> {
        if let Self::Arrow(writer) = self {
            return Ok(writer.write(batch)?);
        }
        let cells = Cells::of(batch)?;
        for row in 0..batch.num_rows() {
            match self {
                Self::Human(human) => human.row(cells.row(row)?)?,
                Self::Plain(out) => {
                    let texts = cells.row(row)?;
                    let texts =
                        texts.iter().map(|text| cells::on_one_line(text.as_deref().unwrap_or("-")));
                    separated(out, texts, "\t")?;
                }
                Self::Json(out, has_rows) => {
                    out.write_all(if *has_rows { b",\n" } else { b"\n" })?;
                    *has_rows = true;
                    out.write_all(cells.object(row)?.as_bytes())?;
                }
                Self::Ndjson(out) => writeln!(out, "{}", cells.object(row)?)?,
                Self::Csv(out) => {
                    let texts = cells.row(row)?;
                    let texts = texts.iter().zip(cells.kinds()).map(|(text, kind)| match text {
                        Some(text) if *kind == Kind::Text => cells::quoted_for_csv(text),
                        Some(text) => text.clone(),
                        None => String::new(),
                    });
                    separated(out, texts, ",")?;
                }
                Self::Arrow(_) => unreachable!("whole batches are written above"),
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), PrintError> {
        match self {
            Self::Human(human) => human.finish()?,
            Self::Json(mut out, has_rows) => {
                out.write_all(if has_rows { b"\n]\n" } else { b"]\n" })?;
                out.flush()?;
            }
            Self::Plain(mut out) | Self::Ndjson(mut out) | Self::Csv(mut out) => out.flush()?,
            Self::Arrow(mut writer) => {
                writer.finish()?;
                writer.into_inner()?.flush()?;
            }
        }
        Ok(())
    }
}

fn separated(
    out: &mut impl Write,
    cells: impl Iterator<Item = String>,
    between: &str,
) -> io::Result<()> {
    let cells: Vec<String> = cells.collect();
    writeln!(out, "{}", cells.join(between))
}
