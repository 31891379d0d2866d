//! What a person writes: configurations and thresholds.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::OnceLock;

use headwater_agent::config::Config;
use headwater_aggregator::alert::{Known, ThresholdFile};

/// The main file of a configuration, in a folder of this process; nothing lies beside it.
fn file(content: &[u8]) -> PathBuf {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    let path = FILE.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("headwater-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("make a folder for the configuration");
        folder.join("main.toml")
    });
    fs::write(path, content).expect("write the configuration");
    path.clone()
}

/// A file, and after a NUL what a variable of the environment says, if there is one.
fn layers<'a>(bytes: &'a [u8], prefix: &str) -> (&'a [u8], Option<(OsString, OsString)>) {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let content = parts.next().unwrap_or_default();
    let variable = parts.next().zip(parts.next()).map(|(name, value)| {
        let name = [prefix.as_bytes(), name].concat();
        (OsString::from_vec(name), OsString::from_vec(value.to_vec()))
    });
    (content, variable)
}

/// The agent's configuration: what is in force is within its ranges, and what is refused says where.
pub(crate) fn agent(bytes: &[u8]) {
    let (content, variable) = layers(bytes, "HEADWATER_AGENT__");
    match Config::load_with(Some(&file(content)), variable.into_iter()) {
        Ok(loaded) => {
            let spool = &loaded.config.spool;
            assert!(spool.grace_bytes.0 <= spool.max_bytes.0 / 2, "grace takes half at most");
            assert!(loaded.config.tails.iter().all(|tail| !tail.paths.patterns().is_empty()));
            loaded.warnings.iter().for_each(|warning| drop(warning.to_string()));
        }
        Err(error) => assert!(!error.to_string().is_empty(), "a refusal says why"),
    }
}

/// The node's configuration, likewise.
pub(crate) fn node(bytes: &[u8]) {
    let (content, variable) = layers(bytes, "HEADWATER_");
    let path = file(content);
    match headwater_aggregator::config::Config::from_layers(Some(&path), variable) {
        Ok(config) => {
            assert!(config.console.listen.ip().is_loopback(), "the console is on loopback");
            assert!(config.window.length.as_micros() > 0, "a window has a length");
        }
        Err(error) => assert!(!error.to_string().is_empty(), "a refusal says why"),
    }
}

/// A file of thresholds: it can be published, or each mistake has a place.
pub(crate) fn thresholds(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match ThresholdFile::parse("thresholds.toml", text, Known::default()) {
        Ok(file) => {
            let rules =
                headwater_aggregator::alert::RuleSet { rules: file.rules, ..Default::default() };
            let rules = rules.checked().expect("a file without a mistake can be published");
            let again = headwater_aggregator::alert::RuleSet::decode(&rules.encode());
            assert_eq!(again.ok().as_ref(), Some(&rules), "thresholds come back");
        }
        Err(mistakes) => assert!(!mistakes.to_string().is_empty(), "a refusal says why"),
    }
}
