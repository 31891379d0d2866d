//! Which host the spool was filled on, so that a copy of it is known as one. FAILURES page, F2(a).
//!
//! The row is optional, and written together with whatever is committed next. A host that differs from it
//! opens an epoch in each lane at its next handshake: the ledger shows from where on it was another one.

use std::fs;
use std::path::Path;

use headwater_protocol::identity::Lane;
use serde::{Deserialize, Serialize};

use crate::clock::wall_us;

/// What a host is known by. What it does not tell, or not to this user, is `None`.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct HostFacts {
    /// The machine id of the installed system: 32 hexadecimal digits.
    pub machine: Option<String>,
    /// The product's UUID, of its firmware.
    pub product: Option<String>,
}

/// A host that was found to be another one.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Copied {
    /// What differed: `machine id`, `product UUID`, or both.
    pub what: String,
    /// When it was found out: microseconds since 1970 UTC.
    pub at_us: i64,
}

/// What a spool says of its host.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(super) struct HostRow {
    facts: HostFacts,
    /// Since when it is another one; `None` if it always was this one.
    copied: Option<Copied>,
    /// Codes of lanes that have not opened an epoch since.
    due: Vec<u8>,
}

impl HostFacts {
    /// Reads them of the host whose trees are mounted there.
    #[must_use]
    pub fn of(root: &Path, sys: &Path) -> Self {
        let line = |path: &Path| {
            let text = fs::read_to_string(path).ok()?;
            Some(text.lines().next()?.trim().to_ascii_lowercase())
        };
        let machine = line(&root.join("etc/machine-id"));
        let product = line(&sys.join("class/dmi/id/product_uuid"));
        let is_hex =
            |text: &String| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        // Boards without a number of their own say all zeros or all ones.
        let is_own = |text: &String| text.bytes().any(|byte| !b"0f-".contains(&byte));
        Self { machine: machine.filter(is_hex), product: product.filter(is_own) }
    }

    /// What differs from others, in words; `None` if nothing does that both tell.
    fn differs(&self, other: &Self) -> Option<String> {
        let differ = |own: &Option<String>, other: &Option<String>| {
            own.as_ref().zip(other.as_ref()).is_some_and(|(own, other)| own != other)
        };
        let machine = differ(&self.machine, &other.machine).then_some("machine id");
        let product = differ(&self.product, &other.product).then_some("product UUID");
        let words: Vec<&str> = machine.into_iter().chain(product).collect();
        (!words.is_empty()).then(|| words.join(" and "))
    }
}

impl Copied {
    /// What it means, and what to do about it, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!(
            "this host was copied: its {} is another than that of the host which filled the spool; \
             if that one still runs, enrol this one again: headwater-agent enrol --force, with a fresh token",
            self.what
        )
    }
}

impl HostRow {
    /// Compares with the host as it is. Says what differs, which is so once.
    pub(super) fn meet(&mut self, facts: &HostFacts, now_us: i64) -> Option<Copied> {
        let copied = facts.differs(&self.facts).map(|what| Copied { what, at_us: now_us });
        if let Some(copied) = &copied {
            self.copied = Some(copied.clone());
            self.due = Lane::ALL.map(Lane::code).to_vec();
        }
        let known = &mut self.facts;
        for (known, told) in
            [(&mut known.machine, &facts.machine), (&mut known.product, &facts.product)]
        {
            if told.is_some() {
                known.clone_from(told);
            }
        }
        copied
    }

    /// Since when it is another host; `None` if it always was this one.
    pub(super) fn copied(&self) -> Option<&Copied> {
        self.copied.as_ref()
    }

    /// The same, or what meeting a host would find.
    pub(super) fn copied_or_met(mut self, facts: &HostFacts) -> Option<Copied> {
        self.meet(facts, wall_us()).or(self.copied)
    }

    /// Whether a lane is still to open an epoch.
    pub(super) fn is_due(&self, lane: Lane) -> bool {
        self.due.contains(&lane.code())
    }

    /// A lane has opened one.
    pub(super) fn opened(&mut self, lane: Lane) {
        self.due.retain(|code| *code != lane.code());
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers have an encoding")
    }

    /// A row that can't be read says nothing: the host is met anew.
    pub(super) fn decode(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(machine: &str, product: Option<&str>) -> HostFacts {
        HostFacts { machine: Some(machine.to_owned()), product: product.map(str::to_owned) }
    }

    #[test]
    fn only_what_both_tell_can_differ_and_each_change_is_told_once() {
        let mut row = HostRow::default();
        assert_eq!(row.meet(&facts("a", None), 1), None, "the first host is met, not compared");
        assert_eq!(row.meet(&facts("a", Some("p")), 2), None, "it tells more");
        assert_eq!(row.meet(&HostFacts::default(), 3), None, "it tells nothing");
        let mut row = HostRow::decode(&row.encode());
        let copied = row.meet(&facts("b", Some("p")), 4).unwrap();
        assert_eq!((copied.what.as_str(), copied.at_us), ("machine id", 4));
        assert_eq!(row.meet(&facts("b", Some("p")), 5), None);
        assert!(Lane::ALL.into_iter().all(|lane| row.is_due(lane)));
        row.opened(Lane::Live);
        assert!(!row.is_due(Lane::Live) && row.is_due(Lane::Bulk));
        assert_eq!(row.copied(), Some(&copied), "it stays known");
        let both = row.meet(&facts("c", Some("q")), 6).unwrap();
        assert_eq!(both.what, "machine id and product UUID");
    }

    #[test]
    fn what_is_no_id_is_not_one() {
        let folder = tempfile::tempdir().unwrap();
        let of = |machine: &str, product: &str| {
            let (etc, dmi) = (folder.path().join("etc"), folder.path().join("class/dmi/id"));
            fs::create_dir_all(&etc).unwrap();
            fs::create_dir_all(&dmi).unwrap();
            fs::write(etc.join("machine-id"), machine).unwrap();
            fs::write(dmi.join("product_uuid"), product).unwrap();
            HostFacts::of(folder.path(), folder.path())
        };
        let none = HostFacts::default();
        assert_eq!(of("uninitialized\n", "00000000-0000-0000-0000-000000000000\n"), none);
        assert_eq!(of("", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"), none);
        let own = of("0123456789ABCDEF0123456789abcdef\n", "4C4C4544-0042\n");
        assert_eq!(own.machine.as_deref(), Some("0123456789abcdef0123456789abcdef"));
        assert_eq!(own.product.as_deref(), Some("4c4c4544-0042"));
        assert_eq!(HostRow::decode(b"{torn"), HostRow::default());
    }
}
