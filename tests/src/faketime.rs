//! A wall clock that shows what a test wants, for a program that runs under libfaketime. Time since the
//! boot and the kernel's timers stay as they are.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The clock of one program; it may be set at any time.
#[derive(Debug)]
pub struct FakeClock {
    library: PathBuf,
    file: PathBuf,
}

/// What a clock shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shown {
    /// The true time.
    Right,
    /// The true time and so many seconds.
    Off(i64),
    /// Always the same, so many seconds after 1970.
    Frozen(u64),
}

/// Three days, in seconds.
pub const THREE_DAYS: i64 = 3 * 86_400;

impl FakeClock {
    /// A clock that is kept in a file and shows the true time.
    ///
    /// # Panics
    /// If libfaketime is not installed, or the file cannot be written.
    #[must_use]
    pub fn new(file: &Path) -> Self {
        let found = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let libraries = found.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        let library = libraries.into_iter().find(|path| path.is_file());
        let library = library.expect(
            "libfaketime is not installed: apt-get update && \
             apt-get install -y --no-install-recommends libfaketime",
        );
        let clock = Self { library, file: file.to_owned() };
        clock.set(Shown::Right);
        clock
    }

    /// Sets it, from one moment to the next.
    ///
    /// # Panics
    /// If its file cannot be written.
    pub fn set(&self, shown: Shown) {
        let text = match shown {
            Shown::Right => "+0".to_owned(),
            Shown::Off(seconds) => format!("{seconds:+}"),
            Shown::Frozen(seconds) => seconds.to_string(),
        };
        let next = self.file.with_extension("next");
        std::fs::write(&next, text + "\n").unwrap();
        std::fs::rename(next, &self.file).unwrap();
    }

    /// Variables of the environment for a program that is to see it.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let one = || "1".to_owned();
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_FMT", "%s".to_owned()),
            ("FAKETIME_NO_CACHE", one()),
            ("FAKETIME_DISABLE_SHM", one()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", one()),
            ("NO_FAKE_STAT", one()),
        ]
    }

    /// Words to put before a command that is to see it.
    #[must_use]
    pub fn wrapper(&self) -> Vec<String> {
        let set = self.variables().into_iter().map(|(name, value)| format!("{name}={value}"));
        std::iter::once("env".to_owned()).chain(set).collect()
    }
}

/// Seconds since 1970, truly.
///
/// # Panics
/// If the true clock shows a time before that.
#[must_use]
pub fn true_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}
