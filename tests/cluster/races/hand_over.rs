//! A hand-off in which the target or the source stalls or dies. The source is drained.

use std::thread;

use mayfly::verify::history::Outcome;

use super::{OWNER, RACER, Race, is_from};
use crate::failpoint::{Act, Failpoint};
use crate::support::SOON;
use crate::support::history::post;

const TARGET: usize = 1;

#[test]
fn a_target_that_dies_before_its_claim_leaves_the_shard_to_its_source() {
    let mut race = Race::start(2);
    let offered = drain_to("offered", Act::Exit, &race);
    let mut client = race.cluster.nodes[OWNER].client();
    let call = post(&race.user, "second".into());
    let Race {
        cluster, recorder, ..
    } = &mut race;
    let sent = thread::scope(|scope| {
        let posting = scope.spawn(|| recorder.send(&mut client, RACER, None, call));
        offered.await_reached();
        cluster.nodes[TARGET].await_exit(SOON);
        posting.join().unwrap()
    });
    assert!(
        is_from(&sent, &race.cluster.nodes[OWNER]),
        "{:?}",
        sent.answer
    );
    assert_eq!(race.read(OWNER), ["first", "second"]);
    // What the target had taken before waits for its next start, for a node that drains claims nothing.
    race.cluster.nodes[TARGET].start();
    race.conclude(OWNER);
}

#[test]
fn a_target_that_dies_after_its_claim_has_the_shard_and_its_next_start_serves_it() {
    let mut race = Race::start(2);
    let taken = drain_to("taken", Act::Exit, &race);
    let mut client = race.cluster.nodes[OWNER].client();
    let call = post(&race.user, "second".into());
    let Race {
        cluster, recorder, ..
    } = &mut race;
    let sent = thread::scope(|scope| {
        taken.await_reached();
        cluster.nodes[TARGET].await_exit(SOON);
        // The source does not open the shard again: the post waits for the next start of the target.
        let posting = scope.spawn(|| recorder.send(&mut client, RACER, None, call));
        cluster.nodes[TARGET].start();
        cluster.nodes[TARGET].await_ready();
        posting.join().unwrap()
    });
    assert!(
        is_from(&sent, &race.cluster.nodes[TARGET]),
        "{:?}",
        sent.answer
    );
    assert_eq!(race.read(OWNER), ["first", "second"]);
    race.conclude(TARGET);
}

#[test]
fn a_target_that_stalls_is_given_up_and_its_late_claim_is_nothing() {
    let race = Race::start(2);
    let offered = drain_to("offered", Act::Pause, &race);
    offered.await_reached();
    let mut client = race.cluster.nodes[OWNER].client();
    let call = post(&race.user, "second".into());
    // It waits until the source has taken the shard back.
    let sent = race.recorder.send(&mut client, RACER, None, call);
    assert!(
        is_from(&sent, &race.cluster.nodes[OWNER]),
        "{:?}",
        sent.answer
    );
    let taken = race.cluster.nodes[TARGET].arm("taken", race.shard, Act::Pause);
    offered.resume();
    taken.await_reached();
    taken.resume();
    race.await_owner(OWNER, &[TARGET]);
    assert_eq!(race.read(OWNER), ["first", "second"]);
    race.conclude(TARGET);
}

#[test]
fn a_source_that_dies_while_it_is_frozen_leaves_the_shard_to_its_target() {
    let mut race = Race::start(2);
    let offered = drain_to("offered", Act::Pause, &race);
    offered.await_reached();
    let mut client = race.cluster.nodes[TARGET].client();
    let call = post(&race.user, "second".into());
    let Race {
        cluster, recorder, ..
    } = &mut race;
    let sent = thread::scope(|scope| {
        // It waits at the source, where nothing is done for it.
        let posting = scope.spawn(|| recorder.send(&mut client, RACER, None, call));
        cluster.nodes[OWNER].kill();
        offered.resume();
        posting.join().unwrap()
    });
    assert!(
        matches!(sent.outcome, Outcome::Posted { .. }),
        "{:?}",
        sent.outcome
    );
    assert_eq!(race.read(TARGET), ["first", "second"]);
    race.conclude(TARGET);
}

/// Has the owner hand everything over, to a target with this failpoint.
fn drain_to(place: &str, act: Act, race: &Race) -> Failpoint {
    let armed = race.cluster.nodes[TARGET].arm(place, race.shard, act);
    let mut admin = race.cluster.nodes[OWNER].admin();
    admin.send("POST", "/drain", &[], b"").expect(202);
    armed
}
