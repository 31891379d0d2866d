//! `headwater backup`: all that an aggregator can't do without, in a folder.

use std::path::{Path, PathBuf};

use super::args::{Backup, Global};
use super::client::{Chunks, Client};
use super::failure::{Exit, Failure};
use super::output::{Output, Signs, units};
use super::progress::Progress;
use super::{UP_FOLDER, is_mine, serve, socket};
use crate::backup::{CONFIGURATION, Manifest, Pieces, ReceiveError, Receiver, Wanted};
use crate::node::{Node, SourcesError};

/// Asks the aggregator that runs, or opens the databases of one that is stopped, and writes the folder.
///
/// # Errors
/// What is in the way. What is in the folder then is no backup.
pub(super) fn run(global: &Global, output: &Output, backup: &Backup) -> Result<(), Failure> {
    let folder = &backup.backup;
    let client = Client::new(socket(global)?, global.timeout);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::new(Exit::Failed, "cannot start the runtime").cause_of(&error))?;
    let asked = runtime.block_on(async {
        tokio::select! {
            asked = ask(&client, folder, (global, output)) => asked,
            _ = tokio::signal::ctrl_c() => {
                Err(unfinished(folder, Failure::new(Exit::Interrupted, "the backup was not made")))
            }
        }
    })?;
    // Once the runtime is gone an interrupt ends the process, as one that has nobody to tell.
    drop(runtime);
    let manifest = match asked {
        Asked::Made(manifest) => manifest,
        Asked::Nobody(failure) => of_stopped(folder, (global, output), failure)?,
    };
    print(output, folder, &manifest)
}

/// What came of asking.
enum Asked {
    /// The backup is made.
    Made(Manifest),
    /// Nobody answers.
    Nobody(Failure),
}

async fn ask(
    client: &Client,
    folder: &Path,
    (global, output): (&Global, &Output),
) -> Result<Asked, Failure> {
    match client.chunks("/api/v1/backup").await {
        Ok(chunks) => of_running(chunks, folder, (global, output)).await.map(Asked::Made),
        Err(failure) if failure.exit == Exit::Unreachable && global.server.is_none() => {
            Ok(Asked::Nobody(failure))
        }
        Err(failure) => Err(failure),
    }
}

async fn of_running(
    mut chunks: Chunks,
    folder: &Path,
    (global, output): (&Global, &Output),
) -> Result<Manifest, Failure> {
    let refused = |error| refused(folder, &error);
    let mut receiver = Receiver::begin(folder).map_err(refused)?;
    let (mut pieces, mut progress) = (Pieces::default(), Progress::new(output));
    while let Some(chunk) = chunks.next().await.map_err(|failure| unfinished(folder, failure))? {
        pieces.take(&chunk);
        while let Some(piece) = pieces.next().map_err(|error| {
            unfinished(
                folder,
                Failure::new(Exit::Failed, "cannot take the backup").cause_of(&error),
            )
        })? {
            receiver.take(piece).map_err(refused)?;
        }
        let far = receiver.progress();
        progress.show("", far, far.0);
    }
    progress.clear();
    finish(receiver, folder, global)
}

/// One that is stopped: its databases are opened here, and by nobody else meanwhile.
fn of_stopped(
    folder: &Path,
    (global, output): (&Global, &Output),
    unreachable: Failure,
) -> Result<Manifest, Failure> {
    let data_dir = data_dir(global)?;
    let sources = match Node::sources(&data_dir) {
        Ok(sources) => sources,
        Err(SourcesError::NoNode { folder }) => {
            let looked = format!("no data in {} either", folder.display());
            return Err(unreachable.fact("where", looked));
        }
        Err(error @ SourcesError::InUse { .. }) => {
            return Err(Failure::new(
                Exit::Conflict,
                "an aggregator has the data folder open, and does not answer",
            )
            .cause_of(&error)
            .next("once more when it answers (headwater devices), or when it has stopped"));
        }
        Err(error) => {
            return Err(Failure::new(Exit::Failed, "cannot open the data folder")
                .fact("where", data_dir.display().to_string())
                .cause_of(&error)
                .next("headwater doctor"));
        }
    };
    let refused = |error| refused(folder, &error);
    let mut receiver = Receiver::begin(folder).map_err(refused)?;
    let (mut progress, mut trouble) = (Progress::new(output), None);
    let sent = sources.send(&mut |piece| {
        trouble = receiver.take(piece).err();
        let far = receiver.progress();
        progress.show("", far, far.0);
        if trouble.is_some() { Wanted::Nothing } else { Wanted::More }
    });
    progress.clear();
    match (trouble, sent) {
        (Some(error), _) => Err(refused(error)),
        (None, Err(error)) => Err(unfinished(
            folder,
            Failure::new(Exit::Failed, "cannot read the data folder").cause_of(&error),
        )),
        (None, Ok(())) => finish(receiver, folder, global),
    }
}

/// Puts the configuration beside the databases, and makes it a backup.
fn finish(mut receiver: Receiver, folder: &Path, global: &Global) -> Result<Manifest, Failure> {
    if let Some(file) = configuration(global) {
        let bytes = std::fs::read(&file).map_err(|error| {
            let failure = Failure::new(Exit::Config, "cannot read the configuration");
            unfinished(folder, failure.fact("where", file.display().to_string()).cause_of(&error))
        })?;
        receiver.put_file(CONFIGURATION, &bytes).map_err(|error| refused(folder, &error))?;
    }
    receiver.finish().map_err(|error| refused(folder, &error))
}

/// The data folder of the aggregator that the other commands would ask.
fn data_dir(global: &Global) -> Result<PathBuf, Failure> {
    if global.config.is_none() && is_mine(&Path::new(UP_FOLDER).join(CONFIGURATION)) {
        return Ok(PathBuf::from(UP_FOLDER));
    }
    serve::data_dir(global)
}

/// The file of its configuration. `None` if there is none, or whose socket was asked is not known.
fn configuration(global: &Global) -> Option<PathBuf> {
    let of_up = Path::new(UP_FOLDER).join(CONFIGURATION);
    if global.config.is_none() && global.server.is_none() && is_mine(&of_up) {
        return Some(of_up);
    }
    let of_host =
        serve::config_file(global).filter(|_| global.config.is_some() || global.server.is_none());
    of_host.map(Path::to_owned)
}

fn print(output: &Output, folder: &Path, manifest: &Manifest) -> Result<(), Failure> {
    if output.is_json() {
        return output.document(manifest);
    }
    let Signs { good, dot, .. } = Signs::of_locale();
    let shown = folder.display();
    output.note(&format!(
        "{good} backup of {} in {shown} {dot} {} in {} {dot} {} entries of log",
        manifest.node,
        units::bytes(manifest.bytes()),
        units::count(manifest.files.len() as u64, "file"),
        units::grouped(manifest.entries()),
    ));
    output.note(&format!(
        "it holds the private keys of the authority {dot} files of the history are not in it"
    ));
    output.note(&format!("next: headwater restore {shown} --verify"));
    Ok(())
}

fn unfinished(folder: &Path, failure: Failure) -> Failure {
    let next = format!("delete {}: what is in it is no backup; then once more", folder.display());
    let mut failure = failure;
    failure.facts.retain(|(word, _)| *word != "next");
    failure.next(next)
}

fn refused(folder: &Path, error: &ReceiveError) -> Failure {
    match error {
        ReceiveError::NotEmpty { folder } => {
            Failure::new(Exit::Refused, "will not write a backup among other files")
                .fact("where", folder.display().to_string())
                .cause("the folder is not empty")
                .next("name a folder that is new or empty")
        }
        ReceiveError::BrokenOff => {
            let failure = Failure::new(Exit::Unreachable, "the backup was broken off");
            unfinished(folder, failure.cause("the aggregator ended before it had handed all over"))
        }
        error => {
            unfinished(folder, Failure::new(Exit::Failed, "cannot make the backup").cause_of(error))
        }
    }
}
