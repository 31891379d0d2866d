//! What the tail tells people: each thing once.

use std::path::PathBuf;

use super::access::Refusal;

/// Something a person may want to know or must do something about.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, thiserror::Error)]
pub enum Notice {
    /// A file could not be opened. It is tried again every half minute; the others go on.
    #[error("{} cannot be read: {refusal}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why, and what helps.
        refusal: Refusal,
    },
    /// A folder could not be listed.
    #[error("{} cannot be listed: {refusal}", path.display())]
    Unlisted {
        /// The folder.
        path: PathBuf,
        /// Why, and what helps.
        refusal: Refusal,
    },
    /// One file is found by two names or by two tails; it is read once.
    #[error("{} and {} are one file: it is read as {}", path.display(), other.display(), path.display())]
    OneFile {
        /// The name that it is read by.
        path: PathBuf,
        /// The other one.
        other: PathBuf,
    },
    /// A file begins like another one that is still there: as long as it holds nothing else, it is
    /// taken for a copy and not read.
    #[error("{} is ambiguous: it is taken for a copy of {} until it differs", path.display(), original.display())]
    Ambiguous {
        /// The copy.
        path: PathBuf,
        /// What it is a copy of.
        original: PathBuf,
    },
    /// Two different files begin alike.
    #[error("{} and {} begin with the same bytes: they are told apart by their inodes", path.display(), other.display())]
    SameBeginning {
        /// One of them.
        path: PathBuf,
        /// The other one.
        other: PathBuf,
    },
    /// As many files are open, or named by patterns, as may be.
    #[error("{} waits: there are {max_files} files already; tail_limits.max_files is how many may be open", path.display())]
    TooManyFiles {
        /// The first file that waits.
        path: PathBuf,
        /// The limit.
        max_files: usize,
    },
    /// A pattern reaches more folders than are looked through.
    #[error("patterns of tails reach more than {max_folders} folders: {} is left out", path.display())]
    TooManyFolders {
        /// The first folder that is left out.
        path: PathBuf,
        /// The limit.
        max_folders: usize,
    },
    /// A file's content was replaced; the run that ended is complete, or a gap says what is missing.
    #[error("{} was truncated or rewritten: it is read from its start as a new run", path.display())]
    BegunAnew {
        /// The file.
        path: PathBuf,
    },
    /// A file came back shorter, with the same content.
    #[error("{} lost its end: it goes on from there, and nothing is read twice", path.display())]
    Regressed {
        /// The file.
        path: PathBuf,
    },
    /// The spool was lost or went back, and the ledger has forgotten some files since: this one may have been
    /// read before.
    #[error("{} may have been read before the spool was lost or went back: {bytes} bytes are declared undecided, it is read from there on", path.display())]
    Undecided {
        /// The file.
        path: PathBuf,
        /// What it held, as far as it was not known.
        bytes: u64,
    },
    /// A file was replaced while nobody looked, and the former one is nowhere.
    #[error("the file that stood at {} is gone: whether it was read to its end is unknown", path.display())]
    Vanished {
        /// Where it stood.
        path: PathBuf,
    },
    /// A compressed file holds the rest of a log whose own file is gone.
    #[error("{} holds the rest of {}: it is read from there", path.display(), home.display())]
    Unpacked {
        /// The compressed file.
        path: PathBuf,
        /// Where the log stood.
        home: PathBuf,
    },
    /// A compressed file held the rest of a log, and not all of it can be read.
    #[error("{} is damaged, cut off or too long: what it holds of its log was read as far as can be, a gap says where", path.display())]
    Damaged {
        /// The compressed file.
        path: PathBuf,
    },
    /// A file cannot be read any further.
    #[error("{} is stalled: {reason}", path.display())]
    Stalled {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// inotify does not work here.
    #[error("changes of files are noticed once a second only: {reason}")]
    Polling {
        /// What the system says.
        reason: String,
    },
}

/// How much a notice matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// Survived, worth counting.
    Warning,
    /// A change of state.
    Information,
}

impl Notice {
    /// How much it matters.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::BegunAnew { .. } | Self::Unpacked { .. } => Severity::Information,
            Self::Unreadable { .. }
            | Self::Unlisted { .. }
            | Self::OneFile { .. }
            | Self::Ambiguous { .. }
            | Self::SameBeginning { .. }
            | Self::TooManyFiles { .. }
            | Self::TooManyFolders { .. }
            | Self::Regressed { .. }
            | Self::Undecided { .. }
            | Self::Vanished { .. }
            | Self::Damaged { .. }
            | Self::Stalled { .. }
            | Self::Polling { .. } => Severity::Warning,
        }
    }

    /// Whether it may be told again when it happens again.
    pub(super) fn is_an_event(&self) -> bool {
        matches!(
            self,
            Self::BegunAnew { .. }
                | Self::Regressed { .. }
                | Self::Undecided { .. }
                | Self::Vanished { .. }
                | Self::Damaged { .. }
        )
    }

    pub(super) fn log(&self) {
        match self.severity() {
            Severity::Warning => tracing::warn!("{self}"),
            Severity::Information => tracing::info!("{self}"),
        }
    }
}
