//! What a sink shows of itself.

/// What a sink says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SinkAbout {
    /// Its name, unique on this node.
    pub name: String,
    /// What it is, in one word: `parquet`.
    pub kind: &'static str,
    /// Where it writes, for people.
    pub location: String,
    /// What may be claimed of its rows.
    pub claim: &'static str,
}

/// A sink, as its driver last saw it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SinkView {
    /// Its name, unique on this node.
    pub name: String,
    /// What it is: `parquet`.
    pub kind: &'static str,
    /// Where it writes, for people.
    pub location: String,
    /// What may be claimed of its rows.
    pub claim: &'static str,
    /// How it is.
    pub state: SinkState,
    /// Records that were applied and are read, but are in no range that is written.
    pub waiting_records: u64,
    /// Entries of the log that it has not read.
    pub unread_entries: u64,
    /// The log's time at the oldest record that is not written, as far as it is read. `None` if there is none.
    pub oldest_us: Option<i64>,
    /// Ranges written since the node started.
    pub ranges: u64,
    /// Rows written since the node started.
    pub rows: u64,
    /// Bytes written since the node started.
    pub bytes: u64,
    /// Pieces put together since the node started.
    pub merged: u64,
    /// Why something that should be put together stays apart: the last reason, of what still does. `None` if nothing does.
    pub apart: Option<String>,
    /// The last error. `None` if there was none since it last wrote.
    pub error: Option<SinkError>,
}

impl SinkView {
    /// A sink that has done nothing yet.
    pub(crate) fn new(about: SinkAbout, state: SinkState) -> Self {
        let SinkAbout { name, kind, location, claim } = about;
        Self {
            name,
            kind,
            location,
            claim,
            state,
            waiting_records: 0,
            unread_entries: 0,
            oldest_us: None,
            ranges: 0,
            rows: 0,
            bytes: 0,
            merged: 0,
            apart: None,
            error: None,
        }
    }
}

/// How a sink is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SinkState {
    /// It writes what is complete.
    Running,
    /// A person has stopped it. Its cursor stands, the log keeps what it needs.
    Paused,
    /// What it wrote last was not taken: it tries again, with pauses.
    Failing,
    /// The disk has too little room.
    Short,
}

impl SinkState {
    /// One word for tables and labels.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Failing => "failing",
            Self::Short => "no room",
        }
    }
}

/// What a sink's last try failed at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SinkError {
    /// What, where and why.
    pub text: String,
    /// When, microseconds since 1970 UTC.
    pub at_us: i64,
    /// Tries since it last wrote.
    pub tries: u32,
}
