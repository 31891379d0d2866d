//! The `headwater` command line: words in, one command, one exit code out.
//!
//! Commands that look at a running aggregator ask it over its local socket (`client`) and print what
//! it answers (`output`). `init`, `serve` and `up` are the aggregator. What goes wrong is a `Failure`,
//! which says what, where, why and what comes next.

mod alerts;
pub mod args;
mod backup;
pub(crate) mod client;
mod console;
mod doctor;
mod export;
pub mod failure;
mod help;
mod ledger;
mod look;
pub mod output;
pub(crate) mod program;
mod progress;
mod restore;
pub(crate) mod serve;
mod sinks;
mod sql;
mod thresholds;
mod tokens;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstream::ColorChoice;
use clap::{CommandFactory, Parser};

use crate::api;
use args::{
    Alerts, Args, Audited, Color, Command, Devices, Export, Global, Ledger, Notices, Sinks,
    Thresholds,
};
use client::Client;
use failure::{Exit, Failure};
use headwater_protocol::wire::{PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use output::{Format, Output};

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // A terminal that can't be written has nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.code() } else { ExitCode::SUCCESS };
        }
    };
    colour(&args.global);
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.what.is_empty() {
                failure.report();
            }
            failure.exit.code()
        }
    }
}

fn colour(global: &Global) {
    let choice = match (global.no_color, global.color) {
        (true, _) | (_, Color::Never) => ColorChoice::Never,
        (_, Color::Always) => ColorChoice::Always,
        (_, Color::Auto) => ColorChoice::Auto,
    };
    choice.write_global();
}

fn run(args: Args) -> Result<(), Failure> {
    let Args { global, command } = args;
    let output = output_of(&global);
    if global.version {
        return output.text(&format!("headwater {}\n", env!("CARGO_PKG_VERSION")));
    }
    match command {
        None => short_help(&output),
        Some(Command::Version) => version(&output),
        Some(Command::Init(init)) => serve::init(&global, &output, init.dir),
        Some(Command::Serve) => serve::run(&global, &output),
        Some(Command::Doctor) => doctor::run(&global, &output),
        Some(Command::Backup(backup)) => backup::run(&global, &output, &backup),
        Some(Command::Restore(restore)) => restore::run(&global, &output, &restore),
        Some(Command::Up(up)) => crate::up::run(&up, &output),
        Some(Command::Sql(sql)) => sql::run(&global, &output, &sql),
        Some(Command::Thresholds { command: Some(Thresholds::Apply(apply)) })
            if apply.validate_only =>
        {
            thresholds::validate(&output, &apply.file)
        }
        Some(asking) => ask(&global, &output, asking),
    }
}

fn output_of(global: &Global) -> Output {
    let format = match (global.json, global.ndjson) {
        (true, _) => Format::Json,
        (_, true) => Format::Ndjson,
        _ if std::io::stdout().is_terminal() => Format::Human,
        _ => Format::Plain,
    };
    Output {
        format,
        wide: global.wide,
        columns: global.columns.clone(),
        quiet: global.quiet,
        verbose: global.verbose,
    }
}

fn short_help(output: &Output) -> Result<(), Failure> {
    let help = Args::command().render_help();
    output.text(&format!("{}\n{}", help.ansi(), help::NEXT))
}

fn version(output: &Output) -> Result<(), Failure> {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), option_env!("HEADWATER_COMMIT"));
    let commit = commit.unwrap_or("unknown");
    let target = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    if output.is_json() {
        return output.document(&serde_json::json!({
            "version": version,
            "commit": commit,
            "target": target,
            "protocol_oldest": PROTOCOL_OLDEST,
            "protocol_newest": PROTOCOL_NEWEST,
        }));
    }
    output.text(&format!(
        "headwater {version}\ncommit     {commit}\ntarget     {target}\n\
         protocol   {PROTOCOL_OLDEST} to {PROTOCOL_NEWEST}\n"
    ))
}

/// Commands that ask a running aggregator.
fn ask(global: &Global, output: &Output, command: Command) -> Result<(), Failure> {
    let client = Client::new(socket(global)?, global.timeout);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Failure::new(Exit::Failed, "cannot start the runtime").cause_of(&error))?;
    runtime.block_on(async {
        tokio::select! {
            done = answer(global, &client, output, command) => done,
            _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "")),
        }
    })
}

async fn answer(
    global: &Global,
    client: &Client,
    output: &Output,
    command: Command,
) -> Result<(), Failure> {
    match command {
        Command::Tokens { command } => tokens::run(client, output, command).await,
        Command::Devices { command: None | Some(Devices::Ls) } => {
            look::devices::list(client, output).await
        }
        Command::Devices { command: Some(Devices::Revoke(named)) } => {
            agreed(global, &format!("revoke {}", named.name), "its session is closed at once")?;
            look::devices::revoke(client, output, &named.name).await
        }
        Command::Devices { command: Some(Devices::Restore(named)) } => {
            look::devices::restore(client, output, &named.name).await
        }
        Command::Device(named) | Command::Devices { command: Some(Devices::Show(named)) } => {
            look::devices::show(client, output, &named.name).await
        }
        Command::Alerts { command, all } => {
            let all = all || matches!(command, Some(Alerts::Ls { all: true }));
            alerts::list(client, output, all).await
        }
        Command::Notices { command: None | Some(Notices::Ls) } => {
            alerts::notices(client, output).await
        }
        Command::Thresholds { command: None | Some(Thresholds::Ls) } => {
            thresholds::list(client, output).await
        }
        Command::Thresholds { command: Some(Thresholds::Apply(apply)) } => {
            thresholds::apply(client, output, global, &apply).await
        }
        Command::Sinks { command } => {
            sinks::run(client, output, command.unwrap_or(Sinks::Status)).await
        }
        Command::Tap(tap) => look::tap::run(client, output, &tap).await,
        Command::Explore(explore) => look::explore::run(client, output, &explore).await,
        Command::Logs(logs) => look::logs::run(client, output, &logs).await,
        Command::Export { command: Export::File(file) } => export::run(client, output, &file).await,
        Command::Ledger { command } => {
            let all = Audited { device: None, all: true, gaps: false };
            ledger::run(client, output, command.unwrap_or(Ledger::Show(all))).await
        }
        Command::Console => console::run(client, output).await,
        Command::Up(_)
        | Command::Init(_)
        | Command::Serve
        | Command::Doctor
        | Command::Backup(_)
        | Command::Restore(_)
        | Command::Sql(_)
        | Command::Version => unreachable!("commands that ask nobody are run elsewhere"),
    }
}

/// Asks the user whether to do what can't be undone.
fn agreed(global: &Global, what: &str, effect: &str) -> Result<(), Failure> {
    if global.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(Exit::Refused, format!("will not {what} without being asked to"))
            .cause(format!("{effect}, and nobody is there to confirm it"))
            .next("the same with --yes"));
    }
    let mut question = anstream::stderr().lock();
    // A question that can't be shown is not answered with yes.
    let _ = write!(question, "{what}? {effect} [y/N] ");
    let _ = question.flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(Failure::new(Exit::Interrupted, "nothing was changed")),
    }
}

/// The socket to ask: the one that is named, that of the configuration, that of `headwater up` in
/// this folder, that of the service.
fn socket(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(server) = &global.server {
        let named = server.to_string_lossy();
        return Ok(named.strip_prefix("unix:").map_or_else(|| server.clone(), PathBuf::from));
    }
    let of_up = api::file_of(Path::new(UP_FOLDER));
    if global.config.is_none() && is_mine(&of_up) {
        return Ok(of_up);
    }
    Ok(api::file_of(&serve::data_dir(global)?))
}

/// The folder of `headwater up`.
const UP_FOLDER: &str = "headwater-data";

/// Whether a socket is there that its own user made. In a folder where anybody may write, another
/// user's socket could answer, and be told things.
fn is_mine(socket: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let me = rustix::process::geteuid().as_raw();
    std::fs::symlink_metadata(socket).is_ok_and(|found| found.uid() == me)
}
