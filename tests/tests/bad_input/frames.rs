//! Sessions of devices that are enrolled and say wrong things. Another device's real agent stands by.

use headwater_certs::identity::DeviceIdentity;
use headwater_protocol::identity::Lane;
use headwater_protocol::wire::{CloseCode, Frame};
use headwater_tests::peer::{
    Peer, batch, batch_of, bomb, device_of, frame_of, fresh_state, hello, talk,
};

use super::stage::Stage;

/// What a device may say wrong.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    ProtocolOfTheFuture,
    BatchOfTheFuture,
    FrameTooLong,
    FrameOfNoKind,
    FrameOfGarbage,
    BatchBeforeItsLane,
    BodyTooLarge,
    AnotherDevice,
    AbbreviatedBeforeItsTime,
    AbbreviatedAfterNothing,
}

#[test]
fn each_wrong_session_is_closed_with_its_code_and_the_other_device_goes_on() {
    let mut stage = Stage::new();
    let cases = [
        (Wrong::ProtocolOfTheFuture, CloseCode::Version, "update the older side"),
        (Wrong::BatchOfTheFuture, CloseCode::Version, "version 9"),
        (Wrong::FrameTooLong, CloseCode::Protocol, "frame length"),
        (Wrong::FrameOfNoKind, CloseCode::Protocol, "frame kind"),
        (Wrong::FrameOfGarbage, CloseCode::Protocol, "lane hello"),
        (Wrong::BatchBeforeItsLane, CloseCode::Protocol, "expected"),
        (Wrong::BodyTooLarge, CloseCode::Protocol, "body length"),
        (Wrong::AnotherDevice, CloseCode::Identity, "certificate says"),
        (Wrong::AbbreviatedBeforeItsTime, CloseCode::Protocol, "an abbreviated batch came"),
        (Wrong::AbbreviatedAfterNothing, CloseCode::Protocol, "a batch before it"),
    ];
    for (wrong, code, words) in cases {
        let (closed, reason) = talk(stage.say(wrong));
        assert_eq!(closed, code as u64, "{wrong:?}: {reason}");
        assert!(reason.contains(words), "{wrong:?}: the reason says {words:?}: {reason}");
        stage.expect_the_other_goes_on();
    }
    let ledger = stage.ledger("intruder");
    assert_eq!(ledger["batches"], 0, "nothing of the intruder was applied: {ledger:#}");
    let _ = stage.site.aggregator.expect_clean_audit();
}

#[test]
fn a_decompression_bomb_costs_its_own_lane_a_gap_and_the_node_no_memory() {
    let mut stage = Stage::new();
    // 1 GiB of zeros; then one that asks for a window of 2 GiB.
    let bombs = [bomb(8_192, 22), bomb(8_192, 31)];
    let peak = stage.peak_kib();
    for bomb in &bombs {
        let answer = talk(stage.send(|device, state| batch_of(device, state, bomb, 4 << 20)));
        assert!(matches!(answer, Some(Frame::Ack(_))), "it is applied as a gap, not {answer:?}");
    }
    let grown = stage.peak_kib() - peak;
    assert!(grown < 48 << 10, "the node's peak grew by {grown} KiB");
    let answer = talk(stage.send(batch));
    assert!(matches!(answer, Some(Frame::Ack(_))), "the lane goes on, {answer:?}");

    let ledger = stage.ledger("intruder");
    assert_eq!((&ledger["batches"], &ledger["gaps"]), (&3.into(), &2.into()), "{ledger:#}");
    assert_eq!(ledger["records_applied"], 1, "the honest line is stored: {ledger:#}");
    stage.expect_the_other_goes_on();
}

impl Stage {
    /// Says something wrong; the code and the words with which the session is closed.
    async fn say(&self, wrong: Wrong) -> (u64, String) {
        let (own, state) = (device_of(&self.intruder), fresh_state(Lane::Bulk));
        let other = DeviceIdentity::load(&self.site.agent.identity()).unwrap();
        if let Wrong::ProtocolOfTheFuture = wrong {
            let peer = Peer::connect(&self.intruder, &self.address).await.unwrap();
            let mut stream = peer.open().await;
            stream.say(&Frame::Hello(hello(99, 100)).encode()).await;
            return peer.closed().await.unwrap();
        }
        let newest = if let Wrong::AbbreviatedAfterNothing = wrong { 2 } else { 1 };
        let peer = Peer::greeted_as(hello(1, newest), &self.intruder, &self.address).await;
        let mut stream = match wrong {
            Wrong::BatchBeforeItsLane | Wrong::FrameOfGarbage => peer.open().await,
            _ => peer.lane(Lane::Bulk).await.0,
        };
        let bytes = match wrong {
            Wrong::ProtocolOfTheFuture => unreachable!("it was said above"),
            Wrong::BatchOfTheFuture => {
                let mut frame = frame_of(batch(own, &state));
                // Kind, length and clocks, then the batch's version.
                frame[5 + 16] = 9;
                frame
            }
            Wrong::FrameTooLong => frame_head(5, 3 << 20),
            Wrong::FrameOfNoKind => frame_head(77, 4),
            Wrong::FrameOfGarbage => [frame_head(3, 4), vec![0xc1; 4]].concat(),
            Wrong::BatchBeforeItsLane => frame_of(batch(own, &state)),
            Wrong::BodyTooLarge => frame_of(batch_of(own, &state, &bomb(8_192, 22), 1 << 30)),
            Wrong::AnotherDevice => frame_of(batch(device_of(&other), &state)),
            Wrong::AbbreviatedBeforeItsTime | Wrong::AbbreviatedAfterNothing => {
                [frame_head(11, 40), vec![0; 40]].concat()
            }
        };
        stream.say(&bytes).await;
        peer.closed().await.unwrap()
    }
}

fn frame_head(kind: u8, length: u32) -> Vec<u8> {
    [vec![kind], length.to_le_bytes().to_vec()].concat()
}
