//! Peers that have said that they take no more shards: the registry is slower to tell, and while it is
//! away it does not tell at all.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::member::Generation;

/// How often a node that drains says so.
pub const SAYING: Duration = Duration::from_secs(1);

/// Who has lived on for so long without saying it again drains no more.
const KEPT_FOR: Duration = Duration::from_secs(3);

/// Peers that drain, by their own word. One that gives no more sign of life stays among them: it has
/// drained to its end.
#[derive(Debug, Default)]
pub struct Drainers {
    /// When each said it last.
    said: BTreeMap<Generation, Duration>,
}

impl Drainers {
    /// A peer says that it drains.
    pub fn said(&mut self, peer: Generation, now: Duration) {
        self.said.insert(peer, now);
    }

    /// A peer gives a sign of life.
    pub fn lives(&mut self, peer: Generation, now: Duration) {
        if self
            .said
            .get(&peer)
            .is_some_and(|said| *said + KEPT_FOR <= now)
        {
            self.said.remove(&peer);
        }
    }

    /// Forgets who is no member any more.
    pub fn keep(&mut self, is_member: impl Fn(Generation) -> bool) {
        self.said.retain(|peer, _| is_member(*peer));
    }

    /// Whether a peer drains.
    pub fn has(&self, peer: Generation) -> bool {
        self.said.contains_key(&peer)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const PEER: Generation = Generation(Uuid::from_u128(1));

    #[test]
    fn a_peer_drains_until_it_has_lived_on_without_saying_so() {
        let mut drainers = Drainers::default();
        assert!(!drainers.has(PEER));
        let said = Duration::from_secs(10);
        drainers.said(PEER, said);
        drainers.lives(PEER, said + KEPT_FOR - Duration::from_millis(1));
        assert!(drainers.has(PEER));
        drainers.lives(PEER, said + KEPT_FOR);
        assert!(!drainers.has(PEER));
    }

    #[test]
    fn a_peer_that_says_so_again_and_one_that_is_silent_drain_for_as_long_as_they_are_members() {
        let mut drainers = Drainers::default();
        for seconds in 10..100 {
            drainers.said(PEER, Duration::from_secs(seconds));
            drainers.lives(PEER, Duration::from_secs(seconds) + SAYING);
        }
        drainers.keep(|peer| peer == PEER);
        assert!(drainers.has(PEER));
        drainers.keep(|peer| peer != PEER);
        assert!(!drainers.has(PEER));
    }
}
