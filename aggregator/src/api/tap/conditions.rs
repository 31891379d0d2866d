//! Conditions such as `site:osl-1`: all keys must fit, and of each key one value.

use std::collections::BTreeMap;

/// What must fit.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Conditions {
    by_key: BTreeMap<String, Vec<String>>,
}

impl Conditions {
    /// Adds `key:value` or `key:value,value`; `None` if it is neither.
    pub(super) fn add(&mut self, text: &str) -> Option<()> {
        let (key, values) = text.split_once(':')?;
        if key.is_empty() || values.is_empty() {
            return None;
        }
        let values = values.split(',').map(str::to_owned);
        self.by_key.entry(key.to_owned()).or_default().extend(values);
        Some(())
    }

    /// Whether a value fits what is asked of its key; nothing asked fits all.
    pub(super) fn fits(&self, key: &str, value: &str) -> bool {
        self.by_key.get(key).is_none_or(|wanted| wanted.iter().any(|wanted| wanted == value))
    }

    /// Whether anything is asked of a key.
    pub(super) fn asks(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }

    /// Whether labels fit what is asked of all keys that are not `RESERVED`; a label that is not there
    /// does not fit.
    pub(super) fn labels_fit(&self, labels: &BTreeMap<String, String>) -> bool {
        let asked = self.by_key.iter().filter(|(key, _)| !RESERVED.contains(&key.as_str()));
        let mut asked =
            asked.map(|(key, wanted)| labels.get(key).is_some_and(|is| wanted.contains(is)));
        asked.all(|fits| fits)
    }
}

/// Keys that are no labels.
const RESERVED: [&str; 4] = ["device", "metric", "source", "lane"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_must_fit_and_of_each_key_one_value() {
        let mut conditions = Conditions::default();
        for text in ["site:osl-1,osl-2", "role:db", "metric:cpu.busy_ratio"] {
            conditions.add(text).unwrap();
        }
        let labels = |site: &str, role: &str| {
            BTreeMap::from([
                ("site".to_owned(), site.to_owned()),
                ("role".to_owned(), role.to_owned()),
            ])
        };
        assert!(conditions.labels_fit(&labels("osl-2", "db")));
        assert!(!conditions.labels_fit(&labels("osl-3", "db")));
        assert!(!conditions.labels_fit(&BTreeMap::new()));
        assert!(conditions.fits("metric", "cpu.busy_ratio") && !conditions.fits("metric", "load"));
        assert!(conditions.fits("source", "anything"));
        assert_eq!(conditions.add("site"), None);
    }
}
