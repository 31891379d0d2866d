//! What fuzzing found worth keeping, said by an enrolled device in live sessions.

use std::path::Path;
use std::time::Duration;

use headwater_protocol::identity::Lane;
use headwater_tests::peer::{Peer, talk};

use super::stage::Stage;

/// Inputs that are said.
const INPUTS: usize = 120;

#[test]
fn no_frames_of_the_fuzzers_corpus_harm_anybody_else() {
    let mut stage = Stage::new();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/frame");
    let mut inputs: Vec<_> =
        std::fs::read_dir(corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    let step = (inputs.len() / INPUTS).max(1);
    let peak = stage.peak_kib();
    let mut closed = 0;
    for (number, input) in inputs.iter().step_by(step).enumerate() {
        let bytes = std::fs::read(input).unwrap();
        closed += u64::from(talk(say(&stage, &bytes, number % 2 == 0)));
    }
    println!("corpus: {} inputs said, {closed} sessions closed", inputs.len().div_ceil(step));
    assert!(closed > 0, "garbage closes a session");
    stage.expect_no_harm(peak, 96);
    let stated = stage.ledger("intruder");
    assert_eq!(stated["unequal"], 0, "its own sum is not touched either: {stated:#}");
}

/// Says bytes on a stream of a fresh session, after a lane's hello or instead of it. Whether the session was
/// closed for it.
async fn say(stage: &Stage, bytes: &[u8], greeted: bool) -> bool {
    let peer = Peer::greeted(&stage.intruder, &stage.address).await;
    let mut stream = match greeted {
        true => peer.lane(Lane::Bulk).await.0,
        false => peer.open().await,
    };
    stream.say(bytes).await;
    let _ = stream.send.finish();
    let code = tokio::time::timeout(Duration::from_millis(250), peer.closed()).await;
    matches!(code, Ok(Ok(_)))
}
