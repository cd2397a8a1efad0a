//! Damping: the more often a member was suspected wrongly, the slower it is suspected again, so that
//! two nodes that cannot see each other do not take shards from each other for ever.

use std::time::Duration;

/// How long evidence must last before it counts, after one wrong suspicion; twice as long after each
/// further one.
const HOLD: Duration = Duration::from_secs(1);

/// The longest hold.
const HOLD_MAX: Duration = Duration::from_secs(30);

/// A wrong suspicion is forgiven after this long without another.
const FORGIVEN_AFTER: Duration = Duration::from_secs(300);

/// The suspicions of one member.
#[derive(Clone, Debug, Default)]
pub(super) struct Damping {
    is_suspect: bool,
    /// Since when there has been evidence without a break.
    evidence_since: Option<Duration>,
    /// Wrong suspicions that are not forgiven.
    wrong: u32,
    /// When the last of them ended.
    wrong_until: Duration,
}

impl Damping {
    /// Whether the member is a suspect, given whether there is evidence now. A new suspicion begins
    /// only if `may_begin`.
    pub(super) fn judge(&mut self, is_failed: bool, may_begin: bool, now: Duration) -> bool {
        if !is_failed {
            self.refute(now);
            return false;
        }
        let since = *self.evidence_since.get_or_insert(now);
        if may_begin && now >= since + self.hold(now) {
            self.is_suspect = true;
        }
        self.is_suspect
    }

    /// The member lives.
    pub(super) fn refute(&mut self, now: Duration) {
        self.evidence_since = None;
        if self.is_suspect {
            self.wrong = if self.is_strict(now) {
                self.wrong.saturating_add(1)
            } else {
                1
            };
            self.wrong_until = now;
            self.is_suspect = false;
        }
    }

    /// Whether the evidence against it is younger than `sign`, a sign of life, which then says nothing.
    pub(super) fn has_evidence_since_after(&self, sign: Duration) -> bool {
        self.evidence_since.is_some_and(|since| since > sign)
    }

    /// Whether it was suspected wrongly of late: one node's word is then not enough.
    pub(super) fn is_strict(&self, now: Duration) -> bool {
        self.wrong > 0 && now < self.wrong_until + FORGIVEN_AFTER
    }

    fn hold(&self, now: Duration) -> Duration {
        if !self.is_strict(now) {
            return Duration::ZERO;
        }
        let doublings = 2_u32.saturating_pow(self.wrong - 1);
        HOLD.saturating_mul(doublings).min(HOLD_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const MS: Duration = Duration::from_millis(1);

    /// Suspected wrongly so often, the last time until `now`.
    fn wrong(times: u32, now: Duration) -> Damping {
        let mut damping = Damping::default();
        for _ in 0..times {
            damping.judge(true, true, now - MS);
            damping.is_suspect = true;
            damping.judge(false, true, now);
        }
        damping
    }

    #[test]
    fn the_first_evidence_counts_at_once() {
        assert!(Damping::default().judge(true, true, at(1)));
    }

    #[test]
    fn each_wrong_suspicion_doubles_how_long_evidence_must_last() {
        for (times, hold) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (40, 30)] {
            let mut damping = wrong(times, at(100));
            assert!(!damping.judge(true, true, at(101)), "{times}");
            assert!(!damping.judge(true, true, at(101 + hold) - MS), "{times}");
            assert!(damping.judge(true, true, at(101 + hold)), "{times}");
        }
    }

    #[test]
    fn evidence_that_breaks_off_begins_again() {
        let mut damping = wrong(2, at(100));
        assert!(!damping.judge(true, true, at(101)));
        assert!(!damping.judge(false, true, at(102)));
        assert!(!damping.judge(true, true, at(103)));
        assert!(!damping.judge(true, true, at(105) - MS));
        assert!(damping.judge(true, true, at(105)));
    }

    #[test]
    fn a_wrong_suspicion_is_forgiven_in_the_end() {
        assert!(!wrong(5, at(100)).judge(true, true, at(400) - MS));
        let mut damping = wrong(5, at(100));
        assert!(damping.judge(true, true, at(400)));
        damping.judge(false, true, at(401));
        assert_eq!(damping.wrong, 1);
    }

    #[test]
    fn a_suspicion_that_may_not_begin_waits_and_one_that_has_begun_goes_on() {
        let mut damping = Damping::default();
        assert!(!damping.judge(true, false, at(1)));
        assert!(damping.judge(true, true, at(2)));
        assert!(damping.judge(true, false, at(3)));
    }
}
