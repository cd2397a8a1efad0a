//! A store of three replicas that loses some, under load. Two are a majority: nobody notices more than a
//! moment. One is none: nothing is acknowledged, and when there are two again everything is still there.

use std::thread;
use std::time::{Duration, Instant};

use mayfly::verify::history::Outcome;

use crate::cluster::Cluster;
use crate::load::{Met, during};
use crate::support::eventually;
use crate::support::history::{Recorder, Sent, post};

/// Load before an accident, and after it.
const CALM: Duration = Duration::from_secs(2);

/// The longest that a client may need for one request, with all repeats, when a replica is lost.
const MOMENT: Duration = Duration::from_secs(2);

/// The client of requests beside the load.
const OBSERVER: u32 = 1_000;

#[test]
fn a_lost_replica_costs_a_moment_and_no_message() {
    let mut cluster = Cluster::start_on_replicas(0);
    // One node knows one replica when it starts, the other all.
    let only = format!("--scylla={}", cluster.first_replica());
    for arguments in [vec![only.as_str()], vec![]] {
        let index = cluster.add_stopped(&[&arguments[..], &["--expect-members=2"]].concat());
        cluster.nodes[index].start();
    }
    cluster.await_owned();
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    for lost in [1, 0] {
        let met = during(&recorder, targets.clone(), || {
            thread::sleep(CALM);
            cluster.replicas[lost].kill();
            thread::sleep(CALM);
        });
        is_a_moment(&format!("replica {lost} was killed"), &met);
        let met = during(&recorder, targets.clone(), || {
            cluster.replicas[lost].start_again();
            thread::sleep(CALM);
        });
        is_a_moment(&format!("replica {lost} came back"), &met);
    }
    recorder.settle(&mut cluster.nodes[0].client());
    recorder.judge();
}

#[test]
fn a_replica_that_hangs_costs_a_moment_and_no_message() {
    let cluster = Cluster::start_on_replicas(2);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    let met = during(&recorder, targets, || {
        thread::sleep(CALM);
        cluster.replicas[2].pause();
        thread::sleep(CALM * 5);
        cluster.replicas[2].resume();
        thread::sleep(CALM);
    });
    is_a_moment("replica 2 hung", &met);
    recorder.settle(&mut cluster.nodes[0].client());
    recorder.judge();
}

#[test]
fn what_a_replica_missed_is_found_without_another_that_had_it() {
    let mut cluster = Cluster::start_on_replicas(2);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    during(&recorder, targets, || {
        thread::sleep(CALM);
        cluster.replicas[0].kill();
        thread::sleep(CALM);
        cluster.nodes[0].kill();
        let killed = Instant::now();
        cluster.await_owned();
        println!("taken over from two replicas after {:?}", killed.elapsed());
        cluster.nodes[0].start();
        cluster.await_owned();
        for number in 0..100 {
            let sent = observe(&recorder, &cluster, number % 2, number);
            assert!(is_posted(&sent), "{:?}", sent.outcome);
        }
        cluster.replicas[0].start_again();
        cluster.replicas[1].kill();
        cluster.nodes[1].kill();
        cluster.await_owned();
        thread::sleep(CALM);
    });
    recorder.settle(&mut cluster.nodes[0].client());
    recorder.judge();
}

#[test]
fn with_one_replica_of_three_requests_are_refused_fast_and_with_two_they_are_served_at_once() {
    /// How long an owner may take to find out, and to refuse from then on.
    const FOUND_OUT: Duration = Duration::from_millis(1_500);
    const FAST: Duration = Duration::from_secs(1);
    let mut cluster = Cluster::start_on_replicas(2);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    during(&recorder, targets, || {
        thread::sleep(CALM);
        cluster.replicas[1].kill();
        cluster.replicas[2].kill();
        cluster.replicas[1].begin_again();
        thread::sleep(FOUND_OUT);
        let began = Instant::now();
        for number in 0.. {
            let asked = Instant::now();
            if began.elapsed() > CALM {
                break;
            }
            let sent = observe(&recorder, &cluster, number % 2, number);
            let retry_after = sent.answer.as_ref().and_then(|a| a.header("retry-after"));
            assert_eq!(
                (&sent.outcome, retry_after),
                (&Outcome::Refused { status: 503 }, Some("1"))
            );
            assert!(asked.elapsed() < FAST, "{:?}", asked.elapsed());
            thread::sleep(Duration::from_millis(20));
        }
        cluster.replicas[1].wait();
        let is_majority = Instant::now();
        eventually("every user is served", || {
            let mut sent = (0..50).map(|number| observe(&recorder, &cluster, number % 2, number));
            sent.all(|sent| is_posted(&sent)).then_some(())
        });
        let took = is_majority.elapsed();
        println!("served {took:?} after the majority was there");
        assert!(took < MOMENT, "{took:?}");
    });
    recorder.settle(&mut cluster.nodes[0].client());
    recorder.judge();
}

/// Posts to a mailbox that the load leaves alone.
fn observe(recorder: &Recorder, cluster: &Cluster, node: usize, number: usize) -> Sent {
    let call = post(
        &format!("other{number}"),
        format!("other {}", recorder.len()),
    );
    recorder.send(&mut cluster.nodes[node].client(), OBSERVER, None, call)
}

fn is_posted(sent: &Sent) -> bool {
    matches!(sent.outcome, Outcome::Posted { .. })
}

#[track_caller]
fn is_a_moment(what: &str, met: &Met) {
    let (count, longest) = (met.failed.len(), met.longest);
    println!("{what}: {count} tries failed, the longest request took {longest:?}");
    let failed: Vec<_> = met.failed.iter().take(5).collect();
    assert!(longest < MOMENT, "{what}: {longest:?}; {failed:#?}");
}
