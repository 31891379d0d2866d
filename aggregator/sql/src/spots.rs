//! Folders of a history: which there are, and what their paths say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder of files, below that of a table.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Spot {
    /// Keys and values of its path: `dt`, `hour` and `shard`.
    pub(crate) values: Vec<(String, String)>,
    /// The path, below the folder of the history.
    pub(crate) folder: String,
}

impl Spot {
    /// What the path of a folder says, below that of the history. `None` if it is none of a table.
    pub(crate) fn parse(folder: &str) -> Option<(&str, Self)> {
        let (table, below) = folder.strip_prefix("table=")?.split_once('/')?;
        let pair = |part: &str| {
            let (key, value) = part.split_once('=')?;
            let is_pair = !key.is_empty() && !value.is_empty();
            is_pair.then(|| (key.to_owned(), value.to_owned()))
        };
        let values = below.split('/').map(pair).collect::<Option<Vec<_>>>()?;
        Some((table, Self { values, folder: folder.to_owned() }))
    }

    /// The value of a key. `None` if the path does not have it.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(it, _)| it == key).map(|(_, value)| value.as_str())
    }

    /// The shard that the path names. `None` if it names none.
    pub(crate) fn shard(&self) -> Option<u16> {
        self.value("shard")?.parse().ok()
    }
}

/// Tables of which there is a folder.
///
/// # Errors
/// If the folder can't be listed.
pub(crate) fn tables(history: &Path) -> io::Result<Vec<String>> {
    let mut tables = Vec::new();
    for (name, _) in folders(history)? {
        tables.extend(name.strip_prefix("table=").map(str::to_owned));
    }
    tables.sort();
    Ok(tables)
}

/// Folders of a table that have no folders of their own, in order. None, if there is no such table.
///
/// # Errors
/// If one can't be listed.
pub(crate) fn of(history: &Path, table: &str) -> io::Result<Vec<Spot>> {
    let mut spots = Vec::new();
    let mut ahead = vec![format!("table={table}")];
    while let Some(folder) = ahead.pop() {
        let below = match folders(&history.join(&folder)) {
            Ok(below) => below,
            // The table has none yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut is_leaf = true;
        for (name, _) in below.iter().filter(|(name, _)| name.contains('=')) {
            is_leaf = false;
            ahead.push(format!("{folder}/{name}"));
        }
        if is_leaf {
            spots.extend(Spot::parse(&folder).map(|(_, spot)| spot));
        }
    }
    spots.sort();
    Ok(spots)
}

fn folders(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if let (Ok(name), true) = (entry.file_name().into_string(), entry.file_type()?.is_dir()) {
            folders.push((name, entry.path()));
        }
    }
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_a_folder_is_of() {
        let folder = "table=events/dt=2026-11-28/hour=13/shard=07";
        let (table, spot) = Spot::parse(folder).unwrap();
        assert_eq!((table, spot.shard()), ("events", Some(7)));
        assert_eq!((spot.value("dt"), spot.value("day")), (Some("2026-11-28"), None));
        for other in ["table=events", "events/dt=1", "table=events/more", "table=events/=1"] {
            assert_eq!(Spot::parse(other), None, "{other}");
        }
    }

    #[test]
    fn folders_of_files_are_found_and_what_is_set_aside_is_not() {
        let root = tempfile::tempdir().unwrap();
        let made = |folder: &str| fs::create_dir_all(root.path().join(folder)).unwrap();
        made("table=events/dt=2026-11-28/hour=13/shard=07");
        made("table=events/dt=2026-11-28/hour=02/shard=00");
        made(".withdrawn/table=events/dt=2026-11-28/hour=13/shard=07");
        made("table=more");
        assert_eq!(tables(root.path()).unwrap(), ["events", "more"]);
        let found = of(root.path(), "events").unwrap();
        let hours: Vec<_> = found.iter().map(|spot| spot.value("hour").unwrap()).collect();
        assert_eq!(hours, ["02", "13"]);
        assert_eq!(of(root.path(), "gaps").unwrap(), []);
    }
}
