//! Clock skew: whether this node's wall clock can be trusted (R8).
//!
//! Pure: offsets of other clocks come in, the distance from their median comes out. What is done
//! about it is for whoever claims.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::member::Generation;

/// A node further from the median of the others claims nothing, hands its shards over and raises the
/// alert.
pub const SKEW_MS_MAX: i64 = 500;

/// An offset counts for so long.
const SAMPLE_LIFETIME: Duration = Duration::from_secs(10);

/// Whose clock it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clock {
    /// That of a peer, told with its answer to a probe.
    Peer(Generation),
    /// That of the registry, told with each reading.
    Registry,
}

/// The other clocks, as this node sees them.
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    /// Each clock's offset from this node's in milliseconds, and when it was seen.
    offsets: BTreeMap<Clock, (i64, Duration)>,
    /// The skew while the last of them was known.
    last_ms: Option<i64>,
}

/// How far another clock is ahead, given when this node asked it, what it said and when this node had
/// the answer, in Unix milliseconds: the clock was read half way, for all one knows.
pub fn offset_ms(asked_ms: u64, told_ms: u64, answered_ms: u64) -> i64 {
    let half_way_ms = asked_ms + answered_ms.saturating_sub(asked_ms) / 2;
    told_ms
        .cast_signed()
        .saturating_sub(half_way_ms.cast_signed())
}

impl Clocks {
    /// A clock was seen to be ahead of this node's by so much.
    pub fn seen(&mut self, clock: Clock, offset_ms: i64, now: Duration) {
        self.offsets.insert(clock, (offset_ms, now));
    }

    /// How far the others are ahead of this node, in milliseconds: their median, of two middle ones
    /// the nearer. While none is known it is what it was: a wrong clock is not right because nobody is there to
    /// say so. Nothing before the first.
    pub fn skew_ms(&mut self, now: Duration) -> i64 {
        self.offsets
            .retain(|_, (_, seen_at)| now < *seen_at + SAMPLE_LIFETIME);
        let mut offsets: Vec<_> = self.offsets.values().map(|(offset, _)| *offset).collect();
        offsets.sort_unstable();
        if !offsets.is_empty() {
            let (low, high) = (offsets[(offsets.len() - 1) / 2], offsets[offsets.len() / 2]);
            // Between the two middle ones there is no majority either way.
            self.last_ms = Some(0_i64.clamp(low, high));
        }
        self.last_ms.unwrap_or(0)
    }

    /// Whether any clock was ever seen.
    pub fn has_seen_any(&self) -> bool {
        self.last_ms.is_some() || !self.offsets.is_empty()
    }

    /// Whether this node may claim shards, and keep them.
    pub fn may_claim(&mut self, now: Duration) -> bool {
        self.skew_ms(now).unsigned_abs() <= SKEW_MS_MAX.unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn peer(number: u128) -> Clock {
        Clock::Peer(Generation(Uuid::from_u128(number)))
    }

    fn clocks(offsets: &[i64]) -> Clocks {
        let mut clocks = Clocks::default();
        for (number, offset) in offsets.iter().enumerate() {
            clocks.seen(peer(number as u128), *offset, NOW);
        }
        clocks
    }

    #[test]
    fn the_skew_is_the_median_of_the_others() {
        for (offsets, skew) in [
            (&[][..], 0),
            (&[700], 700),
            (&[700, 0], 0),
            (&[-900, 700], 0),
            (&[700, 900], 700),
            (&[-700, -900], -700),
            (&[0, 900, 700], 700),
            (&[0, 900, 700, 10], 10),
            (&[-600, 9_000, -700], -600),
        ] {
            assert_eq!(clocks(offsets).skew_ms(NOW), skew, "{offsets:?}");
        }
    }

    #[test]
    fn a_clock_that_tells_nonsense_is_far_away_and_no_more() {
        let mut clocks = Clocks::default();
        clocks.seen(peer(1), offset_ms(1_000, 1 << 63, 1_000), NOW);
        assert!(!clocks.may_claim(NOW));
    }

    #[test]
    fn half_a_second_of_skew_is_allowed_and_not_more() {
        for (offset, may) in [(500, true), (501, false), (-500, true), (-501, false)] {
            assert_eq!(clocks(&[offset]).may_claim(NOW), may, "{offset}");
        }
    }

    #[test]
    fn the_last_offset_of_a_clock_counts_until_it_is_old() {
        let mut clocks = clocks(&[9_000]);
        clocks.seen(peer(0), 800, NOW);
        clocks.seen(Clock::Registry, 900, NOW + Duration::from_secs(1));
        assert_eq!(
            clocks.skew_ms(NOW + SAMPLE_LIFETIME - Duration::from_millis(1)),
            800
        );
        assert_eq!(clocks.skew_ms(NOW + SAMPLE_LIFETIME), 900);
    }

    #[test]
    fn a_clock_that_was_wrong_is_wrong_until_another_says_that_it_is_right() {
        let mut clocks = Clocks::default();
        assert!(!clocks.has_seen_any() && clocks.may_claim(NOW));
        clocks.seen(Clock::Registry, 900, NOW);
        assert!(clocks.has_seen_any() && !clocks.may_claim(NOW));
        let late = NOW + 10 * SAMPLE_LIFETIME;
        assert!(!clocks.may_claim(late), "nobody has said that it is right");
        clocks.seen(Clock::Registry, 0, late);
        assert!(clocks.may_claim(late));
        assert!(clocks.may_claim(late + SAMPLE_LIFETIME) && clocks.has_seen_any());
    }

    #[test]
    fn an_answer_was_told_half_way_between_question_and_answer() {
        for (asked, told, answered, offset) in [
            (1_000, 1_050, 1_100, 0),
            (1_000, 1_650, 1_100, 600),
            (1_000, 450, 1_100, -600),
            (1_000, 1_000, 990, 0),
        ] {
            assert_eq!(offset_ms(asked, told, answered), offset);
        }
    }

    proptest! {
        #[test]
        fn a_minority_of_wrong_clocks_stops_nobody(
            right in vec(-500..=500i64, 1..8),
            wrong in vec(any::<i32>(), 0..7),
        ) {
            let mut offsets = right.clone();
            offsets.extend(wrong.iter().take(right.len()).map(|wrong| i64::from(*wrong)));
            prop_assert!(clocks(&offsets).may_claim(NOW));
        }

        #[test]
        fn a_clock_that_most_others_contradict_is_stopped(
            right in vec(501..=9_000i64, 2..8),
            wrong in vec(any::<i32>(), 0..7),
            is_behind in any::<bool>(),
        ) {
            let mut offsets = right.clone();
            if is_behind {
                offsets.iter_mut().for_each(|offset| *offset = -*offset);
            }
            offsets.extend(wrong.iter().take(right.len() - 1).map(|wrong| i64::from(*wrong)));
            prop_assert!(!clocks(&offsets).may_claim(NOW));
        }
    }
}
