//! The choice: what a node does with one shard, given what it knows of it. Pure; `place` does it.

use std::cmp::Reverse;

use cluster::member::Generation;

use super::holdings::Stage;
use crate::domain::username::ShardId;

/// What holds for every shard at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// This node.
    pub me: Generation,
    /// Whether it may claim anything.
    pub may_claim: bool,
    /// Whether it has memory for what it claims.
    pub has_room: bool,
    /// Whether it may hand anything over.
    pub may_hand_over: bool,
}

/// What is known of one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How it stands with this node.
    pub stage: Stage,
    /// The living node whose claim is the latest that was heard of.
    pub owner: Option<Generation>,
    /// Whose it should be.
    pub wanted: Option<Generation>,
    /// Whether its claim was never read, so that its owner may only be unknown.
    pub is_unread: bool,
}

/// What is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It is left as it is.
    Leave,
    /// It is claimed.
    Claim,
    /// It would be claimed if there were memory for it.
    AwaitRoom,
    /// It is handed over.
    HandOver(Generation),
}

impl Standing {
    /// What to do with the shard.
    pub fn choose(self, terms: Terms) -> Choice {
        match self.stage {
            Stage::Away if terms.may_claim && self.is_to_be_claimed(terms.me) => {
                match terms.has_room {
                    true => Choice::Claim,
                    false => Choice::AwaitRoom,
                }
            }
            Stage::Here if terms.may_hand_over => match self.wanted {
                Some(target) if target != terms.me => Choice::HandOver(target),
                _ => Choice::Leave,
            },
            _ => Choice::Leave,
        }
    }

    fn is_to_be_claimed(self, me: Generation) -> bool {
        match self.owner {
            // A claim in this node's name that it does not serve is claimed again by nobody else.
            Some(owner) => owner == me,
            None => self.wanted == Some(me) && !self.is_unread,
        }
    }
}

/// A shard that is to be claimed. Few are at once, so their order counts: first those that have not just
/// failed, which may do so again and keep others waiting; of these the ones that most wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Whether the last try failed.
    pub has_failed: bool,
    /// How many requests of this node wait for it.
    pub waiters: Reverse<u32>,
    /// Which one.
    pub shard: ShardId,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const ME: Generation = Generation(Uuid::from_u128(1));
    const OTHER: Generation = Generation(Uuid::from_u128(2));

    const TERMS: Terms = Terms {
        me: ME,
        may_claim: true,
        has_room: true,
        may_hand_over: true,
    };

    /// Nobody has it, and it should be here.
    const MINE: Standing = Standing {
        stage: Stage::Away,
        owner: None,
        wanted: Some(ME),
        is_unread: false,
    };

    #[test]
    fn what_nobody_has_is_claimed_by_whom_it_is_meant_for() {
        let others = Standing {
            wanted: Some(OTHER),
            ..MINE
        };
        assert_eq!(MINE.choose(TERMS), Choice::Claim);
        assert_eq!(others.choose(TERMS), Choice::Leave);
        let terms = Terms {
            may_claim: false,
            ..TERMS
        };
        assert_eq!(MINE.choose(terms), Choice::Leave);
    }

    #[test]
    fn without_memory_nothing_is_claimed() {
        let terms = Terms {
            has_room: false,
            ..TERMS
        };
        assert_eq!(MINE.choose(terms), Choice::AwaitRoom);
        let others = Standing {
            wanted: Some(OTHER),
            ..MINE
        };
        assert_eq!(others.choose(terms), Choice::Leave);
    }

    #[test]
    fn those_that_most_wait_for_come_first_and_those_that_have_failed_last() {
        let candidate = |shard, waiters, has_failed| Candidate {
            has_failed,
            waiters: Reverse(waiters),
            shard: ShardId(shard),
        };
        let mut candidates = [
            candidate(1, 0, false),
            candidate(2, 9, true),
            candidate(3, 5, false),
            candidate(4, 7, false),
            candidate(5, 0, false),
        ];
        candidates.sort();
        assert_eq!(candidates.map(|next| next.shard.0), [4, 3, 1, 5, 2]);
    }

    #[test]
    fn a_claim_that_its_owner_does_not_serve_is_made_anew_by_the_owner_alone() {
        let owned = |owner| Standing {
            owner: Some(owner),
            wanted: Some(OTHER),
            ..MINE
        };
        assert_eq!(owned(ME).choose(TERMS), Choice::Claim);
        assert_eq!(owned(OTHER).choose(TERMS), Choice::Leave);
    }

    #[test]
    fn a_shard_whose_claim_was_never_read_may_have_an_owner_and_is_left() {
        let unread = Standing {
            is_unread: true,
            ..MINE
        };
        assert_eq!(unread.choose(TERMS), Choice::Leave);
        let heard_of = Standing {
            owner: Some(ME),
            ..unread
        };
        assert_eq!(heard_of.choose(TERMS), Choice::Claim);
    }

    #[test]
    fn what_is_here_goes_to_whom_it_is_meant_for_when_it_may() {
        let here = |wanted| Standing {
            stage: Stage::Here,
            owner: Some(ME),
            wanted,
            is_unread: false,
        };
        assert_eq!(here(Some(ME)).choose(TERMS), Choice::Leave);
        assert_eq!(here(None).choose(TERMS), Choice::Leave);
        let there = here(Some(OTHER));
        assert_eq!(there.choose(TERMS), Choice::HandOver(OTHER));
        let terms = Terms {
            may_hand_over: false,
            ..TERMS
        };
        assert_eq!(there.choose(terms), Choice::Leave);
    }

    #[test]
    fn what_is_on_its_way_is_left() {
        for stage in [Stage::Arriving, Stage::Leaving, Stage::Lost] {
            let moving = Standing { stage, ..MINE };
            assert_eq!(moving.choose(TERMS), Choice::Leave, "{stage:?}");
        }
    }
}
