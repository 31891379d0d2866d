//! A device that poisons its own ledger: numbers beyond all measure, and epochs without end.

use std::time::Duration;

use headwater_protocol::batch::Batch;
use headwater_protocol::header::Header;
use headwater_protocol::identity::{DeviceId, Lane, Seq};
use headwater_protocol::ledger::Refusal;
use headwater_protocol::wire::{BusyCause, Frame, LaneState};
use headwater_tests::peer::{Bidi, Peer, batch, device_of, frame_of, talk};

use super::stage::Stage;

/// A day's epochs before a device is slowed down, and the first one, which is none too many.
const AT_ONCE: u64 = 10;

#[test]
fn a_seq_or_a_sum_beyond_all_measure_is_refused_or_shown_and_stops_nobody() {
    let mut stage = Stage::new();
    let jumps = [2, 1 << 40, u64::MAX];
    for seq in jumps {
        let answer = talk(stage.send(|device, state| {
            let honest = batch(device, state);
            let header =
                Header { seq: Seq::new(seq).unwrap(), parent: None, ..honest.header().clone() };
            Batch::seal(header, honest.body(), state.tip.digest)
        }));
        assert!(matches!(answer, Some(Frame::Refused(_))), "seq {seq}: refused, not {answer:?}");
    }
    let answer = talk(stage.send(batch));
    assert!(matches!(answer, Some(Frame::Ack(_))), "the lane goes on: {answer:?}");

    // Totals that do not follow: applied, for the records are there, and the sum is in doubt from then on.
    let answer = talk(stage.send(|device, state| {
        let honest = batch(device, state);
        let mut totals = honest.header().totals;
        totals.records = u64::MAX;
        let header = Header { totals, ..honest.header().clone() };
        Batch::seal(header, honest.body(), state.tip.digest)
    }));
    assert!(matches!(answer, Some(Frame::Ack(_))), "{answer:?}");
    let ledger = stage.ledger("intruder");
    assert_eq!((&ledger["batches"], &ledger["adds_up"]), (&2.into(), &false.into()), "{ledger:#}");
    let other = stage.ledger("edge-1");
    assert_eq!(other["adds_up"], true, "the other device's sum is its own: {other:#}");
    stage.expect_the_other_goes_on();
}

#[test]
fn who_opens_epochs_without_end_is_slowed_down_and_shown_and_its_data_is_still_taken() {
    let mut stage = Stage::new();
    let peak = stage.peak_kib();
    let device = device_of(&stage.intruder);
    let (applied, wait) = talk(async {
        let peer = Peer::greeted(&stage.intruder, &stage.address).await;
        let (mut lane, mut state) = peer.lane(Lane::Bulk).await;
        let mut applied = 0;
        loop {
            match open(&mut lane, device, &mut state).await {
                Frame::Ack(_) => applied += 1,
                Frame::Busy(BusyCause::Unstable, wait) => break (applied, wait),
                other => panic!("an ack or a busy, not {other:?}"),
            }
            assert!(applied <= AT_ONCE, "nothing slows it down");
        }
    });
    assert_eq!(applied, AT_ONCE, "what it opened before is applied");
    assert_eq!(state_of(&stage), "unstable");

    // It waits as it was told; then its hello is answered, and its data taken.
    std::thread::sleep(Duration::from_millis(u64::from(wait)));
    let answer = talk(stage.send(batch));
    assert!(matches!(answer, Some(Frame::Ack(_))), "its data is taken: {answer:?}");
    // An older chain's batch is stale, however often it is sent: it opens nothing.
    let ledger = stage.ledger("intruder");
    assert_eq!(ledger["lanes"][0]["epochs"], AT_ONCE + 1, "{ledger:#}");
    assert_eq!(ledger["records_applied"], AT_ONCE + 1, "one line each: {ledger:#}");
    stage.expect_no_harm(peak, 48);
    let _ = stage.site.aggregator.expect_clean_audit();
}

/// Opens an epoch on a lane's state, and moves the state to where the ledger then is.
async fn open(lane: &mut Bidi, device: DeviceId, state: &mut LaneState) -> Frame {
    let next = batch(device, state);
    let (tip, totals) = (next.tip(), next.header().totals);
    lane.say(&frame_of(next)).await;
    let answer = lane.hear().await.expect("an answer");
    assert!(!matches!(answer, Frame::Refused(Refusal::Fork)), "a chain that fits");
    *state = LaneState { tip, totals, run_highest: state.run_highest + 1, ..state.clone() };
    answer
}

fn state_of(stage: &Stage) -> String {
    let devices = stage.site.aggregator.json(&["devices"]);
    let devices = devices.as_array().unwrap();
    let it = devices.iter().find(|device| device["name"] == "intruder").unwrap();
    it["state"].as_str().unwrap().to_owned()
}
