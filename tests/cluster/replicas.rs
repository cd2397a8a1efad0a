//! A store of three replicas that loses some, under load. Two are a majority: nobody notices more than a
//! moment. One is none: nothing is acknowledged, and when there are two again everything is still there.

use std::thread;
use std::time::{Duration, Instant};

use mayfly::verify::history::Outcome;

use crate::cluster::Cluster;
use crate::load::during;
use crate::support::eventually;
use crate::support::history::{Recorder, Sent, post};

/// Load before an accident, and after it.
const CALM: Duration = Duration::from_secs(1);

/// Longer than a client may need for one request, with all repeats, when a replica is lost, on a machine
/// that runs three stores beside everything else. What it takes on a quiet one is printed.
const MOMENT: Duration = Duration::from_secs(8);

/// Longer than a connection to a server that hangs is kept.
const LONG: Duration = Duration::from_secs(5);

/// The client of requests beside the load, and how many mailboxes it has.
const OBSERVER: u32 = 1_000;
const MAILBOXES: usize = 50;

#[test]
fn a_replica_that_dies_comes_back_or_hangs_costs_a_moment_and_no_message() {
    let mut cluster = Cluster::start_on_replicas(0);
    // One node knows one replica when it starts, the other all.
    let first = format!("--scylla={}", cluster.first_replica());
    for known in [&[first.as_str()][..], &[]] {
        let index = cluster.add_stopped(&[known, &["--expect-members=2"]].concat());
        cluster.nodes[index].start();
    }
    cluster.await_owned();
    let recorder = Recorder::new();
    let mut costs_a_moment = |what, accident: fn(&mut Cluster)| {
        let met = during(&recorder, cluster.targets(), || {
            thread::sleep(CALM);
            accident(&mut cluster);
            thread::sleep(CALM);
        });
        let (count, longest) = (met.failed.len(), met.longest);
        println!("{what}: {count} tries failed, the longest request took {longest:?}");
        let failed: Vec<_> = met.failed.iter().take(5).collect();
        assert!(longest < MOMENT, "{what}: {longest:?}; {failed:#?}");
    };
    costs_a_moment("replica 1 dies", |it| it.replicas[1].kill());
    costs_a_moment("replica 1 comes back", |it| {
        it.replicas[1].start_again();
        it.replicas[0].await_peer(&it.replicas[1], 2);
        it.replicas[2].await_peer(&it.replicas[1], 2);
    });
    costs_a_moment("replica 0 hangs", |it| {
        it.replicas[0].pause();
        thread::sleep(LONG);
    });
    costs_a_moment("replica 0 goes on", |it| it.replicas[0].resume());
    costs_a_moment("replica 0 dies", |it| it.replicas[0].kill());
    recorder.settle(&mut cluster.nodes[0].client());
    recorder.judge();
}

#[test]
fn two_replicas_replace_a_node_and_one_acknowledges_nothing_until_there_are_two_again() {
    let mut cluster = Cluster::start_on_replicas(2);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    during(&recorder, targets, || {
        thread::sleep(CALM);
        cluster.replicas[0].kill();
        thread::sleep(CALM);
        kill_and_take_over(&mut cluster, 0);
        // The first of the replicas that it knows is not there.
        cluster.nodes[0].start();
        cluster.await_owned();
        let posted = post_to_all(&recorder, &cluster);
        assert!(posted.iter().all(is_posted), "with two replicas");
        // The first has nothing of what it missed, and the third alone is no majority.
        cluster.replicas[0].start_again();
        cluster.replicas[2].await_peer(&cluster.replicas[0], 2);
        cluster.replicas[1].kill();
        kill_and_take_over(&mut cluster, 1);
        cluster.replicas[2].kill();
        is_refused_fast(&recorder, &cluster);
        cluster.replicas[1].start_again();
        cluster.replicas[0].await_peer(&cluster.replicas[1], 2);
        let is_majority = Instant::now();
        eventually("every user is served", || {
            let posted = post_to_all(&recorder, &cluster);
            posted.iter().all(is_posted).then_some(())
        });
        let took = is_majority.elapsed();
        println!("all users were served {took:?} after there was a majority");
    });
    recorder.settle(&mut cluster.nodes[0].client());
    recorder.judge();
    a_start_waits_for_a_majority(&mut cluster);
}

/// A node, and the command that makes the tables, meet one replica of three that answers: they begin when
/// there are two. A third replica is dead, a node does not run.
fn a_start_waits_for_a_majority(cluster: &mut Cluster) {
    cluster.replicas[1].pause();
    cluster.nodes[1].start();
    let (shared, node) = (&*cluster, &cluster.nodes[1]);
    thread::scope(|scope| {
        let applied = scope.spawn(|| shared.apply_schema());
        eventually("the node tries again", || {
            let tries = node.log().matches("trying again").count();
            (tries > 0).then_some(())
        });
        node.admin().get("/livez").expect(200);
        node.admin().get("/startupz").expect(503);
        assert!(!applied.is_finished(), "nothing is told to a minority");
        cluster.replicas[1].resume();
    });
    cluster.await_owned();
}

/// Kills a node; the other one takes everything over.
fn kill_and_take_over(cluster: &mut Cluster, node: usize) {
    cluster.nodes[node].kill();
    let killed = Instant::now();
    cluster.await_owned();
    println!("node {node} was replaced after {:?}", killed.elapsed());
}

/// With no majority nothing is done, and whoever asks is told so at once.
fn is_refused_fast(recorder: &Recorder, cluster: &Cluster) {
    /// How long an owner may take to find out, and to refuse from then on.
    const FOUND_OUT: Duration = Duration::from_millis(1_500);
    const FAST: Duration = Duration::from_secs(1);
    thread::sleep(FOUND_OUT);
    let began = Instant::now();
    for sent in post_to_all(recorder, cluster) {
        let answer = sent.answer.as_ref();
        let retry_after = answer.and_then(|answer| answer.header("retry-after"));
        assert_eq!(sent.outcome, Outcome::Refused { status: 503 });
        assert_eq!(retry_after, Some("1"));
    }
    let took = began.elapsed();
    println!("{MAILBOXES} posts were refused in {took:?}");
    assert!(took < FAST, "{took:?}");
}

/// Posts to each of many mailboxes that the load leaves alone, through all nodes.
fn post_to_all(recorder: &Recorder, cluster: &Cluster) -> Vec<Sent> {
    let nodes = cluster.nodes.iter().filter(|node| node.runs()).cycle();
    let posts = nodes.zip(0..MAILBOXES).map(|(node, mailbox)| {
        let text = format!("other {}", recorder.len());
        let call = post(&format!("other{mailbox}"), text);
        recorder.send(&mut node.client(), OBSERVER, None, call)
    });
    posts.collect()
}

fn is_posted(sent: &Sent) -> bool {
    matches!(sent.outcome, Outcome::Posted { .. })
}
