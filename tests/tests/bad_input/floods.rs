//! Floods: strangers who begin handshakes and never end them, and a device that opens, resets and ignores.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use headwater_protocol::identity::Lane;
use headwater_tests::peer::{Peer, batch, device_of, first_datagram, frame_of, talk};

use super::stage::Stage;

/// Handshakes that are begun, each a valid one.
const INITIALS: usize = 1_000;
/// Addresses that they come from.
const SOURCES: usize = 250;
/// How often each is sent, from another address each time: half-open handshakes and spoofed floods look the same.
const ROUNDS: usize = 10;

#[test]
fn strangers_who_begin_handshakes_and_never_end_them_cost_little_and_are_not_amplified() {
    let mut stage = Stage::new();
    let initials: Vec<Vec<u8>> = talk(async {
        let mut initials = Vec::new();
        for _ in 0..INITIALS {
            initials.push(first_datagram(&stage.intruder).await);
        }
        initials
    });
    let sources: Vec<UdpSocket> = (0..SOURCES)
        .map(|number| {
            let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 9, high, low.max(1)), 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    let to: SocketAddr = stage.address.parse().unwrap();
    let peak = stage.peak_kib();
    let (mut sent, mut back) = (0_u64, 0_u64);
    for round in 0..ROUNDS {
        for (number, initial) in initials.iter().enumerate() {
            let source = &sources[(number + round) % SOURCES];
            sent += source.send_to(initial, to).map_or(0, |bytes| bytes as u64);
            if number % 100 == 0 {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        back += sources.iter().map(received).sum::<u64>();
        stage.expect_the_other_goes_on();
    }
    // Longer than a handshake may take: what is sent again in the meantime counts too.
    std::thread::sleep(Duration::from_secs(7));
    back += sources.iter().map(received).sum::<u64>();
    let retried = stage.site.aggregator.metric("headwater_intake_peer_faults_total");
    println!(
        "handshakes: {} begun, {sent} bytes sent, {back} came back, {retried} faults",
        INITIALS * ROUNDS
    );
    assert!(back <= 3 * sent, "{back} bytes for {sent}: an amplifier");
    assert!(retried > 0.0, "beyond a number of handshakes an address has to prove itself");
    stage.expect_no_harm(peak, 128);
    // Somebody who ends the handshake is served.
    talk(async { drop(Peer::greeted(&stage.intruder, &stage.address).await) });
}

/// Bytes that have come to a socket.
fn received(socket: &UdpSocket) -> u64 {
    let mut datagram = [0; 2_048];
    std::iter::from_fn(|| socket.recv(&mut datagram).ok()).map(|bytes| bytes as u64).sum()
}

#[test]
fn who_opens_and_resets_streams_without_end_costs_nobody_anything() {
    let mut stage = Stage::new();
    let peak = stage.peak_kib();
    let reset = talk(async {
        let peer = Peer::greeted(&stage.intruder, &stage.address).await;
        let mut reset = 0_u64;
        for _ in 0..5_000 {
            let Some(mut stream) = peer.try_open(Duration::from_secs(5)).await else { break };
            stream.say(&[3]).await;
            let _ = stream.send.reset(0_u8.into());
            let _ = stream.recv.stop(0_u8.into());
            reset += 1;
        }
        reset
    });
    println!("floods: {reset} streams reset");
    assert!(reset > 100, "streams are given back: {reset}");
    stage.expect_no_harm(peak, 48);
}

#[test]
fn a_device_has_four_streams_and_one_that_says_a_byte_a_minute_holds_no_more_than_its_own() {
    let mut stage = Stage::new();
    let peak = stage.peak_kib();
    talk(async {
        let peer = Peer::greeted(&stage.intruder, &stage.address).await;
        let mut held = Vec::new();
        while let Some(mut stream) = peer.try_open(Duration::from_secs(1)).await {
            stream.say(&[3]).await;
            held.push(stream);
            assert!(held.len() < 4, "the session's own stream and three more");
        }
        assert_eq!(held.len(), 3);
        assert!(!peer.may_open_uni(Duration::from_millis(300)).await, "none in one direction");
        stage.expect_no_harm(peak, 48);
    });
}

#[test]
fn who_sends_and_never_reads_the_answers_is_held_back() {
    let mut stage = Stage::new();
    let peak = stage.peak_kib();
    let said = talk(async {
        let peer = Peer::greeted(&stage.intruder, &stage.address).await;
        let (mut lane, state) = peer.lane(Lane::Bulk).await;
        let frame = frame_of(batch(device_of(&stage.intruder), &state));
        // The same batch, 40 MB of it: each is answered, and no answer is read.
        let mut said = 0_usize;
        while said < 40 << 20 {
            let saying = lane.send.write_all(&frame);
            match tokio::time::timeout(Duration::from_secs(2), saying).await {
                Ok(Ok(())) => said += frame.len(),
                _ => break,
            }
        }
        said
    });
    println!("floods: {said} bytes were taken of one who does not listen");
    stage.expect_no_harm(peak, 64);
    let ledger = stage.ledger("intruder");
    assert_eq!(ledger["records_applied"], 1, "the line is stored once: {ledger:#}");
}
