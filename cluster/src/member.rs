//! A member: one start of one node, and the view of all that are alive.
//!
//! A view is a hint for placement and discovery. What makes a delivery safe is the claim row.

pub mod address;

pub mod name;

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use address::PeerAddress;
use name::{NodeName, Version};

/// One start of a node's process. A restarted node is another generation, so no name or address is
/// ever taken for an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub Uuid);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a member tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub generation: Generation,
    /// What people call the node it runs on; another start of the node has it too.
    pub node: NodeName,
    /// The only address that peers use.
    pub address: PeerAddress,
    /// Whether shards are placed on it.
    pub state: State,
    /// What it runs.
    pub version: Version,
}

/// How far a member has come in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It starts, and owns nothing yet.
    Joining,
    /// Shards are placed on it.
    Serving,
    /// It hands its shards over, and goes on forwarding.
    Draining,
}

impl State {
    /// The word for it in the registry and in the cluster view.
    pub fn word(self) -> &'static str {
        match self {
            State::Joining => "joining",
            State::Serving => "serving",
            State::Draining => "draining",
        }
    }
}

/// A word that is no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no state of a member; use joining, serving or draining")]
pub struct StateError(String);

impl FromStr for State {
    type Err = StateError;

    fn from_str(text: &str) -> Result<State, StateError> {
        [State::Joining, State::Serving, State::Draining]
            .into_iter()
            .find(|state| state.word() == text)
            .ok_or_else(|| StateError(text.to_owned()))
    }
}

/// The live members at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Grows with every change of a member, as long as the registry does not lose it.
    pub number: u64,
    /// Each generation once, in the order of generations.
    members: Vec<Member>,
}

impl View {
    /// A view of these members; of two entries for one generation the first counts.
    pub fn new(number: u64, mut members: Vec<Member>) -> View {
        members.sort_by_key(|member| member.generation);
        members.dedup_by_key(|member| member.generation);
        View { number, members }
    }

    /// All of them, in the order of generations.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member of this generation, if it is alive.
    pub fn member(&self, generation: Generation) -> Option<&Member> {
        self.members
            .binary_search_by_key(&generation, |member| member.generation)
            .ok()
            .map(|index| &self.members[index])
    }
}
