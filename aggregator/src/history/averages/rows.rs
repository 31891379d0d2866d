//! Averages and changes of alerts on their way into a file.

use headwater_protocol::identity::LogId;
use parquet::data_type::{ByteArray, FixedLenByteArray};
use parquet::errors::Result;

use super::super::columns::{Columns, decimal, is_exact, object, text};
use super::super::file::{Said, encode_said, said_of_span};
use super::super::table::Table;
use crate::alert::{AlertChange, AlertState};
use crate::merge::Average;
use crate::window::{Key, Quantile};

/// The quantiles that have columns.
const QUANTILES: [&str; 3] = ["p50", "p95", "p99"];

/// What a file says of its rows.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub(super) log: LogId,
    pub(super) from_us: i64,
    pub(super) to_us: i64,
    pub(super) as_of: u64,
}

impl About {
    fn said(self) -> Said {
        said_of_span(self.log, (self.from_us, self.to_us), self.as_of)
    }
}

/// What rows are in order of: combination, key (`other` behind all), metric, labels, scale and time.
type Place<'r> = (&'r [u8], bool, Option<&'r [u8]>, &'r str, &'r [u8], u8, i64);

/// A row with its texts as they are written.
struct Row<'a> {
    average: &'a Average,
    by: ByteArray,
    key: Option<ByteArray>,
    labels: ByteArray,
}

impl<'a> Row<'a> {
    fn of(average: &'a Average) -> Self {
        let by = average.combination.labels();
        let value = |place: usize| average.key.value(place).to_owned();
        let pairs: Vec<(String, String)> =
            by.iter().enumerate().map(|(place, label)| (label.clone(), value(place))).collect();
        let key = (*average.key != Key::Other).then(|| object(&pairs));
        Self { average, by: text(&by.join(",")), key, labels: object(&average.row.series.labels) }
    }

    fn place(&self) -> Place<'_> {
        let series = &self.average.row.series;
        let key = self.key.as_ref().map(ByteArray::data);
        let (by, labels) = (self.by.data(), self.labels.data());
        let (metric, scale) = (series.metric.as_str(), series.scale);
        (by, key.is_none(), key, metric, labels, scale, self.average.start_us)
    }
}

/// A file of averages. Whether they are late: they add to what other files have of their windows.
pub(super) fn averages(about: About, averages: &[Average], is_late: bool) -> Result<Vec<u8>> {
    let mut rows: Vec<Row<'_>> = averages.iter().map(Row::of).collect();
    rows.sort_by(|one, other| one.place().cmp(&other.place()));
    encode_said(Table::Averages, |columns| {
        write_averages(&rows, is_late, columns)?;
        Ok(about.said())
    })
}

fn write_averages(
    rows: &[Row<'_>],
    is_late: bool,
    columns: &mut Columns<'_, '_, Vec<u8>>,
) -> Result<()> {
    let all = || rows.iter().map(|row| row.average);
    let scaled = |value: i64, average: &Average| decimal(value, average.row.series.scale);
    let mean = |average: &Average| {
        let (figures, scale) = (average.row.figures, average.row.series.scale);
        #[expect(clippy::cast_precision_loss, reason = "the exact sum has a column of its own")]
        let mean = figures.sum as f64 / figures.count as f64;
        mean / 10_f64.powi(i32::from(scale))
    };
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    columns.int64(all().map(|it| it.start_us))?;
    columns.text(rows.iter().map(|row| row.by.clone()))?;
    columns.optional_bytes(rows.iter().map(|row| row.key.clone()))?;
    columns.text(all().map(|it| text(&it.row.series.metric)))?;
    columns.text(rows.iter().map(|row| row.labels.clone()))?;
    columns.int64(all().map(|it| i64::try_from(it.row.figures.count).unwrap_or(i64::MAX)))?;
    columns.double(all().map(mean))?;
    columns.double(all().map(|it| scaled(it.row.figures.min, it)))?;
    columns.double(all().map(|it| scaled(it.row.figures.max, it)))?;
    for name in QUANTILES {
        let quantile: Quantile = name.parse().expect("a quantile");
        columns.optional_double(all().map(|it| {
            let is_kept = it.row.spread.is_known();
            let value = it.row.spread.quantile(it.row.figures, quantile).filter(|_| is_kept);
            value.map(|value| scaled(value, it))
        }))?;
    }
    columns.int32(all().map(|it| i32::from(it.row.series.scale)))?;
    columns.fixed(all().map(|it| {
        FixedLenByteArray::from(ByteArray::from(it.row.figures.sum.to_be_bytes().to_vec()))
    }))?;
    let inexact = |value: i64| (!is_exact(value)).then_some(value);
    columns.optional_int64(all().map(|it| inexact(it.row.figures.min)))?;
    columns.optional_int64(all().map(|it| inexact(it.row.figures.max)))?;
    columns.int32(all().map(|it| number(it.row.devices)))?;
    columns.int32(all().map(|it| number(it.known)))?;
    columns.int32(all().map(|it| number(it.revision)))?;
    columns.boolean(all().map(|_| is_late))
}

/// A file of changes of alerts.
pub(super) fn alerts(about: About, changes: &[AlertChange]) -> Result<Vec<u8>> {
    encode_said(Table::Alerts, |columns| {
        write_alerts(changes, columns)?;
        Ok(about.said())
    })
}

fn write_alerts(changes: &[AlertChange], columns: &mut Columns<'_, '_, Vec<u8>>) -> Result<()> {
    let all = || changes.iter().map(|change| &change.alert);
    let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    let map = |map: &std::collections::BTreeMap<String, String>| {
        let pairs: Vec<_> = map.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        object(&pairs)
    };
    let double = |value: crate::alert::Decimal| value.to_string().parse().unwrap_or(f64::NAN);
    let maybe = |it: Option<&str>| it.map(text);
    columns.int64(all().map(|it| it.changed_us))?;
    columns.text(all().map(|it| text(&it.id.to_string())))?;
    columns.int32(all().map(|it| number(it.number)))?;
    columns.text(changes.iter().map(|it| text(it.kind.word())))?;
    columns.text(all().map(|it| text(it.severity.word())))?;
    columns.text(all().map(|it| text(&it.rule.name)))?;
    columns.text(all().map(|it| text(&it.rule.owner)))?;
    columns.text(all().map(|it| map(&it.key)))?;
    columns.text(all().map(|it| text(&it.metric)))?;
    columns.text(all().map(|it| map(&it.labels)))?;
    columns.double(all().map(|it| double(it.value)))?;
    columns.double(all().map(|it| double(it.limit)))?;
    columns.int64(all().map(|it| it.began_us))?;
    columns.optional_bytes(all().map(|it| match it.state {
        AlertState::Cleared(why) => Some(text(why.words())),
        AlertState::Pending | AlertState::Firing => None,
    }))?;
    columns.optional_bytes(all().map(|it| maybe(it.note.as_deref())))?;
    columns.optional_bytes(all().map(|it| maybe(it.runbook.as_deref())))?;
    columns.int64(all().map(|it| it.revision.cast_signed()))?;
    columns.int64(changes.iter().map(|it| it.seq.cast_signed()))
}
