//! Everything together, driven by one seed: which kinds of faults a run has, and when they strike.

#[path = "strikes.rs"]
mod strikes;

use std::time::Duration;

use headwater_protocol::identity::Lane;
use headwater_protocol::ledger::{Refusal, ShardLedger};
use headwater_protocol::rules::Rules;
use headwater_protocol::wire::Frame;

use super::agent::{Agent, Did};
use super::check;
use super::faults::{Fault, Faults, Happened};
use super::log::{Backup, Log, SHARD, STREAMS_MAX};
use super::node::{Node, Reply};
use super::random::Random;
use super::witness::Witness;

const COPIES: u64 = 0x9e6c_63d0_876a_3f6b;
const RESUMES: u64 = 0x8f3a_91c4_06d7_5be2;
const LETTING_GO: u64 = 0x52dc_1b09_e4f7_8a63;
const BACKUPS: u64 = 0xd1b5_4a32_d192_ed03;

struct Packet {
    agent: usize,
    session: u64,
    lane: Lane,
    node: Option<usize>,
    frame: Frame,
}

pub struct World {
    random: Random,
    faults: Faults,
    rules: Rules,
    agents: Vec<Agent>,
    nodes: Vec<Node>,
    log: Log,
    backups: Vec<Backup>,
    packets: Vec<Packet>,
    sessions: u64,
    witness: Witness,
    last_appender: Option<usize>,
    pub happened: Happened,
}

impl World {
    pub fn new(seed: u64, rules: Rules) -> Self {
        let mut random = Random::new(seed);
        let mut faults = Faults::drawn_from(&mut random);
        // Drawn apart, so that a run without it is the run that it was before there were backups.
        let mut apart = Random::new(seed ^ BACKUPS);
        if !apart.once_in(2) {
            faults.restore = 100 + apart.below(100);
        }
        let mut apart = Random::new(seed ^ COPIES);
        if !apart.once_in(2) {
            faults.copied = 8 + apart.below(16);
        }
        let mut apart = Random::new(seed ^ RESUMES);
        if !apart.once_in(2) {
            faults.resume = 40 + apart.below(80);
        }
        let mut apart = Random::new(seed ^ LETTING_GO);
        if apart.once_in(4) {
            faults.let_go = 1 + apart.below(4);
        }
        let agents = 1 + random.below(2);
        let nodes = 1 + random.below(3);
        let agents = (1..=agents).map(|number| Agent::new(number as u64, rules, &mut random));
        let mut agents: Vec<Agent> = agents.collect();
        for agent in &mut agents {
            agent.copied_once_in = faults.copied as u64;
            agent.runs_kept = faults.let_go;
        }
        Self {
            random,
            faults,
            rules,
            agents,
            nodes: (0..nodes).map(|number| Node::new(number, rules)).collect(),
            log: Log::default(),
            backups: Vec::new(),
            packets: Vec::new(),
            sessions: 0,
            witness: Witness::default(),
            last_appender: None,
            happened: Happened::new(),
        }
    }

    /// The world without hosts that are copied, as it was when most seeds failed.
    pub fn without_copies(mut self) -> Self {
        self.faults.copied = 0;
        self.agents.iter_mut().for_each(|agent| agent.copied_once_in = 0);
        self
    }

    /// The world whose agents remember every run.
    pub fn without_letting_go(mut self) -> Self {
        self.agents.iter_mut().for_each(|agent| agent.runs_kept = 0);
        self
    }

    /// The world without machines that are saved and go on from there.
    pub fn without_resumes(mut self) -> Self {
        self.faults.resume = 0;
        self
    }

    /// The world without restores, as it was when the first seeds failed.
    pub fn without_restores(mut self) -> Self {
        self.faults.restore = 0;
        self
    }

    fn strikes(&mut self, one_in: usize) -> bool {
        one_in != 0 && self.random.once_in(one_in)
    }

    fn note(&mut self, fault: Fault) {
        *self.happened.entry(fault).or_default() += 1;
    }

    /// Runs with faults, then without until everything is quiet, then compares.
    ///
    /// # Errors
    /// A sentence: the rule that broke.
    pub fn run(mut self, steps: usize) -> Result<Happened, String> {
        if self.faults.resume != 0 {
            // Of what a full spool dropped in the meantime nothing is left to compare.
            self.faults.full = 0;
            // A log that loses one life's tail and is later put back with it, in the place of what the other
            // life wrote since, is told apart only as far as the grace buffer reaches.
            if self.faults.tail != 0 {
                self.faults.restore = 0;
            }
        }
        if self.agents.iter().any(|agent| agent.runs_kept > 0) {
            self.keep_one_history();
        }
        for _ in 0..steps {
            self.step();
        }
        self.heal()?;
        self.compare()?;
        Ok(self.happened)
    }

    /// How many records of runs that were let go a ledger lacks is told by the totals: right as long as it went back
    /// on the history that the spool has, or the spool alone went back.
    fn keep_one_history(&mut self) {
        if self.faults.let_go.is_multiple_of(2) {
            (self.faults.tail, self.faults.restore) = (0, 0);
            return;
        }
        (self.faults.rollback, self.faults.lost, self.faults.resume) = (0, 0, 0);
        if self.faults.tail != 0 {
            self.faults.restore = 0;
        }
    }

    fn step(&mut self) {
        let agent = self.random.below(self.agents.len());
        let node = self.random.below(self.nodes.len());
        match self.random.below(12) {
            0 => self.write(agent),
            1 => self.agents[agent].sample(&mut self.random),
            2 => self.tail(agent),
            3 | 4 => self.seal(agent),
            5 => self.connect(agent, node),
            6 | 7 => self.transmit(agent),
            8 => self.deliver(),
            9 => self.land(),
            10 => self.fold(node),
            _ => self.strike(agent, node),
        }
    }

    fn write(&mut self, agent: usize) {
        let (rotate, truncate, vanish) = (
            self.strikes(self.faults.rotate),
            self.strikes(self.faults.truncate),
            self.strikes(self.faults.vanish),
        );
        let index = self.random.below(self.agents[agent].host.files.len());
        let host = &mut self.agents[agent].host;
        let Some(source) = host.nth(index) else {
            host.create();
            return;
        };
        if rotate {
            host.create();
        }
        if truncate {
            host.truncate(source);
        } else if vanish {
            host.files.remove(&source);
        }
        for _ in 0..=self.random.below(3) {
            let padding = self.random.below(90);
            self.agents[agent].host.write(source, padding);
        }
        for (struck, fault) in [
            (rotate, Fault::FileRotated),
            (truncate, Fault::FileTruncated),
            (vanish && !truncate, Fault::FileVanished),
        ] {
            if struck {
                self.note(fault);
            }
        }
    }

    fn tail(&mut self, agent: usize) {
        let index = self.random.below(self.agents[agent].host.files.len());
        if let Some(source) = self.agents[agent].host.nth(index) {
            let most = 1 + self.random.below(4);
            self.agents[agent].tail(source, most, &mut self.random, &mut self.witness);
        }
    }

    fn any_lane(&mut self) -> Lane {
        Lane::ALL[self.random.below(2)]
    }

    fn seal(&mut self, agent: usize) {
        let lane = self.any_lane();
        self.agents[agent].seal(lane, &mut self.random, &mut self.witness);
    }

    fn connect(&mut self, agent: usize, node: usize) {
        self.agents[agent].start();
        let cut = self.strikes(self.faults.cut);
        if self.agents[agent].session.is_none() || cut {
            if cut {
                self.note(Fault::LinkCut);
            }
            self.sessions += 1;
            self.agents[agent].connect(self.sessions, node);
        }
    }

    fn transmit(&mut self, agent: usize) {
        let lane = self.any_lane();
        let Some((session, node)) = self.agents[agent].session else {
            return;
        };
        if let Some(frame) = self.agents[agent].transmit(lane, Duration::ZERO) {
            self.packets.push(Packet { agent, session, lane, node: Some(node), frame });
        }
    }

    /// Delivers a packet: the oldest one of its session and direction, which is how streams work.
    fn deliver(&mut self) {
        if self.packets.is_empty() {
            return;
        }
        let mut index = self.random.below(self.packets.len());
        let key = |packet: &Packet| (packet.session, packet.lane, packet.node.is_some());
        let chosen = key(&self.packets[index]);
        index = self.packets.iter().position(|packet| key(packet) == chosen).unwrap_or(index);
        let packet = self.packets.remove(index);
        let present = self.agents[packet.agent].session.map(|(session, _)| session);
        if present != Some(packet.session) {
            // An old session's answers may still come to the process that had it; its acks to any.
            let answer = matches!(packet.frame, Frame::LaneState(_) | Frame::Refused(_));
            let old = answer && packet.session < self.agents[packet.agent].born_in;
            if old || !self.strikes(self.faults.stale) {
                return;
            }
            self.note(Fault::StaleFrame);
        }
        match packet.node {
            Some(node) => self.hand_to_node(node, packet),
            None => self.hand_to_agent(packet),
        }
    }

    fn hand_to_node(&mut self, node: usize, packet: Packet) {
        if !self.nodes[node].is_up() {
            // The link to a dead node breaks; to a paused one it waits.
            if self.nodes[node].paused {
                self.packets.push(Packet { node: Some(node), ..packet });
            } else if self.agents[packet.agent].session == Some((packet.session, node)) {
                self.agents[packet.agent].session = None;
            }
            return;
        }
        let from = (packet.agent, packet.session, self.agents[packet.agent].device);
        let replies = self.nodes[node].receive(from, packet.frame, &mut self.log);
        self.send(replies);
    }

    fn hand_to_agent(&mut self, packet: Packet) {
        for node in &mut self.nodes {
            self.witness.applied.extend(node.applied.drain(..));
        }
        let agent = &mut self.agents[packet.agent];
        let did = agent.receive(packet.frame, packet.lane, &mut self.random, &mut self.witness);
        match did {
            Some(Did::Opened) => self.note(Fault::EpochOpened),
            Some(Did::OpenedWithGap) => {
                self.note(Fault::EpochOpened);
                self.note(Fault::EpochOpenedWithGap);
            }
            Some(Did::OpenedAsCopy) => {
                self.note(Fault::EpochOpened);
                self.note(Fault::EpochOpenedAsCopy);
            }
            Some(Did::ForeignAck) => self.note(Fault::AckForeign),
            Some(Did::KnewAck) => self.note(Fault::AckRepeated),
            Some(Did::Resumed | Did::Released | Did::Refused) | None => {}
        }
    }

    fn send(&mut self, replies: Vec<Reply>) {
        for Reply { agent, session, lane, frame } in replies {
            for (refusal, fault) in [
                (Refusal::Ahead, Fault::Ahead),
                (Refusal::Fork, Fault::Fork),
                (Refusal::Stale, Fault::Stale),
            ] {
                if Node::is_refusal(&frame, refusal) {
                    self.note(fault);
                }
            }
            self.packets.push(Packet { agent, session, lane, node: None, frame });
        }
    }

    /// Lets an append land: usually the oldest, sometimes a later one, twice, or never.
    fn land(&mut self) {
        if self.log.pending.is_empty() {
            return;
        }
        let mut index = 0;
        if self.strikes(self.faults.late) {
            index = self.random.below(self.log.pending.len());
            if index > 0 {
                self.note(Fault::AppendLate);
            }
        }
        if self.strikes(self.faults.never) {
            self.log.pending.remove(index);
            self.note(Fault::AppendNever);
            return;
        }
        let again = self.strikes(self.faults.twice);
        if again {
            self.note(Fault::AppendTwice);
        }
        let (offset, waiting) = self.log.land(index, again);
        if let Some(waiting) = waiting {
            if self.last_appender.is_some_and(|last| last != waiting.node) {
                self.note(Fault::TwoNodesAppend);
            }
            self.last_appender = Some(waiting.node);
            self.nodes[waiting.node].landed(offset, waiting);
        }
    }

    fn fold(&mut self, node: usize) {
        self.nodes[node].start(&self.log);
        if self.nodes[node].is_up() {
            self.nodes[node].check_tip(&mut self.log);
            let most = 1 + self.random.below(6);
            let replies = self.nodes[node].fold(&self.log, most);
            self.send(replies);
            if self.random.once_in(6) {
                self.nodes[node].snapshot(&mut self.log);
            }
        }
    }

    /// No more faults. Everything must come to rest: nothing unsent, nothing unread.
    fn heal(&mut self) -> Result<(), String> {
        self.faults = Faults::default();
        self.agents.iter_mut().for_each(|agent| agent.copied_once_in = 0);
        for node in &mut self.nodes {
            node.paused = false;
        }
        // The first session after the faults may meet frames of old ones; the second does not.
        for _ in 0..2 {
            for agent in 0..self.agents.len() {
                self.agents[agent].start();
                self.sessions += 1;
                let node = self.random.below(self.nodes.len());
                self.agents[agent].connect(self.sessions, node);
            }
            if !self.settle() {
                let why = self.unsettled();
                return Err(format!("no rest after the faults stopped: {why}"));
            }
        }
        Ok(())
    }

    fn settle(&mut self) -> bool {
        for _ in 0..600 {
            for node in 0..self.nodes.len() {
                self.nodes[node].start(&self.log);
                self.nodes[node].check_tip(&mut self.log);
            }
            for agent in 0..self.agents.len() {
                let sources: Vec<_> = self.agents[agent].host.files.keys().copied().collect();
                for source in sources {
                    self.agents[agent].tail(
                        source,
                        usize::MAX,
                        &mut self.random,
                        &mut self.witness,
                    );
                }
                for lane in Lane::ALL {
                    self.agents[agent].seal(lane, &mut self.random, &mut self.witness);
                }
                if self.agents[agent].session.is_none() {
                    self.agents[agent].start();
                    self.sessions += 1;
                    self.agents[agent].connect(self.sessions, 0);
                }
                for _ in 0..8 {
                    self.transmit(agent);
                }
            }
            for _ in 0..self.packets.len() {
                self.deliver();
            }
            while !self.log.pending.is_empty() {
                self.land();
            }
            for node in 0..self.nodes.len() {
                let replies = self.nodes[node].fold(&self.log, usize::MAX);
                self.send(replies);
            }
            if self.packets.is_empty() && self.agents.iter().all(Agent::is_quiet) {
                return true;
            }
        }
        false
    }

    fn unsettled(&self) -> String {
        let held = self.agents.iter().map(|agent| match &agent.memory {
            None => "down".to_owned(),
            Some(lanes) => format!(
                "{:?}",
                lanes
                    .each_ref()
                    .map(|lane| (lane.chain.head().stock().unsent.batches, &lane.sender))
            ),
        });
        let nodes: Vec<_> = self
            .nodes
            .iter()
            .map(|node| (node.is_up(), node.state.as_ref().map(|state| state.ledger.next())))
            .collect();
        format!(
            "{:?} unsent, {} packets, log {}..{}, {nodes:?}",
            held.collect::<Vec<_>>(),
            self.packets.len(),
            self.log.start,
            self.log.end()
        )
    }

    fn compare(&mut self) -> Result<(), String> {
        if let Some(broken) = self.witness.broken.first() {
            return Err(broken.clone());
        }
        let landed = check::read(self.log.history(), &self.witness.of_both_lives)?;
        let none = check::Landed::default();
        for agent in &self.agents {
            let readable = agent.readable();
            let readable = agent.host.lines.iter().filter(|(line, _)| readable.contains(line));
            let readable = readable.map(|(line, place)| (*line, *place)).collect();
            let landed = landed.get(&agent.device).unwrap_or(&none);
            landed.compare(&self.witness, agent.device, &readable)?;
        }
        let undecided: usize = landed.values().map(check::Landed::undecided).sum();
        let gaps: u64 = landed.values().map(check::Landed::gap_records).sum();
        let lost: u64 = self.nodes.iter().map(|node| node.tips_lost).sum();
        let regressions: u64 = self.nodes.iter().map(|node| node.regressions).sum();
        for (count, fault) in [
            (undecided as u64, Fault::Undecided),
            (gaps, Fault::GapDeclared),
            (lost, Fault::TailLostUnderFold),
            (regressions, Fault::Regression),
            (self.agents.iter().map(|agent| agent.let_go).sum(), Fault::RunsLetGo),
        ] {
            if count > 0 {
                *self.happened.entry(fault).or_default() += count;
            }
        }
        self.folds_are_equal()
    }

    /// Every node's state, and a replay from the start, are the same bytes.
    fn folds_are_equal(&mut self) -> Result<(), String> {
        let mut replay = ShardLedger::new(SHARD).with_streams_max(STREAMS_MAX);
        for bytes in self.log.history() {
            let entry = headwater_protocol::entry::Entry::decode(bytes)
                .map_err(|error| error.to_string())?;
            let offset = replay.next();
            replay.fold(offset, &entry, |_| true, self.rules).map_err(|error| error.to_string())?;
        }
        let duplicates: u64 = replay.lanes().values().map(|lane| lane.tallies().duplicate).sum();
        if duplicates > 0 {
            *self.happened.entry(Fault::Duplicate).or_default() += duplicates;
        }
        if replay.lanes().values().any(|lane| lane.tallies().unequal > 0) {
            return Err("the ledger's sum does not add up".to_owned());
        }
        for node in &self.nodes {
            if node.state.as_ref().is_some_and(|state| state.ledger != replay) {
                return Err("two folds of one log differ".to_owned());
            }
        }
        Ok(())
    }
}
