//! What a placement promises, over clusters of every size and history.

use proptest::collection::vec;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn member(number: u128, state: State) -> Member {
    Member {
        generation: Generation(Uuid::from_u128(number)),
        node: format!("node-{number}").parse().expect("a name"),
        address: format!("10.0.0.{number}:7946").parse().expect("an address"),
        state,
        version: "1.0.0".parse().expect("a version"),
    }
}

fn serving(numbers: impl IntoIterator<Item = u128>) -> Vec<Member> {
    let members = numbers.into_iter().map(|n| member(n, State::Serving));
    members.collect()
}

fn generation(number: u128) -> Generation {
    Generation(Uuid::from_u128(number))
}

fn loads(table: &Table, members: &[Member]) -> Vec<usize> {
    let load = |member: &Member| table.shards_of(member.generation).count();
    members.iter().map(load).collect()
}

#[track_caller]
fn assert_bounded(table: &Table, members: &[Member]) {
    let bounds = Bounds::new(table.0.len(), members.len());
    let loads = loads(table, members);
    assert_eq!(loads.iter().sum::<usize>(), table.0.len());
    for load in &loads {
        assert!((bounds.low..=bounds.high).contains(load), "{loads:?}");
    }
}

/// A table that came about by members coming and going, one after the other.
fn table_with_a_past() -> impl Strategy<Value = (Vec<Member>, Table)> {
    let shards = prop_oneof![Just(1), Just(2), Just(16), Just(64), Just(256)];
    (shards, vec(1..12u128, 1..12)).prop_map(|(shards, toggles)| {
        let (mut numbers, mut table) = (vec![100], Table::unowned(shards));
        table = place(&serving(numbers.clone()), &table);
        for number in toggles {
            match numbers.iter().position(|n| *n == number) {
                Some(index) => drop(numbers.remove(index)),
                None => numbers.push(number),
            }
            table = place(&serving(numbers.clone()), &table);
        }
        (serving(numbers), table)
    })
}

/// A table in which anything may be: owners that are gone, uneven loads, no owners.
fn any_table() -> impl Strategy<Value = (Vec<Member>, Table)> {
    let owners = vec(
        proptest::option::of((1..9u128).prop_map(generation)),
        0..200,
    );
    (1..9u128, owners).prop_map(|(count, owners)| (serving(1..=count), Table(owners)))
}

proptest! {
    #[test]
    fn every_shard_has_a_serving_owner_and_no_owner_too_many((members, table) in any_table()) {
        assert_bounded(&place(&members, &table), &members);
    }

    #[test]
    fn a_placement_that_is_reached_stays((members, table) in any_table()) {
        let placed = place(&members, &table);
        prop_assert_eq!(plan(&members, &placed), []);
    }

    #[test]
    fn the_order_in_which_members_are_told_does_not_matter((members, table) in any_table()) {
        let mut reversed = members.clone();
        reversed.reverse();
        prop_assert_eq!(place(&members, &table), place(&reversed, &table));
    }

    #[test]
    fn a_join_moves_the_newcomers_share_to_it_and_nothing_else((mut members, table) in table_with_a_past()) {
        members.extend(serving([50]));
        let moves = plan(&members, &table);
        prop_assert!(moves.iter().all(|m| m.to == Some(generation(50))), "{:?}", moves);
        prop_assert_eq!(moves.len(), table.0.len() / members.len());
    }

    #[test]
    fn a_leave_moves_the_shards_of_the_one_who_left((mut members, table) in table_with_a_past()) {
        let gone = members.remove(0).generation;
        let moves = plan(&members, &table);
        prop_assert!(moves.iter().all(|m| m.from == Some(gone)), "{:?}", moves);
        prop_assert_eq!(moves.len(), table.shards_of(gone).count());
    }

    #[test]
    fn draining_and_joining_members_get_nothing((mut members, table) in any_table()) {
        members.push(member(20, State::Joining));
        members.push(member(21, State::Draining));
        members[0].state = State::Draining;
        let placed = place(&members, &table);
        let idle = members.iter().filter(|m| m.state != State::Serving);
        for idle in idle {
            prop_assert_eq!(placed.shards_of(idle.generation).count(), 0);
        }
        if members.iter().all(|m| m.state != State::Serving) {
            prop_assert_eq!(placed, Table::unowned(table.0.len() as u16));
        }
    }
}

#[test]
fn a_cluster_grows_and_shrinks_with_as_few_moves_as_can_be() {
    let mut table = Table::unowned(256);
    for (count, moves) in [(1, 256), (3, 170), (5, 102), (2, 154)] {
        let members = serving(1..=count);
        assert_eq!(plan(&members, &table).len(), moves, "to {count} members");
        table = place(&members, &table);
        assert_bounded(&table, &members);
    }
}

#[test]
fn the_first_placement_is_even() {
    let members = serving(1..=3);
    let table = place(&members, &Table::unowned(256));
    let loads = loads(&table, &members);
    assert!(
        loads.iter().all(|load| (64..=86).contains(load)),
        "{loads:?}"
    );
}

#[test]
fn an_owner_keeps_a_quarter_above_the_mean_and_not_one_more() {
    let members = serving(1..=4);
    for (first, moved) in [(20, 0), (21, 1), (22, 2)] {
        let owners = (0..64).map(|shard| match shard {
            shard if shard < first => 1,
            shard => 2 + u128::from(shard % 3 == 0) + 2 * u128::from(shard % 3 == 1),
        });
        let table = Table(owners.map(|n| Some(generation(n))).collect());
        assert_eq!(plan(&members, &table).len(), moved, "{first} of 64");
    }
}

#[test]
fn a_member_below_three_quarters_of_the_mean_is_filled_up() {
    let members = serving(1..=4);
    for (first, moved) in [(12, 0), (11, 5)] {
        let owners = (0..64).map(|shard| match shard {
            shard if shard < first => 1,
            shard => 2 + shard % 3,
        });
        let table = Table(owners.map(|n| Some(generation(n))).collect());
        assert_eq!(plan(&members, &table).len(), moved, "{first} of 64");
    }
}

#[test]
fn a_newcomer_gets_the_shards_for_which_it_comes_first_on_the_ring() {
    let before = place(&serving(1..=3), &Table::unowned(256));
    let members = serving(1..=4);
    let ring = Ring::new(members.iter());
    let is_first = |shard| ring.candidates(shard).next() == Some(generation(4));
    let moves = plan(&members, &before);
    let firsts = moves.iter().filter(|m| is_first(m.shard)).count();
    assert!(firsts * 4 > moves.len() * 3, "{firsts} of {}", moves.len());
}

#[test]
fn nobody_owns_anything_without_members() {
    let owned = place(&serving([1]), &Table::unowned(4));
    let moves = plan(&[], &owned);
    assert_eq!(moves.len(), 4);
    assert!(moves.iter().all(|m| m.to.is_none()));
}

#[test]
fn two_starts_of_one_node_are_two_members() {
    let mut members = serving(1..=2);
    members[1].node = members[0].node.clone();
    let table = place(&members, &Table::unowned(16));
    assert_eq!(loads(&table, &members), [8, 8]);
}
