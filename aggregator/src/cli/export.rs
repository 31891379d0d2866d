//! `headwater export file`: a log file as it was, byte for byte.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::args::ExportFile;
use super::client::{Client, encoded};
use super::failure::{Exit, Failure};
use super::look::logs::complete;
use super::output::{Output, escape, units};
use crate::api::rows::{ExportRow, HoleRow, RunRow};

/// Writes a file to standard output, or to a file.
///
/// # Errors
/// `Partly` if something of it is not there, `NotFound` if nothing is, `Conflict` if a file would be replaced; what the aggregator
/// says, or that it can't be reached.
pub(crate) async fn run(
    client: &Client,
    output: &Output,
    args: &ExportFile,
) -> Result<(), Failure> {
    let mut target = match &args.output {
        Some(path) => Some(Target::open(path, args.force)?),
        None => None,
    };
    let mut rows = client.lines(&asked(args)).await?;
    let (mut runs, mut holes) = (0_u32, Vec::new());
    while let Some(row) = rows.next::<ExportRow>().await? {
        match row {
            ExportRow::Run(run) => {
                runs += 1;
                tell_run(output, args, &run);
            }
            ExportRow::Bytes(text) => {
                let bytes = STANDARD.decode(text).map_err(|error| {
                    Failure::new(Exit::Failed, "cannot read a piece of the aggregator's answer")
                        .cause_of(&error)
                })?;
                match &mut target {
                    Some(target) => target.write(&bytes)?,
                    None => output.bytes(&bytes)?,
                }
            }
            ExportRow::Hole(hole) => {
                output.note(&told(&hole));
                holes.push(hole);
            }
        }
    }
    if runs == 0 {
        complete(rows.left_out())?;
        return Err(nothing(args));
    }
    if let Some(target) = target {
        target.finish(args.force)?;
    }
    if holes.is_empty() {
        return complete(rows.left_out());
    }
    Err(incomplete(&holes, rows.left_out()))
}

fn asked(args: &ExportFile) -> String {
    let (device, file) = (encoded(&args.device), encoded(&args.path));
    let mut path = format!("/api/v1/export/file?device={device}&path={file}");
    for (key, time_us) in [("from_us", args.from), ("to_us", args.to)] {
        if let Some(time_us) = time_us {
            path.push_str(&format!("&{key}={time_us}"));
        }
    }
    if let Some(run) = args.run {
        path.push_str(&format!("&run={run}"));
    }
    path
}

fn tell_run(output: &Output, args: &ExportFile, run: &RunRow) {
    if run.of == 1 || args.run.is_some() {
        return;
    }
    if run.number == 1 {
        output.note(&format!(
            "{} has {} runs: it was rotated, truncated or made anew. They come one behind the other · one alone: --run N",
            escape::visible(&args.path),
            run.of
        ));
    }
    let [first, last] = [run.first, run.last].map(|time| units::time_to_second(time.0));
    output.note(&format!("run {} of {}: read {first} to {last}", run.number, run.of));
}

fn told(hole: &HoleRow) -> String {
    let HoleRow { start, end, cause, records, bytes } = hole;
    let cause = escape::visible(cause);
    if start == end {
        let lost = units::bytes(*bytes);
        return format!("at byte {start}: {cause}, {records} records and {lost} are missing");
    }
    format!("bytes {start} to {end} are not there: {cause}")
}

fn nothing(args: &ExportFile) -> Failure {
    let file = format!("\"{}\" of {}", args.path, args.device);
    let what = match args.run {
        Some(run) => format!("no line of run {run} of {file} is stored that fits"),
        None => format!("no line of {file} is stored that fits"),
    };
    Failure::new(Exit::NotFound, what)
        .next(format!("headwater ledger show {} names every file that was read", args.device))
}

fn incomplete(holes: &[HoleRow], left_out: &[String]) -> Failure {
    let bytes = holes.iter().map(|hole| hole.end - hole.start).sum();
    let (count, bytes) = (units::count(holes.len() as u64, "hole"), units::bytes(bytes));
    let what = format!("the file is not complete: {count}, {bytes} are not there");
    let shown = holes.iter().take(HOLES_SHOWN);
    let failure =
        shown.fold(Failure::new(Exit::Partly, what), |it, hole| it.fact("hole", told(hole)));
    let failure = left_out.iter().fold(failure, |it, file| it.fact("file", file.as_str()));
    failure.next("headwater ledger show DEVICE --gaps says what was declared missing, and why")
}

/// Holes that are named again at the end; each was named where it lies.
const HOLES_SHOWN: usize = 10;

/// A file that is being written: it has its name once it is complete.
struct Target {
    path: PathBuf,
    partial: PathBuf,
    file: File,
}

impl Target {
    fn open(path: &Path, force: bool) -> Result<Self, Failure> {
        if !force && path.symlink_metadata().is_ok() {
            return Err(taken(path));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name else {
            return Err(Failure::new(Exit::Usage, format!("{} is no file", path.display())));
        };
        let partial = path.with_file_name(format!(".{name}.partial-{}", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&partial);
        let file = file.map_err(|error| failed("write", &partial, &error))?;
        Ok(Self { path: path.to_owned(), partial, file })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| failed("write", &self.partial, &error))
    }

    fn finish(self, force: bool) -> Result<(), Failure> {
        let named = match force {
            true => fs::rename(&self.partial, &self.path),
            // Fails if the name was taken meanwhile.
            false => fs::hard_link(&self.partial, &self.path),
        };
        match named {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(taken(&self.path)),
            named => named.map_err(|error| failed("give its name to", &self.path, &error)),
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It has its name by now, or nobody wants it.
        drop(fs::remove_file(&self.partial));
    }
}

fn taken(path: &Path) -> Failure {
    Failure::new(Exit::Conflict, format!("{} is there already", path.display()))
        .next("another --output, or --force to replace it")
}

fn failed(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("cannot {what} {}", path.display())).cause_of(error)
}
