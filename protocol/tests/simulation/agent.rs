//! An agent: reads its host, seals into a spool, ships, and loses its memory or its disk.
//!
//! The disk holds what was committed; memory holds the chains as they would be after the next commit.
//! A crash forgets memory; a rollback puts an older disk back.

#[path = "tailing.rs"]
mod tailing;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use headwater_protocol::batch::Batch;
use headwater_protocol::body::{Body, BodyBuilder, VERSION_NEWEST};
use headwater_protocol::chain::{Acked, Chain, Fresh, Head, Resumed, Row, Rows, Sealed, Sealing};
use headwater_protocol::entry::SentClock;
use headwater_protocol::header::Clock;
use headwater_protocol::identity::{DeviceId, Epoch, Lane};
use headwater_protocol::position::{Run, SourceId, Stream};
use headwater_protocol::record::{
    Content, Fingerprint, Line, Part, Record, Sample, Series, SourceInfo,
};
use headwater_protocol::rules::{Rule, Rules};
use headwater_protocol::sender::{Sender, Transmit};
use headwater_protocol::wire::{Frame, LaneState};

use super::host::{ContentId, File, Host, LineId};
use super::random::Random;
use super::rows::MemoryRows;
use super::witness::{Item, Witness};
use tailing::{declare_undecided, goes_on, went_back};

pub const SAMPLER: SourceId = SourceId([0x5a; 16]);
/// So small that runs go beyond it.
const GRACE_BYTES: u64 = 2_500;

/// What a lane's spool holds on disk.
#[derive(Clone, Debug)]
pub struct LaneDisk {
    head: Head,
    streams: BTreeMap<Stream, Sealed>,
    rows: MemoryRows,
}

#[derive(Clone, Debug)]
pub struct Disk {
    pub lanes: [LaneDisk; 2],
    pub commits: u64,
}

#[derive(Clone, Debug)]
pub struct LaneMemory {
    pub chain: Chain,
    pub rows: MemoryRows,
    body: BodyBuilder,
    /// What is in the body, and becomes an obligation once it is committed.
    items: Vec<Item>,
    pub sender: Sender,
}

impl LaneMemory {
    /// Goes on from the ledger's state. A host that was copied opens an epoch whatever it holds.
    fn resume(&mut self, state: &LaneState, fresh: Fresh, copied: bool) -> Resumed {
        let (chain, rows) = (&mut self.chain, &mut self.rows);
        let resumed = match copied {
            true => chain.handle_state_anew(rows, state, fresh, SEALING),
            false => chain.handle_state(rows, state, fresh, SEALING),
        };
        resumed.expect("rows in memory")
    }

    /// Runs of which not all that is held is ever stored again.
    fn given_up(&self) -> BTreeSet<Stream> {
        let gone = self.chain.streams().iter();
        let gone = gone.filter(|(_, it)| it.given_up.is_some());
        gone.map(|(stream, _)| *stream).collect()
    }
}

/// A machine that was saved while it ran.
#[derive(Clone, Debug)]
pub struct Saved {
    disk: Disk,
    memory: [LaneMemory; 2],
    files: BTreeMap<SourceId, File>,
    /// Copies of the disk that there were.
    copies: usize,
    is_resumed: bool,
}

#[derive(Debug)]
pub struct Agent {
    pub device: DeviceId,
    pub host: Host,
    pub disk: Disk,
    pub copies: Vec<Disk>,
    pub saved: Vec<Saved>,
    /// Files went back once.
    files_went_back: bool,
    /// The process was resumed, and not started again since.
    pub is_resumed: bool,
    /// `None` while the process is down.
    pub memory: Option<[LaneMemory; 2]>,
    pub session: Option<(u64, usize)>,
    /// Handshakes, among which one is that of a host that was copied; 0 if none is.
    pub copied_once_in: u64,
    /// Runs that a lane may remember before ended ones are let go; 0: all.
    pub runs_kept: usize,
    pub let_go: u64,
    /// The first session of this process.
    pub born_in: u64,
    rules: Rules,
    commits: u64,
    sampled: u64,
}

const SEALING: Sealing =
    Sealing { clock: Clock { wall_us: 5, boot: BOOT, mono_us: 5 }, level: 0, body: VERSION_NEWEST };
const BOOT: headwater_protocol::identity::BootId = headwater_protocol::identity::BootId([1; 16]);

pub fn fresh(random: &mut Random) -> Fresh {
    Fresh { epoch: Epoch(random.bytes16()), seed: random.bits() }
}

fn empty_disk(device: DeviceId, random: &mut Random) -> Disk {
    let lane = |lane, random: &mut Random| {
        let chain = Chain::new(device, lane, fresh(random));
        LaneDisk {
            head: chain.head().clone(),
            streams: BTreeMap::new(),
            rows: MemoryRows::default(),
        }
    };
    Disk { lanes: [lane(Lane::Live, random), lane(Lane::Bulk, random)], commits: 0 }
}

impl Agent {
    pub fn new(number: u64, rules: Rules, random: &mut Random) -> Self {
        let mut id = [0xd0; 16];
        id[0] = number as u8;
        let device = DeviceId(id);
        Self {
            device,
            host: Host::new(number),
            disk: empty_disk(device, random),
            copies: Vec::new(),
            saved: Vec::new(),
            files_went_back: false,
            is_resumed: false,
            memory: None,
            session: None,
            born_in: 0,
            copied_once_in: 0,
            runs_kept: 0,
            let_go: 0,
            rules,
            commits: 0,
            sampled: number << 32,
        }
    }

    pub fn start(&mut self) {
        if self.memory.is_some() {
            return;
        }
        let lanes = self.disk.lanes.clone().map(|lane| LaneMemory {
            chain: Chain::restore(lane.head, lane.streams).with_rules(self.rules),
            rows: lane.rows,
            body: BodyBuilder::default(),
            items: Vec::new(),
            sender: Sender::new(4),
        });
        self.memory = Some(lanes);
    }

    pub fn crash(&mut self) {
        self.memory = None;
        self.session = None;
        self.born_in = u64::MAX;
    }

    pub fn connect(&mut self, session: u64, node: usize) {
        if let Some(lanes) = &mut self.memory {
            self.session = Some((session, node));
            self.born_in = self.born_in.min(session);
            lanes.iter_mut().for_each(|lane| lane.sender = Sender::new(4));
        }
    }

    /// Loses the spool's disk.
    pub fn lose_spool(&mut self, random: &mut Random, witness: &mut Witness) {
        self.crash();
        self.is_resumed = false;
        self.disk = empty_disk(self.device, random);
        witness.forget_after(self.device, 0);
        self.note_files(witness);
    }

    /// Puts an older disk back.
    pub fn roll_back(&mut self, copy: usize, witness: &mut Witness) {
        self.crash();
        self.is_resumed = false;
        self.disk = self.copies[copy].clone();
        witness.forget_after(self.device, self.disk.commits);
        self.note_files(witness);
    }

    /// Saves the machine as it is.
    pub fn save(&mut self) {
        if let Some(memory) = &self.memory {
            let (disk, files) = (self.disk.clone(), self.host.files.clone());
            let (memory, copies) = (memory.clone(), self.copies.len());
            let is_resumed = self.is_resumed;
            self.saved.push(Saved { disk, memory, files, copies, is_resumed });
        }
    }

    /// The machine goes on as it was saved, its processes among it; its files too, unless they lie elsewhere.
    /// Connections are gone. Gives whether the process went on.
    pub fn resume(
        &mut self,
        saved: usize,
        (with_files, with_process): (bool, bool),
        witness: &mut Witness,
    ) -> bool {
        let Saved { disk, memory, files, copies, is_resumed } = self.saved[saved].clone();
        // What a process reads between its resumption and its next handshake can't be told any more once it
        // was started again.
        let with_process = with_process || is_resumed;
        self.is_resumed = with_process;
        // What was made after it is of a life that this machine has not had.
        self.saved.truncate(saved + 1);
        self.copies.truncate(copies);
        self.crash();
        witness.resume_at(self.device, disk.commits);
        self.disk = disk;
        self.memory = with_process.then_some(memory);
        if with_files {
            self.host.files = files;
            self.files_went_back = true;
        }
        self.note_files(witness);
        with_process
    }

    fn note_files(&mut self, witness: &mut Witness) {
        if self.files_went_back {
            witness.files_went_back(self.device, &lines_of(&self.host.files));
        }
    }

    fn lane(&mut self, lane: Lane) -> Option<&mut LaneMemory> {
        self.memory.as_mut().map(|lanes| &mut lanes[lane.code() as usize])
    }

    pub fn sample(&mut self, random: &mut Random) {
        self.sampled += 1;
        let value = i64::try_from(self.sampled).expect("a small number");
        let nonce = random.bits();
        let Some(lane) = self.lane(Lane::Live) else {
            return;
        };
        let stream = lane.chain.sampler(SAMPLER, &SourceInfo::Host, nonce);
        lane.chain.cover(&mut lane.body, stream);
        let start = lane.body.end(stream).expect("covered").position;
        let labels = Vec::new();
        let series = Arc::new(Series { metric: "n".to_owned(), labels, scale: 0 });
        let content = Content::Tick(vec![Sample { series, value }].into());
        lane.body.push(&Record { stream, start, end: start + 1, time_us: 9, content });
        lane.items.push(Item::Sample { stream, position: start, value });
    }

    /// Reads a few lines of a file. The run is the one whose last bytes the file still has.
    pub fn tail(
        &mut self,
        source: SourceId,
        most: usize,
        random: &mut Random,
        witness: &mut Witness,
    ) {
        let Some(file) = self.host.files.get(&source) else {
            return;
        };
        let Some(lane) = self.memory.as_mut().map(|lanes| &mut lanes[1]) else {
            return;
        };
        if !lane.chain.head().anchored() || file.lines.is_empty() {
            return;
        }
        let best = goes_on(lane, source, file);
        let content = ContentId { source, number: file.content };
        let start = went_back(lane, source, file);
        let (position, stream) = match best {
            // A run of another life may fit where the file begins as it did then.
            Some(best) if best.0 >= start => best,
            _ => {
                let info =
                    SourceInfo::File { path: Vec::new(), fingerprint: Fingerprint::default() };
                let nonce = Run::nonce_of(file.first_line(), random.bits());
                (start, lane.chain.begin_run(source, info, start, nonce))
            }
        };
        witness.read(stream, content);
        let undecided = lane.chain.streams().get(&stream).is_some_and(|sealed| sealed.undecided);
        if undecided && lane.body.end(stream).is_none() {
            return declare_undecided(lane, stream, (position, file), witness);
        }
        let lines = file.read(position, most);
        if lines.is_empty() {
            return;
        }
        lane.chain.cover(&mut lane.body, stream);
        let mut at = position;
        for (line, bytes) in lines {
            let body = &bytes[..bytes.len() - 1];
            let taken = bytes.len() as u64;
            lane.body.push_line(stream, Line { taken, time_us: 9, part: Part::Whole, body });
            lane.items.push(Item::Line { stream, position: at, line });
            at += bytes.len() as u64;
        }
        lane.body.set_check(stream, file.check(at));
    }

    /// The spool was lost and the ledger may have forgotten files: what they hold is undecided.
    fn settle_files(&mut self, random: &mut Random, witness: &mut Witness) {
        let Some(lane) = self.memory.as_mut().map(|lanes| &mut lanes[1]) else {
            return;
        };
        if !lane.chain.head().files_undecided() {
            return;
        }
        for (source, file) in &self.host.files {
            if file.lines.is_empty() || goes_on(lane, *source, file).is_some() {
                continue;
            }
            let info = SourceInfo::File { path: Vec::new(), fingerprint: Fingerprint::default() };
            let nonce = Run::nonce_of(file.first_line(), random.bits());
            let stream = lane.chain.begin_run(*source, info, 0, nonce);
            witness.read(stream, ContentId { source: *source, number: file.content });
            declare_undecided(lane, stream, (0, file), witness);
        }
        lane.chain.settle_files();
    }

    /// Seals what is pending and commits. A broken rule may tear the transaction, and crash in it.
    pub fn seal(&mut self, lane: Lane, random: &mut Random, witness: &mut Witness) {
        let torn = !self.rules.hold(Rule::PositionsInTransaction) && random.once_in(8);
        let Some(memory) = self.lane(lane) else {
            return;
        };
        if memory.body.is_empty() {
            return;
        }
        let body = std::mem::take(&mut memory.body);
        let streams = memory.chain.streams().clone();
        memory.chain.seal(&mut memory.rows, &body, SEALING).expect("rows in memory");
        let items = std::mem::take(&mut memory.items);
        self.commit(lane, items, witness);
        if torn {
            self.disk.lanes[lane.code() as usize].streams = streams;
            self.crash();
        }
    }

    fn commit(&mut self, lane: Lane, items: Vec<Item>, witness: &mut Witness) {
        self.commits += 1;
        let (device, commits) = (self.device, self.commits);
        let Some(memory) = self.memory.as_mut().map(|lanes| &mut lanes[lane.code() as usize])
        else {
            return;
        };
        memory.chain.trim(&mut memory.rows, GRACE_BYTES).expect("rows in memory");
        if self.runs_kept > 0 && memory.chain.streams().len() > self.runs_kept {
            let files = &self.host.files;
            let runs = memory.chain.streams().keys().copied();
            let ended: Vec<Stream> = runs.filter(|it| !files.contains_key(&it.source)).collect();
            let ended = ended.into_iter().filter(|it| memory.body.end(*it).is_none());
            let most = self.runs_kept + 3;
            let gone = memory.chain.let_go(&mut memory.rows, ended, most).expect("rows in memory");
            self.let_go += gone.len() as u64;
        }
        memory.chain.take_changed();
        let mut streams = memory.chain.streams().clone();
        streams.retain(|stream, _| !memory.chain.is_only_begun(*stream));
        let disk =
            LaneDisk { head: memory.chain.head().clone(), streams, rows: memory.rows.clone() };
        self.disk.lanes[lane.code() as usize] = disk;
        self.disk.commits = commits;
        witness.committed(device, commits, items);
    }

    /// Frees room in the live lane as a full spool does.
    pub fn drop_oldest(&mut self, witness: &mut Witness) -> u64 {
        let Some(memory) = self.lane(Lane::Live) else {
            return 0;
        };
        let before = memory.chain.head().stock().unsent.batches;
        let bytes = memory.chain.head().stock().bytes() / 2;
        memory.chain.drop_oldest(&mut memory.rows, bytes).expect("rows in memory");
        let dropped = before - memory.chain.head().stock().unsent.batches;
        self.commit(Lane::Live, Vec::new(), witness);
        dropped
    }

    /// What the lane sends next in its session.
    pub fn transmit(&mut self, lane: Lane, now: Duration) -> Option<Frame> {
        let memory = self.lane(lane)?;
        let frame = match memory.sender.poll_transmit(memory.chain.head(), now)? {
            Transmit::Hello(hello) => Frame::LaneHello(hello),
            Transmit::Row(row) => {
                let batch = memory.rows.read(row).expect("a row that is due is held");
                Frame::Batch { sent: SentClock::default(), batch: Box::new(batch) }
            }
        };
        Some(frame)
    }

    /// An epoch to open, and whether one is opened whatever the ledger says: this host is a copy.
    fn draw_epoch(&self, random: &mut Random) -> (Fresh, bool) {
        let fresh = fresh(random);
        let one_in = self.copied_once_in;
        (fresh, one_in != 0 && fresh.seed.is_multiple_of(one_in))
    }

    /// Takes a frame from a node, of whatever session: answers may be stale. Gives what it did.
    pub fn receive(
        &mut self,
        frame: Frame,
        lane: Lane,
        random: &mut Random,
        witness: &mut Witness,
    ) -> Option<Did> {
        let torn = !self.rules.hold(Rule::OpenInTransaction) && random.once_in(3);
        self.lane(lane)?;
        match frame {
            Frame::LaneState(state) => {
                self.seal(lane, random, witness);
                let (fresh, copied) = self.draw_epoch(random);
                let memory = self.lane(lane)?;
                let held = memory.rows.clone();
                let resumed = memory.resume(&state, fresh, copied);
                if let Resumed::Opened { from, .. } = resumed {
                    let gone = memory.given_up();
                    let found = declared_although_held(&held, &memory.rows, from, &gone);
                    witness.given_up.extend(gone);
                    witness.broken.extend(found);
                }
                memory.sender.handle_resumed(resumed);
                self.settle_files(random, witness);
                self.seal(lane, random, witness);
                let memory = self.lane(lane)?;
                if torn && matches!(resumed, Resumed::Opened { .. }) {
                    memory.chain = memory.chain.without_rows();
                    let next = memory.chain.head().next();
                    memory.rows.0.retain(|row, _| *row < next);
                    self.commit(lane, Vec::new(), witness);
                    self.crash();
                    return Some(Did::Opened);
                }
                self.commit(lane, Vec::new(), witness);
                Some(match resumed {
                    _ if copied => Did::OpenedAsCopy,
                    Resumed::InChain(_) => Did::Resumed,
                    Resumed::Opened { gap_records: 0, .. } => Did::Opened,
                    Resumed::Opened { .. } => Did::OpenedWithGap,
                })
            }
            Frame::Ack(ack) => {
                let lazy = random.once_in(2);
                let memory = self.lane(lane)?;
                let before = memory.chain.head().acked();
                let acked = memory.chain.handle_ack(&memory.rows, ack.tip, ack.receipt);
                let acked = acked.expect("rows in memory");
                if let Acked::Through(after) = acked {
                    let released = memory.rows.0.range(before..after);
                    for batch in released.map(|(_, batch)| batch) {
                        if !witness.applied.contains(&batch.digest()) {
                            witness
                                .broken
                                .push(format!("released, never applied: {}", batch.tip()));
                        }
                    }
                }
                if acked == Acked::Foreign {
                    memory.sender.handle_refused();
                }
                if !lazy {
                    self.commit(lane, Vec::new(), witness);
                }
                Some(match acked {
                    Acked::Through(_) => Did::Released,
                    Acked::Known => Did::KnewAck,
                    Acked::Foreign => Did::ForeignAck,
                })
            }
            Frame::Refused(_) => {
                self.lane(lane)?.sender.handle_refused();
                Some(Did::Refused)
            }
            _ => None,
        }
    }

    /// Whether everything that was read is acked and everything that is there was read.
    pub fn is_quiet(&self) -> bool {
        let Some(lanes) = &self.memory else {
            return false;
        };
        lanes
            .iter()
            .all(|lane| lane.body.is_empty() && lane.chain.head().stock().unsent.batches == 0)
    }

    /// Lines that can still be read.
    pub fn readable(&self) -> BTreeSet<LineId> {
        lines_of(&self.host.files).into_iter().collect()
    }
}

fn lines_of(files: &BTreeMap<SourceId, File>) -> Vec<LineId> {
    files.values().flat_map(|file| file.lines.iter().map(|(_, line)| *line)).collect()
}

/// A gap stands for what is not held, and for nothing else.
fn declared_although_held(
    held: &MemoryRows,
    rows: &MemoryRows,
    from: Row,
    given_up: &BTreeSet<Stream>,
) -> Option<String> {
    let records = |rows: &MemoryRows, from| {
        let batches: Vec<Rc<Batch>> =
            rows.0.range(from..).map(|(_, batch)| Rc::clone(batch)).collect();
        batches.into_iter().flat_map(|batch| Body::open(&batch).expect("our own body").records)
    };
    let gaps: Vec<Record> = records(rows, from)
        .filter(|record| matches!(&record.content, Content::Gap(gap) if gap.about.is_none()))
        // What is held of a run that was given up was declared then, and is never sealed anew.
        .filter(|record| !given_up.contains(&record.stream))
        .collect();
    if gaps.is_empty() {
        return None;
    }
    let is_gap = |record: &Record| matches!(record.content, Content::Gap(_));
    records(held, Row(0)).filter(|record| !is_gap(record)).find_map(|record| {
        let inside = |gap: &&Record| {
            gap.stream == record.stream && gap.start <= record.start && record.end <= gap.end
        };
        gaps.iter()
            .find(inside)
            .map(|gap| format!("declared although it is held: {record:?} in {gap:?}"))
    })
}

/// What a frame did to an agent: a fault that really happened is counted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Did {
    Resumed,
    Opened,
    OpenedWithGap,
    OpenedAsCopy,
    Released,
    KnewAck,
    ForeignAck,
    Refused,
}
