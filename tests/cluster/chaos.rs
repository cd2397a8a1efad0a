//! Faults at random, many at once: nodes that are killed, hang, come and go, and links between nodes,
//! store and Redis that are cut, each node in a network of its own. Clients of all kinds go on
//! meanwhile. What they saw is judged; then the cluster has to be well again by itself.
//!
//! `MAYFLY_CHAOS_SEEDS=1..1000` runs these seeds instead of the usual ones, each for
//! `MAYFLY_CHAOS_SECONDS` of faults.

pub mod network;

mod relay;

mod schedule;

mod links;

mod arena;

mod crowd;

mod partitions;

use std::ops::Range;
use std::time::Duration;

use self::arena::Arena;
use self::schedule::{NODES, Schedule};
use crate::support::SOON;
use crate::support::history::Recorder;

/// Without a wish.
const SEEDS: Range<u64> = 1..4;
const SECONDS: u64 = 15;

/// All is well so soon after the last fault. A Redis that has lost its data costs a lease of 6 s, and a
/// start of all nodes 2 s.
const WELL_WITHIN: Duration = SOON;

#[test]
fn whatever_befalls_a_cluster_nothing_is_lost_or_doubled_and_it_heals_by_itself() {
    let seeds = std::env::var("MAYFLY_CHAOS_SEEDS").map_or(SEEDS, |text| range(&text));
    let seconds = std::env::var("MAYFLY_CHAOS_SECONDS").map_or(SECONDS, |text| {
        text.parse().expect("MAYFLY_CHAOS_SECONDS is a number")
    });
    for seed in seeds {
        suffer(seed, Duration::from_secs(seconds));
    }
}

fn suffer(seed: u64, length: Duration) {
    let schedule = Schedule::new(seed, length);
    println!(
        "MAYFLY_CHAOS_SEEDS={seed}..{} MAYFLY_CHAOS_SECONDS={}",
        seed + 1,
        length.as_secs()
    );
    println!("{schedule}");
    network::inside(NODES, |network| {
        let mut arena = Arena::start(network, schedule.nodes);
        let recorder = Recorder::new();
        let targets = arena.cluster.targets();
        let addresses = targets.iter().map(|target| target.public).collect();
        crowd::during(&recorder, addresses, seed, || {
            arena.suffer(&schedule, length);
            let took = arena.await_well(WELL_WITHIN);
            println!("well {took:?} after the last fault");
        });
        recorder.settle(&mut arena.somebody().client());
        let verdict = recorder.judge();
        assert!(verdict.acknowledged > 0, "nothing was posted");
        arena.audit();
    });
}

/// `from..to`, without `to`.
fn range(text: &str) -> Range<u64> {
    let parsed = text
        .split_once("..")
        .and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    parsed.unwrap_or_else(|| panic!("MAYFLY_CHAOS_SEEDS is {text}, and not like 1..100"))
}
