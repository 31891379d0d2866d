//! `doctor`.

use std::path::PathBuf;

use serde::Serialize;

use super::error::{CliError, Code};
use super::{is_unicode, print};
use crate::config::Config;
use crate::doctor::{self, Finding, State};

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    version: &'a str,
    /// Whether nothing is in the way.
    ok: bool,
    failed: usize,
    warnings: usize,
    findings: &'a [Finding],
}

pub(super) fn run(config: Option<PathBuf>, json: bool) -> Result<(), CliError> {
    let findings = match Config::load(config.as_deref()) {
        Ok(loaded) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| CliError::of(Code::Failed, &error))?;
            runtime.block_on(doctor::examine(&loaded))
        }
        Err(error) => doctor::of_no_configuration(&error),
    };
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let (failed, warnings) = (count(State::Failed), count(State::Warning));
    if json {
        let version = env!("CARGO_PKG_VERSION");
        let document = Document { version, ok: failed == 0, failed, warnings, findings: &findings };
        let document = serde_json::to_string(&document).expect("findings have an encoding");
        print(&format!("{document}\n"));
    } else {
        print(&doctor::page(&findings, is_unicode()));
    }
    if failed == 0 { Ok(()) } else { Err(CliError::silent(Code::CheckFailed)) }
}
