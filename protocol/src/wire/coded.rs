//! Bodies of samples as they travel: by how they differ from the one before on the same stream.
//!
//! A host measures the same series again and again. What of a body is as it was does not travel: its table of
//! series, its columns of kinds and lengths. Times travel by how they grow, values by what is likely after those
//! before ([`values`]). The node makes of it the body that was sealed, byte for byte, before anything else looks at
//! it. Bodies of version 2 that are not packed, have no more than `CODED_BYTES_MAX` and no
//! more than `CODED_SERIES_MAX` series travel so; others neither use nor change what is remembered.

mod range;
mod values;

use self::range::{Coder, Decoder, Encoder};
use self::values::{HighBits, Model};
use crate::body::{Column, SECTIONS, SECTIONS_NUMBERED, Section, Sections, places, series_in};
use crate::codec::{DecodeError, Reader, put_bytes, put_varint, put_zigzag};
use crate::header::{Codec, Packing, VERSION_NUMBERED};
use crate::limits::{CODED_BYTES_MAX, CODED_SERIES_MAX};

/// Tables of series that are remembered: the samplers of a lane take turns.
const TABLES_MAX: usize = 4;
/// A table that follows in full.
const TABLE_NEW: usize = 0;

/// What is remembered of the bodies on a stream; each side has its own, and both are alike.
#[derive(Clone, Debug, Default)]
pub(super) struct LastBody {
    /// The last body's sections, apart from series, times and values.
    sections: [Vec<u8>; SECTIONS],
    time_us: i64,
    /// By how much the time grew last.
    step_us: i64,
    /// The newest first.
    tables: Vec<Table>,
}

#[derive(Clone, Debug)]
struct Table {
    section: Vec<u8>,
    models: Vec<Model>,
    high: HighBits,
}

const TIME: Section = Section::Column(Column::Time);
const VALUE: Section = Section::Column(Column::Value);
const KIND: Section = Section::Column(Column::Kind);

/// Whether a section is told by how it differs, and not as a whole.
fn is_coded(place: usize) -> bool {
    [Section::Series, TIME, VALUE].into_iter().any(|section| section.place() == place)
}

impl LastBody {
    /// A complete batch was sent, or came.
    pub(super) fn note(&mut self, packing: Packing, body: &[u8]) {
        if !may_be_coded(packing) {
            return;
        }
        let mut next = self.clone();
        if next.encode(body).is_ok() {
            *self = next;
        }
    }

    /// The body as it travels, which is the last one from now on; `None` if it travels as it is, and is not.
    pub(super) fn code(&mut self, packing: Packing, body: &[u8]) -> Option<Vec<u8>> {
        if !may_be_coded(packing) {
            return None;
        }
        let mut next = self.clone();
        let coded = next.encode(body).ok()?;
        // What the node will make of it, before it is relied on.
        let again = self.clone().decode(&coded, packing.unpacked);
        let is_same = again.is_ok_and(|again| again == body);
        debug_assert!(is_same, "a body comes back as it was");
        is_same.then(|| {
            *self = next;
            coded
        })
    }

    fn encode(&mut self, body: &[u8]) -> Result<Vec<u8>, DecodeError> {
        let sections = Sections::split(body, VERSION_NUMBERED)?;
        let mut out = Vec::with_capacity(64);
        let all = sections.all().iter().zip(&self.sections).enumerate();
        let other = all.filter(|(place, (now, last))| !is_coded(*place) && last != *now);
        let other: Vec<usize> = other.map(|(place, _)| place).collect();
        let told: u16 = other.iter().map(|place| 1 << place).sum();
        put_varint(&mut out, u64::from(told));
        let table = sections.of(Section::Series);
        let known = self.tables.iter().position(|it| it.section == table);
        put_varint(&mut out, known.map_or(TABLE_NEW, |place| place + 1) as u64);
        if known.is_none() {
            put_bytes(&mut out, table);
        }
        for place in other {
            put_bytes(&mut out, sections.all()[place]);
            self.sections[place] = sections.all()[place].to_vec();
        }
        self.turn_to(known, table)?;
        let mut times = Reader::new(sections.of(TIME));
        for at in 0..sections.of(KIND).len() {
            let since = times.zigzag("time")?;
            let step = if at == 0 { since.wrapping_sub(self.time_us) } else { since };
            put_zigzag(&mut out, step.wrapping_sub(self.step_us));
            self.go(step);
        }
        times.finish("times")?;
        let mut values = Reader::new(sections.of(VALUE));
        let mut encoder = Encoder::default();
        self.values(&mut encoder, |last| Ok(last.wrapping_add(values.zigzag("value")?)))?;
        values.finish("values")?;
        out.extend_from_slice(&encoder.finish());
        Ok(out)
    }

    /// The body, which is the last one from now on, of bytes that travelled.
    ///
    /// # Errors
    /// For every malformed input. What is remembered is of no use then.
    pub(super) fn decode(&mut self, coded: &[u8], unpacked: u32) -> Result<Vec<u8>, DecodeError> {
        let mut reader = Reader::new(coded);
        let told = reader.length("sections of the body", (1 << SECTIONS_NUMBERED) - 1)?;
        let place = reader.length("table of series", self.tables.len())?;
        let known = place.checked_sub(1);
        let table = match known {
            Some(place) => self.tables[place].section.clone(),
            None => reader.bytes("table of series", CODED_BYTES_MAX)?.to_vec(),
        };
        for place in (0..SECTIONS_NUMBERED).filter(|place| told & 1 << place != 0) {
            if is_coded(place) {
                return Err(outside("sections of the body", place as u64));
            }
            self.sections[place] = reader.bytes("section", CODED_BYTES_MAX)?.to_vec();
        }
        self.turn_to(known, &table)?;
        let mut times = Vec::new();
        for at in 0..self.sections[KIND.place()].len() {
            let step = self.step_us.wrapping_add(reader.zigzag("time")?);
            put_zigzag(&mut times, if at == 0 { step.wrapping_add(self.time_us) } else { step });
            self.go(step);
        }
        let mut values = Vec::new();
        self.values(&mut Decoder::new(reader.take("values", reader.left())?), |_| Ok(0))?
            .into_iter()
            .for_each(|since| put_zigzag(&mut values, since));
        let mut sections = [&[][..]; SECTIONS];
        for (section, last) in sections.iter_mut().zip(&self.sections) {
            *section = last;
        }
        sections[Section::Series.place()] = &table;
        (sections[TIME.place()], sections[VALUE.place()]) = (&times, &values);
        let body = Sections::of_all(sections).assemble();
        let length = body.len() as u64;
        let fits = body.len() <= CODED_BYTES_MAX && length == u64::from(unpacked);
        if fits { Ok(body) } else { Err(outside("length of the body", length)) }
    }

    /// Codes all values of a body, and gives by how much each differs from the one before it of its series in
    /// this body. `next` gives the next value, from the one before it of its series in this body.
    fn values(
        &mut self,
        coder: &mut impl Coder,
        mut next: impl FnMut(i64) -> Result<i64, DecodeError>,
    ) -> Result<Vec<i64>, DecodeError> {
        let kinds = self.sections[KIND.place()].iter();
        let ticks = kinds.filter(|kind| **kind == crate::body::KIND_TICK).count();
        let Some(table) = self.tables.first_mut() else { return Ok(Vec::new()) };
        let mut column = Reader::new(&self.sections[Section::Column(Column::Series).place()]);
        let (mut tick, mut last) = (Vec::new(), vec![0_i64; table.models.len()]);
        let mut since = Vec::new();
        for _ in 0..ticks {
            // Each value takes a byte of the body at least.
            let most = CODED_BYTES_MAX - since.len();
            places(&mut column, &mut tick, table.models.len(), most)?;
            for place in &tick {
                let before = &mut last[*place];
                let value = next(*before)?;
                let value = table.models[*place].code(coder, &mut table.high, value);
                since.push(value.wrapping_sub(*before));
                *before = value;
            }
        }
        column.finish("series of ticks")?;
        Ok(since)
    }

    /// Makes a table the newest one: one that is remembered, or a new one.
    fn turn_to(&mut self, known: Option<usize>, section: &[u8]) -> Result<(), DecodeError> {
        let table = match known {
            Some(place) => self.tables.remove(place),
            None => {
                let count = series_in(section, CODED_SERIES_MAX)?;
                let models = vec![Model::default(); count];
                Table { section: section.to_vec(), models, high: HighBits::default() }
            }
        };
        self.tables.insert(0, table);
        self.tables.truncate(TABLES_MAX);
        while self.tables.iter().map(|it| it.models.len()).sum::<usize>() > CODED_SERIES_MAX {
            self.tables.pop();
        }
        Ok(())
    }

    fn go(&mut self, step_us: i64) {
        self.time_us = self.time_us.wrapping_add(step_us);
        self.step_us = step_us;
    }
}

fn may_be_coded(packing: Packing) -> bool {
    packing.version == VERSION_NUMBERED
        && packing.codec == Codec::Plain
        && packing.unpacked as usize <= CODED_BYTES_MAX
}

fn outside(what: &'static str, value: u64) -> DecodeError {
    DecodeError::Value { what, value, expected: "what the batch before allows" }
}
