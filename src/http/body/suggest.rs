//! "Did you mean": the known name that a mistyped one is closest to.

/// The longest known name, in bytes: longer ones cannot be suggested.
const NAME_BYTES_MAX: usize = 16;

/// The one of `names` that `name` was most likely meant to be, if any is likely at all: at most two
/// edits away (one for names under five letters), in any case, or begun with three letters or more.
///
/// The names are ASCII; the cost is bounded, however long `name` is.
pub(super) fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let likely = |known: &&str| {
        let edits_max = if known.len() < 5 { 1 } else { 2 };
        let edits = edits(name.as_bytes(), known.as_bytes());
        (edits <= edits_max && edits < name.len()) || (name.len() >= 3 && known.starts_with(&name))
    };
    names
        .iter()
        .copied()
        .filter(likely)
        .min_by_key(|known| edits(name.as_bytes(), known.as_bytes()))
}

/// How many bytes to insert, remove or replace to make `a` into `b` (Levenshtein's distance).
fn edits(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, other) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(byte != other);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &["username", "text", "timeout", "attributes"];

    #[test]
    fn a_slip_of_the_hand_finds_its_name() {
        for (slip, name) in [
            ("usernam", "username"),
            ("user_name", "username"),
            ("userName", "username"),
            ("user", "username"),
            ("test", "text"),
            ("tex", "text"),
            ("texte", "text"),
            ("Text", "text"),
            ("time-out", "timeout"),
            ("tiemout", "timeout"),
            ("timeou", "timeout"),
            ("attribute", "attributes"),
            ("attr", "attributes"),
        ] {
            assert_eq!(nearest(slip, NAMES), Some(name), "{slip}");
        }
    }

    #[test]
    fn another_word_finds_nothing() {
        for word in ["", "t", "to", "deliver_at", "message", "ttl", "é", "txet"] {
            assert_eq!(nearest(word, NAMES), None, "{word}");
        }
        assert_eq!(nearest(&"text".repeat(100_000), NAMES), None);
    }

    #[test]
    fn edits_are_counted() {
        for (a, b, count) in [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3)] {
            assert_eq!(edits(a.as_bytes(), b.as_bytes()), count);
        }
    }
}
