//! Who holds positions, and when they are void.

use headwater_agent::config::ByteCount;
use headwater_agent::tail::{Chunk, Landed, Landing};
use headwater_protocol::chain::{Acked, Resumed, Row};
use headwater_protocol::identity::{
    Digest, Generation, Lane, LogId, Offset, Receipt, ShardId, Tip,
};
use headwater_protocol::position::Check;
use headwater_protocol::record::{Cause, Content, Gap};
use headwater_protocol::wire::Ack;

use crate::world::{FILE, Node, World, facts, file_info, lines, numbered, sample};

#[test]
fn files_wait_for_the_ledgers_first_word_and_samples_do_not() {
    let mut world = World::new();
    assert!(world.landing.known().is_none(), "the ledger may know the files");
    world.writer.tick(1, sample(5)).unwrap();
    world.wait_sealed(Lane::Live, 1);
    world.greet(&Node::new(), Lane::Live);
    assert!(world.landing.known().is_none(), "the live lane knows no files");
    world.greet(&Node::new(), Lane::Bulk);
    assert!(world.landing.known().expect("the ledger has spoken").streams.is_empty());
}

#[test]
fn what_does_not_start_where_its_stream_ends_is_not_taken() {
    let mut world = World::new();
    world.greet(&Node::new(), Lane::Bulk);
    world.landing.known();
    let stream = world.begin(100);
    let (end, landed) = world.append(stream, 100, &numbered(0..2));
    assert_eq!(landed, Landed::Taken);
    // It is on its way when the spool sees that a piece is missing.
    world.append(stream, end + 1, &numbered(2..3));
    crate::world::wait_for("the tail is told to ask again", || {
        world.append(stream, end + 1, &numbered(2..3)).1 == Landed::Resync
    });
    let known = world.landing.known().unwrap();
    assert_eq!(known.streams[&stream].position, end);
    assert_eq!(world.append(stream, end, &numbered(2..3)).1, Landed::Taken);
    world.wait(Lane::Bulk, "all lines are sealed", |view| view.head.totals().records == 3);
    assert_eq!(crate::world::texts(&world.records(Lane::Bulk, Row(0))), numbered(0..3));
}

#[test]
fn lines_of_a_stream_that_nobody_began_are_not_taken() {
    let mut world = World::new();
    world.greet(&Node::new(), Lane::Bulk);
    world.landing.known();
    let mut stream = world.begin(0);
    stream.run.nonce ^= 1;
    world.append(stream, 0, &numbered(0..1));
    crate::world::wait_for("the tail is told to ask again", || {
        world.append(stream, 0, &numbered(0..1)).1 == Landed::Resync
    });
    assert_eq!(world.lane(Lane::Bulk).head.totals().records, 0);
}

#[test]
fn an_opened_epoch_makes_the_tail_ask_again_and_a_plain_handshake_does_not() {
    let mut node = Node::new();
    let mut world = World::new();
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    let (end, _) = world.append(stream, 0, &numbered(0..3));
    world.ship_all(&mut node, Lane::Bulk);
    let copy = world.copy();
    assert_eq!(world.append(stream, end, &numbered(3..4)).1, Landed::Taken, "nothing moved");
    world.ship_all(&mut node, Lane::Bulk);
    let mut world = world.crash_to(copy);
    world.landing.known();
    assert!(matches!(world.greet(&node, Lane::Bulk), Resumed::Opened { .. }));
    assert_eq!(world.append(stream, end, &numbered(3..4)).1, Landed::Resync);
    let position = world.landing.known().unwrap().streams[&stream].position;
    assert_eq!(position, end + 7, "the ledger knows more");
    assert_eq!(world.append(stream, position, &numbered(4..5)).1, Landed::Taken);
    world.ship_all(&mut node, Lane::Bulk);
    assert_eq!(node.lines(), numbered(0..5));
}

#[test]
fn the_beginning_of_a_run_is_stored_without_a_line() {
    let mut node = Node::new();
    let mut world = World::new();
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(5000);
    world.landing.append(lines(stream, 5000, &[])).unwrap();
    world.wait_sealed(Lane::Bulk, 1);
    world.ship_all(&mut node, Lane::Bulk);
    let lane = &node.ledger.lanes()[&(crate::world::DEVICE, Lane::Bulk)];
    assert_eq!(lane.streams()[&stream].mark.position, 5000);
    assert_eq!(lane.totals().read(), 0);
}

#[test]
fn a_gap_in_a_file_stands_in_its_place() {
    let mut node = Node::new();
    let mut world = World::new();
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    let (end, _) = world.append(stream, 0, &numbered(0..2));
    let gap = Gap { cause: Cause::Truncated, records: 0, bytes: 100, about: None };
    let (start, check) = (end, Check::NONE);
    let chunk = Chunk::Gap { stream, start, end: end + 100, gap, check, time_us: 1 };
    assert_eq!(world.landing.append(chunk), Ok(Landed::Taken));
    world.append(stream, end + 100, &numbered(2..3));
    world.ship_all(&mut node, Lane::Bulk);
    assert_eq!(node.lines(), numbered(0..3));
    let gaps: Vec<&Content> = node.applied.iter().map(|record| &record.content).collect();
    assert!(matches!(gaps[2], Content::Gap(gap) if gap.bytes == 100));
    node.check();
}

#[test]
fn an_ack_of_another_chain_releases_nothing() {
    let mut world = World::new();
    world.greet(&Node::new(), Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    world.append(stream, 0, &numbered(0..2));
    let head = world.wait_sealed(Lane::Bulk, 1).head;
    let (log, generation) = (LogId([1; 16]), Generation(0));
    let receipt = Receipt { log, generation, shard: ShardId(0), offset: Offset(0) };
    let tip = Tip { digest: Digest([3; 32]), ..head.tip() };
    assert_eq!(world.ack(Ack { lane: Lane::Bulk, tip, receipt }), Acked::Foreign);
    assert_eq!(world.lane(Lane::Bulk).head.acked(), Row(0));
}

#[test]
fn facts_are_told_at_the_start_in_each_epoch_and_when_they_change() {
    let told = |node: &Node| {
        let facts = node.applied.iter().filter_map(|record| match &record.content {
            Content::Facts(facts) => Some(facts["site"].clone()),
            Content::Tick(_) | Content::Event(_) | Content::Gap(_) => None,
        });
        facts.collect::<Vec<String>>()
    };
    let mut node = Node::new();
    let world = World::new();
    world.writer.facts(facts("osl")).unwrap();
    world.writer.facts(facts("osl")).unwrap();
    world.wait_sealed(Lane::Live, 1);
    world.ship_all(&mut node, Lane::Live);
    assert_eq!(told(&node), ["osl"]);
    let copy = world.copy();
    world.writer.facts(facts("ber")).unwrap();
    world.wait_sealed(Lane::Live, 2);
    world.ship_all(&mut node, Lane::Live);
    assert_eq!(told(&node), ["osl", "ber"]);
    let world = world.crash_to(copy);
    world.writer.facts(facts("ber")).unwrap();
    world.ship_all(&mut node, Lane::Live);
    world.wait(Lane::Live, "facts wait for no sample", |view| view.pending_records == 0);
    world.ship_all(&mut node, Lane::Live);
    assert_eq!(told(&node).last().map(String::as_str), Some("ber"));
    assert!(world.lane(Lane::Live).head.epochs_opened() > 0);
    node.check();
}

#[test]
fn a_run_of_a_file_is_known_with_what_it_is() {
    let mut world = World::new();
    world.greet(&Node::new(), Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    world.append(stream, 0, &numbered(0..2));
    world.wait_sealed(Lane::Bulk, 1);
    let (folder, config) = world.stop();
    let mut world = World::open(folder, config);
    assert!(
        world.landing.known().is_none(),
        "a spool that was put back learns first what it forgot"
    );
    world.greet(&Node::new(), Lane::Bulk);
    let known = world.landing.known().expect("the ledger has spoken");
    assert_eq!(known.streams[&stream].info, Some(file_info()));
    assert_eq!(stream.source, FILE);
    assert_ne!(known.streams[&stream].check, Check::NONE);
}

#[test]
fn a_file_whose_run_was_given_up_goes_on_where_it_was_read_to_also_after_a_crash() {
    let mut world = World::new();
    let node = Node::new();
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let stream = world.begin(0);
    let (end, _) = world.append(stream, 0, &numbered(0..10));
    world.wait_sealed(Lane::Bulk, 1);
    // The ledger may have forgotten the run: it is given up, and its file goes on in another one.
    let mut state = crate::world::foreign_state(Lane::Bulk);
    state.horizon = stream.run.number;
    assert!(world.try_greet(state).is_some());
    let goes_on = |world: &mut World| {
        let streams = world.landing.known().unwrap().streams.into_iter();
        let own = streams.filter(|(it, _)| it.source == FILE);
        own.map(|(it, known)| (it != stream, known.position)).collect::<Vec<_>>()
    };
    assert_eq!(goes_on(&mut world), [(true, end)]);
    let copy = world.copy();
    let mut world = world.crash_to(copy);
    world.greet(&node, Lane::Bulk);
    assert_eq!(goes_on(&mut world), [(true, end)], "the same after a crash");
}

#[test]
fn files_of_a_spool_that_was_lost_stay_undecided_until_they_were_looked_at() {
    let mut world = World::new();
    let mut state = crate::world::foreign_state(Lane::Bulk);
    state.horizon = 9;
    assert!(world.try_greet(state).is_some());
    let is_undecided = |world: &mut World| world.landing.known().unwrap().files_undecided;
    assert!(is_undecided(&mut world), "the ledger may have forgotten files");
    let stream = world.begin(0);
    world.append(stream, 0, &numbered(0..1));
    world.landing.settled().unwrap();
    assert!(!is_undecided(&mut world));
    // What was handed over before is sealed with it: what is shown is durable.
    world.wait_sealed(Lane::Bulk, 1);
    let copy = world.copy();
    let mut world = world.crash_to(copy);
    assert!(world.try_greet(crate::world::foreign_state(Lane::Bulk)).is_some());
    assert!(!is_undecided(&mut world), "the same after a crash");
}

#[test]
fn a_run_that_was_let_go_is_forgotten_and_a_ledger_that_comes_back_older_hears_how_much_it_lacks() {
    let mut node = Node::new();
    let mut world = World::with(|config| config.grace_bytes = ByteCount(0));
    world.greet(&node, Lane::Bulk);
    world.landing.known();
    let ended = world.begin(0);
    world.append(ended, 0, &numbered(0..3));
    world.wait_sealed(Lane::Bulk, 1);
    world.ship_all(&mut node, Lane::Bulk);
    let unsent = world.begin(0);
    world.append(unsent, 0, &numbered(3..5));
    world.wait_sealed(Lane::Bulk, 2);
    let waiting = world.begin(0);
    world.append(waiting, 0, &numbered(5..6));
    let runs = vec![ended, unsent, waiting];
    assert_eq!(world.landing.let_go(runs), Ok(vec![ended]), "of the others something is held");
    world.wait_sealed(Lane::Bulk, 3);
    world.ship_all(&mut node, Lane::Bulk);
    assert_eq!(node.lines(), numbered(0..6));

    let (folder, config) = world.stop();
    let mut world = World::open(folder, config);
    world.greet(&node, Lane::Bulk);
    let known = world.landing.known().unwrap();
    assert!(!known.files_undecided, "the ledger knows more runs, and none is news");
    assert_eq!(known.streams.keys().copied().collect::<Vec<_>>(), [unsent, waiting]);

    let mut older = Node::new();
    world.ship_all(&mut older, Lane::Bulk);
    let gaps = older.applied.iter().filter_map(|record| match &record.content {
        Content::Gap(gap) => Some((gap.cause, gap.records)),
        _ => None,
    });
    let lost = [(Cause::Lost, 2), (Cause::Lost, 1), (Cause::Undecided, 3)];
    assert_eq!(gaps.collect::<Vec<_>>(), lost, "three lines of a run that nobody can name");
    assert_eq!(older.ledger.totals().read(), 6);
}
