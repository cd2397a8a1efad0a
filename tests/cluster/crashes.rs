//! Nodes that end or hang without a word, under load.

use std::thread;
use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::load::{Met, during};
use crate::support::eventually;
use crate::support::history::Recorder;

/// Load before an accident, and after everything is well again.
const CALM: Duration = Duration::from_secs(2);

#[test]
fn kill_9_of_an_owner_loses_nothing_and_the_others_take_over() {
    let mut cluster = Cluster::start(3);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    assert!(
        cluster.shards_of(0) > 0,
        "the node to be killed owns something"
    );
    let mut away = Duration::ZERO;
    let met = during(&recorder, targets, || {
        thread::sleep(CALM);
        cluster.nodes[0].kill();
        let killed = Instant::now();
        cluster.await_owned();
        away = killed.elapsed();
        thread::sleep(CALM);
        cluster.nodes[0].start();
        cluster.await_owned();
        thread::sleep(CALM);
    });
    println!("all shards were owned again after {away:?}");
    conclude(&cluster, recorder, &met);
}

#[test]
fn a_node_that_hangs_for_3_seconds_loses_nothing() {
    a_node_hangs_for(Duration::from_secs(3));
}

#[test]
fn a_node_that_hangs_for_longer_than_its_lease_loses_nothing() {
    a_node_hangs_for(Duration::from_secs(8));
}

fn a_node_hangs_for(pause: Duration) {
    let mut cluster = Cluster::start(3);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    let met = during(&recorder, targets, || {
        thread::sleep(CALM);
        cluster.nodes[1].pause();
        thread::sleep(pause);
        cluster.nodes[1].resume();
        // A node that lost its shards claims some again, or takes them back.
        cluster.await_owned();
        thread::sleep(CALM);
    });
    conclude(&cluster, recorder, &met);
}

#[test]
fn kill_9_of_two_nodes_at_once_leaves_everything_to_the_third() {
    let mut cluster = Cluster::start(3);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    let met = during(&recorder, targets, || {
        thread::sleep(CALM);
        cluster.nodes[0].kill();
        cluster.nodes[1].kill();
        cluster.await_owned();
        thread::sleep(CALM);
    });
    conclude(&cluster, recorder, &met);
}

#[test]
fn kill_9_of_all_nodes_at_once_loses_nothing() {
    let mut cluster = Cluster::start(3);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    let met = during(&recorder, targets, || {
        thread::sleep(CALM);
        for node in &mut cluster.nodes {
            node.kill();
        }
        for node in &mut cluster.nodes {
            node.start();
        }
        cluster.await_owned();
        thread::sleep(CALM);
    });
    conclude(&cluster, recorder, &met);
}

/// Judges what clients saw; all of them were answered in the end.
fn conclude(cluster: &Cluster, recorder: Recorder, met: &Met) {
    println!(
        "{} tries failed; the longest request took {:?}",
        met.failed.len(),
        met.longest
    );
    for line in met.failed.iter().take(5) {
        println!("{line}");
    }
    let node = cluster.nodes.iter().rev().find(|node| node.runs());
    recorder.settle(&mut node.unwrap().client());
    let verdict = recorder.judge();
    assert!(
        verdict.acknowledged > 100,
        "too little was posted to tell anything"
    );
    eventually("all shards have an owner", || {
        cluster.is_owned().then_some(())
    });
}
