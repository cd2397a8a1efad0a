//! The gap-free prefix of one epoch's journal (R2).
//!
//! It owns which segment is read next, where the prefix ends, and when a gap is damage. It does not
//! know what is in a frame.
//!
//! A read at QUORUM is no snapshot: while the owner before still writes, it may miss frame k and show
//! frame k+1, each seen on another replica at another moment. Frame k was durable before k+1 was
//! sent, so a read that starts after k+1 was seen shows k, or k is lost. Hence a gap is read again
//! once.

use crate::shard::Epoch;

/// A frame as the journal holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored<F> {
    /// As it was written.
    Whole(F),
    /// Its checksum does not hold.
    Broken,
}

/// The reading of one epoch's journal, segment by segment.
#[derive(Clone, Debug)]
pub struct Scan<F> {
    epoch: Epoch,
    /// The first frame that was not found yet.
    next: u64,
    /// The final length, if the epoch is sealed.
    sealed: Option<u64>,
    /// The segment that is being read.
    segment: u64,
    frames_per_segment: u64,
    /// A frame that was missing although a later one was there.
    suspect: Option<u64>,
    last: Option<F>,
}

/// What a scan wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read this segment of the epoch, from this frame on, at QUORUM.
    Read {
        /// The segment.
        segment: u64,
        /// Frames before it are not wanted.
        from: u64,
    },
    /// The prefix ends before this frame.
    End(u64),
    /// This frame is lost, and a later one is there; or it is broken.
    Damaged(u64),
}

impl<F: Clone> Scan<F> {
    /// A scan of `epoch` from the frame `from`, up to the seal if there is one.
    pub fn new(epoch: Epoch, from: u64, sealed: Option<u64>, frames_per_segment: u64) -> Scan<F> {
        Scan {
            epoch,
            next: from,
            sealed,
            segment: from / frames_per_segment,
            frames_per_segment,
            suspect: None,
            last: None,
        }
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last frame of the prefix, and its number, if the scan found any: what must be written
    /// again before an unsealed epoch is sealed.
    pub fn last(&self) -> Option<(u64, &F)> {
        self.last.as_ref().map(|frame| (self.next - 1, frame))
    }

    /// The first step, and the same step again after a read without an answer.
    pub fn step(&self) -> Step {
        match self.sealed {
            Some(end) if self.next >= end => Step::End(self.next),
            _ => Step::Read {
                segment: self.segment,
                from: self.next,
            },
        }
    }

    /// Takes the frames of the segment that was asked for, in their order, and appends those that
    /// belong to the prefix to `replay`.
    pub fn segment_read(
        &mut self,
        frames: impl IntoIterator<Item = (u64, Stored<F>)>,
        replay: &mut Vec<F>,
    ) -> Step {
        match self.keep(frames, replay) {
            Ok(has_later) => self.after_segment(has_later),
            Err(damaged) => damaged,
        }
    }

    /// Takes the first frames of the segment that was asked for, when there are more of it than come at
    /// once: the rest is asked for next.
    pub fn part_read(
        &mut self,
        frames: impl IntoIterator<Item = (u64, Stored<F>)>,
        replay: &mut Vec<F>,
    ) -> Step {
        let before = self.next;
        match self.keep(frames, replay) {
            Err(damaged) => damaged,
            Ok(false) if self.next > before => self.step(),
            // What is missing is not in the rest either, for frames come in order.
            Ok(has_later) => self.after_segment(has_later),
        }
    }

    /// Keeps the frames that go on where the prefix ends; tells whether one behind a gap is there.
    fn keep(
        &mut self,
        frames: impl IntoIterator<Item = (u64, Stored<F>)>,
        replay: &mut Vec<F>,
    ) -> Result<bool, Step> {
        for (seq, stored) in frames {
            if seq < self.next || self.sealed.is_some_and(|end| seq >= end) {
                continue;
            }
            if seq > self.next {
                return Ok(true);
            }
            let Stored::Whole(frame) = stored else {
                return Err(Step::Damaged(seq));
            };
            replay.push(frame.clone());
            self.last = Some(frame);
            self.next += 1;
        }
        Ok(false)
    }

    fn after_segment(&mut self, has_later: bool) -> Step {
        if self.suspect == Some(self.next) {
            return Step::Damaged(self.next);
        }
        let segment_of_next = self.next / self.frames_per_segment;
        let is_sealed_end = self.sealed.is_some_and(|end| self.next >= end);
        // Below a seal every frame is there, so one that is not is as suspect as a gap.
        let is_short_of_seal = self.sealed.is_some() && segment_of_next <= self.segment;
        if is_sealed_end {
            return Step::End(self.next);
        }
        if has_later || is_short_of_seal {
            self.suspect = Some(self.next);
            self.segment = segment_of_next;
        } else if self.segment > segment_of_next {
            // Nothing was behind the segment in which the prefix ends.
            return Step::End(self.next);
        } else {
            self.segment += 1;
        }
        self.step()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PER_SEGMENT: u64 = 4;

    fn scan(from: u64, sealed: Option<u64>) -> Scan<u64> {
        Scan::new(Epoch(1), from, sealed, PER_SEGMENT)
    }

    fn whole(range: impl IntoIterator<Item = u64>) -> Vec<(u64, Stored<u64>)> {
        let frames = range.into_iter();
        frames.map(|seq| (seq, Stored::Whole(seq))).collect()
    }

    /// Reads the segments of `journal` until the scan ends.
    fn run(mut scan: Scan<u64>, journal: &[(u64, Stored<u64>)]) -> (Step, Vec<u64>) {
        let (mut step, mut replay) = (scan.step(), Vec::new());
        while let Step::Read { segment, from } = step {
            let wanted = |seq: u64| seq / PER_SEGMENT == segment && seq >= from;
            let found = journal.iter().filter(|(seq, _)| wanted(*seq)).cloned();
            step = scan.segment_read(found.collect::<Vec<_>>(), &mut replay);
        }
        (step, replay)
    }

    /// Reads the segments of `journal` in parts of so many frames until the scan ends.
    fn run_in_parts(
        mut scan: Scan<u64>,
        journal: &[(u64, Stored<u64>)],
        frames: usize,
    ) -> (Step, Vec<u64>) {
        let (mut step, mut replay, mut reads) = (scan.step(), Vec::new(), 0);
        while let Step::Read { segment, from } = step {
            let wanted = |seq: u64| seq / PER_SEGMENT == segment && seq >= from;
            let found = journal.iter().filter(|(seq, _)| wanted(*seq)).cloned();
            let found: Vec<_> = found.collect();
            step = match found.len() > frames {
                true => scan.part_read(found.into_iter().take(frames), &mut replay),
                false => scan.segment_read(found, &mut replay),
            };
            reads += 1;
            assert!(reads < 100, "the scan does not end");
        }
        (step, replay)
    }

    #[test]
    fn a_segment_read_in_parts_is_found_as_in_one() {
        for sealed in [None, Some(3), Some(6), Some(8), Some(9)] {
            // No frame is missing, or one is.
            for missing in 0..10 {
                let journal = whole((0..9).filter(|seq| *seq != missing));
                let expected = run(scan(0, sealed), &journal);
                for frames in 1..4 {
                    let found = run_in_parts(scan(0, sealed), &journal, frames);
                    assert_eq!(found, expected, "{sealed:?}, {missing}, parts of {frames}");
                }
            }
        }
    }

    #[test]
    fn the_prefix_ends_where_the_journal_ends() {
        for end in 0..10 {
            let (step, replay) = run(scan(0, None), &whole(0..end));
            assert_eq!(step, Step::End(end));
            assert_eq!(replay, (0..end).collect::<Vec<_>>());
        }
    }

    #[test]
    fn frames_before_the_base_and_past_the_seal_do_not_count() {
        let (step, replay) = run(scan(2, Some(6)), &whole(0..9));
        assert_eq!((step, replay), (Step::End(6), vec![2, 3, 4, 5]));
        assert_eq!(run(scan(5, Some(5)), &[]), (Step::End(5), vec![]));
    }

    #[test]
    fn a_gap_before_a_later_frame_is_damage_wherever_it_is() {
        for missing in 0..8 {
            let journal = whole((0..9).filter(|seq| *seq != missing));
            assert_eq!(run(scan(0, None), &journal).0, Step::Damaged(missing));
        }
    }

    #[test]
    fn a_frame_missing_below_the_seal_is_damage() {
        assert_eq!(run(scan(0, Some(6)), &whole(0..5)).0, Step::Damaged(5));
        assert_eq!(run(scan(0, Some(6)), &whole(0..3)).0, Step::Damaged(3));
        assert_eq!(run(scan(0, Some(6)), &[]).0, Step::Damaged(0));
    }

    #[test]
    fn a_broken_frame_is_damage() {
        let mut journal = whole(0..3);
        journal[2].1 = Stored::Broken;
        assert_eq!(run(scan(0, None), &journal).0, Step::Damaged(2));
    }

    #[test]
    fn a_gap_that_the_second_read_fills_is_none() {
        let (mut scan, mut replay) = (scan(0, None), Vec::new());
        let read = |segment, from| Step::Read { segment, from };
        assert_eq!(scan.segment_read(whole([0, 2]), &mut replay), read(0, 1));
        assert_eq!(scan.segment_read(whole([1, 2]), &mut replay), read(1, 3));
        // The next gap is another one, it is read again as well.
        assert_eq!(scan.segment_read(whole([4]), &mut replay), read(0, 3));
        assert_eq!(scan.segment_read(whole([3]), &mut replay), read(1, 4));
        assert_eq!(scan.segment_read(whole([4]), &mut replay), read(2, 5));
        assert_eq!(scan.segment_read([], &mut replay), Step::End(5));
        assert_eq!(replay, [0, 1, 2, 3, 4]);
        assert_eq!(scan.last(), Some((4, &4)));
    }
}
