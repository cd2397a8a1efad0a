//! The clock of a shard, and whether a node's wall clock is fit to own one (R8).
//!
//! It owns the bounds. Times are Unix milliseconds; the wall's and the monotonic clock are given in.

/// How far a wall clock may be from the median of the others, and how far it may move a running
/// shard's clock ahead of monotonic time between two checks.
pub const SKEW_MAX_MS: u64 = 500;

/// How far `wall_ms` is ahead of the median of what the peers and Redis say, each corrected by half
/// the round trip; negative when behind. Nobody to compare with: no skew is known.
pub fn skew_ms(wall_ms: u64, others_ms: &mut [u64]) -> Option<i64> {
    if others_ms.is_empty() {
        return None;
    }
    others_ms.sort_unstable();
    let upper = others_ms[others_ms.len() / 2];
    let lower = others_ms[(others_ms.len() - 1) / 2];
    let median = lower + (upper - lower) / 2;
    Some(wall_ms as i64 - median as i64)
}

/// Whether a node with this skew may claim and own shards. If not it hands them over and raises the
/// alert.
pub fn is_fit(skew_ms: Option<i64>) -> bool {
    skew_ms.is_none_or(|skew| skew.unsigned_abs() <= SKEW_MAX_MS)
}

/// The wall clock of a node as far as it may be trusted: what it said when it was last found fit, and
/// from then on at most [`SKEW_MAX_MS`] ahead of monotonic time. A node that was never found fit has
/// none, and claims nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedWall {
    checked_ms: u64,
    checked_monotonic_ms: u64,
}

impl CheckedWall {
    /// The wall clock was found fit just now.
    pub fn checked(wall_ms: u64, monotonic_ms: u64) -> CheckedWall {
        CheckedWall {
            checked_ms: wall_ms,
            checked_monotonic_ms: monotonic_ms,
        }
    }

    /// What the wall clock says, without a jump since the last check.
    pub fn read(&self, wall_ms: u64, monotonic_ms: u64) -> u64 {
        let since_ms = monotonic_ms.saturating_sub(self.checked_monotonic_ms);
        wall_ms.min(self.checked_ms + since_ms + SKEW_MAX_MS)
    }
}

/// The clock of one shard: it never goes back, and goes on at least as monotonic time does. It is read
/// with a [`CheckedWall`], from the first time on: a shard that begins under a clock that has just
/// jumped would expire what is not due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardClock {
    last_ms: u64,
    last_monotonic_ms: u64,
}

impl ShardClock {
    /// A clock that begins at the checked wall's time, or at `floor_ms` if that is later: the last HLC
    /// of the journal, and the mark up to which history was published.
    pub fn start(floor_ms: u64, wall_ms: u64, monotonic_ms: u64) -> ShardClock {
        ShardClock {
            last_ms: wall_ms.max(floor_ms),
            last_monotonic_ms: monotonic_ms,
        }
    }

    /// The time now: the checked wall's, at least the last reading and the monotonic time since.
    pub fn read(&mut self, wall_ms: u64, monotonic_ms: u64) -> u64 {
        let since_ms = monotonic_ms.saturating_sub(self.last_monotonic_ms);
        self.last_ms = wall_ms.max(self.last_ms + since_ms);
        self.last_monotonic_ms = self.last_monotonic_ms.max(monotonic_ms);
        self.last_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_skew_is_measured_against_the_median_of_the_others() {
        assert_eq!(skew_ms(1_000, &mut []), None);
        assert_eq!(skew_ms(1_000, &mut [900]), Some(100));
        assert_eq!(skew_ms(1_000, &mut [2_000, 900]), Some(-450));
        assert_eq!(skew_ms(1_000, &mut [90_000, 990, 1_010]), Some(-10));
    }

    #[test]
    fn a_node_is_fit_up_to_half_a_second_and_no_further() {
        for (skew, fit) in [(0, true), (500, true), (501, false), (-501, false)] {
            assert_eq!(is_fit(Some(skew)), fit, "{skew}");
        }
        assert!(is_fit(None));
    }

    #[test]
    fn a_shard_clock_never_goes_back() {
        let mut clock = ShardClock::start(5_000, 1_000, 0);
        assert_eq!(clock.read(1_000, 0), 5_000);
        assert_eq!(clock.read(900, 10), 5_010);
        assert_eq!(clock.read(5_400, 10), 5_400);
        assert_eq!(clock.read(0, 5), 5_400);
    }

    #[test]
    fn a_jump_of_the_wall_counts_for_half_a_second_however_often_it_is_read() {
        let wall = CheckedWall::checked(1_000, 0);
        for _ in 0..3 {
            assert_eq!(wall.read(90_000, 0), 1_500);
        }
        assert_eq!(wall.read(90_000, 100), 1_600);
        assert_eq!(wall.read(900, 100), 900);
        assert_eq!(wall.read(1_600, 100), 1_600);
    }
}
