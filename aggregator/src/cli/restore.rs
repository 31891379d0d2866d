//! `headwater restore`: a backup in the place of a data folder, or the proof that it could be.

use std::path::Path;

use serde::Serialize;

use super::args::{Global, Restore};
use super::failure::{Exit, Failure};
use super::output::{Output, Signs, units};
use super::progress::Progress;
use super::serve;
use crate::api::rows::Moment;
use crate::backup::{self, CONFIGURATION, Checked, Manifest, RestoreError};

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    node: &'a str,
    log: &'a str,
    made: Moment,
    files: usize,
    bytes: u64,
    entries: u64,
    /// Records in the log; `null` if it was not replayed.
    records: Option<u64>,
    /// Records that the log misses without a gap; `null` as above.
    missing: Option<u64>,
    /// Records that stand in it twice; `null` as above.
    repeated: Option<u64>,
    /// Where it was put; `null` if it was only checked.
    into: Option<String>,
}

/// Checks a backup, and puts it into a data folder unless it is only to be checked.
///
/// # Errors
/// `CheckSaysNo` if it is not whole and was only to be checked, `Refused` if nothing was restored for the same reason or
/// because the data folder holds data.
pub(super) fn run(global: &Global, output: &Output, restore: &Restore) -> Result<(), Failure> {
    let folder = &restore.backup;
    let (exit, what) = match restore.verify {
        true => (Exit::CheckSaysNo, "this backup can't be restored"),
        false => (Exit::Refused, "will not restore this backup"),
    };
    let no = |error: &dyn std::error::Error| {
        Failure::new(exit, what)
            .fact("where", folder.display().to_string())
            .cause_of(error)
            .next("another backup: nothing was changed")
    };
    let manifest = Manifest::read(folder).map_err(|error| no(&error))?;
    let (mut progress, mut done) = (Progress::new(output), 0);
    let checked = manifest.check_files(folder, |bytes| {
        done += bytes;
        progress.show("", (done, manifest.bytes()), done);
    });
    progress.clear();
    checked.map_err(|error| no(&error))?;
    if restore.verify {
        let (mut progress, mut done) = (Progress::new(output), 0);
        let checked = backup::check_databases(folder, &manifest, |entries| {
            done += entries;
            progress.show("entries", (done, manifest.entries()), 0);
        });
        progress.clear();
        return verified(output, folder, (&manifest, &checked.map_err(|error| no(&error))?));
    }
    let into = match &restore.into {
        Some(into) => into.clone(),
        None => serve::data_dir(global)?,
    };
    let (mut progress, mut done) = (Progress::new(output), 0);
    let restored = backup::restore(folder, &manifest, &into, |bytes| {
        done += bytes;
        progress.show("", (done, manifest.bytes()), done);
    });
    progress.clear();
    restored.map_err(|error| not_restored(&into, &error))?;
    print_restored(output, (folder, &into), &manifest)
}

fn not_restored(into: &Path, error: &RestoreError) -> Failure {
    let place = into.display().to_string();
    match error {
        RestoreError::NotEmpty { found, .. } => {
            Failure::new(Exit::Refused, "will not restore over data that is there")
                .fact("where", place.clone())
                .cause(format!("it holds {found} already; nothing was changed"))
                .next(format!("mv {place} {place}.before, then the same; files of its history may be moved back before the start"))
        }
        error => Failure::new(Exit::Failed, "cannot restore the backup")
            .fact("where", place)
            .cause_of(error)
            .next("mend that, empty the folder, then the same; the backup was not changed"),
    }
}

fn verified(
    output: &Output,
    folder: &Path,
    (manifest, checked): (&Manifest, &Checked),
) -> Result<(), Failure> {
    let lanes = &checked.report.lanes;
    let sum = |of: fn(&crate::node::LaneReport) -> u64| lanes.iter().map(of).sum::<u64>();
    let (records, missing, repeated) =
        (sum(|lane| lane.totals.records), sum(|lane| lane.missing), sum(|lane| lane.repeated));
    if output.is_json() {
        output.document(&Document {
            records: Some(records),
            missing: Some(missing),
            repeated: Some(repeated),
            ..document(manifest)
        })?;
    }
    if !checked.report.is_clean() {
        return Err(Failure::new(Exit::CheckSaysNo, "the log in this backup does not add up")
            .fact("where", folder.display().to_string())
            .cause(format!(
                "{missing} records missing, {repeated} repeated, or a chain that is broken"
            ))
            .next("another backup; restored, this one says where: headwater ledger verify --all"));
    }
    if output.is_json() {
        return Ok(());
    }
    let Signs { good, dot, .. } = Signs::of_locale();
    output.note(&format!(
        "{good} backup of {} of {} {dot} {} in {} as they were {dot} the log replays: {} in {} entries, 0 missing, 0 repeated",
        manifest.node,
        units::time_to_second(manifest.made.0),
        units::bytes(manifest.bytes()),
        units::count(manifest.files.len() as u64, "file"),
        units::count(records, "record"),
        units::grouped(manifest.entries() + checked.merged),
    ));
    output.note(&format!("next: headwater restore {}", folder.display()));
    Ok(())
}

fn print_restored(
    output: &Output,
    (folder, into): (&Path, &Path),
    manifest: &Manifest,
) -> Result<(), Failure> {
    if output.is_json() {
        let into = Some(into.display().to_string());
        return output.document(&Document { into, ..document(manifest) });
    }
    let Signs { good, dot, .. } = Signs::of_locale();
    output.note(&format!(
        "{good} backup of {} of {} restored into {} {dot} the next start raises the log's generation, and agents send again what it lacks",
        manifest.node,
        units::time_to_second(manifest.made.0),
        into.display(),
    ));
    let configuration = folder.join(CONFIGURATION);
    if configuration.exists() {
        output.note(&format!(
            "its configuration stays at {}: compare it with yours",
            configuration.display()
        ));
    }
    output.note(
        "next: put the files of the history back, if they are kept elsewhere; then headwater serve",
    );
    Ok(())
}

fn document(manifest: &Manifest) -> Document<'_> {
    Document {
        node: &manifest.node,
        log: &manifest.log,
        made: manifest.made,
        files: manifest.files.len(),
        bytes: manifest.bytes(),
        entries: manifest.entries(),
        records: None,
        missing: None,
        repeated: None,
        into: None,
    }
}
