//! The chain of a claim row as text: a person can read it, and one column holds it.
//!
//! ```text
//! chain = link { " " link }       link = epoch "/" owner "/" ( sealed | "-" )
//! ```

use cluster::member::Generation;
use cluster::ownership::claim::{ClaimState, Link};
use cluster::shard::Epoch;
use uuid::Uuid;

/// The text of a chain.
pub(super) fn encode(chain: &[Link]) -> String {
    let links: Vec<_> = chain.iter().map(link_text).collect();
    links.join(" ")
}

/// The chain of a text; `None` when it is none.
pub(super) fn decode(text: &str) -> Option<Vec<Link>> {
    text.split_ascii_whitespace().map(link).collect()
}

/// The word for a state.
pub(super) fn state_text(state: ClaimState) -> &'static str {
    match state {
        ClaimState::Claimed => "claimed",
        ClaimState::Serving => "serving",
    }
}

/// The state of a word; `None` when it is none.
pub(super) fn state(text: &str) -> Option<ClaimState> {
    [ClaimState::Claimed, ClaimState::Serving]
        .into_iter()
        .find(|state| state_text(*state) == text)
}

fn link_text(link: &Link) -> String {
    let (epoch, owner) = (link.epoch.0, link.owner.0);
    match link.sealed {
        Some(sealed) => format!("{epoch}/{owner}/{sealed}"),
        None => format!("{epoch}/{owner}/-"),
    }
}

fn link(text: &str) -> Option<Link> {
    let mut parts = text.split('/');
    let epoch = parts.next()?.parse().ok()?;
    let owner = Uuid::try_parse(parts.next()?).ok()?;
    let sealed = match parts.next()? {
        "-" => None,
        number => Some(number.parse().ok()?),
    };
    parts.next().is_none().then_some(Link {
        epoch: Epoch(epoch),
        owner: Generation(owner),
        sealed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_reads_back_as_it_was() {
        let link = |epoch, sealed| Link {
            epoch: Epoch(epoch),
            owner: Generation(Uuid::from_u128(u128::from(epoch))),
            sealed,
        };
        for chain in [
            vec![],
            vec![link(1, None)],
            vec![
                link(1, Some(0)),
                link(7, Some(u64::MAX)),
                link(u64::MAX, None),
            ],
        ] {
            assert_eq!(decode(&encode(&chain)), Some(chain));
        }
    }

    #[test]
    fn other_texts_are_no_chain() {
        for text in [
            "x",
            "1",
            "1/2/3",
            "1/00000000-0000-0000-0000-000000000001/",
            "/",
        ] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode("1/00000000-0000-0000-0000-000000000001/-/"), None);
        assert_eq!(state("serving "), None);
    }
}
