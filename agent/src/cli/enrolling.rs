//! `enrol`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use clap::Args;
use headwater_certs::enrol::{Refusal, RefusalReason};
use headwater_certs::token::JoinToken;

use super::error::{CliError, Code};
use super::print;
use crate::config::Loaded;
use crate::enrol::{self, ConversationError, EnrolError, Enrolled, Enrolling};

#[derive(Debug, Args)]
pub(super) struct EnrolArgs {
    /// Read the join token from stdin. Tokens never stand among the arguments.
    #[arg(long, conflicts_with = "token_file")]
    token_stdin: bool,
    /// Read the join token from a file.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// What the device calls itself; the host's name if it is not given.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A label that the device starts with; may be repeated.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// State folder: the identity goes into its folder `identity`.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Make a new identity even if there is one; the device then has another id.
    #[arg(long)]
    force: bool,
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE, as in site=osl-1".to_owned()),
    }
}

pub(super) fn enrol(
    args: EnrolArgs,
    load: impl FnOnce() -> Result<Loaded, CliError>,
) -> Result<(), CliError> {
    let loaded = load()?;
    let identity_dir = match &args.dir {
        Some(dir) => dir.join("identity"),
        None => loaded.config.identity.dir.clone(),
    };
    let token = read_token(&args)?;
    let token = JoinToken::parse(&token).map_err(|error| {
        CliError::of(Code::Usage, &error)
            .next("copy it whole, as headwater tokens create printed it")
    })?;
    let mut labels: BTreeMap<String, String> = loaded.config.agent.labels.clone();
    labels.extend(args.labels);
    let name = args.name.or(loaded.config.agent.name).unwrap_or_else(host_name);
    let enrolling = Enrolling { token, name, labels, identity_dir, force: args.force };
    let place = enrolling.identity_dir.display().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::of(Code::Failed, &error))?;
    let enrolled = runtime.block_on(async {
        tokio::select! {
            enrolled = enrol::enrol(enrolling) => enrolled.map_err(explain),
            _ = tokio::signal::ctrl_c() => Err(CliError::new(Code::Interrupted, "interrupted, nothing was changed")),
        }
    })?;
    print(&match enrolled {
        Enrolled::Anew(state) => format!(
            "enrolled as {} ({}), identity in {place}\nnext: headwater-agent run\n",
            state.name, state.device
        ),
        Enrolled::Before(state) => format!(
            "enrolled before as {} ({}), identity in {place}: nothing to do\n",
            state.name, state.device
        ),
    });
    Ok(())
}

fn read_token(args: &EnrolArgs) -> Result<String, CliError> {
    if let Some(path) = &args.token_file {
        let read = fs::File::open(path).and_then(read_limited);
        return read.map_err(|error| {
            CliError::of(Code::Usage, &error).line("where", path.display().to_string())
        });
    }
    let stdin = io::stdin();
    if !args.token_stdin && !stdin.is_terminal() {
        return Err(CliError::new(Code::Usage, "there is no join token")
            .next("give it on stdin with --token-stdin, or in a file with --token-file FILE"));
    }
    if args.token_stdin {
        return read_limited(stdin).map_err(|error| CliError::of(Code::Usage, &error));
    }
    // Nobody sees the prompt if stderr is closed.
    let _ = write!(anstream::stderr(), "Join token: ");
    let mut line = String::new();
    stdin.read_line(&mut line).map_err(|error| CliError::of(Code::Usage, &error))?;
    Ok(line)
}

fn read_limited(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn host_name() -> String {
    let name = sysinfo::System::host_name().unwrap_or_default();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

fn explain(error: EnrolError) -> CliError {
    match &error {
        EnrolError::Elsewhere { .. } => CliError::of(Code::Conflict, &error)
            .next("headwater-agent enrol --force makes a new identity; what the spool holds is kept aside"),
        EnrolError::Unreadable(_) => CliError::of(Code::Conflict, &error)
            .next("headwater-agent enrol --force makes a new identity"),
        EnrolError::Unreachable { tried } => unreachable(tried),
        EnrolError::Refused { address, refusal } => refused(address, refusal),
        EnrolError::Accept { .. } => CliError::of(Code::NotAllowed, &error)
            .next("ask for a new token: this one may be of an authority that was replaced"),
        EnrolError::Key(_) | EnrolError::Save(_) | EnrolError::State(_) => {
            CliError::of(Code::Failed, &error).next("check the folder's owner and its disk")
        }
    }
}

fn unreachable(tried: &[(String, ConversationError)]) -> CliError {
    let is_trust = tried.iter().any(|(_, error)| error.is_trust());
    let mut shown = if is_trust {
        CliError::new(Code::NotAllowed, "no aggregator of this token can be trusted")
    } else {
        CliError::new(Code::Unreachable, "cannot reach any aggregator of this token")
    };
    for (address, error) in tried {
        shown = shown.line("tried", format!("{address}  {error}"));
    }
    if is_trust {
        return shown.next(
            "compare the token with the one that headwater tokens create printed; nothing was sent",
        );
    }
    shown
        .line("cause", "most often the aggregator is down, or TCP to its enrolment port is blocked")
        .next("try again; the token was not used")
}

fn refused(address: &str, refusal: &Refusal) -> CliError {
    let message = refusal.message.escape_debug().to_string();
    let (code, what, next) = match refusal.reason {
        RefusalReason::UnknownToken => {
            (Code::NotAllowed, "the token is not known", "make one with: headwater tokens create")
        }
        RefusalReason::TokenUsed => (
            Code::NotAllowed,
            "the token was used before",
            "make another one with: headwater tokens create",
        ),
        RefusalReason::TokenExpired => (
            Code::NotAllowed,
            "the token's time is over",
            "make another one with: headwater tokens create",
        ),
        RefusalReason::TokenLocked => (
            Code::NotAllowed,
            "wrong secrets were shown too often",
            "make another one with: headwater tokens create",
        ),
        RefusalReason::OtherSession => (
            Code::NotAllowed,
            "the request came from another session",
            "somebody may be in between: check the network",
        ),
        RefusalReason::AwaitingApproval => {
            (Code::NotAllowed, "a person has to approve", "run this again once that was done")
        }
        RefusalReason::BadRequest => (
            Code::Failed,
            "the aggregator did not understand the request",
            "compare the versions of both",
        ),
        RefusalReason::TooManyTries => {
            (Code::Unreachable, "too many tries", "try again in a minute")
        }
        RefusalReason::Unavailable => {
            (Code::Unreachable, "the aggregator cannot enrol at the moment", "try again later")
        }
    };
    let shown = CliError::new(code, format!("refused: {what}")).line("where", address);
    if message.is_empty() { shown.next(next) } else { shown.line("cause", message).next(next) }
}

/// A token is far smaller.
const TOKEN_BYTES_MAX: u64 = 64 << 10;
