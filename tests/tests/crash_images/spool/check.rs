//! What must hold of a spool after a crash, and of what it goes on to do.

use std::collections::BTreeMap;

use headwater_protocol::batch::Batch;
use headwater_protocol::chain::Resumed;
use headwater_protocol::identity::{Lane, Tip};
use headwater_protocol::position::Stream;
use headwater_tests::recorder::{Moment, Recorder};

use super::story::{History, Story, last_by};
use super::world::{Ended, Node, STRAY, World};
use crate::checking::ensure;

/// Lines that each file has had more than were ever read, when the spool goes on.
const MORE: usize = 3;

/// Opens what a crash left, looks at it, and has it go on until all is shipped.
pub(crate) fn check(
    story: &Story,
    history: &History,
    disk: &Recorder,
    moment: Moment,
) -> Result<(), String> {
    let opened = World::open(disk, &story.config);
    let mut world = opened.map_err(|error| format!("it does not open: {error:?}"))?;
    let mut ends = BTreeMap::new();
    for lane in Lane::ALL {
        rows_are_whole(&world, history, lane, moment, &mut ends)?;
    }
    let mut node = last_by(&history.nodes, moment).cloned().unwrap_or_else(Node::new);
    let ended = |_: Ended| "the spool ended".to_owned();
    for lane in Lane::ALL {
        let resumed = world.greet(&node, lane).map_err(ended)?;
        let in_chain = matches!(resumed, Resumed::InChain(_));
        ensure(in_chain || history.may_open(moment), || {
            format!("lane {lane} has lost what the ledger knows: {resumed:?}")
        })?;
    }
    if !history.may_open(moment) {
        positions_are_the_ends(&mut world, &node, &ends)?;
    }
    let to = story.read().map(|read| read + MORE);
    for (source, to) in story.sources.iter().zip(to) {
        world.read_to(source, to).map_err(ended)?;
    }
    world.seal().map_err(ended)?;
    for lane in Lane::ALL {
        ship_all(&world, &mut node, lane)?;
    }
    world.stop().map_err(|error| format!("it does not stop in order: {error:?}"))?;
    exactly_once(story, history, &node, to, moment)
}

/// Rows are there from the first to the last, each hangs on the one before, all that was shown is among
/// them, and none left that nobody released.
fn rows_are_whole(
    world: &World,
    history: &History,
    lane: Lane,
    moment: Moment,
    ends: &mut BTreeMap<Stream, u64>,
) -> Result<(), String> {
    let head = world.lane(lane).head;
    let (first, next) = (head.archive_first().0, head.next().0);
    let of_lane =
        |(at, it, row): &(Moment, Lane, u64)| (*at <= moment && *it == lane).then_some(*row);
    let released = history.released.iter().filter_map(of_lane).max().unwrap_or(0);
    ensure(first <= released, || {
        format!("lane {lane}: rows below {first} left, those below {released} were released")
    })?;
    let shown = history.shown.iter().filter(|shown| shown.lane == lane && shown.moment <= moment);
    let most = shown.clone().map(|shown| shown.next).max().unwrap_or(0);
    let tips: BTreeMap<u64, Tip> =
        shown.filter_map(|shown| Some((shown.next, shown.tip?))).collect();
    ensure(next >= most, || format!("lane {lane}: {most} rows were shown, {next} are there"))?;
    let mut before: Option<Batch> = None;
    for row in first..next {
        let bytes =
            world.row(lane, row).ok_or_else(|| format!("lane {lane}: row {row} is gone"))?;
        let batch = Batch::parse(bytes).map_err(|error| format!("row {row}: {error}"))?;
        if let Some(before) = &before {
            let goes_on = batch.header().epoch == before.header().epoch;
            ensure(!goes_on || batch.follows(before.digest()), || {
                format!("lane {lane}: row {row} does not follow the one before")
            })?;
        }
        let tip = batch.tip();
        ensure(tips.get(&(row + 1)).is_none_or(|shown| *shown == tip), || {
            format!("lane {lane}: row {row} is not the one that was shown")
        })?;
        for span in &batch.header().spans {
            ends.insert(span.stream, span.end.position);
        }
        before = Some(batch);
    }
    let last = before.map(|batch| batch.tip());
    ensure(head.sealed() == 0 || last.is_none_or(|last| last == head.tip()), || {
        format!("lane {lane}: the head is not at the last row")
    })
}

/// A position is where the last row of its stream ends, or further where the ledger is.
fn positions_are_the_ends(
    world: &mut World,
    node: &Node,
    ends: &BTreeMap<Stream, u64>,
) -> Result<(), String> {
    let known = world.known().map_err(|_| "positions are not told".to_owned())?;
    // Those of strays go back with the ledger.
    let own = known.streams.iter().filter(|(stream, _)| stream.source != STRAY);
    for (stream, known) in own {
        let lanes = node.ledger.lanes().values();
        let applied = lanes.filter_map(|lane| lane.streams().get(stream)).next();
        let applied = applied.map_or(0, |applied| applied.mark.position);
        let end = ends.get(stream).copied().unwrap_or(0).max(applied);
        ensure(known.position == end, || {
            format!("{stream:?} is at {}, its rows and the ledger end at {end}", known.position)
        })?;
    }
    Ok(())
}

fn ship_all(world: &World, node: &mut Node, lane: Lane) -> Result<(), String> {
    let head = world.lane(lane).head;
    for row in head.acked().0..head.next().0 {
        let bytes =
            world.row(lane, row).ok_or_else(|| format!("lane {lane}: row {row} is gone"))?;
        let ack = node.apply(bytes);
        let ack = ack.ok_or_else(|| format!("lane {lane}: row {row} is refused"))?;
        world.ack(ack).map_err(|_| "the spool ended".to_owned())?;
    }
    Ok(())
}

/// Every line was applied once, in order; so was every sample that was durable, and none twice.
fn exactly_once(
    story: &Story,
    history: &History,
    node: &Node,
    to: [usize; 2],
    moment: Moment,
) -> Result<(), String> {
    for (source, to) in story.sources.iter().zip(to) {
        let prefix = format!("{} line ", source.id.0[0]);
        let lines = node.lines.iter().filter(|line| line.starts_with(&prefix));
        ensure(lines.eq(&source.lines[..to]), || {
            let count = node.lines.iter().filter(|line| line.starts_with(&prefix)).count();
            format!("of the {to} lines of file {}, {count} were applied", source.id.0[0])
        })?;
    }
    let rises = node.values.windows(2).all(|pair| pair[0] < pair[1]);
    ensure(rises, || format!("samples are doubled or out of order: {:?}", node.values))?;
    let sampled = last_by(&history.sampled, moment).copied().unwrap_or(0);
    let durable = node.values.iter().filter(|value| **value <= sampled).count();
    ensure(i64::try_from(durable) == Ok(sampled), || {
        format!("{sampled} samples were durable, of which {durable} were applied")
    })?;
    let totals = node.ledger.totals();
    let unequal: u64 = node.ledger.lanes().values().map(|lane| lane.tallies().unequal).sum();
    ensure(totals.read() == node.records && unequal == 0, || {
        format!("the sums do not add up: {totals:?}, {} records, {unequal} unequal", node.records)
    })?;
    ensure(node.gaps == 0, || format!("{} gaps were declared, and nothing is missing", node.gaps))
}
