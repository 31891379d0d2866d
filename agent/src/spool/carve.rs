//! What can still be read of a damaged file: its batches, wherever they stand in it.
//!
//! A batch says whose it is and how long, and hangs on the one before it by a digest. So the bytes of the
//! file are searched for batches, whatever became of the tree around them, and what is found is a batch
//! that was sealed, bit for bit, or it is not taken. Nothing of the database is asked: redb can panic on
//! pages that it did not write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use headwater_protocol::batch::Batch;
use headwater_protocol::codec::Reader;
use headwater_protocol::header::Header;
use headwater_protocol::identity::{DeviceId, Digest, Epoch, Lane};
use headwater_protocol::limits;

/// Bytes that are searched at once, beside those of a batch that begins among them.
const WINDOW: usize = 4 << 20;
/// Where the device stands in a batch. `docs/wire.md`, table of the batch.
const DEVICE_AT: usize = 4;
/// Places that are kept: a database copies what it changes, so a small batch stands in a file several
/// times. 100 bytes each.
const PLACES_MAX: usize = 200_000;
/// What a disk fails to give at once.
const SECTOR: usize = 4096;
/// Batches that are tried under one number: copies, some of which may be damaged.
const COPIES_MAX: usize = 16;

/// Where a batch stands in a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Place {
    pub(super) lane: Lane,
    pub(super) bytes: u64,
    epoch: Epoch,
    seq: u64,
    wall_us: i64,
    parent: Option<Digest>,
    digest: Digest,
    at: u64,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Carved {
    /// Batches that hang on one that is there, each once: those of an epoch in their order.
    pub(super) places: Vec<Place>,
    /// What looks like a batch and is damaged, or hangs on one that is not there.
    pub(super) unproven: u64,
}

/// Searches a file for the batches of a device.
pub(super) fn search(file: &File, device: DeviceId) -> io::Result<Carved> {
    let mut found = Vec::new();
    scan(file, device, |at, batch| {
        found.push(Place::of(at, batch));
        if found.len() < PLACES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(prove(file, found))
}

/// The batch at a place; `None` if the file has changed there meanwhile, or can't be read any more.
pub(super) fn read(file: &File, place: &Place) -> Option<Batch> {
    let mut bytes = vec![0; usize::try_from(place.bytes).ok()?];
    file.read_exact_at(&mut bytes, place.at).ok()?;
    Batch::parse(bytes).ok().filter(|batch| batch.digest() == place.digest)
}

/// Goes through everything in a file that has the form of a batch of a device, in order of place.
fn scan(
    file: &File,
    device: DeviceId,
    mut visit: impl FnMut(u64, &Batch) -> ControlFlow<()>,
) -> io::Result<()> {
    let mut window = vec![0; WINDOW + limits::BATCH_BYTES_MAX];
    let finder = memchr::memmem::Finder::new(&device.0);
    let end = file.metadata()?.len();
    let mut start = 0;
    while start < end {
        let left = usize::try_from(end - start).unwrap_or(usize::MAX);
        let length = left.min(window.len());
        read_what_can_be(file, &mut window[..length], start);
        let bytes = &window[..length];
        for device_at in finder.find_iter(bytes) {
            let Some(at) = device_at.checked_sub(DEVICE_AT).filter(|at| *at < WINDOW) else {
                continue;
            };
            if let Some(batch) = batch_at(&bytes[at..])
                && visit(start + at as u64, &batch).is_break()
            {
                return Ok(());
            }
        }
        start += WINDOW as u64;
    }
    Ok(())
}

/// Fills a buffer; what the disk does not give, sector by sector, is zeros.
fn read_what_can_be(file: &File, buffer: &mut [u8], at: u64) {
    let mut length = 0;
    while length < buffer.len() {
        match file.read_at(&mut buffer[length..], at + length as u64) {
            Ok(0) => {
                buffer[length..].fill(0);
                return;
            }
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                let sector = SECTOR.min(buffer.len() - length);
                buffer[length..length + sector].fill(0);
                length += sector;
            }
        }
    }
}

/// A batch that begins here, if its form is one.
fn batch_at(bytes: &[u8]) -> Option<Batch> {
    let mut reader = Reader::new(bytes);
    let header = Header::decode(&mut reader).ok()?;
    let length = bytes.len() - reader.left() + size_of::<Digest>() + header.packing.packed as usize;
    Batch::parse(bytes.get(..length)?.to_vec()).ok()
}

impl Place {
    fn of(at: u64, batch: &Batch) -> Self {
        let header = batch.header();
        Self {
            lane: header.lane,
            bytes: batch.bytes().len() as u64,
            epoch: header.epoch,
            seq: header.seq.number(),
            wall_us: header.clock.wall_us,
            parent: header.parent.map(|parent| parent.digest),
            digest: batch.digest(),
            at,
        }
    }
}

/// Keeps what hangs on something that is there.
fn prove(file: &File, found: Vec<Place>) -> Carved {
    let mut carved = Carved::default();
    let mut began: BTreeMap<Epoch, i64> = BTreeMap::new();
    let mut numbered: BTreeMap<(Lane, Epoch, u64), Vec<Place>> = BTreeMap::new();
    for place in found {
        let since = began.entry(place.epoch).or_insert(place.wall_us);
        *since = place.wall_us.min(*since);
        let copies = numbered.entry((place.lane, place.epoch, place.seq)).or_default();
        if copies.len() < COPIES_MAX {
            copies.push(place);
        }
    }
    for ((lane, epoch, seq), copies) in &numbered {
        let before = numbered.get(&(*lane, *epoch, seq - 1)).map_or(&[][..], Vec::as_slice);
        let before: BTreeSet<Digest> = before.iter().map(|place| place.digest).collect();
        let mut proven = BTreeSet::new();
        let mut doubtful = BTreeSet::new();
        for place in copies {
            if proven.contains(&place.digest) {
                continue;
            }
            let batch = read(file, place);
            let follows = |before: &Digest| batch.as_ref().is_some_and(|it| it.follows(*before));
            if before.iter().chain(&place.parent).any(follows) {
                doubtful.remove(&place.digest);
                proven.insert(place.digest);
                carved.places.push(*place);
            } else {
                doubtful.insert(place.digest);
            }
        }
        carved.unproven += doubtful.len() as u64;
    }
    carved.places.sort_by_key(|place| (place.lane, began[&place.epoch], place.epoch, place.seq));
    carved
}
