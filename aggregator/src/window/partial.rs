//! What one shard knows of a window, as it goes to the merge fold. `docs/averages.md` has the bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::codec::{DecodeError, Reader, put_bytes, put_varint};
use headwater_protocol::identity::DeviceId;
use headwater_protocol::limits;
use headwater_protocol::record::Series;

use super::{Combination, Figures, Key, Spread};

/// Labels and facts of a device.
pub type Facts = Arc<BTreeMap<String, String>>;

/// One shard's figures of one window: a value with a revision that takes the place of the one before,
/// unless it is an addition.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Partial {
    /// Where the window begins, microseconds since 1970 UTC.
    pub start_us: i64,
    /// How long it is, in microseconds.
    pub length_us: u64,
    /// 1 for the first that the shard says of the window.
    pub revision: u32,
    /// Whether this is more of a window that the shard held no longer: readers add it to what there is.
    pub addition: bool,
    /// Whether more of the same revision follows in another partial.
    pub continued: bool,
    /// Keys that a combination may have.
    pub keys_max: u32,
    /// Facts of devices that are new or have changed since the shard last told them.
    pub facts: Vec<(DeviceId, Facts)>,
    /// The figures, in order of combination and key.
    pub groups: Vec<Group>,
}

/// What a shard knows of one key. Without rows it only says how many devices there are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group {
    /// What is added up by.
    pub combination: Arc<Combination>,
    /// The key of that combination.
    pub key: Arc<Key>,
    /// Devices of this key that the shard knows.
    pub known: u32,
    /// The figures, in order of series.
    pub rows: Vec<GroupRow>,
}

/// The figures of one series of one key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupRow {
    /// What was measured.
    pub series: Arc<Series>,
    /// The figures.
    pub figures: Figures,
    /// How the samples' values are spread.
    pub spread: Spread,
    /// Devices that sent at least one of the samples.
    pub devices: u32,
}

const FLAG_ADDITION: u8 = 1;
const FLAG_CONTINUED: u8 = 2;

/// Of a key: its combination is another one than that of the key before.
const FLAG_COMBINATION: u8 = 1;
/// Of a key: it is kept of rows how their values are spread.
const FLAG_SPREAD: u8 = 2;

/// Rows of one partial: at some 20 bytes each it stays far below what an entry may hold.
pub const ROWS_PER_PARTIAL_MAX: usize = 16_384;
/// Series of one partial, keys of one partial, devices whose facts are told in one partial: bounds for a
/// reader, above what a shard of 65,536 devices sends in one.
const ENTRIES_MAX: usize = 1 << 20;

impl Partial {
    /// Appends the bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_around(&self.groups, out);
    }

    /// Appends the bytes that there would be with other groups.
    pub fn encode_around(&self, groups: &[Group], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.start_us.to_le_bytes());
        out.extend_from_slice(&self.length_us.to_le_bytes());
        put_varint(out, u64::from(self.revision));
        let addition = if self.addition { FLAG_ADDITION } else { 0 };
        out.push(addition | if self.continued { FLAG_CONTINUED } else { 0 });
        put_varint(out, u64::from(self.keys_max));
        put_varint(out, self.facts.len() as u64);
        for (device, facts) in &self.facts {
            out.extend_from_slice(&device.0);
            encode_facts(facts, out);
        }
        let mut table = SeriesTable::default();
        let rows = groups.iter().flat_map(|group| &group.rows);
        rows.for_each(|row| table.add(&row.series));
        table.encode(out);
        put_varint(out, groups.len() as u64);
        let mut combination: Option<&Combination> = None;
        for group in groups {
            let same = combination == Some(&*group.combination);
            let is_spread = group.is_spread();
            let spread = if is_spread { FLAG_SPREAD } else { 0 };
            out.push(spread | if same { 0 } else { FLAG_COMBINATION });
            if !same {
                encode_texts(group.combination.labels(), out);
                combination = Some(&group.combination);
            }
            group.encode(&table, is_spread, out);
        }
    }

    /// Whether it is kept of any row how its values are spread.
    #[must_use]
    pub fn is_spread(&self) -> bool {
        self.groups.iter().any(Group::is_spread)
    }

    /// Reads the bytes.
    ///
    /// # Errors
    /// For every malformed input.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (start_us, length_us) = (reader.i64("window start")?, reader.u64("window length")?);
        let revision = narrow(reader, "revision")?;
        let flags = reader.u8("partial flags")?;
        let keys_max = narrow(reader, "keys of a combination")?;
        let mut facts = Vec::new();
        for _ in 0..reader.length("count of facts", ENTRIES_MAX)? {
            let device = DeviceId(reader.array("device")?);
            facts.push((device, Arc::new(decode_facts(reader)?)));
        }
        let table = decode_table(reader)?;
        let mut groups = Vec::new();
        let mut combination: Option<Arc<Combination>> = None;
        for _ in 0..reader.length("count of keys", ENTRIES_MAX)? {
            let flags = reader.u8("flags of a key")?;
            if flags & !(FLAG_COMBINATION | FLAG_SPREAD) != 0 {
                let (what, value) = ("flags of a key", u64::from(flags));
                return Err(DecodeError::Value { what, value, expected: "0 to 3" });
            }
            if flags & FLAG_COMBINATION != 0 {
                combination = Some(Arc::new(Combination::new(decode_texts(reader)?)));
            }
            let combination = combination.clone().ok_or(DecodeError::Value {
                what: "combination flag",
                value: 0,
                expected: "a combination before the first key",
            })?;
            let is_spread = flags & FLAG_SPREAD != 0;
            groups.push(Group::decode(combination, (&table, is_spread), reader)?);
        }
        Ok(Self {
            start_us,
            length_us,
            revision,
            addition: flags & FLAG_ADDITION != 0,
            continued: flags & FLAG_CONTINUED != 0,
            keys_max,
            facts,
            groups,
        })
    }
}

impl GroupRow {
    /// Adds what another row says of the same series.
    pub fn add(&mut self, other: &Self) {
        self.spread.add(self.figures, &other.spread, other.figures);
        self.figures = self.figures.plus(other.figures);
        self.devices = self.devices.saturating_add(other.devices);
    }

    /// Appends devices and figures; where any row of the key is spread, also whether this one is, and how.
    pub fn encode(&self, is_spread: bool, out: &mut Vec<u8>) {
        let (devices, is_known) = (u64::from(self.devices), self.spread.is_known());
        put_varint(out, if is_spread { devices << 1 | u64::from(is_known) } else { devices });
        self.figures.encode(out);
        if is_spread {
            self.spread.encode(out);
        }
    }

    /// Reads what `encode` wrote of a series.
    ///
    /// # Errors
    /// For every malformed input.
    pub fn decode(
        series: Arc<Series>,
        is_spread: bool,
        reader: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let devices = reader.varint("devices")?;
        let (devices, is_known) =
            if is_spread { (devices >> 1, devices & 1 != 0) } else { (devices, false) };
        let (what, expected) = ("devices", "at most 32 bits");
        let devices = u32::try_from(devices).map_err(|_| DecodeError::Value {
            what,
            value: devices,
            expected,
        })?;
        let figures = Figures::decode(reader)?;
        let spread = if is_known { Spread::decode(figures, reader)? } else { Spread::Unknown };
        Ok(Self { series, figures, spread, devices })
    }
}

impl Group {
    /// Whether it is kept of any row how its values are spread.
    pub(crate) fn is_spread(&self) -> bool {
        self.rows.iter().any(|row| row.spread.is_known())
    }

    fn encode(&self, table: &SeriesTable<'_>, is_spread: bool, out: &mut Vec<u8>) {
        self.key.encode(out);
        put_varint(out, u64::from(self.known));
        put_varint(out, self.rows.len() as u64);
        for row in &self.rows {
            put_varint(out, table.place(&row.series));
            row.encode(is_spread, out);
        }
    }

    fn decode(
        combination: Arc<Combination>,
        (table, is_spread): (&[Arc<Series>], bool),
        reader: &mut Reader<'_>,
    ) -> Result<Self, DecodeError> {
        let key = Key::decode(reader)?;
        let known = narrow(reader, "known devices")?;
        let mut rows = Vec::new();
        for _ in 0..reader.length("count of rows", ENTRIES_MAX)? {
            let place = reader.length("series", table.len().saturating_sub(1))?;
            let series = table.get(place).cloned().ok_or(DecodeError::Value {
                what: "series",
                value: place as u64,
                expected: "a series of the table",
            })?;
            rows.push(GroupRow::decode(series, is_spread, reader)?);
        }
        Ok(Self { combination, key: Arc::new(key), known, rows })
    }
}

/// Places of series in a table, in order of first use.
#[derive(Default)]
pub(super) struct SeriesTable<'a> {
    places: BTreeMap<&'a Series, u64>,
    order: Vec<&'a Series>,
}

impl<'a> SeriesTable<'a> {
    pub(super) fn add(&mut self, series: &'a Series) {
        let next = self.places.len() as u64;
        if *self.places.entry(series).or_insert(next) == next && self.order.len() as u64 == next {
            self.order.push(series);
        }
    }

    fn place(&self, series: &Series) -> u64 {
        *self.places.get(series).expect("every series of a partial was added to its table")
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.order.len() as u64);
        self.order.iter().for_each(|series| series.encode(out));
    }
}

pub(super) fn decode_table(reader: &mut Reader<'_>) -> Result<Vec<Arc<Series>>, DecodeError> {
    let count = reader.length("count of series", ENTRIES_MAX)?;
    (0..count).map(|_| Series::decode(reader).map(Arc::new)).collect()
}

/// Appends facts.
pub fn encode_facts(facts: &BTreeMap<String, String>, out: &mut Vec<u8>) {
    put_varint(out, facts.len() as u64);
    for (name, value) in facts {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value.as_bytes());
    }
}

/// Reads facts.
///
/// # Errors
/// For every malformed input.
pub fn decode_facts(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>, DecodeError> {
    let mut facts = BTreeMap::new();
    for _ in 0..reader.length("count of facts", limits::LABELS_MAX)? {
        let name = reader.text("fact", limits::TEXT_BYTES_MAX)?;
        facts.insert(name, reader.text("fact", limits::TEXT_BYTES_MAX)?);
    }
    Ok(facts)
}

/// Appends a list of texts.
pub fn encode_texts(texts: &[String], out: &mut Vec<u8>) {
    put_varint(out, texts.len() as u64);
    texts.iter().for_each(|text| put_bytes(out, text.as_bytes()));
}

/// Reads a list of texts.
///
/// # Errors
/// For every malformed input.
pub fn decode_texts(reader: &mut Reader<'_>) -> Result<Vec<String>, DecodeError> {
    let count = reader.length("count of texts", limits::LABELS_MAX)?;
    (0..count).map(|_| reader.text("text", limits::TEXT_BYTES_MAX)).collect()
}

/// Reads a variable integer of 32 bits.
///
/// # Errors
/// As `varint`, and `Value` above 32 bits.
pub fn narrow(reader: &mut Reader<'_>, what: &'static str) -> Result<u32, DecodeError> {
    let value = reader.varint(what)?;
    let expected = "at most 32 bits";
    u32::try_from(value).map_err(|_| DecodeError::Value { what, value, expected })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial() -> Partial {
        let series = |metric: &str, labels: &[(&str, &str)]| {
            let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            Arc::new(Series { metric: metric.to_owned(), labels: labels.collect(), scale: 4 })
        };
        let row = |series: &Arc<Series>, value| GroupRow {
            series: Arc::clone(series),
            figures: Figures::of(value).plus(Figures::of(-value * 3)),
            spread: Spread::Unknown,
            devices: 1,
        };
        let (busy, used) = (series("cpu.busy_ratio", &[]), series("disk.used", &[("mount", "/")]));
        let group = |labels: &[&str], key, rows| Group {
            combination: Arc::new(Combination::new(
                labels.iter().map(|label| (*label).to_owned()).collect(),
            )),
            key: Arc::new(key),
            known: 3,
            rows,
        };
        let osl = Key::Of(vec!["osl-1".to_owned()]);
        let mut sketched = GroupRow { spread: Spread::Told, ..row(&busy, 7) };
        for value in [70, 900, -3] {
            sketched.add(&GroupRow { spread: Spread::Told, ..row(&busy, value) });
        }
        let told = GroupRow { spread: Spread::Told, ..row(&used, 4) };
        Partial {
            start_us: -10_000_000,
            length_us: 10_000_000,
            revision: 2,
            addition: true,
            continued: false,
            keys_max: 10_000,
            facts: vec![(
                DeviceId([7; 16]),
                Arc::new(BTreeMap::from([("site".to_owned(), "osl-1".to_owned())])),
            )],
            groups: vec![
                group(&["site"], osl, vec![row(&busy, 5), row(&used, i64::MAX / 4)]),
                group(&["site"], Key::Other, vec![row(&used, -1)]),
                group(&["site"], Key::Of(vec!["sto".to_owned()]), vec![sketched, told]),
                group(&["a", "b"], Key::Of(vec![String::new(), "x".to_owned()]), vec![]),
            ],
        }
    }

    #[test]
    fn a_partial_comes_back_and_a_cut_one_is_refused() {
        let mut bytes = Vec::new();
        partial().encode(&mut bytes);
        let mut reader = Reader::new(&bytes);
        assert_eq!(Partial::decode(&mut reader), Ok(partial()));
        assert_eq!(reader.left(), 0);
        for cut in 0..bytes.len() {
            assert!(Partial::decode(&mut Reader::new(&bytes[..cut])).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn changed_bytes_never_reach_a_panic() {
        let mut bytes = Vec::new();
        partial().encode(&mut bytes);
        for at in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                // Whether it can still be read is no matter here.
                drop(Partial::decode(&mut Reader::new(&changed)));
            }
        }
    }
}
