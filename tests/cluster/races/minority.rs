//! A frame that one replica of three has when its owner dies: either it never happened, whoever comes
//! back, or it is of a majority before anybody answers by it.

use std::thread;

use mayfly::verify::history::{Call, Outcome};

use super::{OWNER, RACER, Race};
use crate::cluster::Cluster;
use crate::support::eventually;
use crate::support::history::{post, take};

const OTHER: usize = 1;

/// The replica that has the frame. It is not the first, which the others ask at their start.
const MINORITY: usize = 2;

#[test]
fn a_frame_that_only_a_lost_replica_has_never_happened_when_that_comes_back() {
    let mut race = Race::start_in(Cluster::start_on_replicas(0), 2);
    let second = post(&race.user, "second".into());
    assert_eq!(send_to_a_minority(&mut race, second), Outcome::Unknown);
    race.cluster.replicas[MINORITY].pause();
    race.cluster.replicas[0].begin_again();
    race.cluster.replicas[1].begin_again();
    race.cluster.replicas[0].wait();
    race.cluster.replicas[1].wait();
    race.cluster.replicas[0].await_peer(&race.cluster.replicas[1], 1);
    race.await_owner(OTHER, &[OTHER]);
    assert_eq!(race.read(OTHER), ["first"]);
    // Every majority has the frame now.
    race.cluster.replicas[MINORITY].resume();
    race.cluster.replicas[1].kill();
    claim_again(&mut race);
    assert!(race.read(OTHER).is_empty());
    race.first_is(OTHER, "read");
    race.conclude(OTHER);
}

#[test]
fn a_frame_that_a_successor_finds_on_a_minority_is_of_a_majority_before_it_answers() {
    let mut race = Race::start_in(Cluster::start_on_replicas(0), 2);
    let first = take(&race.user, None);
    assert_eq!(send_to_a_minority(&mut race, first), Outcome::Unknown);
    race.cluster.replicas[0].start_again();
    race.cluster.replicas[MINORITY].await_peer(&race.cluster.replicas[0], 2);
    race.await_owner(OTHER, &[OTHER]);
    assert!(race.read(OTHER).is_empty());
    race.first_is(OTHER, "read");
    // The majority that is left did not have the frame.
    race.cluster.replicas[1].start_again();
    race.cluster.replicas[0].await_peer(&race.cluster.replicas[1], 1);
    race.cluster.replicas[MINORITY].kill();
    claim_again(&mut race);
    assert!(race.read(OTHER).is_empty());
    race.first_is(OTHER, "read");
    race.conclude(OTHER);
}

/// Has the owner write the frame of a call when only one replica is there, and then kills it; gives what
/// the client was told.
fn send_to_a_minority(race: &mut Race, call: Call) -> Outcome {
    for replica in 0..MINORITY {
        race.cluster.replicas[replica].kill();
    }
    let mut client = race.cluster.nodes[OWNER].client();
    let Race {
        cluster, recorder, ..
    } = race;
    thread::scope(|scope| {
        let sending = scope.spawn(|| recorder.send(&mut client, RACER, None, call));
        eventually("the replica that is left has the frame", || {
            let log = cluster.nodes[OWNER].log();
            let is_told = |line: &str| {
                line.contains("cannot write a frame") && line.contains("received: 1, required: 2")
            };
            log.lines().any(is_told).then_some(())
        });
        cluster.nodes[OWNER].kill();
        sending.join().unwrap().outcome
    })
}

/// Has the other node start anew, so that it claims and recovers once more.
fn claim_again(race: &mut Race) {
    let other = &mut race.cluster.nodes[OTHER];
    other.kill();
    other.start();
    other.await_ready();
    race.await_owner(OTHER, &[OTHER]);
}
