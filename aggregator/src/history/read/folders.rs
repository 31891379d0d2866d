//! Which folders have rows of a time and of shards.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use headwater_protocol::identity::{LogId, Offset, ShardId};

use super::super::table::{Spot, Table};
use super::sweep::{Order, Sweep};
use super::{Times, Wanted};

/// Why a folder can't be listed.
#[derive(Debug, thiserror::Error)]
#[error("list {path:?}")]
pub struct ListError {
    /// The folder.
    pub path: PathBuf,
    /// What the operating system said.
    pub source: io::Error,
}

/// Folders of a table that may have rows of a span of time.
#[derive(Clone, Debug)]
pub struct Listing {
    root: PathBuf,
    log: LogId,
    spots: BTreeMap<ShardId, Vec<Spot>>,
    cursors: BTreeMap<ShardId, Offset>,
}

impl Listing {
    pub(super) fn of(
        (root, log): (&Path, LogId),
        table: Table,
        times: Times,
        cursors: &BTreeMap<ShardId, Offset>,
    ) -> Result<Self, ListError> {
        let hours = times.hours();
        let mut spots: BTreeMap<ShardId, Vec<Spot>> = BTreeMap::new();
        // Days are compared as what they are called: names of other folders than those of the range are not even listed.
        let folder = |hour| Table::folder(table, hour, ShardId(0));
        let (first, last) = (folder(*hours.start()), folder(*hours.end()));
        let part = |folder: &str, at: usize| folder.split('/').nth(at).unwrap_or("").to_owned();
        let days = part(&first, 1)..=part(&last, 1);
        let wanted = |name: &String| is_unusual(name) || days.contains(name);
        let top = format!("table={}", table.name());
        for day in names(&root.join(&top))?.into_iter().filter(wanted) {
            let of_day = format!("{top}/{day}");
            for hour in names(&root.join(&of_day))? {
                let of_hour = format!("{of_day}/{hour}");
                let spot = Spot::parse(&format!("{of_hour}/shard=00"));
                if !spot.is_some_and(|spot| hours.contains(&spot.hour)) {
                    continue;
                }
                for shard in names(&root.join(&of_hour))? {
                    if let Some(spot) = Spot::parse(&format!("{of_hour}/{shard}"))
                        && cursors.get(&spot.shard).is_some_and(|cursor| *cursor > Offset(0))
                    {
                        spots.entry(spot.shard).or_default().push(spot);
                    }
                }
            }
        }
        Ok(Self { root: root.to_owned(), log, spots, cursors: cursors.clone() })
    }

    /// The rows of a shard that are wanted.
    #[must_use]
    pub fn sweep(&self, shard: ShardId, wanted: Wanted, order: Order) -> Sweep {
        let below = self.cursors.get(&shard).copied().unwrap_or(Offset(0));
        let hours = wanted.times.hours();
        let spots = self.spots.get(&shard).into_iter().flatten();
        let spots = spots.filter(|spot| hours.contains(&spot.hour)).copied();
        Sweep::new((&self.root, self.log), spots, below, (wanted, order))
    }
}

/// Years before 0 and after 9999 do not sort as text does.
fn is_unusual(day: &str) -> bool {
    day.len() != "dt=2026-11-28".len()
}

/// Names in a folder; none, if it is not there.
fn names(folder: &Path) -> Result<Vec<String>, ListError> {
    let listed = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>());
    let listed: Vec<std::ffi::OsString> = match listed {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Vec::new(),
        Err(source) => return Err(ListError { path: folder.to_owned(), source }),
    };
    let mut names: Vec<String> =
        listed.into_iter().filter_map(|it| it.into_string().ok()).collect();
    names.sort();
    Ok(names)
}
