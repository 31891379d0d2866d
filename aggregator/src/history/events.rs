//! Lines of logs on their way into a file.

use std::sync::Arc;

use headwater_protocol::identity::DeviceId;
use headwater_protocol::record::{Event, Part};
use parquet::data_type::ByteArray;
use parquet::errors::Result;

use super::columns::{Columns, text};
use super::samples::{Origin, Said};
use crate::api::rows::part_word;

/// Lines of one file.
#[derive(Debug, Default)]
pub(super) struct Events {
    rows: Vec<Row>,
    origins: Vec<(DeviceId, Option<Arc<str>>, Origin)>,
}

#[derive(Debug)]
struct Row {
    origin: u32,
    time_us: i64,
    start: u64,
    end: u64,
    part: Part,
    body: ByteArray,
    is_text: bool,
}

impl Row {
    /// Where the next line begins, if that does not follow from where this one does.
    fn unusual_end(&self) -> Option<i64> {
        let line_end = match self.part {
            Part::Whole => 1,
            Part::WholeCrLf => 2,
            Part::Continued | Part::Unended => 0,
        };
        let usual = self.start.saturating_add(self.body.len() as u64 + line_end);
        (self.end != usual).then_some(self.end.cast_signed())
    }
}

impl Events {
    /// Takes a line, at its corrected time; `path` is that of its file.
    pub(super) fn add(
        &mut self,
        device: DeviceId,
        (time_us, start, end): (i64, u64, u64),
        event: Event,
        (path, origin): (Option<&Arc<str>>, &Origin),
    ) {
        let is_last = self.origins.last().is_some_and(|(last_device, last_path, last)| {
            (*last_device, last_path.as_ref(), last) == (device, path, origin)
        });
        if !is_last {
            self.origins.push((device, path.cloned(), origin.clone()));
        }
        let origin = u32::try_from(self.origins.len() - 1).expect("a range has fewer records");
        let is_text = std::str::from_utf8(&event.body).is_ok();
        let (part, body) = (event.part, ByteArray::from(event.body));
        self.rows.push(Row { origin, time_us, start, end, part, body, is_text });
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows.len() as u64
    }

    /// Writes all columns, in the order of the schema.
    pub(super) fn write(mut self, columns: &mut Columns<'_, '_, Vec<u8>>) -> Result<()> {
        let place = |row: &Row| {
            let (device, _, origin) = &self.origins[row.origin as usize];
            (*device, origin.stream, row.start)
        };
        if !self.rows.is_sorted_by_key(place) {
            self.rows.sort_by_key(place);
        }
        let said: Vec<(ByteArray, ByteArray, Said)> = self
            .origins
            .iter()
            .map(|(device, path, origin)| {
                let path = path.as_ref().map_or("", |path| path);
                (text(&device.to_string()), text(path), Said::of(origin))
            })
            .collect();
        let parts = Parts::default();
        let rows = || self.rows.iter().map(|row| (row, &said[row.origin as usize]));
        columns.int64(rows().map(|(row, _)| row.time_us))?;
        columns.text(rows().map(|(_, (device, _, _))| device.clone()))?;
        columns.text(rows().map(|(_, (_, _, said))| said.host.clone()))?;
        columns.text(rows().map(|(_, (_, path, _))| path.clone()))?;
        columns.optional_bytes(rows().map(|(row, _)| row.is_text.then(|| row.body.clone())))?;
        columns.optional_bytes(rows().map(|(row, _)| (!row.is_text).then(|| row.body.clone())))?;
        columns.text(rows().map(|(row, _)| parts.of(row.part)))?;
        columns.text(rows().map(|(_, (_, _, said))| said.tags.clone()))?;
        columns.int64(rows().map(|(_, (_, _, said))| said.shift_us))?;
        columns.text(rows().map(|(_, (_, _, said))| said.source.clone()))?;
        columns.int64(rows().map(|(_, (_, _, said))| said.run))?;
        columns.int64(rows().map(|(_, (_, _, said))| said.nonce))?;
        columns.int64(rows().map(|(row, _)| row.start.cast_signed()))?;
        columns.optional_int64(rows().map(|(row, _)| row.unusual_end()))
    }
}

/// Words for parts of lines, as values.
struct Parts([ByteArray; 4]);

impl Default for Parts {
    fn default() -> Self {
        let all = [Part::Whole, Part::WholeCrLf, Part::Continued, Part::Unended];
        Self(all.map(|part| text(part_word(part))))
    }
}

impl Parts {
    fn of(&self, part: Part) -> ByteArray {
        let at = match part {
            Part::Whole => 0,
            Part::WholeCrLf => 1,
            Part::Continued => 2,
            Part::Unended => 3,
        };
        self.0[at].clone()
    }
}
