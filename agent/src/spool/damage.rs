//! What is left for the next start when the file turns out damaged while it is used.
//!
//! Quick repair trusts the file, and redb panics on some pages that are not what it wrote. A restart
//! would meet the same page again, so the damage is noted beside the file, and the next start sets the
//! file aside. A process that is merely killed leaves no note, nor does a panic of our own.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::path::{Path, PathBuf};
use std::sync::Once;

/// Notes that the file in a folder is damaged.
pub(super) fn note(folder: &Path, what: &str) {
    // Without a note the next start meets the damage again, which is what would happen anyway.
    let _ = fs::write(folder.join(FILE), what.replace('\n', " "));
}

/// What was noted; `None` if nothing was.
pub(super) fn noted(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join(FILE)).ok()
}

/// Takes the note away: the file that it speaks of is not used any more. One that can't be taken away
/// would set aside one spool after the other.
pub(super) fn settle(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Runs what uses the file of a folder, and notes the damage if redb panics on it. `None` if it did and
/// the build unwinds; in one that aborts the note is all that remains.
pub(super) fn watch<T>(folder: &Path, run: impl FnOnce() -> T) -> Option<T> {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if is_of_redb(info) {
                WATCHED.with_borrow(|folder| {
                    if let Some(folder) = folder {
                        note(folder, &info.to_string());
                    }
                });
            }
            before(info);
        }));
    });
    let outer = WATCHED.replace(Some(folder.to_owned()));
    let outcome = panic::catch_unwind(AssertUnwindSafe(run));
    WATCHED.replace(outer);
    match outcome {
        Ok(outcome) => Some(outcome),
        Err(_) if folder.join(FILE).exists() => None,
        Err(panic) => panic::resume_unwind(panic),
    }
}

fn is_of_redb(info: &PanicHookInfo<'_>) -> bool {
    info.location().is_some_and(|location| location.file().contains("/redb-"))
}

thread_local! {
    /// The folder whose file this thread uses.
    static WATCHED: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

const FILE: &str = "damaged";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_stays_until_it_is_settled() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(noted(folder.path()), None);
        note(folder.path(), "page 7");
        assert_eq!(noted(folder.path()).as_deref(), Some("page 7"));
        assert_eq!(noted(folder.path()).as_deref(), Some("page 7"));
        settle(folder.path()).unwrap();
        assert_eq!(noted(folder.path()), None);
        settle(folder.path()).unwrap();
    }

    #[test]
    fn a_panic_of_our_own_is_no_damage() {
        let folder = tempfile::tempdir().unwrap();
        let panicked = panic::catch_unwind(|| watch(folder.path(), || panic!("ours")));
        assert!(panicked.is_err());
        assert_eq!(noted(folder.path()), None);
        assert_eq!(watch(folder.path(), || 7), Some(7));
    }
}
