//! The fold: one state from one log, whether it was folded live, replayed, or taken from a snapshot.
#![allow(clippy::unwrap_used, reason = "a test says so by failing")]
#![allow(dead_code, reason = "each test file uses a part of what they share")]

#[path = "support/agent.rs"]
mod agent;
#[path = "support/disk.rs"]
mod disk;
#[path = "support/folding.rs"]
mod folding;
#[path = "support/forge.rs"]
mod forge;

use agent::{TestAgent, device};
use folding::{Folding, entry, of_another_log, receipt, shard_of, tick};
use headwater_aggregator::fold::{Answer, Replay, ShardState, View, recover};
use headwater_aggregator::log::{Log, StoredSnapshot};
use headwater_protocol::chain::Acked;
use headwater_protocol::identity::{Generation, Lane, Offset};
use headwater_protocol::ledger::Refusal;
use tokio::sync::broadcast::error::RecvError;

fn acked(answer: &Answer) -> headwater_protocol::wire::Ack {
    match answer {
        Answer::Ack(ack) => *ack,
        other => panic!("expected an ack, not {other:?}"),
    }
}

#[tokio::test]
async fn live_and_replay_and_every_snapshot_give_identical_bytes() {
    let folder = tempfile::tempdir().unwrap();
    drop(disk::create(folder.path()));
    let folding = Folding::start(folder.path());
    let id = device(1);
    let mut agent = TestAgent::new(id, Lane::Bulk);
    for number in 0..30 {
        let row = match number % 3 {
            0 => agent.sample("cpu.busy_ratio", number),
            _ => agent.lines(&["one", &"long ".repeat(200)]),
        };
        let answer = folding.batch(agent.batch(row)).await;
        assert!(matches!(agent.handle_ack(acked(&answer)), Acked::Through(_)));
        if number % 10 == 9 {
            folding.fold.save().await;
        }
    }
    folding.batch(agent.batch(headwater_protocol::chain::Row(3))).await;
    folding.stop().await;

    let log = disk::open(folder.path()).unwrap();
    let shard = shard_of(id);
    let snapshots = log.snapshots(shard).unwrap();
    assert_eq!(snapshots[0], Offset(31), "the last snapshot is of the end");
    let live = log.snapshot(shard, snapshots[0]).unwrap().unwrap();
    let bytes = |state: &ShardState| state.snapshot(log.id());
    let at_end = recover(&log, shard, None).unwrap();
    assert_eq!((at_end.snapshot, at_end.replayed), (Some(Offset(31)), 0));
    assert_eq!(bytes(&at_end.state), live);
    log.drop_snapshot(shard, snapshots[0]);
    disk::append_durably(&log, (shard.0 + 4) % 64, &tick());
    let from_older = recover(&log, shard, None).unwrap();
    assert_eq!(
        (from_older.snapshot, from_older.replayed),
        (Some(snapshots[1]), 31 - snapshots[1].0)
    );
    assert_eq!(bytes(&from_older.state), live);
    log.drop_snapshot(shard, snapshots[1]);
    disk::append_durably(&log, (shard.0 + 4) % 64, &tick());
    let from_start = recover(&log, shard, None).unwrap();
    assert_eq!((from_start.snapshot, from_start.replayed), (None, 31));
    assert_eq!(bytes(&from_start.state), live);

    let known = &from_start.state.view().devices()[&id];
    assert_eq!(known.facts["role"], "web-27", "the latest facts are shown");
    assert_eq!(known.latest.values().next(), Some(&(27, 2_000)), "and the latest sample");
    assert_eq!(View::decode(&live.view).unwrap(), *from_start.state.view());
}

#[tokio::test]
async fn a_batch_that_was_appended_twice_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    drop(disk::create(folder.path()));
    let folding = Folding::start(folder.path());
    let id = device(2);
    let mut agent = TestAgent::new(id, Lane::Bulk);
    let batches: Vec<_> =
        ["a", "b", "c"].map(|line| agent.line(line)).map(|row| agent.batch(row)).into();
    let [one, two, three] = [0, 1, 2].map(|index: usize| batches[index].clone());
    let answers = folding.batches(vec![one.clone(), one, three.clone(), two.clone(), three]).await;
    assert_eq!(acked(&answers[1]).tip, batches[0].tip(), "a duplicate is acked again");
    assert_eq!(answers[2], Answer::Refused(Refusal::Ahead), "a hole is refused");
    assert_eq!(acked(&answers[4]).tip, batches[2].tip());
    assert_eq!(acked(&answers[4]).receipt.offset, Offset(4));

    let mut replay = Replay::from(&*folding.log, shard_of(id), Offset(0)).unwrap();
    let mut seen = Vec::new();
    while let Some(applied) = replay.next_applied().unwrap() {
        seen.push((applied.offset.0, applied.header.seq.number()));
    }
    assert_eq!(seen, [(0, 1), (3, 2), (4, 3)], "each batch once, where it was applied");
    let mut replay = Replay::from(&*folding.log, shard_of(id), Offset(1)).unwrap();
    assert_eq!(replay.next_applied().unwrap().unwrap().offset, Offset(3));
    folding.stop().await;
}

#[tokio::test]
async fn what_another_node_appended_is_folded_before_what_comes_after_it() {
    let folder = tempfile::tempdir().unwrap();
    drop(disk::create(folder.path()));
    let folding = Folding::start(folder.path());
    let id = device(3);
    let mut agent = TestAgent::new(id, Lane::Bulk);
    let rows = ["a", "b", "c"].map(|line| agent.line(line));
    let [one, two, three] = rows.map(|row| agent.batch(row));
    disk::append_durably(&*folding.log, shard_of(id).0, &entry(&one));
    let answer = folding.batch(two.clone()).await;
    assert_eq!(acked(&answer).tip, two.tip(), "the batch before it was read from the log");
    disk::append_durably(&*folding.log, shard_of(id).0, &entry(&three));
    assert_eq!(folding.hello(id, None).await.tip, two.tip());
    let state = folding.hello(id, Some(receipt(id, 0, 2))).await;
    assert_eq!(state.tip, three.tip(), "a receipt of it makes the node read on first");
    assert_eq!(state.generation, Generation(0), "being behind is no regression");
    folding.stop().await;
}

#[tokio::test]
async fn no_answer_is_lost_when_the_log_is_read_past_own_entries_on_their_way_back() {
    let folder = tempfile::tempdir().unwrap();
    drop(disk::create(folder.path()));
    let folding = Folding::start(folder.path());
    let here = device(1);
    let twin = (2..=255).map(device).find(|id| shard_of(*id) == shard_of(here)).unwrap();
    let mut agents = [here, twin].map(|id| TestAgent::new(id, Lane::Bulk));
    for _ in 0..100 {
        let row = agents[1].line("appended by another node");
        let foreign = agents[1].batch(row);
        let offset = disk::append_durably(&*folding.log, shard_of(twin).0, &entry(&foreign)).offset;
        let own: Vec<_> = (0..6).map(|_| agents[0].line("own")).collect();
        let own: Vec<_> = own.into_iter().map(|row| agents[0].batch(row)).collect();
        let last = own[5].tip();
        let (before, after) = (own[..2].to_vec(), own[2..].to_vec());
        let (one, state, two) = tokio::join!(
            folding.batches(before),
            folding.hello(twin, Some(receipt(twin, 0, offset.0))),
            folding.batches(after),
        );
        assert_eq!(state.tip, foreign.tip(), "the node read on before it answered");
        let answers: Vec<_> = one.iter().chain(&two).map(acked).collect();
        assert_eq!((answers.len(), answers[5].tip), (6, last), "each batch is answered");
    }
    assert_eq!(folding.metrics.fold.regressions.get(), 0);
    folding.stop().await;
}

#[tokio::test]
async fn a_lost_tail_raises_the_generation_once() {
    let folder = tempfile::tempdir().unwrap();
    drop(disk::create(folder.path()));
    let folding = Folding::start(folder.path());
    let id = device(4);
    let mut agent = TestAgent::new(id, Lane::Bulk);
    let first = agent.line("before the backup");
    folding.batch(agent.batch(first)).await;
    folding.stop().await;
    let backup = tempfile::tempdir().unwrap();
    disk::copy(folder.path(), backup.path());

    let folding = Folding::start(folder.path());
    let lost = agent.line("after the backup");
    let ack = acked(&folding.batch(agent.batch(lost)).await);
    agent.handle_ack(ack);
    folding.stop().await;

    let folding = Folding::start(backup.path());
    let foreign = folding.hello(id, Some(of_another_log(ack.receipt))).await;
    assert_eq!(foreign.generation, Generation(0), "another log's receipt says nothing of this one");
    let state = folding.hello(id, Some(ack.receipt)).await;
    assert_eq!(state.generation, Generation(1));
    assert_eq!(folding.hello(id, Some(ack.receipt)).await.generation, Generation(1));
    assert_eq!(folding.metrics.fold.regressions.get(), 1);
    let resumed = agent.handle_state(&state);
    assert_eq!(
        resumed,
        headwater_protocol::chain::Resumed::InChain(lost),
        "the grace buffer fills it"
    );
    let ack = acked(&folding.batch(agent.batch(lost)).await);
    assert_eq!((ack.receipt.generation, ack.receipt.offset), (Generation(1), Offset(2)));
    folding.stop().await;
    let folding = Folding::start(backup.path());
    assert_eq!(folding.hello(id, Some(ack.receipt)).await.generation, Generation(1));
    assert_eq!(folding.metrics.fold.regressions.get(), 0, "the generation stands in the log");
    folding.stop().await;
}

#[tokio::test]
async fn receipts_that_no_node_gave_move_nothing_far() {
    let folder = tempfile::tempdir().unwrap();
    drop(disk::create(folder.path()));
    let folding = Folding::start(folder.path());
    let id = device(5);
    let state = folding.hello(id, Some(receipt(id, u64::MAX, u64::MAX))).await;
    assert_eq!(state.generation, Generation(0), "no log is restored so often");
    for _ in 0..20 {
        let generation = folding.hello(id, None).await.generation.0;
        folding.hello(id, Some(receipt(id, generation, u64::MAX))).await;
    }
    assert_eq!(
        folding.hello(id, None).await.generation,
        Generation(8),
        "a liar is not followed for ever"
    );
    folding.stop().await;
}

#[tokio::test]
async fn a_snapshot_whose_tip_is_not_in_the_log_is_dropped_and_the_generation_raised() {
    let id = device(6);
    let shard = shard_of(id);
    let mut agent = TestAgent::new(id, Lane::Bulk);
    let [long, short] = [5, 3].map(|count| {
        let folder = tempfile::tempdir().unwrap();
        let log = disk::create(folder.path());
        for number in 0..count {
            let row = agent.line("line");
            assert_eq!(
                disk::append_durably(&log, shard.0, &entry(&agent.batch(row))).offset.0,
                number
            );
        }
        (folder, log)
    });
    let lost = recover(&long.1, shard, None).unwrap().state.snapshot(disk::LOG);
    short.1.put_snapshot(shard, lost.clone());
    let damaged =
        StoredSnapshot { next: Offset(2), ledger: vec![1; 100], view: vec![], windows: vec![] };
    short.1.put_snapshot(shard, damaged);
    disk::append_durably(&short.1, (shard.0 + 4) % 64, &tick());
    drop(short.1);

    let folding = Folding::start(short.0.path());
    let state = folding.hello(id, None).await;
    assert_eq!(folding.metrics.fold.regressions.get(), 1);
    folding.stop().await;
    let folding = Folding::start(short.0.path());
    assert_eq!(folding.hello(id, None).await.tip, state.tip);
    assert_eq!(folding.hello(id, None).await.generation, Generation(1));
    assert_eq!(folding.metrics.fold.regressions.get(), 0, "once, and not at each start");
    folding.stop().await;
}

#[tokio::test]
async fn a_body_that_cannot_be_opened_is_applied_as_a_gap_and_its_lane_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    drop(disk::create(folder.path()));
    let folding = Folding::start(folder.path());
    let id = device(7);
    let mut live = folding.live.subscribe();
    let mut agent = TestAgent::new(id, Lane::Bulk);
    let row = agent.line("honest");
    let bomb = forge::bomb(&agent.batch(row));
    let next = forge::after(&bomb, &agent.batch(row));
    let answers = folding.batches(vec![bomb.clone(), next.clone()]).await;
    assert_eq!(acked(&answers[0]).tip, bomb.tip(), "it is applied");
    assert_eq!(acked(&answers[1]).tip, next.tip(), "the lane goes on");
    assert!(live.recv().await.unwrap().body.is_none(), "it has no records");
    assert!(live.recv().await.unwrap().body.is_some());
    let standing = folding.fold.standing(shard_of(id)).await.unwrap();
    let ledger = &standing.lanes[&(id, Lane::Bulk)];
    assert_eq!((ledger.dead().batches, ledger.dead().records), (1, 1), "and declared");
    assert_eq!(folding.metrics.fold.dead_letters.get(), 1);
    let log = std::sync::Arc::clone(&folding.log);
    folding.stop().await;
    let letters = log.dead_letters(shard_of(id)).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].batch, bomb.bytes(), "the original bytes are kept");
}

#[tokio::test]
async fn totals_that_do_not_add_up_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    drop(disk::create(folder.path()));
    let folding = Folding::start(folder.path());
    let mut agent = TestAgent::new(device(8), Lane::Bulk);
    let row = agent.line("honest");
    folding.batch(forge::unequal(&agent.batch(row))).await;
    assert_eq!(folding.metrics.fold.unequal.get(), 1);
    assert!(!folding.fold.sum().await.adds_up());
    folding.stop().await;
}

#[tokio::test]
async fn a_slow_subscriber_loses_its_own_copy_and_is_told_how_many() {
    let folder = tempfile::tempdir().unwrap();
    drop(disk::create(folder.path()));
    let folding = Folding::start(folder.path());
    let mut slow = folding.live.subscribe();
    let mut agent = TestAgent::new(device(9), Lane::Bulk);
    let count = 1_100;
    for _ in 0..count / 100 {
        let rows: Vec<_> = (0..100).map(|_| agent.line("line")).collect();
        let batches = rows.into_iter().map(|row| agent.batch(row)).collect();
        folding.batches(batches).await.iter().for_each(|answer| _ = acked(answer));
    }
    let Err(RecvError::Lagged(lost)) = slow.recv().await else { panic!("it lagged behind") };
    let mut received = 0;
    while slow.try_recv().is_ok() {
        received += 1;
    }
    assert_eq!(lost + received, count);
    folding.stop().await;
}
