//! The command line of `headwater-agent`. CLI page, sections 1 and 2.

mod doctor;
mod enrolling;
mod error;
mod running;
mod spooling;

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::error::CliError;
use self::running::Until;
use crate::config::{Config, Loaded, commented_defaults};
use crate::status;

/// Ships this host's metrics and logs to a Headwater aggregator, each record once.
#[derive(Debug, Parser)]
#[command(name = "headwater-agent", version, before_long_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Global {
    /// Configuration file.
    #[arg(short, long, global = true, value_name = "FILE", env = "HEADWATER_AGENT_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the agent until it is told to stop.
    Run {
        /// Stay in the foreground, which it always does: for units that say so.
        #[arg(long)]
        foreground: bool,
        /// Stop as if told to when stdin closes: for a parent that holds the other end of a pipe.
        #[arg(long)]
        until_stdin_closes: bool,
    },
    /// Join a fleet: a join token becomes this host's identity.
    #[command(before_long_help = ENROL_EXAMPLES)]
    Enrol(enrolling::EnrolArgs),
    /// Show how the running agent stands.
    Status {
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Find what is in the way of the agent on this host, and what mends it: exit code 9 if something is.
    #[command(before_long_help = DOCTOR_EXAMPLES)]
    Doctor {
        /// One JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Look at what is kept on this host's disk until it is stored.
    #[command(subcommand, before_long_help = SPOOL_EXAMPLES)]
    Spool(spooling::SpoolCommand),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read the configuration and say what is wrong with it.
    Check,
    /// Print the complete commented file, every default shown.
    Init,
}

/// Runs the command line and gives the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout and are no errors; nobody reads a closed one.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match dispatch(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.print();
            error.code()
        }
    }
}

fn dispatch(cli: Cli) -> Result<(), CliError> {
    let config = cli.global.config;
    match cli.command {
        None => {
            print(NO_COMMAND);
            Ok(())
        }
        Some(Command::Run { foreground: _, until_stdin_closes }) => {
            let until = if until_stdin_closes { Until::StdinCloses } else { Until::Told };
            running::run(load(config)?, until)
        }
        Some(Command::Enrol(args)) => enrolling::enrol(args, || load(config)),
        Some(Command::Status { json }) => show_status(&load(config)?.config, json),
        Some(Command::Doctor { json }) => doctor::run(config, json),
        Some(Command::Spool(command)) => spooling::run(command, &load(config)?.config),
        Some(Command::Config(ConfigCommand::Check)) => {
            let loaded = load(config)?;
            check(&loaded);
            Ok(())
        }
        Some(Command::Config(ConfigCommand::Init)) => {
            print(&commented_defaults());
            Ok(())
        }
    }
}

fn load(path: Option<PathBuf>) -> Result<Loaded, CliError> {
    Config::load(path.as_deref()).map_err(|error| CliError::config(&error))
}

fn check(loaded: &Loaded) {
    let mut out = String::new();
    for file in &loaded.files {
        out.push_str(&format!("read  {}\n", file.display()));
    }
    for warning in &loaded.warnings {
        out.push_str(&format!("warning  {warning}\n"));
    }
    let tails = loaded.config.tails.len();
    out.push_str(&format!(
        "fine  {tails} tails, a sample every {:?}\n",
        loaded.config.sample.interval
    ));
    print(&out);
}

fn show_status(config: &Config, json: bool) -> Result<(), CliError> {
    let status = status::ask(&config.agent.socket).map_err(|error| CliError::status(&error))?;
    if json {
        let document = serde_json::to_string(&status).expect("a status has an encoding");
        print(&format!("{document}\n"));
    } else {
        print(&status::page(&status, is_unicode()));
    }
    Ok(())
}

/// Writes data. Who closed the pipe has read enough.
fn print(text: &str) {
    let _ = anstream::stdout().write_all(text.as_bytes());
}

fn is_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

const NO_COMMAND: &str = "\
headwater-agent ships this host's metrics and logs to a Headwater aggregator, each record once.

  headwater-agent enrol       join a fleet, with a token from: headwater tokens create
  headwater-agent run         run the agent
  headwater-agent status      how it stands
  headwater-agent doctor      what is in its way

All of it: headwater-agent --help
";

const EXAMPLES: &str = "\
Examples:
  headwater-agent enrol --token-file /run/join-token --label site=osl-1
  headwater-agent run --config /etc/headwater/agent.toml
  headwater-agent status
  headwater-agent doctor
  headwater-agent config init > /etc/headwater/agent.toml
";

const ENROL_EXAMPLES: &str = "\
Examples:
  headwater-agent enrol                          ask for the token
  headwater-agent enrol --token-stdin < token    for scripts
  headwater-agent enrol --token-file /run/join-token --name edge-01 --label site=osl-1
";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  headwater-agent doctor                                  changes nothing, also while the agent runs
  sudo -u headwater-agent headwater-agent doctor          as the user that runs the agent
  headwater-agent doctor --json | jq '.findings[] | select(.state == \"failed\")'
";

const SPOOL_EXAMPLES: &str = "\
Examples:
  headwater-agent spool verify                            while the agent is stopped
  headwater-agent spool export | jq .body                 also while it runs
  headwater-agent spool export spool.redb.damaged-1764180000000
";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn examples_come_first() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.starts_with("Examples:"), "{help}");
    }

    #[test]
    fn a_token_never_stands_among_the_arguments() {
        let parsed = Cli::try_parse_from(["headwater-agent", "enrol", "hwe1.abc.def"]);
        assert!(parsed.is_err());
    }
}
