//! Versions of the window rules: what every shard's log is brought.

use headwater_protocol::codec::{DecodeError, Reader};
use headwater_protocol::entry::WindowRules;
use redb::ReadableTable;

use super::audit::{Deed, note};
use super::tables::WINDOWS;
use super::{Actor, Registry, RegistryError};

impl Registry {
    /// Every version of the window rules, the oldest first; if the newest is not what is wished for, a
    /// version that is, which holds from the second next window on. Of the wish, version and start do not
    /// count, and the length does only if there is no version yet: it is fixed.
    ///
    /// # Errors
    /// If they can't be read or stored.
    pub fn window_rules(
        &self,
        wish: &WindowRules,
        actor: &Actor,
    ) -> Result<Vec<WindowRules>, RegistryError> {
        self.write("store window rules", |transaction| {
            let mut table = transaction.open_table(WINDOWS)?;
            let mut versions = Vec::new();
            for row in table.iter()? {
                let bytes = row?.1.value().to_vec();
                let damaged = |error| redb::Error::Corrupted(format!("window rules: {error}"));
                versions.push(read(&bytes).map_err(damaged)?);
            }
            let next = next_version(versions.last(), wish, actor.at_us);
            if let Some(rules) = next {
                let mut bytes = Vec::new();
                rules.encode(&mut bytes);
                rules.encode_quantiles(&mut bytes);
                table.insert(rules.version, bytes.as_slice())?;
                let subject = format!("version {}", rules.version);
                let detail = format!("{rules:?}");
                note(transaction, actor, Deed { action: "window rules changed", subject, detail })?;
                versions.push(rules);
            }
            Ok(versions)
        })
    }
}

/// Rules as they are stored; those of builds that knew no quantiles end before them.
fn read(bytes: &[u8]) -> Result<WindowRules, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut rules = WindowRules::decode(&mut reader)?;
    if reader.left() > 0 {
        rules.decode_quantiles(&mut reader)?;
    }
    Ok(rules)
}

/// The version that the wish makes; `None` if the newest is what is wished for.
fn next_version(
    newest: Option<&WindowRules>,
    wish: &WindowRules,
    now_us: i64,
) -> Option<WindowRules> {
    let Some(newest) = newest else {
        return Some(WindowRules { version: 1, from_us: i64::MIN, ..wish.clone() });
    };
    let rules = WindowRules {
        version: newest.version,
        from_us: newest.from_us,
        length_us: newest.length_us,
        ..wish.clone()
    };
    if rules == *newest {
        return None;
    }
    let length = i64::try_from(newest.length_us).unwrap_or(i64::MAX);
    let this = now_us.saturating_sub(now_us.rem_euclid(length));
    let from_us = this.saturating_add(length).saturating_add(length);
    Some(WindowRules { version: newest.version + 1, from_us, ..rules })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_version_that_holds_from_the_second_next_window_on() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::open(&folder.path().join("control.redb")).unwrap();
        let actor = |at_us| Actor { name: "test".into(), source: String::new(), at_us };
        let wish = |labels: &[&str]| WindowRules {
            version: 0,
            from_us: 0,
            length_us: 10,
            lateness_us: 1,
            keys_max: 5,
            combinations: vec![labels.iter().map(|label| (*label).to_owned()).collect()],
            quantiles: Vec::new(),
        };
        let first = registry.window_rules(&wish(&["site"]), &actor(7)).unwrap();
        assert_eq!((first.len(), first[0].version, first[0].from_us), (1, 1, i64::MIN));
        assert_eq!(registry.window_rules(&wish(&["site"]), &actor(99)).unwrap(), first);
        let longer = WindowRules { length_us: 20, ..wish(&["role"]) };
        let both = registry.window_rules(&longer, &actor(104)).unwrap();
        assert_eq!(both[0], first[0]);
        assert_eq!((both[1].version, both[1].from_us, both[1].length_us), (2, 120, 10));
        let spread = WindowRules { quantiles: both[1].combinations.clone(), ..wish(&["role"]) };
        let three = registry.window_rules(&spread, &actor(204)).unwrap();
        assert_eq!((three.len(), &three[2].quantiles), (3, &both[1].combinations));
        assert_eq!(registry.window_rules(&spread, &actor(304)).unwrap(), three);
    }
}
