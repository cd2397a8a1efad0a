//! An owner that pauses or dies between the write of a frame and the answer that rests on it.

use std::thread;

use mayfly::verify::history::{Call, Outcome};

use super::{OWNER, RACER, Race, is_from, shard_of, texts};
use crate::failpoint::Act;
use crate::support::history::{post, take};
use crate::support::{SOON, eventually};

/// The node that is not the owner.
const OTHER: usize = 1;

/// The rows "a paused owner resumes and then writes", "an old write surfaces later" and "a shard
/// restarts inside one process".
#[test]
fn a_frame_that_surfaces_after_the_seal_is_ignored_also_by_its_own_process() {
    let mut race = Race::start(2);
    let paused = race.cluster.nodes[OWNER].arm("frame-sent", race.shard, Act::Pause);
    let call = post(&race.user, "second".into());
    let mut client = race.cluster.nodes[OTHER].client();
    // The owner gives the shard up, for its journal takes nothing, and the call is repeated under its id
    // at whoever claims it then.
    let sent = race.recorder.send(&mut client, RACER, None, call);
    assert!(
        matches!(sent.outcome, Outcome::Posted { .. }),
        "{:?}",
        sent.outcome
    );
    let written = race.cluster.nodes[OWNER].arm("frame-written", race.shard, Act::Pause);
    paused.resume();
    written.await_reached();
    written.resume();
    race.cluster.nodes[OTHER].kill();
    race.await_owner(OWNER, &[OWNER]);
    assert_eq!(race.read(OWNER), ["first", "second"]);
    assert!(race.read(OWNER).is_empty());
    race.conclude(OWNER);
}

#[test]
fn a_read_whose_frame_is_past_the_seal_has_read_nothing() {
    let race = Race::start(2);
    let (sent, left) = a_read_at_an_owner_that_pauses_at("frame-sent", &race);
    assert_eq!((sent, left), (Outcome::Unknown, vec!["first".to_owned()]));
    race.conclude(OTHER);
}

#[test]
fn a_read_whose_frame_is_before_the_seal_counts_and_the_paused_owner_never_answers_it() {
    let race = Race::start(2);
    let (sent, left) = a_read_at_an_owner_that_pauses_at("frame-written", &race);
    assert_eq!((sent, left), (Outcome::Unknown, vec![]));
    race.first_is(OTHER, "read");
    race.conclude(OTHER);
}

/// What the reader was told, and what is left for a reader at the successor. The process hangs, so that
/// the successor is another.
fn a_read_at_an_owner_that_pauses_at(place: &str, race: &Race) -> (Outcome, Vec<String>) {
    let paused = race.cluster.nodes[OWNER].arm(place, race.shard, Act::Pause);
    let mut client = race.cluster.nodes[OWNER].client();
    let call = take(&race.user, None);
    thread::scope(|scope| {
        let reading = scope.spawn(|| race.recorder.send(&mut client, RACER, None, call));
        paused.await_reached();
        race.cluster.nodes[OWNER].pause();
        race.await_owner(OTHER, &[OTHER]);
        let left = race.read(OTHER);
        paused.resume();
        race.cluster.nodes[OWNER].resume();
        (reading.join().unwrap().outcome, left)
    })
}

#[test]
fn a_shard_whose_journal_takes_nothing_is_given_up_and_its_node_keeps_all_others() {
    let race = Race::start(2);
    let owner = &race.cluster.nodes[OWNER];
    let neighbour = (0..)
        .map(|number| format!("neighbour{number}"))
        .find(|user| {
            let sent = race.send(OWNER, None, post(user, "before".into()));
            let Outcome::Posted { id } = &sent.outcome else {
                panic!("{:?}", sent.outcome);
            };
            shard_of(id) != race.shard && is_from(&sent, owner)
        })
        .unwrap();
    let owned = race.cluster.shards_of(OWNER);
    let paused = owner.arm("frame-sent", race.shard, Act::Pause);
    let mut client = owner.client();
    let call = take(&race.user, None);
    thread::scope(|scope| {
        let reading = scope.spawn(|| race.recorder.send(&mut client, RACER, None, call));
        paused.await_reached();
        // What is on its way is of that shard alone, and no other answer of the node comes before it.
        let sent = race.send(OWNER, None, post(&neighbour, "after".into()));
        assert!(is_from(&sent, owner), "{:?}", sent.answer);
        assert_eq!(reading.join().unwrap().outcome, Outcome::Unknown);
    });
    race.await_told(OWNER, "giving up a shard");
    eventually("it is counted", || {
        let counted = |name| race.cluster.nodes[OWNER].metric(name);
        (counted("mayfly_cluster_given_up_shards_total")? >= 1.0).then_some(())
    });
    assert_eq!(race.read(OWNER), ["first"]);
    let left = race.cluster.shards_of(OWNER);
    assert!(left >= owned - 1, "{left} of {owned} shards are left");
    paused.resume();
    race.conclude(OWNER);
}

#[test]
fn an_answer_of_an_owner_that_paused_after_the_gate_is_late_and_right() {
    let race = Race::start(3);
    let owner = &race.cluster.nodes[OWNER];
    let paused = owner.arm("gate-passed", race.shard, Act::Pause);
    let mut client = owner.client();
    let call = take(&race.user, None);
    let late = thread::scope(|scope| {
        let reading = scope.spawn(|| race.recorder.send(&mut client, RACER, None, call));
        paused.await_reached();
        // Nothing of it runs, so that it does not hear of its successor before it answers.
        owner.pause();
        paused.resume();
        race.await_owner(1, &[1, 2]);
        assert!(race.read(2).is_empty());
        race.first_is(2, "read");
        owner.resume();
        reading.join().unwrap().outcome
    });
    // It may hear of its successor first after all.
    if late != Outcome::Unknown {
        assert_eq!(texts(&late), ["first"]);
    }
    race.conclude(1);
}

#[test]
fn a_read_whose_owner_dies_after_the_gate_is_given_again_to_the_same_key() {
    let mut race = Race::start(2);
    race.cluster.nodes[OWNER].arm("gate-passed", race.shard, Act::Exit);
    let mut client = race.cluster.nodes[OWNER].client();
    let call = take(&race.user, None);
    let sent = race
        .recorder
        .send(&mut client, RACER, Some("key"), call.clone());
    assert_eq!(sent.outcome, Outcome::Unknown);
    race.cluster.nodes[OWNER].await_exit(SOON);
    race.await_owner(OTHER, &[OTHER]);
    assert!(race.read(OTHER).is_empty());
    let again = race.send(OTHER, Some("key"), call);
    assert_eq!(texts(&again.outcome), ["first"]);
    let replayed = again
        .answer
        .unwrap()
        .header("idempotency-replayed")
        .map(str::to_owned);
    assert_eq!(replayed.as_deref(), Some("true"));
    race.first_is(OTHER, "read");
    race.conclude(OTHER);
}

#[test]
fn a_forwarded_post_whose_owner_dies_before_its_answer_is_posted_once() {
    let race = a_forwarded_call_whose_owner_dies_at("answered", |user| post(user, "second".into()));
    assert_eq!(race.read(OTHER), ["first", "second"]);
    race.conclude(OTHER);
}

#[test]
fn a_forwarded_post_whose_owner_dies_before_its_gate_is_posted_once() {
    let race =
        a_forwarded_call_whose_owner_dies_at("frame-written", |user| post(user, "second".into()));
    assert_eq!(race.read(OTHER), ["first", "second"]);
    race.conclude(OTHER);
}

#[test]
fn a_forwarded_read_whose_owner_dies_before_its_answer_is_answered_with_its_messages() {
    let race = a_forwarded_call_whose_owner_dies_at("answered", |user| take(user, None));
    assert!(race.read(OTHER).is_empty());
    race.first_is(OTHER, "read");
    race.conclude(OTHER);
}

/// The client notices nothing but the time.
fn a_forwarded_call_whose_owner_dies_at(place: &str, call: impl Fn(&str) -> Call) -> Race {
    let mut race = Race::start(2);
    race.cluster.nodes[OWNER].arm(place, race.shard, Act::Exit);
    let mut client = race.cluster.nodes[OTHER].client();
    let call = call(&race.user);
    let sent = race.recorder.send(&mut client, RACER, None, call);
    race.cluster.nodes[OWNER].await_exit(SOON);
    assert!(
        is_from(&sent, &race.cluster.nodes[OTHER]),
        "{:?}",
        sent.answer
    );
    if let Outcome::Taken { .. } = sent.outcome {
        assert_eq!(texts(&sent.outcome), ["first"]);
    }
    race
}
