//! `headwater sql`: runs `headwater-sql`, which is a process of its own so that no query can hurt intake.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::args::{Global, Sql};
use super::failure::{Exit, Failure};
use super::output::{Format, Output};
use super::{UP_FOLDER, is_mine, program, serve, socket};
use crate::api;

/// What the program is called.
const NAME: &str = "headwater-sql";

/// Runs a query.
///
/// # Errors
/// If there is no such program, no history, or the query was not answered: the program has told why.
pub(super) fn run(global: &Global, output: &Output, sql: &Sql) -> Result<(), Failure> {
    if !global.columns.is_empty() {
        return Err(Failure::new(Exit::Usage, "sql takes no --columns")
            .next("name them in the query: SELECT time, host, body FROM events"));
    }
    let program = program::find(NAME)?;
    let mut asked = Command::new(&program);
    asked.args(words(global, output, sql)?);
    let ended = asked.status().map_err(|error| {
        Failure::new(Exit::Failed, format!("cannot run {}", program.display())).cause_of(&error)
    })?;
    told(ended)
}

fn words(global: &Global, output: &Output, sql: &Sql) -> Result<Vec<OsString>, Failure> {
    let mut words: Vec<OsString> = vec!["--format".into(), format(output, sql).into()];
    let timeout_ms = global.timeout.as_millis();
    words.extend(["--timeout".into(), format!("{timeout_ms}ms").into()]);
    let more = [
        ("--limit", sql.limit.map(|limit| limit.to_string())),
        ("--memory", sql.memory.clone()),
        ("--rest", sql.rest.clone()),
    ];
    for (word, value) in more {
        words.extend(value.into_iter().flat_map(|value| [word.into(), value.into()]));
    }
    words.extend(output.wide.then(|| "--wide".into()));
    words.extend(output.quiet.then(|| "--quiet".into()));
    let (socket, history) = places(global)?;
    words.extend(["--socket".into(), socket.into()]);
    words.extend(history.into_iter().flat_map(|it| ["--history".into(), it.into()]));
    words.extend(["--".into(), sql.query.clone().into()]);
    Ok(words)
}

fn format(output: &Output, sql: &Sql) -> &'static str {
    match output.format {
        _ if sql.csv => "csv",
        _ if sql.arrow => "arrow",
        Format::Json => "json",
        Format::Ndjson => "ndjson",
        Format::Human => "human",
        Format::Plain => "plain",
    }
}

/// The socket to ask, and the folder of the files for when nobody answers there: those of `headwater up` in this folder, those of
/// the configuration. No folder, if only a running aggregator can tell.
fn places(global: &Global) -> Result<(PathBuf, Option<PathBuf>), Failure> {
    if global.server.is_some() {
        return Ok((socket(global)?, None));
    }
    let of_up = Path::new(UP_FOLDER).join("history");
    if global.config.is_none() && is_mine(&of_up) {
        return Ok((api::file_of(Path::new(UP_FOLDER)), Some(of_up)));
    }
    Ok((socket(global)?, serve::config(global)?.history.folder))
}

/// How it ended, as our own exit code; what it had to say, it has said.
fn told(ended: ExitStatus) -> Result<(), Failure> {
    use std::os::unix::process::ExitStatusExt;
    let exit = match ended.code() {
        Some(0) => return Ok(()),
        Some(2) => Exit::Usage,
        Some(4) => Exit::Unreachable,
        Some(5) => Exit::Denied,
        Some(6) => Exit::NotFound,
        Some(8) => Exit::Partly,
        Some(_) => Exit::Failed,
        None => {
            let signal = ended.signal().unwrap_or(0);
            return Err(Failure::new(Exit::Failed, format!("{NAME} was ended by signal {signal}"))
                .cause("it had more memory or processor time than its process may take")
                .next("--memory 2GiB or --timeout 5m, or fewer rows: WHERE dt = …"));
        }
    };
    Err(Failure::new(exit, ""))
}
