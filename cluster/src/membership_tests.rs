//! What the view is after each turn of the registry's fortune.

use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::registry::LEASE;

const MS: Duration = Duration::from_millis(1);

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn member(number: u128, state: State) -> Member {
    Member {
        generation: Generation(Uuid::from_u128(number)),
        node: "node".parse().expect("a name"),
        address: format!("10.0.0.{number}:7946").parse().expect("an address"),
        state,
        version: "1.0.0".parse().expect("a version"),
    }
}

fn reading(run: &str, number: u64, members: &[u128]) -> Reading {
    let members = members.iter().map(|n| member(*n, State::Serving));
    Reading {
        view: View::new(number, members.collect()),
        origin: Origin {
            run: run.into(),
            born_us: 0,
        },
        time_ms: 0,
    }
}

fn members(membership: &Membership) -> Vec<u128> {
    let members = membership.view().members().iter();
    members.map(|m| m.generation.0.as_u128()).collect()
}

/// A node that has heard of members 1, 2 and 3 at 10 s, in view 5.
fn settled() -> Membership {
    let mut membership = Membership::new(LEASE, None);
    assert_eq!(
        membership.heard(reading("a", 5, &[1, 2, 3]), at(10_000)),
        None
    );
    membership
}

#[test]
fn who_the_registry_does_not_name_any_more_is_gone() {
    let mut membership = settled();
    assert_eq!(membership.heard(reading("a", 6, &[1, 3]), at(11_000)), None);
    assert_eq!(members(&membership), [1, 3]);
    assert_eq!(membership.view().number, 6);
}

#[test]
fn nobody_is_gone_for_one_lease_after_the_registry_was_lost() {
    for (run, number, now, hold) in [
        ("b", 9, 11_000, Hold::AnotherOrigin),
        ("a", 4, 11_000, Hold::WentBackwards),
        ("a", 5, 13_000, Hold::WasAway),
    ] {
        let (mut membership, now) = (settled(), at(now));
        assert_eq!(
            membership.heard(reading(run, number, &[1]), now),
            Some(hold)
        );
        let mut later = now;
        while later + at(1_000) < now + LEASE {
            later += at(1_000);
            assert_eq!(
                membership.heard(reading(run, number + 1, &[1]), later),
                None
            );
            assert_eq!(members(&membership), [1, 2, 3], "{hold:?} {later:?}");
        }
        assert!(membership.is_holding(now + LEASE - MS));
        assert!(!membership.is_holding(now + LEASE));
        assert_eq!(
            membership.heard(reading(run, number + 1, &[1, 2]), now + LEASE),
            None
        );
        assert_eq!(members(&membership), [1, 2], "{hold:?}");
    }
}

#[test]
fn a_silence_of_less_than_half_a_lease_changes_nothing() {
    let mut membership = settled();
    assert_eq!(
        membership.heard(reading("a", 6, &[1]), at(13_000) - MS),
        None
    );
    assert_eq!(members(&membership), [1]);
}

#[test]
fn the_first_answer_of_all_is_believed() {
    let mut membership = Membership::new(LEASE, None);
    assert!(membership.is_frozen(Duration::ZERO));
    assert_eq!(membership.heard(reading("a", 5, &[1]), at(60_000)), None);
    assert!(!membership.is_holding(at(60_000)));
}

#[test]
fn who_was_replaced_at_its_address_is_not_held() {
    let mut membership = settled();
    let mut reading = reading("b", 1, &[1]);
    let mut another_start = member(7, State::Joining);
    another_start.address = member(2, State::Serving).address;
    reading.view = View::new(1, vec![member(1, State::Serving), another_start]);
    membership.heard(reading, at(11_000));
    assert_eq!(members(&membership), [1, 3, 7]);
}

#[test]
fn the_view_stands_frozen_while_the_registry_is_away() {
    let membership = settled();
    assert!(!membership.is_frozen(at(16_000) - MS));
    assert!(membership.is_frozen(at(16_000)));
    assert_eq!(members(&membership), [1, 2, 3]);
}

#[test]
fn a_view_is_stable_when_the_same_members_were_seen_to_serve_for_two_seconds() {
    let mut membership = settled();
    let mut see = |members: &[u128], now| {
        membership.heard(reading("a", 6, members), now);
        membership.is_stable()
    };
    assert!(!see(&[1, 2, 3], at(12_000) - MS));
    assert!(see(&[1, 2, 3], at(12_000)));
    assert!(!see(&[1, 2, 3, 4], at(13_000)));
    assert!(!see(&[1, 2, 3], at(14_000)));
    assert!(!see(&[1, 2, 3], at(16_000) - MS));
    assert!(see(&[1, 2, 3], at(16_000)));
}

#[test]
fn members_that_only_join_do_not_make_a_view_unstable_or_complete() {
    let mut membership = Membership::new(LEASE, Some(2));
    let mut see = |state, now| {
        let mut reading = reading("a", 6, &[]);
        let members = vec![member(1, State::Serving), member(2, state)];
        reading.view = View::new(6, members);
        membership.heard(reading, now);
        membership.is_stable()
    };
    assert!(!see(State::Joining, at(1_000)));
    assert!(!see(State::Draining, at(1_500)));
    assert!(see(State::Joining, at(3_000)));
    assert!(see(State::Serving, at(3_500)));
}

#[test]
fn as_many_as_are_expected_are_enough_at_once() {
    let mut membership = Membership::new(LEASE, Some(3));
    assert!(!membership.is_stable());
    membership.heard(reading("a", 2, &[1, 2]), at(1_000));
    assert!(!membership.is_stable());
    membership.heard(reading("a", 3, &[1, 2, 3]), at(1_100));
    assert!(membership.is_stable());
}

proptest! {
    #[test]
    fn a_member_that_lives_stays_in_the_view_whatever_becomes_of_the_registry(
        polls in vec((0..3_000u64, any::<bool>(), 0..4u64), 1..40)
    ) {
        // Member 2 renews within a second after each loss; the registry forgets it until then.
        let (mut membership, mut now, mut run) = (settled(), at(10_000), 0);
        let mut lost_at = None;
        for (wait_ms, is_lost, number) in polls {
            now += at(wait_ms);
            if is_lost {
                (run, lost_at) = (run + 1, Some(now));
            }
            let is_back = lost_at.is_none_or(|lost| now >= lost + at(1_000));
            let names: &[u128] = if is_back { &[1, 2] } else { &[1] };
            membership.heard(reading(&run.to_string(), 5 + number, names), now);
            prop_assert!(members(&membership).contains(&2));
        }
    }
}
