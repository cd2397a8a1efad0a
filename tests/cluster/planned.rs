//! Planned changes: a rolling restart, nodes that join and leave. None costs a failed request.

use std::thread;
use std::time::Duration;

use crate::cluster::Cluster;
use crate::load::{Met, during};
use crate::support::history::Recorder;

/// `--drain-timeout` by default, and some more for a busy machine.
const EXIT_WITHIN: Duration = Duration::from_secs(30);

const CALM: Duration = Duration::from_secs(1);

#[test]
fn a_rolling_restart_costs_no_failed_request() {
    let mut cluster = Cluster::start(3);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    let met = during(&recorder, targets, || {
        thread::sleep(CALM);
        for index in 0..3 {
            cluster.nodes[index].terminate();
            let status = cluster.nodes[index].await_exit(EXIT_WITHIN);
            assert_eq!(status.code(), Some(0), "{}", cluster.nodes[index].log());
            cluster.await_owned();
            cluster.nodes[index].start();
            cluster.await_owned();
        }
        thread::sleep(CALM);
    });
    conclude(&cluster, recorder, &met);
}

#[test]
fn growing_from_one_node_to_three_and_shrinking_to_two_costs_no_failed_request() {
    let mut cluster = Cluster::start(1);
    let recorder = Recorder::new();
    let joining: Vec<_> = (0..2)
        .map(|_| cluster.add_stopped(&["--expect-members=1"]))
        .collect();
    let met = during(&recorder, cluster.targets(), || {
        thread::sleep(CALM);
        for index in joining {
            cluster.nodes[index].start();
            cluster.await_owned();
            cluster.await_spread();
        }
        thread::sleep(CALM);
        cluster.nodes[0].terminate();
        let status = cluster.nodes[0].await_exit(EXIT_WITHIN);
        assert_eq!(status.code(), Some(0), "{}", cluster.nodes[0].log());
        cluster.await_owned();
        thread::sleep(CALM);
    });
    conclude(&cluster, recorder, &met);
}

#[test]
fn a_drained_node_hands_everything_over_and_forwards_until_it_is_ended() {
    let mut cluster = Cluster::start(3);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    let met = during(&recorder, targets, || {
        thread::sleep(CALM);
        cluster.nodes[2]
            .admin()
            .send("POST", "/drain", &[], b"")
            .expect(202);
        cluster.await_shards(2, 0);
        // Whoever still asks it is served, by another.
        let answer = cluster.nodes[2].client().get("/chats/nobody").expect(200);
        let own = cluster.nodes[2].address();
        assert_ne!(answer.header("mayfly-owner"), Some(own.as_str()));
        cluster.nodes[2].terminate();
        let status = cluster.nodes[2].await_exit(EXIT_WITHIN);
        assert_eq!(status.code(), Some(0), "{}", cluster.nodes[2].log());
        cluster.await_owned();
    });
    conclude(&cluster, recorder, &met);
}

fn conclude(cluster: &Cluster, recorder: Recorder, met: &Met) {
    println!("the longest request took {:?}", met.longest);
    let failed: Vec<_> = met.failed.iter().take(10).collect();
    let count = met.failed.len();
    let node = cluster.nodes.iter().rev().find(|node| node.runs());
    recorder.settle(&mut node.unwrap().client());
    let verdict = recorder.judge();
    assert!(count == 0, "{count} requests failed: {failed:#?}");
    assert!(
        verdict.acknowledged > 100,
        "too little was posted to tell anything"
    );
}
