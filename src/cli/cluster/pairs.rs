//! Shards that go from one to another, gathered for people: a row for each pair of names, the shards
//! as ranges.

use std::collections::BTreeMap;

/// Rows of so many cells: the names, how many shards, and which. `moves` has the names of each shard.
pub fn rows<const NAMES: usize, const CELLS: usize>(
    moves: impl IntoIterator<Item = ([String; NAMES], u16)>,
) -> Vec<[String; CELLS]> {
    const { assert!(CELLS == NAMES + 2) };
    let mut pairs: BTreeMap<[String; NAMES], Vec<u16>> = BTreeMap::new();
    for (names, shard) in moves {
        pairs.entry(names).or_default().push(shard);
    }
    let row = |(names, shards): ([String; NAMES], Vec<u16>)| {
        let numbers = [shards.len().to_string(), ranges(shards)];
        let mut cells = names.into_iter().chain(numbers);
        std::array::from_fn(|_| cells.next().unwrap_or_default())
    };
    pairs.into_iter().map(row).collect()
}

/// Numbers in order, neighbours as a range: `1-3, 5`.
fn ranges(mut shards: Vec<u16>) -> String {
    shards.sort_unstable();
    let runs = shards.chunk_by(|left, right| left.abs_diff(*right) == 1);
    let text = |run: &[u16]| match run {
        [first, .., last] => format!("{first}-{last}"),
        [only] => only.to_string(),
        [] => String::new(),
    };
    runs.map(text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_written_as_a_range() {
        for (shards, text) in [
            (vec![], ""),
            (vec![7], "7"),
            (vec![2, 1], "1-2"),
            (vec![0, 1, 2, 4, 6, 5, 9], "0-2, 4-6, 9"),
            (vec![65_535, 0], "0, 65535"),
        ] {
            assert_eq!(ranges(shards), text);
        }
    }

    #[test]
    fn moves_between_the_same_two_are_one_row() {
        let moves = [("a", "b", 3), ("a", "c", 1), ("a", "b", 2)];
        let moves = moves.map(|(from, to, shard)| ([from, to].map(String::from), shard));
        let expected = [["a", "b", "2", "2-3"], ["a", "c", "1", "1"]];
        assert_eq!(rows(moves), expected);
    }
}
