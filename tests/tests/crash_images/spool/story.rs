//! What happens to a spool, drawn from a seed, and what anybody was told of it, and when.

use headwater_agent::config::SpoolConfig;
use headwater_protocol::chain::{Acked, Head, Resumed};
use headwater_protocol::identity::{Lane, Tip};
use headwater_tests::draws::Draws;
use headwater_tests::recorder::{Moment, Recorder};

use super::world::{Ended, Node, Source, World};

/// Lines that a file has at most.
const LINES: usize = 400;

/// What was shown of a lane as durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) moment: Moment,
    pub(crate) lane: Lane,
    pub(crate) next: u64,
    /// The tip of the last row; `None` if nothing was sealed in the epoch, which stands on the ledger's.
    pub(crate) tip: Option<Tip>,
}

impl Shown {
    pub(crate) fn of(head: &Head, moment: Moment) -> Self {
        let tip = (head.sealed() > 0).then(|| head.tip());
        Self { moment, lane: head.lane(), next: head.next().0, tip }
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct History {
    pub(crate) shown: Vec<Shown>,
    /// Samples up to this value are durable.
    pub(crate) sampled: Vec<(Moment, i64)>,
    /// Rows below this one may leave the spool.
    pub(crate) released: Vec<(Moment, Lane, u64)>,
    /// The ledger, each time that it changed.
    pub(crate) nodes: Vec<(Moment, Node)>,
    /// The ledger went back, and both lanes have greeted it since.
    pub(crate) went_back: Vec<Moment>,
    pub(crate) greeted: Vec<Moment>,
}

/// The last of what was noted by a moment.
pub(crate) fn last_by<T>(noted: &[(Moment, T)], moment: Moment) -> Option<&T> {
    noted.iter().rev().find(|(at, _)| *at <= moment).map(|(_, what)| what)
}

impl History {
    /// Whether a handshake may open an epoch: the ledger is not in the chain.
    pub(crate) fn may_open(&self, moment: Moment) -> bool {
        let last = |moments: &[Moment]| moments.iter().rev().find(|at| **at <= moment).copied();
        match (last(&self.went_back), last(&self.greeted)) {
            (Some(went_back), Some(greeted)) => greeted < went_back,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}

/// A spool's story so far.
pub(crate) struct Story {
    pub(crate) sources: [Source; 2],
    pub(crate) config: SpoolConfig,
    pub(crate) history: History,
    disk: Recorder,
    node: Node,
    read: [usize; 2],
    value: i64,
    goes_back: bool,
}

impl Story {
    /// `goes_back` says whether the ledger does at times; the spool's grace buffer then has to hold all.
    pub(crate) fn new(disk: Recorder, config: SpoolConfig, goes_back: bool, seed: u64) -> Self {
        let sources = [11, 12].map(|id| Source::drawn(id, LINES, &mut Draws::new(seed, id.into())));
        Self {
            sources,
            config,
            history: History::default(),
            disk,
            node: Node::new(),
            read: [0; 2],
            value: 0,
            goes_back,
        }
    }

    /// Goes on for so many steps.
    pub(crate) fn tell(
        &mut self,
        world: &mut World,
        steps: usize,
        draws: &mut Draws,
    ) -> Result<(), Ended> {
        self.note_node();
        self.greet(world)?;
        for step in 0..steps {
            self.fill(world, draws)?;
            world.seal()?;
            let moment = self.disk.moment();
            self.show(world, moment);
            self.history.sampled.push((moment, self.value));
            for lane in Lane::ALL {
                if draws.percent(70) {
                    self.ship(world, lane, draws)?;
                }
            }
            match draws.of(0..100) {
                _ if self.goes_back && step == steps / 2 => self.go_back(world, true, draws)?,
                0..20 if self.goes_back => self.go_back(world, draws.percent(50), draws)?,
                20..35 => self.greet(world)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The ledger is what it was at an earlier time, or the batches of a clone came between.
    fn go_back(&mut self, world: &World, strays: bool, draws: &mut Draws) -> Result<(), Ended> {
        let place = draws.place(self.history.nodes.len());
        self.node = self.history.nodes[place].1.clone();
        if strays {
            self.node.take_strays();
        }
        self.history.went_back.push(self.disk.moment());
        self.note_node();
        self.greet(world)
    }

    fn fill(&mut self, world: &mut World, draws: &mut Draws) -> Result<(), Ended> {
        for (source, read) in self.sources.iter().zip(&mut self.read) {
            if draws.percent(70) {
                *read += draws.place(20);
                world.read_to(source, *read)?;
            }
        }
        for _ in 0..draws.of(0..3) {
            self.value += 1;
            world.tick(self.value)?;
        }
        Ok(())
    }

    /// Notes what the spool shows as durable.
    pub(crate) fn show(&mut self, world: &World, moment: Moment) {
        for lane in Lane::ALL {
            self.history.shown.push(Shown::of(&world.lane(lane).head, moment));
        }
    }

    fn note_node(&mut self) {
        self.history.nodes.push((self.disk.moment(), self.node.clone()));
    }

    fn greet(&mut self, world: &World) -> Result<(), Ended> {
        for lane in Lane::ALL {
            let before = self.disk.moment();
            let held = world.lane(lane).head.next().0;
            let released = match world.greet(&self.node, lane)? {
                Resumed::InChain(row) => row.0,
                // What was held is sealed anew; the rows are of use as an archive only.
                Resumed::Opened { from, .. } => from.0.max(held),
            };
            self.history.released.push((before, lane, released));
        }
        let moment = self.disk.moment();
        self.history.greeted.push(moment);
        self.show(world, moment);
        Ok(())
    }

    fn ship(&mut self, world: &World, lane: Lane, draws: &mut Draws) -> Result<(), Ended> {
        let head = world.lane(lane).head;
        let to = head.next().0 - draws.of(0..2).min(head.next().0 - head.acked().0);
        for row in head.acked().0..to {
            let bytes = world.row(lane, row).ok_or(Ended)?;
            let ack = self.node.apply(bytes).expect("a batch that comes next is applied");
            self.note_node();
            let before = self.disk.moment();
            self.history.released.push((before, lane, row + 1));
            let acked = world.ack(ack)?;
            assert_ne!(acked, Acked::Foreign, "the ack is of this chain");
        }
        Ok(())
    }

    /// How far the files had been read at the end.
    pub(crate) fn read(&self) -> [usize; 2] {
        self.read
    }
}
