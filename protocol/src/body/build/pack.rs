//! A body as bytes: which form its lines take, and their packing.

use std::sync::Arc;

use super::BodyBuilder;
use crate::body::definitions;
use crate::body::lines::{self, Lines, Packed, Shapes};
use crate::body::sections::{Section, Sections};
use crate::body::{COLUMNS, Column, KIND_EVENT, end_bytes};
use crate::body::{INFO_DEVICE, INFO_FILE, INFO_HOST, INFO_NONE};
use crate::body::{
    VERSION_DEFINED, VERSION_FIELDS, VERSION_NEWEST, VERSION_NUMBERED, VERSION_OLDEST,
};
use crate::codec::{Reader, put_bytes, put_varint, put_zigzag};
use crate::header::{Codec, Packing, encode_stream};
use crate::limits;
use crate::position::Stream;
use crate::record::SourceInfo;

/// A packed body.
#[derive(Clone, Debug)]
pub struct PackedBody {
    /// How it is packed.
    pub packing: Packing,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How many bytes of it travel at most to a reader of the bodies before.
    pub travels: usize,
}

impl BodyBuilder {
    /// Packs the body as the newest version. `level` is zstd's; 0 leaves the columns as they are.
    ///
    /// # Panics
    /// If zstd fails on a buffer of the bound that it asked for, which it never does.
    #[must_use]
    pub fn pack(&self, level: i32) -> (Packing, Vec<u8>) {
        self.pack_as(VERSION_NEWEST, level)
    }

    /// Packs the body as a version that its reader knows. `level` is zstd's; 0 leaves the columns as they are.
    /// So do little bodies of samples of version 2: they travel by how they differ from the one before.
    ///
    /// # Panics
    /// If zstd fails on a buffer of the bound that it asked for, which it never does.
    #[must_use]
    pub fn pack_as(&self, version: u8, level: i32) -> (Packing, Vec<u8>) {
        let packed = self.pack_apart(version, level, &mut Shapes::default());
        let packed = packed.unwrap_or_else(|| self.pack_whole(version, level));
        (packed.packing, packed.bytes)
    }

    /// Packs the body with its lines taken apart, as a version that its reader knows; `None` where there are too few lines for
    /// that, or the reader does not know of it. `shapes` remembers lines of bodies before, which no reader has to.
    ///
    /// # Panics
    /// As `pack_as`.
    #[must_use]
    pub fn pack_apart(&self, version: u8, level: i32, shapes: &mut Shapes) -> Option<PackedBody> {
        let source = &self.columns[Column::EventBytes as usize];
        let (least, shapes) = match version {
            VERSION_DEFINED.. => (1, Some(shapes)),
            VERSION_FIELDS => (FIELDS_BYTES_MIN, None),
            _ => return None,
        };
        if source.len() < least {
            return None;
        }
        let version = if shapes.is_some() { VERSION_DEFINED } else { VERSION_FIELDS };
        let lengths = self.event_lengths();
        let (plain, lines) = self.encode_lines(source, &lengths, shapes)?;
        let unpacked = u32::try_from(plain.len()).expect("a body is at most 4 MiB");
        let mut bytes = Vec::new();
        if version == VERSION_DEFINED {
            definitions::put(&mut bytes, lines.definitions.iter().map(AsRef::as_ref));
        }
        // A little one travels by what is like it in those before.
        let is_echoed = version == VERSION_DEFINED && plain.len() <= limits::ECHOED_BYTES_MAX;
        let packed = (level != 0 && !is_echoed)
            .then(|| pack_but_last(&plain, lines.raw.len(), level))
            .filter(|packed| packed.len() < plain.len() || version == VERSION_FIELDS);
        let codec = if packed.is_some() { Codec::Zstd } else { Codec::Plain };
        bytes.append(&mut packed.unwrap_or(plain));
        let length = u32::try_from(bytes.len()).expect("a body is at most 4 MiB");
        let packing = Packing { version, codec, packed: length, unpacked };
        let travels = bytes.len() - lines.told;
        Some(PackedBody { packing, bytes, travels })
    }

    /// Packs the body in the form that travels best to a reader of this version, and says whether its lines are taken apart.
    /// Those take longer to read, for which they have to be smaller by a twentieth at least. It takes as long as packing twice.
    ///
    /// # Panics
    /// As `pack_as`.
    #[must_use]
    pub fn pack_best(&self, version: u8, level: i32, shapes: &mut Shapes) -> (PackedBody, bool) {
        let whole = self.pack_whole(version, level);
        let Some(mut apart) = self.pack_apart(version, level, shapes) else {
            return (whole, false);
        };
        if apart.packing.version == VERSION_DEFINED && apart.packing.codec == Codec::Plain {
            // What is like it in those before makes it smaller still.
            let rest = &apart.bytes[apart.bytes.len() - apart.packing.unpacked as usize..];
            let packed = zstd::bulk::compress(rest, level).expect("zstd packs any bytes");
            apart.travels -= rest.len().saturating_sub(packed.len());
        }
        let pays = 20 * apart.travels < 19 * whole.travels;
        (if pays { apart } else { whole }, pays)
    }

    /// Packs the body with lines as they are, as a version that its reader knows.
    ///
    /// # Panics
    /// As `pack_as`.
    #[must_use]
    pub fn pack_whole(&self, version: u8, level: i32) -> PackedBody {
        let version = version.min(VERSION_NUMBERED);
        let plain = if version == VERSION_OLDEST { self.encode_oldest() } else { self.encode() };
        let unpacked = u32::try_from(plain.len()).expect("a body is at most 4 MiB");
        let travels_short = version != VERSION_OLDEST && self.has_samples_alone(plain.len());
        let packed = (level != 0 && !travels_short)
            .then(|| zstd::bulk::compress(&plain, level).expect("zstd packs any bytes"))
            .filter(|packed| packed.len() < plain.len());
        if let Some(packed) = packed {
            let length = u32::try_from(packed.len()).expect("a body is at most 4 MiB");
            let packing = Packing { version, codec: Codec::Zstd, packed: length, unpacked };
            let travels = packed.len();
            return PackedBody { packing, bytes: packed, travels };
        }
        let packing = Packing { version, codec: Codec::Plain, packed: unpacked, unpacked };
        let travels = plain.len();
        PackedBody { packing, bytes: plain, travels }
    }

    fn has_samples_alone(&self, plain: usize) -> bool {
        let has = |column: Column| !self.columns[column as usize].is_empty();
        plain <= limits::CODED_BYTES_MAX
            && self.dictionary.len() <= limits::CODED_SERIES_MAX
            && has(Column::Value)
            && ![Column::Part, Column::Facts, Column::Gaps].into_iter().any(has)
    }

    fn encode(&self) -> Vec<u8> {
        let tables = self.tables(&mut None);
        self.sections(&tables).assemble()
    }

    /// The body with its lines taken apart; `None` if that is longer than it may be, or they would not come back as they are.
    fn encode_lines(
        &self,
        source: &[u8],
        lengths: &[usize],
        shapes: Option<&mut Shapes>,
    ) -> Option<(Vec<u8>, Packed)> {
        let has_definitions = shapes.is_some();
        let mut packed = lines::pack(source, lengths.iter().copied(), shapes);
        let defined: Vec<&[u8]> = packed.definitions.iter().map(AsRef::as_ref).collect();
        let defined = definitions::unpack(&defined).ok()?;
        let defined = has_definitions.then_some(defined.as_slice());
        let mut lines = Lines::new(&packed.fields, &packed.values, &packed.raw, defined).ok()?;
        let (mut line, mut at) = (Vec::new(), 0);
        for length in lengths {
            line.clear();
            lines.next(&mut line, *length).ok()?;
            if line != source[at..at + length] {
                return None;
            }
            at += length;
        }
        lines.finish().ok()?;
        let taken = self.taken(lengths);
        let mut definitions = has_definitions.then(|| std::mem::take(&mut packed.definitions));
        let tables = self.tables(&mut definitions);
        let mut sections = self.sections(&tables).with_lines(&packed);
        sections.set(Section::Column(Column::EventLength), &[]);
        sections.set(Section::Column(Column::EventBytes), &[]);
        sections.set(Section::Column(Column::Length), &taken);
        let plain = sections.assemble();
        packed.definitions = definitions.unwrap_or_default();
        (plain.len() <= limits::BODY_BYTES_MAX).then_some((plain, packed))
    }

    /// How long each line is.
    fn event_lengths(&self) -> Vec<usize> {
        let mut reader = Reader::new(&self.columns[Column::EventLength as usize]);
        let lengths = std::iter::from_fn(|| {
            (reader.left() > 0).then(|| reader.length("length", limits::BODY_BYTES_MAX))
        });
        lengths.map(|length| length.expect("it was written here")).collect()
    }

    /// The column of lengths as version 3 has it: of lines by how much they take beyond themselves and their end.
    fn taken(&self, lengths: &[usize]) -> Vec<u8> {
        let mut reader = Reader::new(&self.columns[Column::Length as usize]);
        let mut lines = lengths.iter().zip(&self.columns[Column::Part as usize]);
        let mut taken = Vec::new();
        for kind in &self.columns[Column::Kind as usize] {
            let length = reader.varint("length").expect("it was written here");
            match (*kind == KIND_EVENT).then(|| lines.next()).flatten() {
                Some((line, part)) => {
                    let told = *line as u64 + end_bytes(*part);
                    put_zigzag(&mut taken, length.wrapping_sub(told).cast_signed());
                }
                None => put_varint(&mut taken, length),
            }
        }
        taken
    }

    /// The sections of streams and of series. What sources are is added to the definitions, where there are any.
    fn tables(&self, definitions: &mut Option<Vec<Arc<[u8]>>>) -> (Vec<u8>, Vec<u8>) {
        let (mut streams, mut series) = (Vec::new(), Vec::new());
        let mut order: Vec<Stream> = self.streams.iter().map(|it| it.span.stream).collect();
        order.sort_unstable();
        for covered in &self.streams {
            let place = order.binary_search(&covered.span.stream);
            put_varint(&mut streams, place.expect("a stream is among all of them") as u64);
            match definitions {
                Some(definitions) => {
                    put_varint(&mut streams, defined_info(covered.info.as_ref(), definitions));
                }
                None => encode_info(covered.info.as_ref(), &mut streams),
            }
        }
        let mut before = None;
        for it in self.series() {
            it.encode_after(before, &mut series);
            before = Some(it);
        }
        (streams, series)
    }

    fn sections<'a>(&'a self, (streams, series): &'a (Vec<u8>, Vec<u8>)) -> Sections<'a> {
        let mut columns: [&[u8]; COLUMNS] = std::array::from_fn(|at| self.columns[at].as_slice());
        columns[Column::Series as usize] = &self.places.0;
        Sections::new(streams, series, columns)
    }

    fn encode_oldest(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.weight() + 1024);
        out.push(VERSION_OLDEST);
        put_varint(&mut out, self.streams.len() as u64);
        for covered in &self.streams {
            encode_stream(covered.span.stream, &mut out);
            encode_info(covered.info.as_ref(), &mut out);
        }
        put_varint(&mut out, self.dictionary.len() as u64);
        for series in self.series() {
            series.encode(&mut out);
        }
        put_varint(&mut out, self.records as u64);
        for column in &self.columns {
            put_varint(&mut out, column.len() as u64);
        }
        for column in &self.columns {
            out.extend_from_slice(column);
        }
        out
    }
}

/// Bytes of lines from which taking them apart pays: of fewer ones it gained one part in a hundred.
const FIELDS_BYTES_MIN: usize = 8 << 10;
/// Packs all but the last bytes: their number, a zstd frame of the others, and them.
fn pack_but_last(plain: &[u8], last: usize, level: i32) -> Vec<u8> {
    let (columns, raw) = plain.split_at(plain.len() - last);
    let frame = zstd::bulk::compress(columns, level).expect("zstd packs any bytes");
    let mut packed = Vec::with_capacity(frame.len() + raw.len() + 4);
    put_varint(&mut packed, last as u64);
    packed.extend_from_slice(&frame);
    packed.extend_from_slice(raw);
    packed
}

/// 0 where nothing is said of a source, else one more than the place of the definition that says it.
fn defined_info(info: Option<&SourceInfo>, definitions: &mut Vec<Arc<[u8]>>) -> u64 {
    let Some(info) = info else { return 0 };
    let mut content = Vec::new();
    encode_info(Some(info), &mut content);
    definitions.push(definitions::pack(&content));
    definitions.len() as u64
}

fn encode_info(info: Option<&SourceInfo>, out: &mut Vec<u8>) {
    match info {
        None => out.push(INFO_NONE),
        Some(SourceInfo::Host) => out.push(INFO_HOST),
        Some(SourceInfo::Device) => out.push(INFO_DEVICE),
        Some(SourceInfo::File { path, fingerprint }) => {
            out.push(INFO_FILE);
            put_bytes(out, path);
            out.extend_from_slice(&fingerprint.length.to_le_bytes());
            out.extend_from_slice(&fingerprint.hash);
        }
    }
}
