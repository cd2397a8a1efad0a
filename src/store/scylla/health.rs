//! Whether the store answers this node, as its fence reads tell. Pure: the times come in.
//!
//! Nothing leaves a node without a fence read, so a node whose fence reads are not answered is without
//! its store. While a frame is not taken they are made as probes, with a write before, and a node whose
//! probes are answered is not without its store, whatever becomes of other calls: of a claim, of a
//! look-up, of the journal of one shard. Those are the trouble of one partition.

use std::time::{Duration, Instant};

/// As many fence reads without an answer, and none with one between, say that the store is away. One
/// alone may only have met a node that ended.
const UNANSWERED_MAX: u32 = 2;

/// A frame that the store does not take, while it answers fence reads for so long, is the trouble of
/// its shard.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the fence reads tell.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Reads since the last one that was answered.
    unanswered: u32,
    answered_at: Option<Instant>,
    /// The first answer since one was missing.
    well_since: Option<Instant>,
}

impl Health {
    /// A fence read ended.
    pub(super) fn note(&mut self, is_answered: bool, now: Instant) {
        if is_answered {
            self.unanswered = 0;
            self.answered_at = Some(now);
            self.well_since.get_or_insert(now);
        } else {
            self.unanswered = self.unanswered.saturating_add(1);
            self.well_since = None;
        }
    }

    /// Whether the last fence reads got no answer.
    pub(super) fn is_away(&self) -> bool {
        self.unanswered >= UNANSWERED_MAX
    }

    /// Whether one was answered not longer ago than this.
    pub(super) fn has_answered_within(&self, limit: Duration, now: Instant) -> bool {
        self.answered_at
            .is_some_and(|at| now.saturating_duration_since(at) <= limit)
    }

    /// Whether a frame that is on its way since then is to be given up with its shard: for so long the
    /// store has answered everything but that. After an outage it gets the time to come through, too.
    pub(super) fn has_outlasted(&self, sent: Instant) -> bool {
        let well = self.answered_at.zip(self.well_since);
        well.is_some_and(|(answered, since)| answered >= since.max(sent) + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::statement::IMPATIENT;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_store_is_away_after_two_reads_without_an_answer_and_back_with_the_first() {
        let (mut health, now) = (Health::default(), Instant::now());
        assert!(!health.is_away(), "nothing is known yet");
        health.note(false, now);
        assert!(!health.is_away());
        health.note(false, now);
        assert!(health.is_away());
        health.note(true, now);
        assert!(!health.is_away());
        health.note(false, now);
        assert!(!health.is_away(), "it begins anew");
    }

    #[test]
    fn an_answer_counts_as_recent_exactly_to_its_limit() {
        let (mut health, now) = (Health::default(), Instant::now());
        assert!(!health.has_answered_within(MS, now));
        health.note(true, now);
        health.note(false, now + MS);
        assert!(health.has_answered_within(MS, now + MS));
        assert!(!health.has_answered_within(MS, now + 2 * MS));
    }

    #[test]
    fn a_frame_is_outlasted_when_reads_were_answered_all_the_while() {
        let (mut health, sent) = (Health::default(), Instant::now());
        assert!(!health.has_outlasted(sent), "nobody has asked");
        health.note(true, sent + MS);
        health.note(true, sent + PATIENCE);
        assert!(!health.has_outlasted(sent), "1 ms too early");
        health.note(true, sent + PATIENCE + MS);
        assert!(health.has_outlasted(sent));
    }

    #[test]
    fn answers_from_before_a_frame_was_sent_say_nothing_of_it() {
        let (mut health, first) = (Health::default(), Instant::now());
        health.note(true, first);
        let sent = first + 100 * PATIENCE;
        assert!(!health.has_outlasted(sent), "no read since");
        health.note(true, sent + PATIENCE);
        assert!(health.has_outlasted(sent));
    }

    #[test]
    fn a_call_that_hangs_has_ended_before_its_shard_is_given_up() {
        assert!(IMPATIENT < PATIENCE, "the frame is sent again");
    }

    #[test]
    fn after_an_outage_a_frame_gets_its_time_again() {
        let (mut health, sent) = (Health::default(), Instant::now());
        health.note(true, sent);
        health.note(false, sent + PATIENCE);
        let back = sent + 20 * PATIENCE;
        health.note(true, back);
        assert!(!health.has_outlasted(sent), "it may come through now");
        health.note(true, back + PATIENCE);
        assert!(health.has_outlasted(sent));
    }
}
