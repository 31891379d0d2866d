//! Texts as a batch can hold them: the other side refuses what exceeds its limits.

use std::collections::BTreeMap;

use headwater_protocol::limits::{LABELS_MAX, PATH_BYTES_MAX, TEXT_BYTES_MAX};
use headwater_protocol::record::SourceInfo;

/// Facts within the limits of a record: the first ones by name, each text cut at its limit.
pub(super) fn fitting(facts: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let cut = |text: String| match text.len() {
        0..=TEXT_BYTES_MAX => text,
        _ => text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned(),
    };
    facts.into_iter().take(LABELS_MAX).map(|(name, value)| (cut(name), cut(value))).collect()
}

/// A source whose path is within the limits of a body.
pub(super) fn fitting_path(info: SourceInfo) -> SourceInfo {
    match info {
        SourceInfo::File { mut path, fingerprint } => {
            path.truncate(PATH_BYTES_MAX);
            SourceInfo::File { path, fingerprint }
        }
        SourceInfo::Host | SourceInfo::Device => info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_cut_at_the_limits_of_a_record() {
        let facts = (0..100).map(|number| (format!("{number:03}"), "å".repeat(600))).collect();
        let fitting = fitting(facts);
        assert_eq!(fitting.len(), LABELS_MAX);
        assert!(fitting.values().all(|value| value.len() == TEXT_BYTES_MAX));
    }
}
