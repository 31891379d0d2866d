//! How lines gather while the batches before them are not acked.

use std::time::{Duration, Instant};

use headwater_agent::tail::Landing;
use headwater_protocol::identity::Lane;

use crate::world::{Node, World, numbered};

/// Chunks of lines, each of which is read after the one before was taken.
const CHUNKS: u64 = 40;

#[test]
fn lines_gather_into_large_batches_while_the_node_is_away_and_none_is_lost_by_a_crash() {
    let mut node = Node::new();
    let mut world = World::with(|config| config.bulk_seal_after = Duration::from_millis(100));
    world.greet(&node, Lane::Bulk);
    let known = world.landing.known().unwrap();
    assert!(known.streams.is_empty());
    let stream = world.begin(0);
    let mut at = 0;
    let (mut crash, begun) = (None, Instant::now());
    for chunk in 0..CHUNKS {
        (at, _) = world.append(stream, at, &numbered(chunk * 10..chunk * 10 + 10));
        if chunk == CHUNKS / 2 {
            crash = Some((world.copy(), at));
        }
        // The rhythm of a log.
        std::thread::sleep(Duration::from_millis(50));
    }
    let sealed = world.wait_sealed(Lane::Bulk, 1).head.next().0;
    // One in a second, the first, and the last two.
    let most = begun.elapsed().as_secs() + 3;
    assert!(sealed <= most, "{sealed} batches for {CHUNKS} chunks, at most {most}");
    world.ship_all(&mut node, Lane::Bulk);
    assert_eq!(node.lines(), numbered(0..CHUNKS * 10));

    // After a crash the position is where the last batch ends: the file shows the rest once more.
    let (copy, read) = crash.unwrap();
    let mut world = world.crash_to(copy);
    let mut node = Node::new();
    world.ship_all(&mut node, Lane::Bulk);
    let known = world.landing.known().unwrap();
    let position = known.streams[&stream].position;
    assert!(position <= read, "not beyond what was read");
    let lines = node.lines().len() as u64;
    assert_eq!(node.lines(), numbered(0..lines), "a batch and its positions are one");
    let text = numbered(0..CHUNKS * 10).join("\n") + "\n";
    let end = usize::try_from(position).unwrap();
    assert_eq!(text[..end].lines().count() as u64, lines, "the position is where the lines end");
    let rest: Vec<String> = text[end..].lines().map(str::to_owned).collect();
    world.append(stream, position, &rest);
    world.wait_sealed(Lane::Bulk, 1);
    world.ship_all(&mut node, Lane::Bulk);
    assert_eq!(node.lines(), numbered(0..CHUNKS * 10), "each line once");
    node.check();
}
