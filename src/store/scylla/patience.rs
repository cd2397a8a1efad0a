//! How long a claim waits for a store that answers nothing. Pure: the times come in.

use std::time::{Duration, Instant};

/// A claim of which the store has answered nothing for so long is given up, and made anew later: only
/// few are under way at once, and those it answers nothing of would keep all others waiting.
const STALLED: Duration = Duration::from_secs(5);

/// The patience of one claim.
#[derive(Debug, Default)]
pub(super) struct Patience {
    /// When the first call since the last answer had none.
    unanswered_since: Option<Instant>,
}

impl Patience {
    /// A call ended; tells whether there were none but unanswered ones for too long.
    pub(super) fn is_over(&mut self, is_answered: bool, now: Instant) -> bool {
        if is_answered {
            self.unanswered_since = None;
            return false;
        }
        let since = *self.unanswered_since.get_or_insert(now);
        now.saturating_duration_since(since) >= STALLED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_claim_is_given_up_when_nothing_was_answered_for_long_and_each_answer_begins_anew() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        assert!(!patience.is_over(false, start));
        assert!(!patience.is_over(false, start + STALLED - MS));
        assert!(patience.is_over(false, start + STALLED));
        assert!(!patience.is_over(true, start + STALLED));
        assert!(!patience.is_over(false, start + 2 * STALLED));
        assert!(!patience.is_over(false, start + 3 * STALLED - MS));
        assert!(patience.is_over(false, start + 3 * STALLED));
    }
}
