//! Look-ups by id while a message moves from its owner to the archive and the shard to another owner:
//! one of the two always has it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mayfly::verify::history::{Call, Outcome};

use super::{OWNER, RACER, Race};
use crate::cluster::Cluster;
use crate::failpoint::Act;
use crate::support::SOON;

const OTHER: usize = 1;

#[test]
fn a_message_is_found_while_its_owner_dies_before_the_archive_has_it() {
    found_while("archive-sent", Act::Exit, |cluster| {
        cluster.nodes[OWNER].await_exit(SOON);
    });
}

#[test]
fn a_message_is_found_while_its_owner_dies_after_the_archive_has_it() {
    found_while("archive-written", Act::Exit, |cluster| {
        cluster.nodes[OWNER].await_exit(SOON);
    });
}

#[test]
fn a_message_is_found_while_its_shard_is_handed_over_in_the_middle_of_a_flush() {
    found_while("archive-sent", Act::Pause, |cluster| {
        let mut admin = cluster.nodes[OWNER].admin();
        admin.send("POST", "/drain", &[], b"").expect(202);
        cluster.await_shards(OWNER, 0);
    });
}

/// Looks the message up at the other node, again and again, until that serves the shard.
fn found_while(place: &str, act: Act, accident: impl FnOnce(&mut Cluster)) {
    let mut race = Race::start(2);
    let reached = race.cluster.nodes[OWNER].arm(place, race.shard, act);
    assert_eq!(race.read(OWNER), ["first"]);
    let mut client = race.cluster.nodes[OTHER].client();
    let find = Call::Find {
        id: race.first.clone(),
    };
    let has_moved = AtomicBool::new(false);
    thread::scope(|scope| {
        let recorder = &race.recorder;
        let looking = scope.spawn(|| {
            let mut found = 0;
            while !has_moved.load(Ordering::SeqCst) {
                let sent = recorder.send(&mut client, RACER, None, find.clone());
                match sent.outcome {
                    Outcome::Found { .. } => found += 1,
                    Outcome::Refused { status: 503 } | Outcome::Unknown => {}
                    other => panic!("it is there, and was told to be {other:?}"),
                }
            }
            found
        });
        reached.await_reached();
        accident(&mut race.cluster);
        race.await_owner(OTHER, &[OTHER]);
        has_moved.store(true, Ordering::SeqCst);
        assert!(looking.join().unwrap() > 0);
    });
    race.first_is(OTHER, "read");
    if let Act::Pause = act {
        reached.resume();
    }
    race.first_is(OTHER, "read");
    race.conclude(OTHER);
}
