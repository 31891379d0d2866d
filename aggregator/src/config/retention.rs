//! How much of the history is kept: limits of all tables, and of single ones.

use std::time::Duration;

use super::error::ConfigError;
use super::read::{Field, Layers};
use super::units;
use crate::history::{Keep, Retention, Table};

/// Names and places of a table's limits: for how long, how many bytes.
type OfTable = (Table, (&'static str, Field<String>), (&'static str, Field<String>));

/// The limits of single tables.
const TABLES: [OfTable; 5] = [
    (
        Table::Samples,
        ("history.samples.keep", |raw| &raw.history.samples.keep),
        ("history.samples.max_bytes", |raw| &raw.history.samples.max_bytes),
    ),
    (
        Table::Events,
        ("history.events.keep", |raw| &raw.history.events.keep),
        ("history.events.max_bytes", |raw| &raw.history.events.max_bytes),
    ),
    (
        Table::Gaps,
        ("history.gaps.keep", |raw| &raw.history.gaps.keep),
        ("history.gaps.max_bytes", |raw| &raw.history.gaps.max_bytes),
    ),
    (
        Table::Averages,
        ("history.averages.keep", |raw| &raw.history.averages.keep),
        ("history.averages.max_bytes", |raw| &raw.history.averages.max_bytes),
    ),
    (
        Table::Alerts,
        ("history.alerts.keep", |raw| &raw.history.alerts.keep),
        ("history.alerts.max_bytes", |raw| &raw.history.alerts.max_bytes),
    ),
];

/// Reads how much of each table is kept.
pub(super) fn read(layers: &Layers<'_>) -> Result<Retention, ConfigError> {
    let hour = Duration::from_secs(3_600);
    let age = |text: &String| match text.as_str() {
        "forever" => Some(None),
        text => units::duration(text).filter(|age| *age >= hour).map(Some),
    };
    let bytes = |text: &String| match text.as_str() {
        "unlimited" => Some(None),
        text => units::bytes(text).map(Some),
    };
    let expected_age = "\"forever\", or an hour and more, as in \"400d\"";
    let expected_bytes = "\"unlimited\", or bytes as in \"100GiB\"";
    let mut retention = Retention::new();
    for (table, of_age, of_bytes) in TABLES {
        let (of_all, bytes_of_all) = (
            layers.get("history.keep", |raw| &raw.history.keep),
            layers.get("history.max_bytes", |raw| &raw.history.max_bytes),
        );
        let of_age = layers.find(of_age.0, of_age.1).unwrap_or(of_all);
        let of_bytes = layers.find(of_bytes.0, of_bytes.1).unwrap_or(bytes_of_all);
        let age = of_age.check(age, expected_age)?;
        let bytes = of_bytes.check(bytes, expected_bytes)?;
        retention.insert(table, Keep { age, bytes });
    }
    Ok(retention)
}

#[cfg(test)]
mod tests {
    use super::super::layer::Layer;
    use super::*;
    use crate::limits::ByteCount;

    fn read_text(text: &str) -> Result<Retention, ConfigError> {
        let defaults = Layer::parse("defaults", include_str!("headwater.toml")).unwrap();
        let layer = Layer::parse("headwater.toml", text)?;
        read(&Layers(&[defaults, layer]))
    }

    #[test]
    fn everything_is_kept_unless_a_person_says_otherwise_of_all_tables_or_of_one() {
        let kept = read_text("").unwrap();
        assert!(Table::ALL.iter().all(|table| kept[table] == Keep::default()));
        let text = "[history]\nkeep = \"400d\"\n[history.events]\nkeep = \"30d\"\nmax_bytes = \"2GiB\"\n[history.alerts]\nkeep = \"forever\"\n";
        let kept = read_text(text).unwrap();
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let events = Keep { age: days(30), bytes: Some(ByteCount(2 << 30)) };
        assert_eq!(kept[&Table::Events], events);
        assert_eq!(kept[&Table::Samples], Keep { age: days(400), bytes: None });
        assert_eq!(kept[&Table::Alerts], Keep::default());
    }

    #[test]
    fn a_limit_that_is_none_is_refused_by_name() {
        let refused = |text| read_text(text).unwrap_err().to_string();
        let error = refused("[history.events]\nkeep = \"30m\"\n");
        assert!(error.contains("history.events.keep is \"30m\""), "{error}");
        let error = refused("[history]\nmax_bytes = \"lots\"\n");
        assert!(error.contains("history.max_bytes is \"lots\""), "{error}");
        let error = refused("[history.event]\nkeep = \"30d\"\n");
        assert!(error.contains("event"), "{error}");
    }
}
