//! The simulator against the protocol: it finds every planted bug, and nothing without one.

use cluster::sim::{PlantedBug, replay, simulate};

/// Seeds within which each planted bug must be found.
const SEEDS_PER_BUG: u64 = 200;

/// Seeds of the right protocol.
const SEEDS: u64 = 2_000;

#[test]
fn every_planted_bug_is_found_within_two_hundred_seeds() {
    let is_found = |bug: PlantedBug| {
        (0..SEEDS_PER_BUG).any(|seed| simulate(seed, Some(bug)).violation.is_some())
    };
    let bugs = PlantedBug::ALL.iter().copied();
    let missed: Vec<_> = bugs.filter(|bug| !is_found(*bug)).collect();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn the_right_protocol_breaks_no_promise_in_two_thousand_seeds() {
    for seed in 0..SEEDS {
        let run = simulate(seed, None);
        assert_eq!(
            run.violation, None,
            "replay: cargo run -p mayfly-cluster --example simulate -- --seed {seed}"
        );
        assert!(run.answers > 50, "seed {seed}: {} answers", run.answers);
    }
}

#[test]
fn a_replay_is_the_same_run_and_tells_what_happened() {
    for seed in 0..20 {
        let (run, lines) = replay(seed, None);
        assert_eq!(run, simulate(seed, None));
        assert!(lines.iter().any(|line| line.contains("client is told")));
    }
}

#[test]
fn a_seed_determines_the_whole_run() {
    for seed in 0..20 {
        let bug = Some(PlantedBug::NoFence);
        assert_eq!(simulate(seed, bug), simulate(seed, bug));
    }
}
