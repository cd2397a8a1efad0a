//! Who is suspected after what was seen and told, and that two nodes come to rest.

use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::member::State;

const MS: Duration = Duration::from_millis(1);

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn generation(number: u128) -> Generation {
    Generation(Uuid::from_u128(number))
}

fn view(numbers: impl IntoIterator<Item = u128>) -> View {
    let member = |number| Member {
        generation: generation(number),
        node: format!("node-{number}").parse().expect("a name"),
        address: format!("10.0.0.{number}:7946").parse().expect("an address"),
        state: State::Serving,
        version: "1.0.0".parse().expect("a version"),
    };
    View::new(7, numbers.into_iter().map(member).collect())
}

/// Node 1 among so many, who have all answered at 0 s.
fn node(members: u128) -> Failures {
    let mut failures = Failures::new(generation(1));
    failures.watch(&view(1..=members));
    for peer in 2..=members {
        failures.probe_answered(generation(peer), report(&[]), at(0));
    }
    failures
}

fn report(doubts: &[u128]) -> Report {
    Report {
        view_number: 7,
        doubts: doubts.iter().map(|n| generation(*n)).collect(),
        is_store_lost: false,
    }
}

const CALM: Outlook = Outlook {
    view_number: 7,
    is_frozen: false,
    store_since: Some(Duration::ZERO),
};

const FROZEN: Outlook = Outlook {
    is_frozen: true,
    ..CALM
};

#[derive(Clone, Copy, Debug)]
enum Seen {
    /// Node 2 reset a connection.
    Reset,
    /// A probe of node 2 failed.
    Failed,
    /// Node 2 answered a probe.
    Answered,
    /// Node 3 answered, and doubts node 2.
    Doubted,
    /// Node 4 answered, and doubts node 2.
    DoubtedToo,
}

fn show(failures: &mut Failures, seen: Seen, now: Duration) {
    match seen {
        Seen::Reset => failures.connection_reset(generation(2)),
        Seen::Failed => failures.probe_failed(generation(2)),
        Seen::Answered => failures.probe_answered(generation(2), report(&[]), now),
        Seen::Doubted => failures.probe_answered(generation(3), report(&[2]), now),
        Seen::DoubtedToo => failures.probe_answered(generation(4), report(&[2]), now),
    }
}

#[test]
fn a_peer_is_suspected_by_one_node_after_a_reset_and_by_two_after_silence() {
    use Seen::*;
    let table: &[(&[Seen], bool, bool)] = &[
        // What was seen; whether node 2 is suspected; whether also while the registry is away.
        (&[], false, false),
        (&[Reset], false, false),
        (&[Failed], false, false),
        (&[Reset, Failed], true, false),
        (&[Failed, Reset], true, false),
        (&[Reset, Failed, Answered], false, false),
        (&[Reset, Answered, Failed], false, false),
        (&[Failed, Failed, Failed], false, false),
        (&[Failed, Failed, Failed, Doubted], true, true),
        (&[Failed, Failed, Doubted], false, false),
        (&[Failed, Failed, Doubted, Failed], true, true),
        (&[Failed, Doubted, DoubtedToo], true, true),
        (&[Doubted, DoubtedToo], false, false),
        (&[Reset, Failed, Doubted], true, true),
        (&[Failed, Failed, Failed, Doubted, Answered], false, false),
    ];
    for (seen, is_suspect, is_suspect_frozen) in table {
        for (outlook, expected) in [(CALM, is_suspect), (FROZEN, is_suspect_frozen)] {
            let mut failures = node(4);
            for seen in *seen {
                show(&mut failures, *seen, at(100));
            }
            let suspects = failures.suspects(outlook, at(100));
            assert_eq!(
                suspects.contains(&generation(2)),
                *expected,
                "{seen:?} {outlook:?}"
            );
        }
    }
}

#[test]
fn a_node_tells_only_what_its_own_probes_say() {
    let mut failures = node(4);
    show(&mut failures, Seen::Doubted, at(0));
    show(&mut failures, Seen::DoubtedToo, at(0));
    assert_eq!(failures.doubts(), []);
    for _ in 0..SILENT_PROBES {
        failures.probe_failed(generation(2));
    }
    assert_eq!(failures.doubts(), [generation(2)]);
    assert_eq!(failures.suspects(CALM, at(0)), [generation(2)]);
}

#[test]
fn what_a_peer_told_is_forgotten_when_it_tells_nothing_more() {
    let mut failures = node(3);
    show(&mut failures, Seen::Doubted, at(100));
    for _ in 0..SILENT_PROBES {
        show(&mut failures, Seen::Failed, at(100));
    }
    let told = at(100) + REPORT_LIFETIME;
    assert_eq!(failures.suspects(CALM, told - MS), [generation(2)]);
    assert_eq!(failures.suspects(CALM, told), []);
}

#[test]
fn who_is_not_in_the_view_is_forgotten_and_who_comes_back_is_new() {
    let mut failures = node(3);
    show(&mut failures, Seen::Reset, at(0));
    show(&mut failures, Seen::Failed, at(0));
    failures.watch(&view([1, 3]));
    assert_eq!(failures.suspects(CALM, at(0)), []);
    failures.probe_failed(generation(2));
    failures.watch(&view([1, 2, 3]));
    assert_eq!(failures.doubts(), []);
}

#[test]
fn a_peer_without_the_store_is_suspected_when_this_node_has_had_it_for_two_seconds() {
    for (store_since, from) in [
        (Some(at(0)), Some(at(2_100))),
        (Some(at(900)), Some(at(2_900))),
        (None, None),
    ] {
        let mut failures = node(2);
        let outlook = Outlook {
            store_since,
            ..CALM
        };
        let lost = Report {
            is_store_lost: true,
            ..report(&[])
        };
        for now in (100..4_000).step_by(100).map(at) {
            failures.probe_answered(generation(2), lost.clone(), now);
            let is_suspect = !failures.suspects(outlook, now).is_empty();
            assert_eq!(is_suspect, from.is_some_and(|from| now >= from), "{now:?}");
        }
        failures.probe_answered(generation(2), report(&[]), at(4_000));
        assert_eq!(failures.suspects(outlook, at(4_000)), []);
    }
}

#[test]
fn a_peer_that_was_silent_begins_again_to_be_without_the_store() {
    let mut failures = node(2);
    let lost = Report {
        is_store_lost: true,
        ..report(&[])
    };
    failures.probe_answered(generation(2), lost.clone(), at(0));
    assert_eq!(failures.suspects(CALM, at(5_000)), []);
    failures.probe_answered(generation(2), lost.clone(), at(5_000));
    failures.probe_answered(generation(2), lost, at(6_900));
    assert_eq!(failures.suspects(CALM, at(7_000) - MS), []);
    assert_eq!(failures.suspects(CALM, at(7_000)), [generation(2)]);
}

#[test]
fn a_node_never_suspects_itself() {
    let mut failures = node(3);
    failures.connection_reset(generation(1));
    failures.probe_failed(generation(1));
    assert_eq!(failures.doubts(), []);
    assert_eq!(failures.suspects(CALM, at(0)), []);
}

#[test]
fn whoever_is_behind_its_peers_suspects_nobody_new_until_it_had_time_to_catch_up() {
    let mut failures = node(3);
    let newer = |now| {
        let report = Report {
            view_number: 8,
            ..report(&[2])
        };
        (generation(3), report, now)
    };
    let tell =
        |failures: &mut Failures, (peer, report, now)| failures.probe_answered(peer, report, now);
    tell(&mut failures, newer(at(0)));
    failures.connection_reset(generation(2));
    failures.probe_failed(generation(2));
    assert_eq!(failures.suspects(CALM, at(0)), []);
    tell(&mut failures, newer(at(1_500)));
    assert_eq!(failures.suspects(CALM, CATCH_UP - MS), []);
    let mut caught_up = failures.clone();
    let newer_outlook = Outlook {
        view_number: 8,
        ..CALM
    };
    assert_eq!(
        caught_up.suspects(newer_outlook, CATCH_UP - MS),
        [generation(2)]
    );
    assert_eq!(
        failures.clone().suspects(FROZEN, CATCH_UP - MS),
        [generation(2)]
    );
    assert_eq!(failures.suspects(CALM, CATCH_UP), [generation(2)]);
}

#[test]
fn one_nodes_word_is_not_enough_against_whom_it_suspected_wrongly() {
    let mut failures = node(3);
    let fail = |failures: &mut Failures, now| {
        failures.connection_reset(generation(2));
        failures.probe_failed(generation(2));
        failures.suspects(CALM, now)
    };
    assert_eq!(fail(&mut failures, at(0)), [generation(2)]);
    failures.has_claimed(generation(2), at(100), at(100));
    assert_eq!(failures.suspects(CALM, at(100)), []);
    assert_eq!(fail(&mut failures, at(60_000)), []);
    show(&mut failures, Seen::Doubted, at(60_000));
    assert_eq!(failures.suspects(CALM, at(60_000)), []);
    assert_eq!(failures.suspects(CALM, at(61_000)), [generation(2)]);
}

#[test]
fn a_claim_that_may_be_older_than_what_speaks_against_its_maker_clears_nobody() {
    let mut failures = node(3);
    failures.connection_reset(generation(2));
    failures.probe_failed(generation(2));
    assert_eq!(failures.suspects(CALM, at(100)), [generation(2)]);
    failures.has_claimed(generation(2), at(99), at(300));
    assert_eq!(failures.suspects(CALM, at(300)), [generation(2)]);
    failures.has_claimed(generation(2), at(101), at(400));
    assert_eq!(failures.suspects(CALM, at(400)), []);
}

#[test]
fn the_placement_gives_the_suspects_shards_to_the_others_and_moves_nothing_else() {
    let view = view(1..=3);
    let owners = place(view.members(), &Table::unowned(256));
    let placed = place_without(&view, &[generation(2)], &owners);
    for ((_, before), (shard, after)) in owners.iter().zip(placed.iter()) {
        if before == Some(generation(2)) {
            assert!(
                after.is_some_and(|after| after != generation(2)),
                "{shard:?}"
            );
        } else {
            assert_eq!(before, after, "{shard:?}");
        }
    }
    assert_eq!(place_without(&view, &[], &owners), owners);
}

#[test]
fn between_a_node_and_whom_it_does_not_reach_goes_one_that_it_reaches_and_that_has_no_doubts() {
    let mut failures = node(4);
    assert_eq!(failures.unreached().count(), 0);
    show(&mut failures, Seen::Failed, at(0));
    let unreached: Vec<_> = failures.unreached().collect();
    assert_eq!(unreached, [generation(2)]);
    assert_eq!(failures.go_between(generation(2)), Some(generation(3)));
    show(&mut failures, Seen::Doubted, at(0));
    assert_eq!(failures.go_between(generation(2)), Some(generation(4)));
    failures.probe_failed(generation(4));
    assert_eq!(failures.go_between(generation(2)), None);
}

/// How often a shard changes hands within ten minutes between two nodes that cannot see each other.
/// Whoever loses it by a claim of the other knows that the other lives.
fn takeovers(witnesses: &[Seen]) -> usize {
    // Each node is number 1 to itself, and the other is its number 2.
    let (mut nodes, mut owner, mut count) = ([node(4), node(4)], 1, 0);
    for now in (0..600_000).step_by(500).map(at) {
        for me in 0..2 {
            show(&mut nodes[me], Seen::Reset, now);
            show(&mut nodes[me], Seen::Failed, now);
            for witness in witnesses {
                show(&mut nodes[me], *witness, now);
            }
            let is_suspect = !nodes[me].suspects(CALM, now).is_empty();
            if is_suspect && owner != me {
                (owner, count) = (me, count + 1);
                nodes[1 - me].has_claimed(generation(2), now, now);
            }
        }
    }
    count
}

#[test]
fn two_nodes_that_cannot_see_each_other_come_to_rest() {
    // Each once, and once more after five minutes, when a wrong suspicion is forgiven.
    let alone = takeovers(&[]);
    assert!((2..=4).contains(&alone), "{alone}");
    // At most every 30 seconds for each of them.
    let doubted_by_others = takeovers(&[Seen::Doubted, Seen::DoubtedToo]);
    assert!((2..=40).contains(&doubted_by_others), "{doubted_by_others}");
}

fn any_seen() -> impl Strategy<Value = Seen> {
    use Seen::*;
    proptest::sample::select(vec![Reset, Failed, Answered, Doubted, DoubtedToo])
}

proptest! {
    #[test]
    fn whatever_was_seen_before_a_peer_that_answers_is_no_suspect(
        seen in vec((any_seen(), 0..1_000u64, any::<bool>()), 0..60)
    ) {
        let (mut failures, mut now) = (node(4), at(0));
        let (mut failed, mut was_reset) = (0, false);
        for (seen, wait_ms, is_frozen) in seen {
            now += at(wait_ms);
            show(&mut failures, seen, now);
            match seen {
                Seen::Answered => (failed, was_reset) = (0, false),
                Seen::Failed => failed += 1,
                Seen::Reset => was_reset = true,
                _ => {}
            }
            let suspects = failures.suspects(Outlook { is_frozen, ..CALM }, now);
            prop_assert!(suspects.is_empty() || suspects == [generation(2)]);
            let silent_or_reset = failed >= SILENT_PROBES || failed > 0 && was_reset;
            let witnesses = failures.witnesses(generation(2));
            let enough = failed > 0 && (witnesses >= 2 || silent_or_reset && (witnesses == 1 || was_reset));
            prop_assert!(suspects.is_empty() || enough, "{} {} {}", failed, was_reset, witnesses);
            prop_assert!(!is_frozen || suspects.is_empty() || witnesses + usize::from(silent_or_reset) >= 2);
        }
    }
}
