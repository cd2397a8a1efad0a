//! Redis and the store away for a while, under load.

use std::thread;
use std::time::{Duration, Instant};

use mayfly::verify::history::Outcome;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::load::during;
use crate::support::SOON;
use crate::support::eventually;
use crate::support::history::{Recorder, post};

const CALM: Duration = Duration::from_secs(2);

/// Longer than a lease in Redis lasts.
const LONG: Duration = Duration::from_secs(9);

#[test]
fn redis_stopped_wiped_and_started_again_costs_no_failed_request() {
    let mut cluster = Cluster::start(3);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    let met = during(&recorder, targets, || {
        thread::sleep(CALM);
        cluster.redis.command("flushall");
        thread::sleep(CALM);
        cluster.redis.kill();
        thread::sleep(LONG);
        // It comes back empty.
        cluster.redis.restart();
        cluster.await_owned();
        thread::sleep(CALM);
        cluster.redis.pause();
        thread::sleep(LONG);
        cluster.redis.resume();
        cluster.await_owned();
    });
    recorder.settle(&mut cluster.nodes[0].client());
    recorder.judge();
    let failed: Vec<_> = met.failed.iter().take(10).collect();
    assert!(
        failed.is_empty(),
        "{} requests failed: {failed:#?}",
        met.failed.len()
    );
}

/// As after a failover to a replica that had not heard of the replacement yet.
#[test]
fn a_redis_that_names_an_earlier_start_of_a_node_does_not_put_the_node_out() {
    let mut cluster = Cluster::start(2);
    let view = eventually("the node answers", || cluster.nodes[0].view());
    let name = view["cluster"].as_str().unwrap();
    let (earlier, address) = (Uuid::now_v7(), cluster.nodes[0].address());
    let redis = &cluster.redis;
    let record = format!("\"{address} node-0 serving 0.1.0\"");
    redis.command(&format!("hset {{{name}}}:members {earlier} {record}"));
    // Its lease ends long after this test.
    redis.command(&format!("zadd {{{name}}}:leases 9999999999999 {earlier}"));
    eventually("the earlier start is replaced again", || {
        let found = redis.command(&format!("hexists {{{name}}}:members {earlier}"));
        (found == ":0").then_some(())
    });
    cluster.await_owned();
    cluster.await_spread();
    assert!(!cluster.nodes[0].log().contains("no member any more"));
}

#[test]
fn without_redis_a_killed_node_is_replaced_by_the_word_of_two_peers() {
    let mut cluster = Cluster::start(3);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    during(&recorder, targets, || {
        thread::sleep(CALM);
        cluster.redis.kill();
        thread::sleep(LONG);
        let frozen = || cluster.nodes[1].metric("mayfly_cluster_frozen_views");
        assert_eq!(eventually("the node tells its metrics", frozen), 1.0);
        cluster.nodes[0].kill();
        eventually("every user is served again", || {
            let mut client = cluster.nodes[1].client();
            let served = |user| client.get(&format!("/chats/other{user}")).status == 200;
            (0..50).all(served).then_some(())
        });
        cluster.redis.restart();
        cluster.await_owned();
    });
    recorder.settle(&mut cluster.nodes[1].client());
    recorder.judge();
}

#[test]
fn while_the_store_hangs_writes_are_refused_fast_and_afterwards_the_service_goes_on() {
    /// How long an owner that somebody waits for may take to find out, and to refuse from then on.
    const FOUND_OUT: Duration = Duration::from_millis(1_500);
    const FAST: Duration = Duration::from_secs(1);
    let mut cluster = Cluster::start_beside_a_store(3);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    during(&recorder, targets, || {
        thread::sleep(CALM);
        let store = cluster.cql.as_ref().unwrap();
        store.pause();
        let paused = Instant::now();
        let try_to_post = || {
            let began = Instant::now();
            let mut client = cluster.nodes[0].client();
            let call = post("refused", format!("at {:?}", paused.elapsed()));
            let sent = recorder.send(&mut client, 1_000, None, call);
            (sent.outcome, began.elapsed())
        };
        let is_refused = |outcome: &Outcome| *outcome == Outcome::Refused { status: 503 };
        let refused: Vec<_> = thread::scope(|scope| {
            // Who asks before the owner has found out has it find out: late, and that the outcome is not known.
            let first = scope.spawn(try_to_post);
            thread::sleep(FOUND_OUT);
            let mut refused = Vec::new();
            while paused.elapsed() < Duration::from_secs(3) {
                refused.push(try_to_post());
                thread::sleep(Duration::from_millis(50));
            }
            let (first, _) = first.join().unwrap();
            assert!(is_refused(&first) || first == Outcome::Unknown, "{first:?}");
            refused
        });
        let fast = |(outcome, took): &(Outcome, Duration)| is_refused(outcome) && *took < FAST;
        assert!(refused.iter().all(fast), "{refused:?}");
        let is_away = |is: f64| {
            eventually("the metrics tell whether the store is away", || {
                let told = cluster.nodes[0].metric("mayfly_cluster_away_stores")?;
                (told == is).then_some(())
            });
        };
        is_away(1.0);
        store.resume();
        let resumed = Instant::now();
        is_away(0.0);
        assert!(
            refused.iter().all(|(outcome, _)| is_refused(outcome)),
            "{refused:?}"
        );
        let slow = refused.iter().filter(|(_, took)| *took >= FAST).count();
        assert!(slow <= 1, "{refused:?}");
        cluster.await_owned();
        eventually("a post is accepted", || {
            let call = post("again", format!("after {:?}", resumed.elapsed()));
            let sent = recorder.send(&mut cluster.nodes[0].client(), 1_000, None, call);
            matches!(sent.outcome, Outcome::Posted { .. }).then_some(())
        });
        println!("accepted again {:?} after the store", resumed.elapsed());
        assert!(resumed.elapsed() < SOON);
        thread::sleep(CALM);
    });
    recorder.settle(&mut cluster.nodes[0].client());
    recorder.judge();
}

#[test]
fn a_store_that_dies_and_comes_back_has_kept_everything_acknowledged() {
    let mut cluster = Cluster::start_beside_a_store(3);
    let (recorder, targets) = (Recorder::new(), cluster.targets());
    during(&recorder, targets, || {
        thread::sleep(CALM);
        let store = cluster.cql.as_mut().unwrap();
        store.kill();
        store.start_again();
        cluster.await_owned();
        thread::sleep(CALM);
    });
    recorder.settle(&mut cluster.nodes[0].client());
    recorder.judge();
}
