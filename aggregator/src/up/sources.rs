//! The log files of this host: which there are, and which of them this user may read.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::cli::output::{escape, units};

/// What lies under the system's log folder.
#[derive(Debug, Default)]
pub(super) struct Sources {
    readable: usize,
    bytes: u64,
    unreadable: Vec<PathBuf>,
    more: bool,
}

/// The system's log folder.
const FOLDER: &str = "/var/log";

/// Names of text logs that do not end in `.log`, on the distributions that write them.
const NAMES: [&str; 10] =
    ["syslog", "messages", "secure", "maillog", "cron", "debug", "boot", "kern", "daemon", "user"];

/// Folders below the log folder that are looked into; deeper ones are not usual.
const DEPTH_MAX: usize = 8;
/// Files that are looked at before the first line is read: a second of work on a slow disk.
const FILES_MAX: usize = 20_000;
/// Files that are named in the configuration as not to be read.
const UNREADABLE_MAX: usize = 200;
/// Up to so many bytes are read from their beginning: some seconds of work, and life at once.
const FROM_BEGINNING_BYTES_MAX: u64 = 64 << 20;

impl Sources {
    /// Looks at the system's log folder.
    pub(super) fn look() -> Self {
        Self::of(Path::new(FOLDER))
    }

    fn of(folder: &Path) -> Self {
        let mut sources = Self::default();
        let mut folders = vec![(folder.to_owned(), 0)];
        let mut looked_at = 0;
        while let Some((folder, depth)) = folders.pop() {
            // A folder that may not be opened has files that may not be read: the agent can't see them.
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                looked_at += 1;
                if looked_at > FILES_MAX {
                    sources.more = true;
                    return sources;
                }
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && depth < DEPTH_MAX => {
                        folders.push((entry.path(), depth + 1));
                    }
                    Ok(kind) if kind.is_file() && is_log(&entry.path(), depth) => {
                        sources.file(entry.path());
                    }
                    _ => {}
                }
            }
        }
        sources
    }

    fn file(&mut self, path: PathBuf) {
        match File::open(&path).and_then(|file| file.metadata()) {
            Ok(found) => {
                self.readable += 1;
                self.bytes = self.bytes.saturating_add(found.len());
            }
            Err(_) if self.unreadable.len() < UNREADABLE_MAX => self.unreadable.push(path),
            Err(_) => self.more = true,
        }
    }

    /// Globs of what is tailed.
    pub(super) fn paths() -> Vec<String> {
        let named = NAMES.iter().map(|name| format!("{FOLDER}/{name}"));
        std::iter::once(format!("{FOLDER}/**/*.log")).chain(named).collect()
    }

    /// Files that this user may not read.
    pub(super) fn unreadable(&self) -> &[PathBuf] {
        &self.unreadable
    }

    /// Where files are read from that are seen for the first time.
    pub(super) fn start_at(&self) -> &'static str {
        if self.more || self.bytes > FROM_BEGINNING_BYTES_MAX { "end" } else { "beginning" }
    }

    /// What is read of it, in words. `first` says whether the agent sees the files for the first time.
    pub(super) fn described(&self, first: bool) -> String {
        if self.readable == 0 {
            return format!("none yet under {FOLDER}; files that appear there are read");
        }
        let more = if self.more { " or more" } else { "" };
        let bytes = units::bytes(self.bytes);
        let where_from = match (first, self.start_at()) {
            (false, _) => "each read on from where it was left".to_owned(),
            (true, "end") => {
                format!("each from its end on: {bytes}{more} is too much to begin with")
            }
            (true, _) => format!("each from its beginning ({bytes})"),
        };
        format!("{}{more} under {FOLDER}, {where_from}", units::count(self.readable as u64, "file"))
    }

    /// What a user should know of it.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(first) = self.unreadable.first() {
            let first = escape::visible(&first.to_string_lossy());
            notes.push(match self.unreadable.len() {
                1 => format!("this user may not read {first} (group adm often may)"),
                count => format!(
                    "this user may not read {count} more, such as {first} (group adm often may)"
                ),
            });
        }
        notes
    }
}

/// Compressed siblings and rotated ones are not text logs that grow.
fn is_log(path: &Path, depth: usize) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    name.ends_with(".log") || (depth == 0 && NAMES.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_logs_are_found_and_compressed_ones_are_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("nginx")).unwrap();
        for name in
            ["syslog", "syslog.1.gz", "app.log", "nginx/access.log", "nginx/syslog", "x.log.gz"]
        {
            std::fs::write(folder.path().join(name), "line\n").unwrap();
        }
        let sources = Sources::of(folder.path());
        assert_eq!((sources.readable, sources.bytes), (3, 15));
        assert_eq!(sources.start_at(), "beginning");
        let text = sources.described(true);
        assert_eq!(text, "3 files under /var/log, each from its beginning (15 B)");
    }

    #[test]
    fn much_text_is_read_from_its_end_on() {
        let sources = Sources { readable: 1, bytes: 65 << 20, ..Sources::default() };
        assert_eq!(sources.start_at(), "end");
        let text = sources.described(true);
        assert!(text.contains("65.0 MiB is too much to begin with"), "{text}");
        let text = sources.described(false);
        assert_eq!(text, "1 file under /var/log, each read on from where it was left");
    }
}
