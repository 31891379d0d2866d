//! The outer form of a body of version 2 or later: sections of bytes, of which empty ones take nothing.
//!
//! Which ones there are (2 bytes, one bit each, the streams' the lowest), the length of each of those as a
//! varint, then their bytes.

use super::lines::Packed;
use super::{COLUMNS, Column};
use crate::codec::{DecodeError, Reader, put_varint, put_zigzag};
use crate::header::VERSION_NUMBERED;
use crate::limits;

/// How many sections there are.
pub(crate) const SECTIONS: usize = COLUMNS + 5;
/// How many there are in version 2.
pub(crate) const SECTIONS_NUMBERED: usize = COLUMNS + 2;

/// A section of a body.
#[derive(Clone, Copy)]
pub(crate) enum Section {
    /// What is covered: per stream its place among the header's spans, and what its source is.
    Streams,
    /// The dictionary of series.
    Series,
    /// A column.
    Column(Column),
    /// What the fields of lines are. Of version 3, in which no lines stand in their column.
    Fields,
    /// What varies in lines.
    Values,
    /// What varies in lines and nothing makes smaller: the last one, which is never compressed.
    Raw,
}

/// The sections of a body.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sections<'a>([&'a [u8]; SECTIONS]);

impl<'a> Sections<'a> {
    pub(super) fn new(streams: &'a [u8], series: &'a [u8], columns: [&'a [u8]; COLUMNS]) -> Self {
        let mut sections = [&[][..]; SECTIONS];
        (sections[0], sections[1]) = (streams, series);
        sections[2..SECTIONS_NUMBERED].copy_from_slice(&columns);
        Self(sections)
    }

    /// With lines that were taken apart.
    pub(super) fn with_lines(mut self, lines: &'a Packed) -> Self {
        self.0[Section::Fields.place()] = &lines.fields;
        self.0[Section::Values.place()] = &lines.values;
        self.0[Section::Raw.place()] = &lines.raw;
        self
    }

    /// From all of them, in order.
    pub(crate) fn of_all(sections: [&'a [u8]; SECTIONS]) -> Self {
        Self(sections)
    }

    /// Puts another one in its place.
    pub(super) fn set(&mut self, section: Section, bytes: &'a [u8]) {
        self.0[section.place()] = bytes;
    }

    /// All of them, in order.
    pub(crate) fn all(&self) -> &[&'a [u8]; SECTIONS] {
        &self.0
    }

    /// One of them.
    pub(crate) fn of(&self, section: Section) -> &'a [u8] {
        self.0[section.place()]
    }

    /// Takes a body apart.
    ///
    /// # Errors
    /// For every malformed input.
    pub(crate) fn split(plain: &'a [u8], version: u8) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(plain);
        let there = reader.u16("sections of the body")?;
        if version == VERSION_NUMBERED && there >> SECTIONS_NUMBERED != 0 {
            let (what, value) = ("sections of the body", u64::from(there));
            return Err(DecodeError::Value { what, value, expected: "13 sections" });
        }
        let mut lengths = [0; SECTIONS];
        for (at, length) in lengths.iter_mut().enumerate() {
            if there & 1 << at != 0 {
                *length = reader.length("section length", limits::BODY_BYTES_MAX)?;
                if *length == 0 {
                    let what = "section length";
                    return Err(DecodeError::Value { what, value: 0, expected: "1 or more" });
                }
            }
        }
        let mut sections = [&[][..]; SECTIONS];
        for (section, length) in sections.iter_mut().zip(lengths) {
            *section = reader.take("section", length)?;
        }
        reader.finish("body")?;
        Ok(Self(sections))
    }

    /// Puts a body together. What was taken apart comes back byte for byte.
    pub(crate) fn assemble(&self) -> Vec<u8> {
        let all: usize = self.0.iter().map(|section| section.len()).sum();
        let mut out = Vec::with_capacity(all + 2 + 4 * SECTIONS);
        let there = self.0.iter().enumerate();
        let there = there.filter(|(_, section)| !section.is_empty());
        let there: u16 = there.map(|(at, _)| 1 << at).sum();
        out.extend_from_slice(&there.to_le_bytes());
        for section in self.0.iter().filter(|section| !section.is_empty()) {
            put_varint(&mut out, section.len() as u64);
        }
        self.0.iter().for_each(|section| out.extend_from_slice(section));
        out
    }
}

impl Section {
    /// Its place among all of them.
    pub(crate) const fn place(self) -> usize {
        match self {
            Self::Streams => 0,
            Self::Series => 1,
            Self::Column(column) => 2 + column as usize,
            Self::Fields => SECTIONS_NUMBERED,
            Self::Values => SECTIONS_NUMBERED + 1,
            Self::Raw => SECTIONS_NUMBERED + 2,
        }
    }
}

/// Appends which series a tick has values of: 0 for those of the tick before, else one more than the number
/// of runs; each run by how far its first place is from where the last one ended, and its length.
pub(super) fn put_places(out: &mut Vec<u8>, places: &[usize], before: &[usize]) {
    if places == before {
        out.push(0);
        return;
    }
    let runs: Vec<&[usize]> = places.chunk_by(|place, next| place + 1 == *next).collect();
    put_varint(out, runs.len() as u64 + 1);
    let mut expected = 0_usize;
    for run in runs {
        put_zigzag(out, run[0] as i64 - expected as i64);
        put_varint(out, run.len() as u64);
        expected = run[0] + run.len();
    }
}

/// Reads which series a tick has values of, where those of the tick before stand: `known` are in the
/// dictionary, at most `most` may be told. Says whether they are others than those of the tick before.
///
/// # Errors
/// For every malformed input.
pub(crate) fn places(
    column: &mut Reader<'_>,
    places: &mut Vec<usize>,
    known: usize,
    most: usize,
) -> Result<bool, DecodeError> {
    let outside = |what, value| DecodeError::Value { what, value, expected: "a known series" };
    let runs = column.length("runs of series", most + 1)?;
    let told = runs.checked_sub(1);
    if let Some(runs) = told {
        places.clear();
        let mut expected = 0_i64;
        for _ in 0..runs {
            let from = expected.checked_add(column.zigzag("series")?);
            let from = from.and_then(|from| usize::try_from(from).ok());
            let from = from.filter(|from| *from < known).ok_or(outside("series", known as u64))?;
            let length = column.length("count of series", known - from)?;
            if length > most - places.len() {
                return Err(outside("count of samples", length as u64));
            }
            places.extend(from..from + length);
            expected = (from + length) as i64;
        }
    }
    if places.len() > most {
        return Err(outside("count of samples", places.len() as u64));
    }
    Ok(told.is_some())
}
