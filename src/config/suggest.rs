//! "Did you mean": the known name nearest to a mistyped one.

/// The known name that `typed` most likely stands for, if any is near enough: a third of its
/// letters may differ.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (distance(typed, name), name))
        .filter(|(distance, name)| *distance <= name.chars().count().div_ceil(3).min(4))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Edits between two words: insert, delete, replace, or swap two neighbours (Damerau 1964,
/// restricted).
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut before = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, left) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, right) in to.iter().enumerate() {
            let mut best = (above[column] + usize::from(left != right))
                .min(above[column + 1] + 1)
                .min(current[column] + 1);
            let swapped =
                row > 0 && column > 0 && *left == to[column - 1] && from[row - 1] == *right;
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_edits_and_swaps() {
        for (from, to, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "ab", 2),
            ("listen", "listen", 0),
            ("listn", "listen", 1),
            ("lisetn", "listen", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), edits, "{from} {to}");
        }
    }

    #[test]
    fn the_nearest_known_name_is_suggested_and_a_far_one_is_not() {
        let known = ["listen", "log", "workers"];
        assert_eq!(nearest("listn", known), Some("listen"));
        assert_eq!(nearest("wokrers", known), Some("workers"));
        assert_eq!(nearest("lg", known), Some("log"));
        assert_eq!(nearest("colour", known), None);
    }
}
