//! A claimant that hangs or dies at each step from its claim to the seal.

use std::thread;

use mayfly::verify::history::Outcome;

use super::{OWNER, RACER, Race, texts};
use crate::cluster::SHARDS;
use crate::failpoint::Act;
use crate::support::SOON;
use crate::support::history::{post, take};

/// Who claims what the owner had.
const CLAIMANT: usize = 1;

#[test]
fn a_claimant_that_dies_before_its_fences_is_followed_by_the_next() {
    a_claimant_dies_at("claim-won");
}

#[test]
fn a_claimant_that_dies_after_its_fences_is_followed_by_the_next() {
    a_claimant_dies_at("fenced");
}

#[test]
fn a_claimant_that_dies_before_the_seal_is_followed_by_the_next() {
    a_claimant_dies_at("recovered");
}

#[test]
fn a_claimant_that_dies_after_the_seal_is_followed_by_the_next() {
    a_claimant_dies_at("sealed");
}

fn a_claimant_dies_at(place: &str) {
    let mut race = Race::start(2);
    let second = race.send(OWNER, None, post(&race.user, "second".into()));
    assert!(matches!(second.outcome, Outcome::Posted { .. }));
    assert_eq!(
        texts(&race.send(OWNER, None, take(&race.user, Some(1))).outcome),
        ["first"]
    );
    race.cluster.nodes[CLAIMANT].arm(place, race.shard, Act::Exit);
    race.cluster.nodes[OWNER].kill();
    race.cluster.nodes[CLAIMANT].await_exit(SOON);
    race.cluster.nodes[CLAIMANT].start();
    race.cluster.nodes[CLAIMANT].await_ready();
    race.await_owner(CLAIMANT, &[CLAIMANT]);
    race.first_is(CLAIMANT, "read");
    assert_eq!(race.read(CLAIMANT), ["second"]);
    assert!(race.read(CLAIMANT).is_empty());
    race.conclude(CLAIMANT);
}

/// A node that drains claims nothing again, so others need not wait for it.
#[test]
fn a_shard_that_a_claimant_which_drains_never_came_to_serve_is_claimed_by_another() {
    let mut race = Race::start(2);
    let paused = race.cluster.nodes[CLAIMANT].arm("recovered", race.shard, Act::Pause);
    race.cluster.nodes[OWNER].kill();
    paused.await_reached();
    race.cluster.nodes[OWNER].start();
    race.cluster.nodes[OWNER].await_ready();
    let mut admin = race.cluster.nodes[CLAIMANT].admin();
    admin.send("POST", "/drain", &[], b"").expect(202);
    race.await_owner(OWNER, &[OWNER]);
    paused.resume();
    assert_eq!(race.read(CLAIMANT), ["first"]);
    race.conclude(OWNER);
}

/// The owner lives, and is fenced by whoever claims next.
#[test]
fn a_claimant_that_dies_before_its_fences_leaves_no_way_to_a_paused_owner() {
    let mut race = Race::start(2);
    let paused = race.cluster.nodes[OWNER].arm("frame-sent", race.shard, Act::Pause);
    race.cluster.nodes[CLAIMANT].arm("claim-won", race.shard, Act::Exit);
    let mut client = race.cluster.nodes[OWNER].client();
    let call = take(&race.user, None);
    let Race {
        cluster, recorder, ..
    } = &mut race;
    let sent = thread::scope(|scope| {
        let reading = scope.spawn(|| recorder.send(&mut client, RACER, None, call));
        paused.await_reached();
        cluster.nodes[OWNER].pause();
        cluster.nodes[CLAIMANT].await_exit(SOON);
        cluster.nodes[CLAIMANT].start();
        cluster.nodes[CLAIMANT].await_ready();
        cluster.await_shards(CLAIMANT, SHARDS);
        paused.resume();
        cluster.nodes[OWNER].resume();
        reading.join().unwrap()
    });
    // Its frame is past the seal.
    assert_eq!(sent.outcome, Outcome::Unknown);
    assert_eq!(race.read(CLAIMANT), ["first"]);
    race.conclude(CLAIMANT);
}

/// The rows "two lease holders: both compare and set" and "the seal applies late": what a claimant
/// sends after its successor's claim is nothing.
#[test]
fn of_two_claimants_one_wins() {
    a_claimant_hangs_at("claim-sent", "claim-won");
}

#[test]
fn a_claimant_that_hangs_before_its_fences_is_overtaken() {
    a_claimant_hangs_at("claim-won", "fenced");
}

#[test]
fn a_seal_that_comes_after_the_next_claim_is_nothing() {
    a_claimant_hangs_at("recovered", "sealed");
}

/// It hangs for longer than its lease, until the owner has come back and claimed again; then it goes on
/// to the next place.
fn a_claimant_hangs_at(place: &str, next: &str) {
    let mut race = Race::start(2);
    let (paused, went_on) = {
        let claimant = &race.cluster.nodes[CLAIMANT];
        let paused = claimant.arm(place, race.shard, Act::Pause);
        (paused, claimant.arm(next, race.shard, Act::Pause))
    };
    race.cluster.nodes[OWNER].kill();
    paused.await_reached();
    race.cluster.nodes[CLAIMANT].pause();
    paused.resume();
    race.cluster.nodes[OWNER].start();
    race.cluster.nodes[OWNER].await_ready();
    race.await_owner(OWNER, &[OWNER]);
    let second = race.send(OWNER, None, post(&race.user, "second".into()));
    assert!(matches!(second.outcome, Outcome::Posted { .. }));
    race.cluster.nodes[CLAIMANT].resume();
    went_on.await_reached();
    went_on.resume();
    race.await_told(CLAIMANT, "a claim failed");
    race.cluster.await_owned();
    assert_eq!(race.read(CLAIMANT), ["first", "second"]);
    assert!(race.read(OWNER).is_empty());
    // The claimant may still take shards that it had for its own: reads there without a key may be in
    // doubt.
    race.conclude(OWNER);
}
