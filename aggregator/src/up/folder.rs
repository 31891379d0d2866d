//! The folder of `up`: what lies where, and the two configurations.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ports::Ports;
use super::sources::Sources;
use crate::cli::failure::{Exit, Failure};

/// A folder that is there, by its absolute path.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    named: PathBuf,
}

impl Folder {
    /// Makes the folder, for its owner only, if it is not there.
    pub(super) fn open(named: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(Exit::Failed, "cannot make the folder")
                .fact("where", named.display().to_string())
                .cause_of(&error)
                .next("headwater up --dir with a folder that you may write")
        };
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700).create(named).map_err(failed)?;
        let path = named.canonicalize().map_err(failed)?;
        Ok(Self { path, named: named.to_owned() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The folder as the user named it.
    pub(super) fn shown(&self) -> String {
        crate::cli::output::escape::visible(&self.named.to_string_lossy())
    }

    /// The folder of the agent's identity.
    pub(super) fn identity(&self) -> PathBuf {
        self.path.join("agent/identity")
    }

    /// Whether the agent has an identity.
    pub(super) fn is_enrolled(&self) -> bool {
        self.identity().join("identity.pem").exists()
    }

    /// Refuses to make a new authority beside an agent that belongs to another: it would be turned
    /// away for ever, and what it holds is its former authority's.
    pub(super) fn refuse_if_enrolled(&self) -> Result<(), Failure> {
        if !self.is_enrolled() {
            return Ok(());
        }
        let agent = self.path.join("agent");
        Err(Failure::new(Exit::Conflict, "the agent belongs to an authority that is gone")
            .fact("where", agent.display().to_string())
            .cause("there is an enrolled agent, and no aggregator that it is enrolled with")
            .next(format!("restore the rest of the folder, or: mv {0} {0}.old", agent.display())))
    }

    /// Opens a file that is logged to; one that has grown too long begins anew.
    pub(super) fn log_file(&self, name: &str) -> Result<File, Failure> {
        open_log(&self.path_of(name))
    }

    /// Writes the aggregator's configuration, and returns where.
    pub(super) fn write_headwater(&self, name: &str, ports: &Ports) -> Result<PathBuf, Failure> {
        let config = Headwater {
            node: NodeSection { name, data_dir: &self.path },
            intake: IntakeSection {
                listen: ports.intake.to_string(),
                advertise: ports.intake_reachable().to_string(),
                enrol: Listen { listen: ports.enrol.to_string() },
            },
            // Of the few hosts that a folder has, what everybody may ask for.
            window: WindowSection { quantiles: [["device"]] },
            console: Listen { listen: ports.console.to_string() },
            metrics: Listen { listen: ports.metrics.to_string() },
        };
        self.write("headwater.toml", &config)
    }

    /// Writes the agent's configuration, and returns where.
    pub(super) fn write_agent(
        &self,
        name: &str,
        ports: &Ports,
        sources: &Sources,
    ) -> Result<PathBuf, Failure> {
        let mut exclude = vec![format!("{}/**", self.path.display())];
        exclude.extend(sources.unreadable().iter().map(|path| path.display().to_string()));
        let agent = self.path.join("agent");
        let config = AgentFile {
            agent: AgentSection { name, socket: agent.join("agent.sock") },
            identity: Dir { dir: self.identity() },
            sample: SampleSection { interval: "1s", per_cpu: true },
            tail: [TailSection {
                name: "var-log",
                paths: Sources::paths(),
                exclude,
                start_at: sources.start_at(),
            }],
            spool: Dir { dir: agent.join("spool") },
            ship: ShipSection { addresses: [ports.intake_reachable().to_string()] },
        };
        self.write("agent.toml", &config)
    }

    fn write<T: Serialize>(&self, name: &str, config: &T) -> Result<PathBuf, Failure> {
        let path = self.path.join(name);
        let text = toml::to_string(config).expect("tables of texts always have a TOML form");
        let text = format!("# Written by headwater up, each time that it starts.\n{text}");
        let partial = self.path.join(format!("{name}.partial"));
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&partial)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| std::fs::rename(&partial, &path));
        match written {
            Ok(()) => Ok(path),
            Err(error) => Err(Failure::new(Exit::Failed, "cannot write a configuration")
                .fact("where", path.display().to_string())
                .cause_of(&error)),
        }
    }
}

/// Opens a file that is logged to; one that has grown too long begins anew.
pub(super) fn open_log(path: &Path) -> Result<File, Failure> {
    let long = std::fs::metadata(path).is_ok_and(|found| found.len() > LOG_BYTES_MAX);
    let mut options = OpenOptions::new();
    options.create(true).mode(0o600);
    if long {
        options.write(true).truncate(true)
    } else {
        options.append(true)
    };
    options.open(path).map_err(|error| {
        Failure::new(Exit::Failed, "cannot open a file to log to")
            .fact("where", path.display().to_string())
            .cause_of(&error)
    })
}

/// What a log of ours may have grown to before a start: changes of state only, years of them.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// The host's name, of the letters that a name may have.
pub(super) fn host_name() -> String {
    let named = rustix::system::uname();
    let text = named.nodename().to_string_lossy();
    let fits = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
    let name: String =
        text.chars().map(|letter| if fits(letter) { letter } else { '-' }).take(63).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

#[derive(Serialize)]
struct Headwater<'a> {
    node: NodeSection<'a>,
    intake: IntakeSection,
    window: WindowSection,
    console: Listen,
    metrics: Listen,
}

#[derive(Serialize)]
struct WindowSection {
    quantiles: [[&'static str; 1]; 1],
}

#[derive(Serialize)]
struct NodeSection<'a> {
    name: &'a str,
    data_dir: &'a Path,
}

#[derive(Serialize)]
struct IntakeSection {
    listen: String,
    advertise: String,
    enrol: Listen,
}

#[derive(Serialize)]
struct Listen {
    listen: String,
}

#[derive(Serialize)]
struct AgentFile<'a> {
    agent: AgentSection<'a>,
    identity: Dir,
    sample: SampleSection,
    spool: Dir,
    ship: ShipSection,
    tail: [TailSection; 1],
}

#[derive(Serialize)]
struct AgentSection<'a> {
    name: &'a str,
    socket: PathBuf,
}

#[derive(Serialize)]
struct Dir {
    dir: PathBuf,
}

#[derive(Serialize)]
struct SampleSection {
    interval: &'static str,
    per_cpu: bool,
}

#[derive(Serialize)]
struct TailSection {
    name: &'static str,
    paths: Vec<String>,
    exclude: Vec<String>,
    start_at: &'static str,
}

#[derive(Serialize)]
struct ShipSection {
    addresses: [String; 1],
}
