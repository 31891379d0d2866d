//! Samples on their way into a file: gathered by device and series, so that little is left to sort.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::position::Stream;
use headwater_protocol::record::{Series, Tick};
use parquet::data_type::ByteArray;
use parquet::errors::Result;

use super::columns::{Columns, decimal, is_exact, object, text};
use crate::api::rows::hex;
use crate::sink::Tags;

/// What all samples of a tick have in common, beside its time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Origin {
    pub(super) tags: Arc<Tags>,
    pub(super) stream: Stream,
    /// What was added to the device's time, microseconds.
    pub(super) shift_us: i64,
}

/// Samples of one file.
#[derive(Debug, Default)]
pub(super) struct Samples {
    devices: BTreeMap<DeviceId, OfDevice>,
    rows: u64,
}

/// Samples of one device.
#[derive(Debug, Default)]
struct OfDevice {
    series: Vec<(Arc<Series>, Vec<Point>)>,
    places: BTreeMap<Arc<Series>, usize>,
    /// The last tick, and the places of its series.
    resolved: Option<(Tick, Vec<usize>)>,
    origins: Vec<Origin>,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Point {
    time_us: i64,
    position: u64,
    value: i64,
    origin: u32,
}

impl Samples {
    /// Takes a tick, at its corrected time.
    pub(super) fn add(
        &mut self,
        device: DeviceId,
        (time_us, position): (i64, u64),
        tick: &Tick,
        origin: &Origin,
    ) {
        self.rows += tick.len() as u64;
        let of_device = self.devices.entry(device).or_default();
        if of_device.origins.last() != Some(origin) {
            of_device.origins.push(origin.clone());
        }
        let last = of_device.origins.len() - 1;
        let origin = u32::try_from(last).expect("a range has fewer records");
        let OfDevice { series, places, resolved, .. } = of_device;
        if resolved.as_ref().is_none_or(|(last, _)| !tick.shares_list(last)) {
            let place = |series_of: &Arc<Series>| {
                *places.entry(Arc::clone(series_of)).or_insert_with(|| {
                    series.push((Arc::clone(series_of), Vec::new()));
                    series.len() - 1
                })
            };
            *resolved = Some((tick.clone(), tick.iter().map(|it| it.series).map(place).collect()));
        }
        let places = resolved.as_ref().map_or(&[][..], |(_, places)| places);
        for (place, value) in places.iter().zip(tick.values()) {
            series[*place].1.push(Point { time_us, position, value: *value, origin });
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes all columns, in the order of the schema.
    pub(super) fn write(mut self, columns: &mut Columns<'_, '_, Vec<u8>>) -> Result<()> {
        let devices: Vec<Sorted> =
            std::mem::take(&mut self.devices).into_iter().map(Sorted::of).collect();
        let rows = || devices.iter().flat_map(Sorted::rows);
        columns.int64(rows().map(|(_, _, point)| point.time_us))?;
        columns.text(rows().map(|(device, _, _)| device.id.clone()))?;
        columns.text(rows().map(|(device, _, point)| device.origin(point).host.clone()))?;
        columns.text(rows().map(|(_, series, _)| series.metric.clone()))?;
        columns.text(rows().map(|(_, series, _)| series.labels.clone()))?;
        columns.double(rows().map(|(_, series, point)| decimal(point.value, series.scale)))?;
        columns.int32(rows().map(|(_, series, _)| i32::from(series.scale)))?;
        columns.optional_int64(
            rows().map(|(_, _, point)| (!is_exact(point.value)).then_some(point.value)),
        )?;
        columns.text(rows().map(|(device, _, point)| device.origin(point).tags.clone()))?;
        columns.int64(rows().map(|(device, _, point)| device.origin(point).shift_us))?;
        columns.text(rows().map(|(device, _, point)| device.origin(point).source.clone()))?;
        columns.int64(rows().map(|(device, _, point)| device.origin(point).run))?;
        columns.int64(rows().map(|(device, _, point)| device.origin(point).nonce))?;
        columns.int64(rows().map(|(_, _, point)| point.position.cast_signed()))
    }
}

/// Samples of one device in the order of their rows, with what is said of them as values.
struct Sorted {
    id: ByteArray,
    series: Vec<SortedSeries>,
    origins: Vec<Said>,
}

struct SortedSeries {
    metric: ByteArray,
    labels: ByteArray,
    scale: u8,
    points: Vec<Point>,
}

impl SortedSeries {
    fn place(&self) -> (&[u8], &[u8], u8) {
        (self.metric.data(), self.labels.data(), self.scale)
    }
}

/// An origin as values.
pub(super) struct Said {
    pub(super) host: ByteArray,
    pub(super) tags: ByteArray,
    pub(super) source: ByteArray,
    pub(super) run: i64,
    pub(super) nonce: i64,
    pub(super) shift_us: i64,
}

impl Said {
    pub(super) fn of(origin: &Origin) -> Self {
        let Origin { tags, stream, shift_us } = origin;
        Self {
            host: text(&tags.host),
            tags: text(&tags.json),
            source: text(&hex(&stream.source.0)),
            run: stream.run.number.cast_signed(),
            nonce: stream.run.nonce.cast_signed(),
            shift_us: *shift_us,
        }
    }
}

impl Sorted {
    fn of((id, of_device): (DeviceId, OfDevice)) -> Self {
        let series = of_device.series.into_iter().map(|(series, mut points)| {
            points.sort();
            let (metric, labels) = (text(&series.metric), object(&series.labels));
            SortedSeries { metric, labels, scale: series.scale, points }
        });
        let mut series: Vec<SortedSeries> = series.collect();
        // By what a reader sees, which is what the file says it is in order of.
        series.sort_by(|one, other| one.place().cmp(&other.place()));
        let origins = of_device.origins.iter().map(Said::of).collect();
        Self { id: text(&id.to_string()), series, origins }
    }

    fn rows(&self) -> impl Iterator<Item = (&Self, &SortedSeries, &Point)> {
        self.series
            .iter()
            .flat_map(move |series| series.points.iter().map(move |point| (self, series, point)))
    }

    fn origin(&self, point: &Point) -> &Said {
        &self.origins[point.origin as usize]
    }
}
